//! What a board holds, in brief.

use regionmesh_protocol::{identity::AgentId, status::entry::EntryVersion};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a board holds of one owner, in brief.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerDigest {
    /// The highest version held.
    pub newest: EntryVersion,
    /// Hash of all (kind, version) pairs held. Two boards with the same `newest` and different
    /// contents (a relay withheld an entry) find out by it. None for a forgotten owner: send
    /// nothing up to `newest`.
    pub contents: Option<u64>,
}

/// What a board holds, in brief: the first half of a reconciliation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// Per owner.
    pub owners: BTreeMap<AgentId, OwnerDigest>,
}

impl Digest {
    /// What a peer with this digest holds once it took all that a board with `told` had for it.
    pub fn learn(&mut self, told: &Digest) {
        for (owner, told) in &told.owners {
            let held = self.owners.entry(owner.clone()).or_insert(*told);
            if held.newest <= told.newest && told.contents.is_some() {
                *held = *told;
            }
        }
    }
}

/// What a peer with `theirs` lacks of an owner that we hold `ours` of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lack {
    Nothing,
    NewerThan(EntryVersion),
    Something,
}

impl OwnerDigest {
    pub(super) fn lack(ours: &OwnerDigest, theirs: Option<&OwnerDigest>) -> Lack {
        let Some(theirs) = theirs else {
            return Lack::Something;
        };
        if theirs.newest < ours.newest {
            Lack::NewerThan(theirs.newest)
        } else if theirs.newest == ours.newest
            && theirs.contents.is_some()
            && theirs.contents != ours.contents
        {
            Lack::Something
        } else {
            Lack::Nothing
        }
    }
}
