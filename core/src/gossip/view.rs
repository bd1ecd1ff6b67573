//! The board as the rest of the agent reads it.

use regionmesh_protocol::{
    identity::AgentId,
    status::{Fact, FactKind, Holdings, entry::EntryVersion},
};
use std::{collections::BTreeMap, sync::Arc, time::Instant};

/// One entry's content, and when it arrived.
#[derive(Debug, Clone)]
pub struct SeenFact {
    pub fact: Arc<Fact>,
    /// Its version at its owner.
    pub version: EntryVersion,
    /// When it reached us, our clock.
    pub seen_at: Instant,
}

/// What is known of one agent.
#[derive(Debug, Clone, Default)]
pub struct AgentView {
    /// Whether the agent is alive by SWIM.
    pub is_alive: bool,
    pub facts: BTreeMap<FactKind, SeenFact>,
}

impl AgentView {
    /// What the agent's region holds, as it publishes.
    pub fn holdings(&self) -> Option<&Holdings> {
        match &*self.facts.get(&FactKind::Holdings)?.fact {
            Fact::Holdings(holdings) => Some(holdings),
            _ => None,
        }
    }
}

/// The board as this agent knows it, its own entries included.
#[derive(Debug, Clone, Default)]
pub struct BoardView {
    /// All known agents that are not forgotten yet.
    pub agents: BTreeMap<AgentId, AgentView>,
}
