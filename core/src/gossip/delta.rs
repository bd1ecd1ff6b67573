//! Entries on their way to a peer.

use regionmesh_protocol::{
    identity::AgentId,
    status::{StatusKind, entry::Entry},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Names one entry of the board.
pub(super) type EntryName = (AgentId, StatusKind);

/// Entries that a peer lacks; those of one owner in the order of their versions, so that a
/// certificate always precedes the entries that it vouches for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    pub entries: Vec<Entry>,
    /// Whether more is left than fitted: exchange again immediately.
    pub has_more: bool,
}

impl Delta {
    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds the entries of `other` that are not in it yet.
    pub(super) fn merge(&mut self, other: Self) {
        let known: BTreeSet<_> = self
            .entries
            .iter()
            .map(|entry| (&entry.owner, entry.kind))
            .collect();
        let is_new = |entry: &Entry| !known.contains(&(&entry.owner, entry.kind));
        let new: Vec<Entry> = other.entries.into_iter().filter(is_new).collect();

        // The certificates of `other` come before the entries that need them.
        self.entries.splice(0..0, new);
        self.has_more |= other.has_more;
    }
}
