//! The board as the rest of the agent reads it.

use regionmesh_protocol::{
    identity::AgentId,
    status::{Holdings, StatusEntry, StatusKind, entry::EntryVersion},
};
use std::{
    collections::BTreeMap,
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Instant,
};

/// One entry's content, and when it arrived.
#[derive(Debug, Clone)]
pub struct SeenStatus {
    pub status_entry: Arc<StatusEntry>,
    /// Its version at its owner.
    pub version: EntryVersion,
    /// When it reached us, our clock.
    pub seen_at: Instant,
}

/// The entries of one agent. Views of the board share them as long as the agent publishes nothing.
#[derive(Debug, Clone, Default)]
pub struct StatusEntries(Arc<BTreeMap<StatusKind, SeenStatus>>);

impl Deref for StatusEntries {
    type Target = BTreeMap<StatusKind, SeenStatus>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for StatusEntries {
    fn deref_mut(&mut self) -> &mut Self::Target {
        Arc::make_mut(&mut self.0)
    }
}

impl FromIterator<(StatusKind, SeenStatus)> for StatusEntries {
    fn from_iter<T: IntoIterator<Item = (StatusKind, SeenStatus)>>(entries: T) -> Self {
        Self(Arc::new(entries.into_iter().collect()))
    }
}

impl<const N: usize> From<[(StatusKind, SeenStatus); N]> for StatusEntries {
    fn from(entries: [(StatusKind, SeenStatus); N]) -> Self {
        entries.into_iter().collect()
    }
}

/// What is known of one agent.
#[derive(Debug, Clone, Default)]
pub struct AgentView {
    /// Whether the agent is alive by SWIM.
    pub is_alive: bool,
    pub status_entries: StatusEntries,
}

impl AgentView {
    /// What the agent's region holds, as it publishes.
    pub fn holdings(&self) -> Option<&Holdings> {
        match &*self.status_entries.get(&StatusKind::Holdings)?.status_entry {
            StatusEntry::Holdings(holdings) => Some(holdings),
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
