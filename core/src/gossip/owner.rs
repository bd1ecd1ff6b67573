//! What a board holds of one agent.

use super::{
    digest::{Lack, OwnerDigest},
    tree::{leaf_of, owner_hash},
    view::{SeenStatus, StatusEntries},
};
use regionmesh_protocol::{
    identity::AgentId,
    status::{
        StatusEntry, StatusKind,
        entry::{Entry, EntryVersion},
    },
};
use std::{collections::BTreeMap, sync::Arc, time::Instant};

/// A held entry, decoded.
#[derive(Debug, Clone)]
pub struct SeenEntry {
    /// The signed entry.
    pub entry: Arc<Entry>,
    pub status_entry: Arc<StatusEntry>,
    /// When it reached us.
    pub seen_at: Instant,
}

#[derive(Debug, Clone)]
pub(super) struct Owner {
    pub(super) entries: BTreeMap<StatusKind, SeenEntry>,
    /// The same, as the rest of the agent reads it.
    pub(super) shown: StatusEntries,
    pub(super) chain: Vec<Vec<u8>>,
    /// Version of the certificate's entry.
    pub(super) certified: EntryVersion,
    pub(super) chain_checked_at: Instant,
    pub(super) last_seen_at: Instant,
    /// Where it is in the hash tree.
    pub(super) leaf: u8,
    /// Of `entries`, see [`Self::hold`].
    pub(super) digest: OwnerDigest,
    pub(super) hash: u64,
}

impl Owner {
    pub(super) fn new(name: &AgentId, now: Instant) -> Self {
        Self {
            entries: BTreeMap::new(),
            shown: StatusEntries::default(),
            chain: Vec::new(),
            certified: EntryVersion::default(),
            chain_checked_at: now,
            last_seen_at: now,
            leaf: leaf_of(name),
            digest: OwnerDigest::default(),
            hash: 0,
        }
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.shown.clear();
    }

    /// Replaces the entry of this kind.
    pub(super) fn hold(&mut self, seen: SeenEntry) {
        let Entry {
            owner,
            kind,
            version,
            ..
        } = &*seen.entry;
        let shown = SeenStatus {
            status_entry: seen.status_entry.clone(),
            version: *version,
            seen_at: seen.seen_at,
        };
        let owner = owner.clone();
        let kind = *kind;

        self.shown.insert(kind, shown);
        self.entries.insert(kind, seen);
        self.summarize(&owner);
    }

    pub(super) fn bytes(&self) -> usize {
        self.entries.values().map(|held| held.entry.size()).sum()
    }

    pub(super) fn newest(&self) -> EntryVersion {
        self.entries
            .values()
            .map(|held| held.entry.version)
            .max()
            .unwrap_or_default()
    }

    fn summarize(&mut self, name: &AgentId) {
        self.digest = self.current_digest();
        self.hash = owner_hash(name, &self.digest);
    }

    fn current_digest(&self) -> OwnerDigest {
        // FNV-1a: a cheap fingerprint; a collision only delays the repair until the owner's next
        // change.
        const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0000_0100_0000_01b3;

        let words = self.entries.iter().flat_map(|(kind, held)| {
            let version = held.entry.version;
            [*kind as u64, version.started_ms, version.counter]
        });
        let contents = words.flat_map(u64::to_le_bytes).fold(OFFSET, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(PRIME)
        });

        OwnerDigest {
            newest: self.newest(),
            contents: Some(contents),
        }
    }

    pub(super) fn lacked(&self, lack: Lack) -> Vec<&Entry> {
        let is_lacked = |entry: &Entry| match lack {
            Lack::Nothing => false,
            Lack::NewerThan(version) => entry.version > version,
            Lack::Something => true,
        };
        let mut entries: Vec<&Entry> = self
            .entries
            .values()
            .map(|held| &*held.entry)
            .filter(|entry| is_lacked(entry))
            .collect();

        entries.sort_by_key(|entry| entry.version);
        entries
    }
}
