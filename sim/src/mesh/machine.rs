//! An agent's machine: its process, disk and clock.

use super::{
    event::Process,
    models::running::Models,
    node::{Disk, DnsSnapshot, Node, Ticket},
    slots::Slots,
};
use rand::rngs::StdRng;
use regionmesh_protocol::{
    identity::AgentId,
    register::ballot::{Ballot, Stamp},
};
use std::collections::BTreeMap;

/// The machine of one agent.
pub(crate) struct Machine {
    pub(crate) id: AgentId,
    pub(crate) region: usize,
    /// Counts its processes.
    pub(crate) life: u32,
    /// None while no process runs.
    pub(crate) node: Option<Box<dyn Node>>,
    pub(crate) rng: StdRng,
    pub(crate) disk: Disk,
    /// A copy of the disk from some time ago.
    pub(crate) backup: Disk,
    /// When its process started.
    pub(crate) started_ms: u64,
    /// The process stands still until then.
    pub(crate) paused_until_ms: u64,
    /// The wall clock minus the true time.
    pub(crate) clock_ms: i64,
    pub(crate) wake_at_ms: Option<u64>,
    /// Whether it holds links to other regions.
    pub(crate) is_gateway: bool,
    /// Until when it needs a link to each other region.
    pub(crate) needs_ms: BTreeMap<usize, u64>,
    /// Questions that wait for an answer, and who was asked.
    pub(crate) calls: BTreeMap<Ticket, usize>,
    /// Questions of peers that it has not answered.
    pub(crate) asked: BTreeMap<Ticket, (Process, Ticket)>,
    pub(crate) next_ticket: Ticket,
    pub(crate) own_slots: Slots,
    pub(crate) witness_slots: Slots,
    pub(crate) models: Models,
    /// What it answers DNS by.
    pub(crate) serves: Option<DnsSnapshot>,
    /// The plan that it must not fall behind.
    pub(crate) served: Option<Stamp>,
    /// The ballot under which it believes it leads.
    pub(crate) leads: Option<Ballot>,
}

impl Machine {
    pub(crate) fn new(id: AgentId, region: usize, rng: StdRng) -> Self {
        Self {
            models: Models::new(id.clone()),
            id,
            region,
            life: 0,
            node: None,
            rng,
            disk: Disk::default(),
            backup: Disk::default(),
            started_ms: 0,
            paused_until_ms: 0,
            clock_ms: 0,
            wake_at_ms: None,
            is_gateway: true,
            needs_ms: BTreeMap::new(),
            calls: BTreeMap::new(),
            asked: BTreeMap::new(),
            next_ticket: 0,
            own_slots: Slots::new(0, false),
            witness_slots: Slots::new(0, false),
            serves: None,
            served: None,
            leads: None,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.node.is_some()
    }

    /// Whether it runs and reacts.
    pub(crate) fn reacts(&self, now_ms: u64) -> bool {
        self.is_up() && now_ms >= self.paused_until_ms
    }

    /// Whether it wants a link to a region.
    pub(crate) fn wants(&self, region: usize, now_ms: u64) -> bool {
        let needed = self.needs_ms.get(&region);
        self.is_gateway || needed.is_some_and(|until_ms| now_ms < *until_ms)
    }

    /// Ends the process: what it held in memory is gone.
    pub(crate) fn stop(&mut self) {
        self.life += 1;
        self.node = None;
        self.wake_at_ms = None;
        self.is_gateway = true;
        self.needs_ms.clear();
        self.paused_until_ms = 0;
        self.calls.clear();
        self.asked.clear();
        self.models.stop();
        self.serves = None;
        self.leads = None;
    }
}
