//! A hash tree over the owners of a board: finds where two boards differ without naming the owners
//! of which both hold the same.
//!
//! An owner's leaf is the first byte of the BLAKE3 hash of its name: 16 branches of 16 leaves. The
//! root is left out: the hashes of all branches fit in one packet and save a round trip.

use super::digest::OwnerDigest;
use regionmesh_protocol::identity::AgentId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Branches of the tree, and leaves of a branch.
const WIDTH: usize = 16;
const LEAVES: usize = WIDTH * WIDTH;

/// The hashes of all branches, or of the leaves of one.
pub type Hashes = [u64; WIDTH];

/// A set of leaves: one bit each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaves([u64; LEAVES / 64]);

impl Leaves {
    pub(super) const ALL: Self = Self([u64::MAX; LEAVES / 64]);

    pub(super) fn contains(self, leaf: u8) -> bool {
        self.0[usize::from(leaf) / 64] & (1 << (leaf % 64)) != 0
    }

    pub(super) fn is_empty(self) -> bool {
        self == Self::default()
    }

    fn insert(&mut self, leaf: usize) {
        if let Some(word) = self.0.get_mut(leaf / 64) {
            *word |= 1 << (leaf % 64);
        }
    }
}

/// Which leaf an owner belongs to.
pub(super) fn leaf_of(owner: &AgentId) -> u8 {
    blake3::hash(owner.to_string().as_bytes()).as_bytes()[0]
}

/// The hash of what is held of one owner. Those of a leaf are combined by exclusive or.
pub(super) fn owner_hash(owner: &AgentId, digest: &OwnerDigest) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(owner.to_string().as_bytes());
    for word in [
        digest.newest.started_ms,
        digest.newest.counter,
        digest.contents.unwrap_or_default(),
    ] {
        hasher.update(&word.to_le_bytes());
    }

    first_word(&hasher.finalize())
}

fn first_word(hash: &blake3::Hash) -> u64 {
    let bytes = hash.as_bytes();
    u64::from_le_bytes(std::array::from_fn(|index| bytes[index]))
}

/// The hashes of all leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tree([Hashes; WIDTH]);

impl Tree {
    /// `owners`: the leaf and the hash of each.
    pub(super) fn new(owners: impl Iterator<Item = (u8, u64)>) -> Self {
        let mut leaves = [[0; WIDTH]; WIDTH];
        for (leaf, hash) in owners {
            leaves[usize::from(leaf) / WIDTH][usize::from(leaf) % WIDTH] ^= hash;
        }
        Self(leaves)
    }

    pub(super) fn branches(&self) -> Hashes {
        self.0.map(|leaves| {
            let mut hasher = blake3::Hasher::new();
            for leaf in leaves {
                hasher.update(&leaf.to_le_bytes());
            }
            first_word(&hasher.finalize())
        })
    }

    /// The leaves of every branch that differs from `theirs`.
    pub(super) fn differing_branches(&self, theirs: &Hashes) -> BTreeMap<u8, Hashes> {
        let ours = self.branches();
        (0..)
            .zip(self.0.iter().zip(ours.iter().zip(theirs)))
            .filter(|(_, (_, (ours, theirs)))| ours != theirs)
            .map(|(branch, (leaves, _))| (branch, *leaves))
            .collect()
    }

    /// Which leaves differ from `theirs`, the leaves of some branches.
    pub(super) fn differing_leaves(&self, theirs: &BTreeMap<u8, Hashes>) -> Leaves {
        let mut differing = Leaves::default();
        for (branch, theirs) in theirs {
            let branch = usize::from(*branch);
            let Some(ours) = self.0.get(branch) else {
                continue;
            };

            for (index, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                if ours != theirs {
                    differing.insert(branch * WIDTH + index);
                }
            }
        }

        differing
    }
}
