//! The run of a world, from its start to its verdict.

use super::{
    event::{Event, Process},
    fault::DiskFate,
    laws::Violation,
    models::work::WorkEvent,
    node::NodeInput,
    world::World,
};

/// After healing, a leader must be known within this time.
const LED_WITHIN_MS: u64 = 10_000;
/// Every DNS server must answer correctly within this time.
const RIGHT_WITHIN_MS: u64 = 15_000;
/// Every member of the register must have its vote within this time.
const VOTES_WITHIN_MS: u64 = 30_000;
/// Every region must hold the same models within this time.
const MODELS_WITHIN_MS: u64 = 120_000;
/// How often it is checked whether all of this holds.
const CHECK_MS: u64 = 1_000;

impl World {
    /// Enters what is known from the start into the queue.
    pub(crate) fn schedule(&mut self) {
        for agent in 0..self.machines.len() {
            let disk = DiskFate::Lost;
            self.after(agent as u64 * 7, Event::Boot { agent, disk });
        }
        for resolver in 0..self.resolvers.len() {
            self.after(5_000 + resolver as u64 * 311, Event::Resolve(resolver));
        }
        for (index, fault) in self.faults.iter().enumerate() {
            self.queue.push(fault.at_ms, Event::FaultBegins(index));
            if fault.kind.lasts() {
                let end_ms = fault.at_ms + fault.for_ms;
                self.queue.push(end_ms, Event::FaultEnds(index));
            }
        }

        self.queue.push(self.shape.faults_ms, Event::Heal);
        self.after(CHECK_MS, Event::CheckQuiet);
    }

    /// Runs to the end, or to the first violation.
    pub(crate) fn run(&mut self) -> Option<Violation> {
        while !self.is_over {
            let Some((at_ms, event)) = self.queue.pop() else {
                break;
            };
            self.now_ms = at_ms;
            self.step(event);
            if self.laws.broken.is_some() {
                break;
            }
        }

        self.laws.broken.clone()
    }

    fn step(&mut self, event: Event) {
        if let Some(until_ms) = self.waits_until_ms(&event) {
            return self.queue.push(until_ms, event);
        }

        match event {
            Event::Wake(process) => self.wake(process),
            Event::Input(process, input) => self.input(process, *input),
            Event::Probe(process, probe) => self.probe(process, *probe),
            Event::Arrive(packet) => self.arrive(*packet),
            Event::Resend(packet) => self.send_on_stream(packet),
            Event::CallTimeout(process, ticket) => self.call_timed_out(process, ticket),
            Event::StoreRun(process, acceptor, operation) => {
                self.run_on_store(process, acceptor, &operation);
            }
            Event::StoreRan(process, acceptor, outcome) => {
                self.ran_on_store(process, acceptor, outcome);
            }
            Event::Work(process, event) => self.work_event(process, event),
            Event::Boot { agent, disk } => self.boot(agent, disk),
            Event::FaultBegins(fault) if self.healed_ms.is_none() => self.begin_fault(fault),
            Event::FaultEnds(fault) if self.healed_ms.is_none() => self.end_fault(fault),
            Event::FaultBegins(_) | Event::FaultEnds(_) => {}
            Event::Links => self.watch_links(),
            Event::Resolve(resolver) => self.resolve(resolver),
            Event::Heal => self.heal(),
            Event::CheckQuiet => self.check_quiet(),
            Event::CheckHealed => self.check_healed(),
        }
    }

    /// Until when an event waits because its process is paused. [`Self::wake`] postpones its own,
    /// since an agent has only one.
    fn waits_until_ms(&self, event: &Event) -> Option<u64> {
        let process = match event {
            Event::Input(process, _)
            | Event::Probe(process, _)
            | Event::CallTimeout(process, _)
            | Event::StoreRan(process, ..)
            | Event::Work(process, WorkEvent::Responded(..)) => *process,
            Event::Arrive(packet) => self.process(packet.to),
            _ => return None,
        };

        let machine = &self.machines[process.agent];
        let is_paused = self.runs(process) && !machine.reacts(self.now_ms);
        is_paused.then_some(machine.paused_until_ms)
    }

