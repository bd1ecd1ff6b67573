//! Faults begin and end.

use super::{
    event::Event,
    fault::{DiskFate, EndpointState, Fault, FaultKind, OrderKind},
    laws::GivenOrder,
    liar,
    network::{Phases, Scope, Trouble},
    node::{Disk, NodeInput},
    slots::Slots,
    sometimes::Sometimes,
    world::World,
};
use regionmesh_protocol::register::ballot::Ballot;

/// Pause before the agents of a store that changed its behaviour start again.
const SWAP_MS: u64 = 500;
/// No slots are lost before the register has begun.
const BEGUN_MS: u64 = 5_000;
/// How much longer some orders last.
const LONG_MS: u64 = 600_000;

impl World {
    /// Starts the process of an agent, unless one runs.
    pub(crate) fn boot(&mut self, agent: usize, disk: DiskFate) {
        if self.machines[agent].is_up() {
            return;
        }

        let config = self.node_config(agent);
        let judges = self.shape.judges && !config.is_liar;
        let node = liar::build(config);
        if self.refuses_store(agent) {
            self.reached.count(Sometimes::StoreRefused);
        }
        if disk == DiskFate::Copied {
            self.reached.count(Sometimes::OldDisk);
        }

        let machine = &mut self.machines[agent];
        match disk {
            DiskFate::Kept => {}
            DiskFate::Lost => machine.disk = Disk::default(),
            DiskFate::Copied => machine.disk = machine.backup.clone(),
        }
        machine.backup = machine.disk.clone();
        machine.served = machine.disk.plan.as_ref().map(|plan| plan.stamp.clone());

        let writer = (agent as u64 + 1) << 21 | u64::from(machine.life) << 1;
        machine.own_slots = Slots::new(writer, judges);
        machine.witness_slots = Slots::new(writer | 1, false);
        machine
            .models
            .start(machine.id.clone(), machine.life, disk == DiskFate::Kept);
        machine.started_ms = self.now_ms;
        machine.node = Some(node);

        let disk = machine.disk.clone();
        self.lose_links_of(agent);
        self.deliver(agent, NodeInput::Start(disk));
        self.begin_watch();
    }

    /// Ends the process of an agent.
    fn crash(&mut self, agent: usize) {
        let machine = &mut self.machines[agent];
        if !machine.is_up() {
            return;
        }
        if machine.own_slots.is_writing() {
            self.reached.count(Sometimes::DiedWhileWriting);
        }
        if machine.models.is_publishing() {
            self.reached.count(Sometimes::PublisherDied);
        }

        machine.stop();
        self.begin_watch();
    }

    pub(crate) fn begin_fault(&mut self, index: usize) {
        let Fault { for_ms, kind, .. } = self.faults[index].clone();
        let now_ms = self.now_ms;
        self.trace.event(now_ms, 200, index as u64, 0);
        self.trace.note(now_ms, || format!("-- {kind:?}"));

        if kind.disturbs() {
            self.quiet_since_ms = now_ms;
            if kind.lasts() {
                self.active.insert(index);
            }
        }

        match kind {
            FaultKind::Crash { agent, .. } => self.crash(agent),
            FaultKind::Pause { agent } => {
                let until_ms = (now_ms + for_ms).min(self.shape.faults_ms);
                let machine = &mut self.machines[agent];
                machine.paused_until_ms = machine.paused_until_ms.max(until_ms);
                self.begin_watch();
            }
            FaultKind::Store { store, kind } => self.stores[store].begin(index, kind),
            FaultKind::LoseSlots { store, which } => self.lose_slots(store, which),
            FaultKind::ForgeSlots { store } => self.forge_slots(store),
            FaultKind::Unconditional { region } => self.swap_store(region, false),
            FaultKind::SetClock { agent, by_ms } => self.machines[agent].clock_ms += by_ms,
            FaultKind::Endpoint { region, state } => {
                self.set_endpoint(region, state, Some(index));
            }
            FaultKind::Order { agent, order } => self.give_order(agent, order, for_ms),
            FaultKind::Model(act) => self.act(act),
            kind => {
                if let Some(trouble) = trouble(&kind, now_ms) {
                    self.network.begin(index, trouble);
                    self.begin_watch();
                }
            }
        }
    }

    pub(crate) fn end_fault(&mut self, index: usize) {
        let kind = self.faults[index].kind.clone();
        self.trace.event(self.now_ms, 201, index as u64, 0);
        self.trace
            .note(self.now_ms, || format!("-- over: {kind:?}"));

        if self.active.remove(&index) {
            self.quiet_since_ms = self.now_ms;
        }

        match kind {
            FaultKind::Crash { agent, disk } => self.boot(agent, disk),
            FaultKind::Store { store, .. } => self.stores[store].end(index),
            FaultKind::Unconditional { region } => self.swap_store(region, true),
            FaultKind::Endpoint { region, .. } => {
                if self.endpoints[region].fault == Some(index) {
                    self.set_endpoint(region, EndpointState::Up, None);
                }
            }
            _ => self.network.end(index),
        }
    }

    fn set_endpoint(&mut self, region: usize, state: EndpointState, fault: Option<usize>) {
        let endpoint = &mut self.endpoints[region];
        endpoint.state = state;
        endpoint.since_ms = self.now_ms;
        endpoint.fault = fault;
    }

    /// A region's store begins or ceases to honour conditions. Its agents check that when they
    /// start.
    fn swap_store(&mut self, region: usize, is_conditional: bool) {
        self.stores[region].is_conditional = is_conditional;
        for agent in 0..self.machines.len() {
            if self.machines[agent].region == region {
                self.crash(agent);
                let disk = DiskFate::Kept;
                self.after(SWAP_MS, Event::Boot { agent, disk });
            }
        }
    }

