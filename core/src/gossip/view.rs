//! The board as the parts of an agent read it.

use regionmesh_protocol::{
    identity::AgentId,
    status::{Fact, FactKind, Holdings, entry::EntryVersion},
};
use std::{collections::BTreeMap, sync::Arc, time::Instant};

/// One fact on the board and how old it is.
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
    /// Whether SWIM holds the agent for alive.
    pub is_alive: bool,
    pub facts: BTreeMap<FactKind, SeenFact>,
}

impl AgentView {
    /// What the agent says that its region holds.
    pub fn holdings(&self) -> Option<&Holdings> {
        match &*self.facts.get(&FactKind::Holdings)?.fact {
            Fact::Holdings(holdings) => Some(holdings),
            _ => None,
        }
    }
}

/// The board as this agent knows it; its own entries included.
#[derive(Debug, Clone, Default)]
pub struct BoardView {
    /// All agents ever heard of and not yet forgotten.
    pub agents: BTreeMap<AgentId, AgentView>,
}