    fn wake(&mut self, process: Process) {
        let machine = &self.machines[process.agent];
        // An earlier wish that was replaced by another.
        if !self.runs(process) || machine.wake_at_ms != Some(self.now_ms) {
            return;
        }
        if !machine.reacts(self.now_ms) {
            let until_ms = machine.paused_until_ms;
            self.machines[process.agent].wake_at_ms = Some(until_ms);
            return self.queue.push(until_ms, Event::Wake(process));
        }

        self.machines[process.agent].wake_at_ms = None;
        self.deliver(process.agent, NodeInput::Wake);
    }

    fn input(&mut self, process: Process, input: NodeInput) {
        if self.runs(process) {
            self.deliver(process.agent, input);
        }
    }

    /// Before healing, too, there are quiet times, in which all must soon be well.
    fn check_quiet(&mut self) {
        if self.healed_ms.is_some() {
            return;
        }

        self.after(CHECK_MS, Event::CheckQuiet);
        if !self.active.is_empty() || !self.keeps_majority(None) {
            self.quiet_since_ms = self.now_ms;
        }
        // Two may believe that they lead while one takes over from the other.
        let leaders = self
            .machines
            .iter()
            .filter(|machine| machine.leads.is_some());
        if leaders.count() > 0 {
            self.led_ms = self.now_ms;
        }

        let led_ms = self.led_ms.max(self.quiet_since_ms);
        if self.now_ms - led_ms >= LED_WITHIN_MS {
            let what = format!("none for {} ms", self.now_ms - led_ms);
            return self
                .laws
                .break_law("a leader in quiet times", self.now_ms, what);
        }
        if self.now_ms - self.quiet_since_ms >= RIGHT_WITHIN_MS {
            self.check_answers();
        }
    }

    /// Nothing but endpoints has disturbed the mesh for a while: DNS servers answer correctly.
    fn check_answers(&mut self) {
        self.count_drained(RIGHT_WITHIN_MS);
        let laws = [
            (
                "no share on a failed region",
                self.wrong_answer(RIGHT_WITHIN_MS),
            ),
            (
                "users are sent to a region that works",
                self.lost_users(RIGHT_WITHIN_MS),
            ),
        ];

        for (law, wrong) in laws {
            if let Some(what) = wrong {
                self.laws.break_law(law, self.now_ms, what);
            }
        }
    }

    fn check_healed(&mut self) {
        let Some(healed_ms) = self.healed_ms else {
            return;
        };
        let since_ms = self.now_ms - healed_ms;
        let is_stuck = !self.laws.has_healed && !self.keeps_majority(None);
        if since_ms >= LED_WITHIN_MS && is_stuck {
            // Two stores lost their slots before either could join again.
            self.laws.is_stuck = true;
            self.is_over = true;
            return;
        }

        self.count_drained(RIGHT_WITHIN_MS);
        let checks = [
            (
                "a leader 10 s after healing",
                LED_WITHIN_MS,
                self.check_led(),
            ),
            (
                "DNS is right 15 s after healing",
                RIGHT_WITHIN_MS,
                self.check_right(),
            ),
            (
                "all members vote 30 s after healing",
                VOTES_WITHIN_MS,
                self.check_votes(),
            ),
        ];
        // Plans go on while models are copied: what held once is not checked again.
        let hold = checks.iter().all(|(_, _, outcome)| outcome.is_ok());
        self.laws.has_healed |= hold && since_ms >= CHECK_MS;
        let models = (
            "all models are everywhere 2 min after healing",
            MODELS_WITHIN_MS,
            self.check_models(),
        );
        if self.laws.has_healed && models.2.is_ok() {
            self.is_over = true;
            return self.check_slots();
        }

        let is_open = !self.laws.has_healed;
        let due = checks.into_iter().filter(|_| is_open).chain([models]);
        for (law, within_ms, outcome) in due {
            if since_ms >= within_ms
                && let Err(why) = outcome
            {
                return self.laws.break_law(law, self.now_ms, why);
            }
        }

        self.after(CHECK_MS, Event::CheckHealed);
    }
}
