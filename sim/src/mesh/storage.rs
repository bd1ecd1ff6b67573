//! Acceptors' operations on their way to a store and back.

use super::{
    event::{Event, Process},
    node::{Acceptor, NodeInput, StoreFailed, Ticket},
    slots::{SlotEffect, Slots, Step},
    sometimes::Sometimes,
    store::{Operation, Outcome, STORE_TIMEOUT_MS},
    world::World,
};
use regionmesh_core::{
    planning::judging::Objection,
    slots::{self, Notice},
};
use regionmesh_protocol::register::acceptor::AcceptorRequest;

impl World {
    fn store_of(&self, process: Process, acceptor: Acceptor) -> usize {
        match acceptor {
            Acceptor::Own => self.machines[process.agent].region,
            Acceptor::Witness => self.shape.regions,
        }
    }

    /// Whether an agent refuses its region's store because the store ignores conditions.
    pub(crate) fn refuses_store(&self, agent: usize) -> bool {
        !self.stores[self.machines[agent].region].is_conditional
    }

    /// Takes a step of a process's part in an acceptor, and carries out what follows.
    fn step_slots(
        &mut self,
        process: Process,
        acceptor: Acceptor,
        take: impl FnOnce(&mut Slots, &mut Step),
    ) {
        let mut effects = std::mem::take(&mut self.slot_effects);
        let now = self.instant(self.now_ms);
        let machine = &mut self.machines[process.agent];
        let slots = match acceptor {
            Acceptor::Own => &mut machine.own_slots,
            Acceptor::Witness => &mut machine.witness_slots,
        };
        let mut step = Step {
            now,
            rng: &mut machine.rng,
            out: &mut effects,
        };

        take(slots, &mut step);
        self.perform_slots(process, acceptor, &mut effects);
        self.slot_effects = effects;
    }

    pub(crate) fn apply_to_slots(
        &mut self,
        process: Process,
        acceptor: Acceptor,
        ticket: Ticket,
        request: AcceptorRequest,
    ) {
        if let AcceptorRequest::Accept(stamp, plan) = &request {
            self.note_proposal(process.agent, stamp, plan);
        }
        if acceptor == Acceptor::Own && self.refuses_store(process.agent) {
            let answer = Err(StoreFailed);
            let failed = NodeInput::Applied { ticket, answer };
            return self.after(1, Event::Input(process, Box::new(failed)));
        }

        self.step_slots(process, acceptor, |slots, step| {
            slots.request(ticket, request, step);
        });
    }

    fn perform_slots(
        &mut self,
        process: Process,
        acceptor: Acceptor,
        effects: &mut Vec<SlotEffect>,
    ) {
        for effect in effects.drain(..) {
            match effect {
                SlotEffect::Run(operation) => {
                    let store = self.store_of(process, acceptor);
                    let latency_ms = self.stores[store].latency_ms();
                    self.after(latency_ms, Event::StoreRun(process, acceptor, operation));
                }
                SlotEffect::Answered(ticket, answer) => {
                    let applied = NodeInput::Applied { ticket, answer };
                    self.after(0, Event::Input(process, Box::new(applied)));
                }
                SlotEffect::Judge(proposal) => {
                    let judge = NodeInput::Judge(proposal);
                    self.after(0, Event::Input(process, Box::new(judge)));
                }
                SlotEffect::Notice(Notice::Taken) => self.reached.count(Sometimes::SlotTaken),
                SlotEffect::Notice(Notice::ReadBack) => {
                    self.reached.count(Sometimes::WriteReadBack);
                }
                SlotEffect::Notice(_) => {}
            }
        }
    }

    /// An agent has judged what its region's acceptor is to accept.
    pub(crate) fn judged(&mut self, process: Process, judged: Result<(), Objection>) {
        self.step_slots(process, Acceptor::Own, |slots, step| {
            slots.judged(judged, step);
        });
    }

    /// An operation reaches its store, perhaps after the death of its process.
    pub(crate) fn run_on_store(
        &mut self,
        process: Process,
        acceptor: Acceptor,
        operation: &Operation,
    ) {
        let index = self.store_of(process, acceptor);
        let from = self.machines[process.agent].region;
        let is_reachable = from == index || !self.network.is_blocked(from, index, self.now_ms);
        let store = &mut self.stores[index];
        let (outcome, is_written) = match is_reachable {
            true => store.run(operation),
            false => (Outcome::Failed, false),
        };
        if is_written {
            self.written(index, operation);
        }

        self.trace.event(
            self.now_ms,
            50 + outcome.kind(),
            index as u64,
            process.agent as u64,
        );
        if matches!(operation, Operation::Delete(_)) {
            return;
        }
        let delay_ms = match outcome {
            Outcome::Failed => STORE_TIMEOUT_MS,
            _ => self.stores[index].latency_ms().min(STORE_TIMEOUT_MS),
        };
        self.after(delay_ms, Event::StoreRan(process, acceptor, outcome));
    }

    /// A write took place.
    fn written(&mut self, index: usize, operation: &Operation) {
        let Operation::Slots(slots::Operation::Put { slot, .. }) = operation else {
            return;
        };
        let agents = match index == self.shape.regions {
            true => self.shape.agents(),
            false => self.shape.agents_per_region,
        };
        let store = &mut self.stores[index];
        if slot.state.is_none() {
            store.begun += 1;
            if store.begun > 1 {
                self.reached.count(Sometimes::StateLost);
            }
            // Agents that know different slots may each begin once.
            if store.begun > (store.losses + 1) * agents as u64 {
                let what = format!("store {index} lost no slot that was needed");
                self.laws
                    .break_law("an acceptor keeps its state", self.now_ms, what);
            }
        }

        let written = slot.state.as_ref();
        if let Some(state) = store.state().filter(|state| Some(*state) == written) {
            self.laws
                .accepted(state.incarnation, state.accepted.as_ref(), self.now_ms);
        }
    }

    pub(crate) fn ran_on_store(&mut self, process: Process, acceptor: Acceptor, outcome: Outcome) {
        if !self.runs(process) {
            return;
        }

        self.step_slots(process, acceptor, |slots, step| slots.ran(outcome, step));
    }
}
