//! Since when agents are alive or dead, and when a dead one is forgotten.

use crate::now::millis;
use regionmesh_protocol::identity::AgentId;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// An agent that was dead for this long is forgotten.
pub(super) const FORGET_AFTER: Duration = Duration::from_secs(3600);
/// After a restart, agents that were alive before are shown alive until membership has had time to
/// find them.
const INHERITANCE: Duration = Duration::from_secs(3);

/// Since when agents are alive or dead.
pub(super) struct Liveness {
    /// Since when each is up or down.
    since: BTreeMap<AgentId, Instant>,
    dead_since: BTreeMap<AgentId, Instant>,
    inherited: BTreeSet<AgentId>,
    inherited_until: Instant,
}

impl Liveness {
    /// `inherited`: who was alive before the restart.
    pub(super) fn new(inherited: BTreeSet<AgentId>, now: Instant) -> Self {
        Self {
            since: BTreeMap::new(),
            dead_since: BTreeMap::new(),
            inherited,
            inherited_until: now + INHERITANCE,
        }
    }

    /// Whether an agent is shown alive although membership has not found it yet.
    pub(super) fn is_inherited(&self, agent: &AgentId) -> bool {
        self.inherited.contains(agent)
    }

    /// Who was shown alive, for the next start.
    pub(super) fn inherit(&self, alive: &BTreeSet<AgentId>) -> BTreeSet<AgentId> {
        alive.union(&self.inherited).cloned().collect()
    }

    /// Ends the inheritance if its time is over; returns whether that changed anything.
    pub(super) fn end_inheritance(&mut self, now: Instant) -> bool {
        let is_over = self.inherited_until <= now && !self.inherited.is_empty();
        if is_over {
            self.inherited.clear();
        }
        is_over
    }

    /// Notes that an agent came or went; returns how long it was in its earlier state,
    /// milliseconds.
    pub(super) fn changed(&mut self, agent: &AgentId, now: Instant) -> Option<u64> {
        self.since
            .insert(agent.clone(), now)
            .map(|since| age_ms(since, now))
    }

    /// Which of `owners` have been dead for so long that they are forgotten now.
    pub(super) fn take_forgotten(
        &mut self,
        owners: &BTreeSet<AgentId>,
        is_alive: impl Fn(&AgentId) -> bool,
        now: Instant,
    ) -> Vec<AgentId> {
        self.dead_since
            .retain(|agent, _| owners.contains(agent) && !is_alive(agent));
        for agent in owners.iter().filter(|agent| !is_alive(agent)) {
            self.dead_since.entry(agent.clone()).or_insert(now);
        }

        let long_dead = |since: &Instant| now.saturating_duration_since(*since) >= FORGET_AFTER;
        let forgotten: Vec<AgentId> = self
            .dead_since
            .iter()
            .filter(|(_, since)| long_dead(since))
            .map(|(agent, _)| agent.clone())
            .collect();

        for agent in &forgotten {
            self.dead_since.remove(agent);
            self.since.remove(agent);
        }

        forgotten
    }
}

/// Milliseconds.
pub(super) fn age_ms(since: Instant, now: Instant) -> u64 {
    millis(now.saturating_duration_since(since))
}
