//! The board itself: what is held, and what peers lack of it.

mod publish;
mod receive;

pub use receive::Judge;

use super::{
    delta::{Delta, EntryName},
    digest::{Digest, Lack, OwnerDigest},
    limits::BoardLimits,
    owner::{Owner, SeenEntry},
    tree::{Leaves, Tree},
    view::StatusEntries,
};
use regionmesh_protocol::{
    identity::{AgentId, MeshName},
    status::{
        StatusEntry, StatusKind,
        entry::{Entry, EntryVersion},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

#[derive(Debug, Clone, Copy)]
struct Tombstone {
    /// Where its owner is in the hash tree.
    leaf: u8,
    newest: EntryVersion,
    forgotten_at: Instant,
}

/// The board of one agent.
#[derive(Debug, Clone)]
pub struct Board {
    mesh: MeshName,
    own: AgentId,
    limits: BoardLimits,
    /// Own versions are always above this.
    floor: EntryVersion,
    owners: BTreeMap<AgentId, Owner>,
    tombstones: BTreeMap<AgentId, Tombstone>,
    bytes: usize,
}

impl Board {
    /// An empty board of agent `own`, whose process started at `started_ms` (Unix milliseconds).
    pub fn new(mesh: MeshName, own: AgentId, started_ms: u64, limits: BoardLimits) -> Self {
        let floor = EntryVersion {
            started_ms,
            counter: 0,
        };

        Self {
            mesh,
            own,
            limits,
            floor,
            owners: BTreeMap::new(),
            tombstones: BTreeMap::new(),
            bytes: 0,
        }
    }

    /// All owners with entries.
    pub fn owners(&self) -> impl Iterator<Item = &AgentId> {
        self.owners.keys()
    }

    /// An owner's entries; empty if nothing is known of it.
    pub fn entries(&self, owner: &AgentId) -> impl Iterator<Item = &SeenEntry> {
        self.owners
            .get(owner)
            .into_iter()
            .flat_map(|held| held.entries.values())
    }

    /// An owner's entries, as the rest of the agent reads them.
    pub(super) fn shown(&self, owner: &AgentId) -> StatusEntries {
        let owner = self.owners.get(owner);
        owner.map(|owner| owner.shown.clone()).unwrap_or_default()
    }

    /// When the last entry of an agent of another region arrived.
    pub(super) fn heard_abroad(&self) -> Option<Instant> {
        let abroad = self
            .owners
            .iter()
            .filter(|(owner, _)| owner.region != self.own.region);
        abroad.map(|(_, owner)| owner.last_seen_at).max()
    }

    /// One entry.
    pub fn get(&self, owner: &AgentId, kind: StatusKind) -> Option<&SeenEntry> {
        self.owners.get(owner)?.entries.get(&kind)
    }

    /// How many owners have entries.
    pub fn agent_count(&self) -> usize {
        self.owners.len()
    }

    /// How many entries are held.
    pub fn entry_count(&self) -> usize {
        self.owners.values().map(|owner| owner.entries.len()).sum()
    }

    /// How many bytes the entries take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What we hold, in brief.
    pub fn digest(&self) -> Digest {
        self.digest_of(Leaves::ALL)
    }

    /// What we hold in these leaves.
    pub(super) fn digest_of(&self, leaves: Leaves) -> Digest {
        let tombstones = self
            .tombstones
            .iter()
            .filter(|(_, stone)| leaves.contains(stone.leaf));
        let forgotten = tombstones.map(|(owner, stone)| {
            let digest = OwnerDigest {
                newest: stone.newest,
                contents: None,
            };

            (owner.clone(), digest)
        });
        let held = self
            .owners_in(leaves)
            .map(|(owner, held)| (owner.clone(), held.digest));

        Digest {
            owners: forgotten.chain(held).collect(),
        }
    }

    /// The hashes of what we hold. Forgotten owners are not part of it: not every agent knew them.
    pub(super) fn tree(&self) -> Tree {
        Tree::new(self.owners.values().map(|held| (held.leaf, held.hash)))
    }

    fn owners_in(&self, leaves: Leaves) -> impl Iterator<Item = (&AgentId, &Owner)> {
        self.owners
            .iter()
            .filter(move |(_, held)| leaves.contains(held.leaf))
    }

    /// What a board with `theirs` lacks, about `max_bytes` of it. Whole owners as long as they fit,
    /// so that a peer sees a rotated certificate together with the entries that it signs; if the
    /// first owner does not fit, its oldest entries.
    pub fn delta_for(&self, theirs: &Digest, max_bytes: usize) -> Delta {
        self.delta_of(Leaves::ALL, theirs, max_bytes)
    }

    /// What a board that holds `theirs` in these leaves lacks there.
    pub(super) fn delta_of(&self, leaves: Leaves, theirs: &Digest, max_bytes: usize) -> Delta {
        let mut delta = Delta::default();
        let mut bytes = 0;
        let own = self
            .owners
            .get_key_value(&self.own)
            .filter(|(_, held)| leaves.contains(held.leaf));

        for (name, owner) in own.into_iter().chain(
            self.owners_in(leaves)
                .filter(|(name, _)| **name != self.own),
        ) {
            let entries = owner.lacked(OwnerDigest::lack(&owner.digest, theirs.owners.get(name)));
            let size: usize = entries.iter().map(|entry| entry.size()).sum();
            let fits = bytes + size <= max_bytes
                && delta.entries.len() + entries.len() <= self.limits.delta_entries;

            if fits {
                bytes += size;
                delta.entries.extend(entries.into_iter().cloned());
                continue;
            }

            delta.has_more = true;
            if delta.is_empty() {
                for (index, entry) in entries.into_iter().enumerate() {
                    bytes += entry.size();
                    // At least one entry, or a limit that is too small would stop all progress.
                    if index > 0 && bytes > max_bytes {
                        break;
                    }
                    delta.entries.push(entry.clone());
                }
            }

            break;
        }

        delta
    }

    /// These entries, as far as they are held and fit; an owner's in the order of their versions.
    pub(super) fn delta_with(&self, names: &BTreeSet<EntryName>, max_bytes: usize) -> Delta {
        let mut held: Vec<&Entry> = names
            .iter()
            .filter_map(|(owner, kind)| self.get(owner, *kind))
            .map(|held| &*held.entry)
            .collect();
        held.sort_by_key(|entry| (&entry.owner, entry.version));

        let mut bytes = 0;
        let fits = |entry: &&Entry| {
            bytes += entry.size();
            bytes <= max_bytes
        };
        let entries = held.into_iter().take(self.limits.delta_entries);

        Delta {
            entries: entries.take_while(fits).cloned().collect(),
            has_more: false,
        }
    }

    /// Our own entries that are newer than `version`.
    pub(super) fn own_since(&self, version: EntryVersion) -> Vec<EntryName> {
        self.entries(&self.own)
            .filter(|held| held.entry.version > version)
            .map(|held| (self.own.clone(), held.entry.kind))
            .collect()
    }

    /// The highest version that we signed.
    pub(super) fn own_version(&self) -> EntryVersion {
        self.owners
            .get(&self.own)
            .map(Owner::newest)
            .unwrap_or_default()
    }

    /// Whether a board that holds `theirs` in these leaves lacks anything that we hold there.
    pub(super) fn has_news_in(&self, leaves: Leaves, theirs: &Digest) -> bool {
        self.owners_in(leaves).any(|(name, owner)| {
            OwnerDigest::lack(&owner.digest, theirs.owners.get(name)) != Lack::Nothing
        })
    }

    /// Drops all entries of `owner` and remembers their version for a while, so that a relay that
    /// still holds them does not bring them back. The owner itself returns with its next newer
    /// entry.
    pub fn forget(&mut self, owner: &AgentId, now: Instant) {
        let Some(held) = self.owners.remove(owner) else {
            return;
        };
        self.bytes -= held.bytes();
        self.tombstones.insert(
            owner.clone(),
            Tombstone {
                leaf: held.leaf,
                newest: held.newest(),
                forgotten_at: now,
            },
        );

        while self.tombstones.len() > self.limits.tombstones {
            let oldest = self
                .tombstones
                .iter()
                .min_by_key(|(_, stone)| stone.forgotten_at);
            let Some(oldest) = oldest.map(|(owner, _)| owner.clone()) else {
                break;
            };

            self.tombstones.remove(&oldest);
        }
    }

    fn hold(&mut self, entry: Entry, status_entry: StatusEntry, now: Instant) {
        self.tombstones.remove(&entry.owner);
        let owner = self
            .owners
            .entry(entry.owner.clone())
            .or_insert_with(|| Owner::new(&entry.owner, now));

        self.bytes -= owner.bytes();
        if let StatusEntry::Certificate(chain) = &status_entry {
            // Entries under the old key can no longer be proven to a peer: the owner signs them
            // again, or they are from an earlier run and void.
            owner.clear();
            owner.chain.clone_from(chain);
            owner.certified = entry.version;
            owner.chain_checked_at = now;
        }

        owner.last_seen_at = now;
        owner.hold(SeenEntry {
            entry: Arc::new(entry),
            status_entry: Arc::new(status_entry),
            seen_at: now,
        });
        self.bytes += owner.bytes();
    }
}
