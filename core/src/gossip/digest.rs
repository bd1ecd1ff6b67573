//! Digests: a summary of what a board holds.

use regionmesh_protocol::{identity::AgentId, status::entry::EntryVersion};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Summary of one owner's entries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerDigest {
    /// The highest version held.
    pub newest: EntryVersion,
    /// Hash of all (kind, version) pairs held. It reveals two boards with the same `newest` and
    /// different contents (a relay withheld an entry). None for a forgotten owner: send nothing up
    /// to `newest`.
    pub contents: Option<u64>,
}

/// Summary of a board, or of some leaves of its hash tree.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// Per owner.
    pub owners: BTreeMap<AgentId, OwnerDigest>,
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
