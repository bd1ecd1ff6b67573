//! The board itself: what is held, and what peers lack of it.

mod publish;
mod receive;

pub use receive::Judge;

use super::{
    delta::Delta,
    digest::{Digest, Lack, OwnerDigest},
    limits::BoardLimits,
    owner::{Owner, SeenEntry},
};
use regionmesh_protocol::{
    identity::{AgentId, MeshName},
    status::{
        StatusEntry, StatusKind,
        entry::{Entry, EntryVersion},
    },
};
use std::{collections::BTreeMap, sync::Arc, time::Instant};

#[derive(Debug, Clone, Copy)]
struct Tombstone {
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
        let forgotten = self.tombstones.iter().map(|(owner, stone)| {
            (
                owner.clone(),
                OwnerDigest {
                    newest: stone.newest,
                    contents: None,
                },
            )
        });

        let held = self
            .owners
            .iter()
            .map(|(owner, held)| (owner.clone(), held.digest()));

        Digest {
            owners: forgotten.chain(held).collect(),
        }
    }

    /// What a board with `theirs` lacks, about `max_bytes` of it. Whole owners as long as they fit,
    /// so that a peer sees a rotated certificate together with the entries that it signs; if the
    /// first owner does not fit, its oldest entries.
    pub fn delta_for(&self, theirs: &Digest, max_bytes: usize) -> Delta {
        let mut delta = Delta::default();
        let mut bytes = 0;
        let own = self.owners.get_key_value(&self.own);

        for (name, owner) in own
            .into_iter()
            .chain(self.owners.iter().filter(|(name, _)| **name != self.own))
        {
            let entries = owner.lacked(OwnerDigest::lack(&owner.digest(), theirs.owners.get(name)));
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

    /// Whether a board with `theirs` lacks anything that we hold.
    pub fn has_news_for(&self, theirs: &Digest) -> bool {
        self.owners.iter().any(|(name, owner)| {
            OwnerDigest::lack(&owner.digest(), theirs.owners.get(name)) != Lack::Nothing
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
            .or_insert_with(|| Owner::new(now));

        self.bytes -= owner.bytes();
        if let StatusEntry::Certificate(chain) = &status_entry {
            // Entries under the old key can no longer be proven to a peer: the owner signs them
            // again, or they are from an earlier run and void.
            owner.entries.clear();
            owner.chain.clone_from(chain);
            owner.certified = entry.version;
            owner.chain_checked_at = now;
        }

        owner.last_seen_at = now;
        let kind = entry.kind;
        owner.entries.insert(
            kind,
            SeenEntry {
                entry: Arc::new(entry),
                status_entry: Arc::new(status_entry),
                seen_at: now,
            },
        );

        self.bytes += owner.bytes();
    }
}