    /// Deletes slots, if the other members that have theirs are a majority. Lifecycle rules delete
    /// old slots: no write is under way, and older ones are gone.
    fn lose_slots(&mut self, store: usize, which: u8) {
        let is_witness = store == self.shape.regions;
        let is_idle = self.machines.iter().all(|machine| match is_witness {
            true => machine.witness_slots.is_idle(),
            false => machine.region != store || machine.own_slots.is_idle(),
        });
        let is_quiet = is_idle && self.stores[store].slot_count() <= 2;

        if is_quiet && self.now_ms > BEGUN_MS && self.keeps_majority(Some(store)) {
            self.stores[store].lose(which);
        }
    }

    /// Rewrites a slot of a store that the register can do without.
    fn forge_slots(&mut self, store: usize) {
        if self.now_ms > BEGUN_MS && self.keeps_majority(Some(store)) {
            let agent = self.machines[store % self.machines.len()].id.clone();
            self.stores[store].forge(Ballot {
                number: u64::MAX,
                agent,
                boot: 0,
            });
        }
    }

    /// A process that starts without a plan believes only what a majority of the acceptors in its
    /// configuration accepted, so a majority of the members must be one of those as well. An
    /// operator who removes more of them changes the configuration too, which this world does not.
    fn may_remove_member(&self) -> bool {
        let configured = self.stores.len();
        let members = match self.laws.latest() {
            Some((_, plan)) => plan.members.len(),
            None => configured,
        };
        let is_open = |order: &&GivenOrder| {
            matches!(order.kind, OrderKind::RemoveMember { .. }) && !order.is_settled
        };
        let open = self.laws.orders.iter().filter(is_open).count();

        // One with forged slots counts as a member and has no vote.
        let is_any_forged = self.stores.iter().any(|store| store.is_forged);

        !is_any_forged && members.saturating_sub(open + 1) / 2 >= configured / 2
    }

    /// Gives an order to an agent, or to the next one that runs.
    fn give_order(&mut self, agent: usize, kind: OrderKind, for_ms: u64) {
        if matches!(kind, OrderKind::RemoveMember { .. }) && !self.may_remove_member() {
            return;
        }

        let agents = self.machines.len();
        let running = (0..agents).map(|offset| (agent + offset) % agents);
        let Some(agent) = running
            .into_iter()
            .find(|agent| self.machines[*agent].is_up())
        else {
            return;
        };

        let number = self.laws.orders.len();
        // With a thief, some last until long after he may have ended them.
        let is_long = self.shape.liar.is_some() && number.is_multiple_of(3);
        let given = GivenOrder {
            kind,
            by: format!("operator-{number}"),
            given_ms: self.now_ms,
            // An order that ends within seconds shows nothing.
            for_ms: for_ms.max(1_000) * 4 + u64::from(is_long) * LONG_MS,
            acknowledged: None,
            is_settled: false,
            is_superseded: false,
        };
        let order = Box::new(given.order(&self.names));
        self.laws.order_given(given);

        let process = self.process(agent);
        let ticket = number as u64;
        let input = NodeInput::Ordered { ticket, order };
        self.after(0, Event::Input(process, Box::new(input)));
    }

    /// Everything works again, and a stolen key is replaced, except that as many endpoints stay
    /// down as automation may take out.
    pub(crate) fn heal(&mut self) {
        self.healed_ms = Some(self.now_ms);
        self.trace
            .note(self.now_ms, || "-- everything is healed".into());
        self.network.heal();

        for region in 0..self.shape.regions {
            if !self.stores[region].is_conditional {
                self.swap_store(region, true);
            }
        }
        for store in &mut self.stores {
            store.heal();
        }

        let mut down = 0;
        for region in 0..self.shape.regions {
            let state = self.endpoints[region].state;
            down += usize::from(state.is_down());
            let stays = state.is_down() && down <= usize::from(self.shape.max_out);
            if state != EndpointState::Up && !stays {
                self.set_endpoint(region, EndpointState::Up, None);
            }
        }

        if let Some(liar) = self.shape.liar {
            self.crash(liar);
        }
        for agent in 0..self.machines.len() {
            self.machines[agent].clock_ms = 0;
            self.boot(agent, DiskFate::Kept);
        }
        self.begin_watch();
        self.after(1_000, Event::CheckHealed);
    }
}

/// A fault of the network.
fn trouble(kind: &FaultKind, since_ms: u64) -> Option<Trouble> {
    let phases = |on_ms, off_ms| {
        Some(Phases {
            since_ms,
            on_ms,
            off_ms,
        })
    };

    Some(match *kind {
        FaultKind::CutOneWay { from, to } => Trouble::Cut(Scope::OneWay(from, to), None),
        FaultKind::Cut { from, to } => Trouble::Cut(Scope::Both(from, to), None),
        FaultKind::Isolate { region } => Trouble::Cut(Scope::Around(region), None),
        FaultKind::Flap {
            from,
            to,
            on_ms,
            off_ms,
        } => Trouble::Cut(Scope::Both(from, to), phases(on_ms, off_ms)),
        FaultKind::Bursts {
            from,
            on_ms,
            off_ms,
        } => Trouble::Cut(Scope::From(from), phases(on_ms, off_ms)),
        FaultKind::Loss { ppm } => Trouble::Loss { ppm },
        FaultKind::Duplicates { ppm } => Trouble::Duplicates { ppm },
        FaultKind::Late { ppm, most_ms } => Trouble::Late { ppm, most_ms },
        _ => return None,
    })
}
