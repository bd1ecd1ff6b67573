//! The register's acceptors, and how they may change.
//!
//! The members are part of the register's value: each value names those that decide about the next.
//! They change one at a time, because then every majority of the old and every majority of the new
//! members share an acceptor, also between an even and an odd number (Rystsov 2018, "CASPaxos",
//! §2.3; Ongaro 2014, §4.1). [`Members::check_change`] is that rule; a property test checks it
//! against every pair of majorities.
//!
//! That alone is not enough: two leaders that each begin a change from the same value can miss each
//! other (Ongaro 2015, "bug in single-server membership changes"). To close the gap, a new leader
//! commits the value that it found again under its own ballot before it changes anything (Rystsov's
//! re-scan; `regionmesh_core::leader::proposer` does not lead before that), which leaves at most
//! one open change to its successor.
//!
//! # An acceptor that lost its state
//!
//! A name is not an acceptor. Each acceptor's state carries an [`Incarnation`], drawn when it began
//! empty, and a value names the incarnation whose votes count. A store that was emptied, or lost
//! its last slots, starts with another incarnation: it answers, but has no vote until a leader has
//! suspended the old one and let the new one join. Never both in one step: `{a, b, c1}` and `{a, b,
//! c2}` have the majorities `{b, c1}` and `{a, c2}`, which share no acceptor. While suspended it
//! counts as a member that never answers.

use crate::{
    identity::{IdentityError, MeshName, RegionName},
    register::ballot::WITNESS,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// One run of an acceptor's state: drawn when the state begins empty, and lost with it.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Incarnation(pub u64);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The register's acceptors: regions, and `witness` if there is one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    /// Which register, see [`register_id`]: it distinguishes what an acceptor kept from another
    /// one.
    pub register: u64,
    /// Each member, and the incarnation whose votes count; none: no vote until it has joined
    /// (again).
    pub acceptors: BTreeMap<RegionName, Option<Incarnation>>,
}

/// A change of one member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemberChange {
    /// Count this incarnation's votes from now on, for a new member or one without a vote.
    Join(RegionName, Incarnation),
    /// Count no votes of this member until it joins again.
    Suspend(RegionName),
    /// Remove this member.
    Remove(RegionName),
    /// Rename a member; the acceptor stays the same.
    Rename(RegionName, RegionName),
}

/// Why a membership change is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum MembersError {
    /// There is no such member.
    #[error("{0} is not a member of the register")]
    NotAMember(RegionName),
    /// The name is taken.
    #[error("{0} is a member of the register already")]
    IsAMember(RegionName),
    /// At least one region must be left.
    #[error("{0} is the last region of the register; a mesh needs at least one")]
    Last(RegionName),
    /// The witness is not a region.
    #[error(
        "`{WITNESS}` is reserved for the acceptor that breaks ties; no region can be renamed from \
         or to it"
    )]
    Witness,
    /// More than one member would change: majorities before and after might share no acceptor.
    #[error("{changed} members of the register would change at once; one at a time")]
    Jump {
        /// How many.
        changed: usize,
    },
    /// It belongs to another register.
    #[error("the value belongs to another register")]
    OtherRegister,
}

impl Members {
    /// The members of a new register: every name asked, with the incarnation of those that
    /// answered.
    pub fn first(
        register: u64,
        names: impl IntoIterator<Item = RegionName>,
        answered: &BTreeMap<RegionName, Incarnation>,
    ) -> Self {
        let acceptors = names
            .into_iter()
            .map(|name| (name.clone(), answered.get(&name).copied()))
            .collect();

        Self {
            register,
            acceptors,
        }
    }

    /// Whether there are no members, as in a plan that was never in a register.
    pub fn is_empty(&self) -> bool {
        self.acceptors.is_empty()
    }

    /// How many members there are, including those without a vote.
    pub fn len(&self) -> usize {
        self.acceptors.len()
    }

    /// Every member's name.
    pub fn names(&self) -> BTreeSet<RegionName> {
        self.acceptors.keys().cloned().collect()
    }

    /// The members that are regions.
    pub fn regions(&self) -> impl Iterator<Item = &RegionName> {
        self.acceptors
            .keys()
            .filter(|name| name.as_str() != WITNESS)
    }

    /// Whether this name is a member.
    pub fn has(&self, name: &RegionName) -> bool {
        self.acceptors.contains_key(name)
    }

    /// Whether traffic may go to this region: it is a member, or there is no register yet.
    pub fn may_serve(&self, region: &RegionName) -> bool {
        self.is_empty() || self.has(region)
    }

    /// Whether this incarnation's votes count.
    pub fn counts(&self, incarnation: Incarnation) -> bool {
        self.acceptors
            .values()
            .any(|counted| *counted == Some(incarnation))
    }

    /// Whether these incarnations are more than half of the members. No members, no majority.
    pub fn has_majority(&self, votes: &BTreeSet<Incarnation>) -> bool {
        let counted = self
            .acceptors
            .values()
            .flatten()
            .filter(|incarnation| votes.contains(incarnation))
            .count();

        counted > self.len() / 2
    }

    /// Whether the witness is a member.
    pub(crate) fn has_witness(&self) -> bool {
        self.acceptors.keys().any(|name| name.as_str() == WITNESS)
    }

    /// Why automation must not move traffic; none if it may. With an even number of regions,
    /// especially two, the halves of a partition look alike from inside: neither can distinguish a
    /// dead region from a dead link, and no vote can break the tie. A single region has nowhere to
    /// fail over to, and nothing to split.
    pub fn why_not_automatic(&self) -> Option<String> {
        let regions = self.regions().count();
        if self.is_empty() || self.has_witness() || !regions.is_multiple_of(2) {
            return None;
        }

        Some(format!(
            "automatic failover is refused: {regions} regions and no witness, so that neither half \
             of them can distinguish a dead region from a dead link; configure [witness] in every \
             agent, then `failover members add {WITNESS}`"
        ))
    }

    /// The members after `change`.
    pub fn after(&self, change: &MemberChange) -> Result<Self, MembersError> {
        let mut next = self.clone();
        let known = |name: &RegionName| match self.acceptors.get(name) {
            Some(incarnation) => Ok(*incarnation),
            None => Err(MembersError::NotAMember(name.clone())),
        };

        match change {
            MemberChange::Join(name, incarnation) => {
                if self.acceptors.get(name).is_some_and(Option::is_some) {
                    return Err(MembersError::IsAMember(name.clone()));
                }
                next.acceptors.insert(name.clone(), Some(*incarnation));
            }
            MemberChange::Suspend(name) => {
                known(name)?;
                next.acceptors.insert(name.clone(), None);
            }
            MemberChange::Remove(name) => {
                known(name)?;
                next.acceptors.remove(name);
                if next.regions().next().is_none() {
                    return Err(MembersError::Last(name.clone()));
                }
            }
            MemberChange::Rename(old, new) => {
                let incarnation = known(old)?;
                if self.has(new) {
                    return Err(MembersError::IsAMember(new.clone()));
                }
                if [old, new].iter().any(|name| name.as_str() == WITNESS) {
                    return Err(MembersError::Witness);
                }
                next.acceptors.remove(old);
                next.acceptors.insert(new.clone(), incarnation);
            }
        }

        self.check_change(&next)?;
        Ok(next)
    }

    /// The rule that majorities overlap: at most one acceptor is added, removed, or loses or gets
    /// its vote. A renamed one is the same acceptor; replacing one incarnation by another is two
    /// changes.
    pub fn check_change(&self, next: &Self) -> Result<(), MembersError> {
        self.check_successor(next)?;

        let before = self.votes();
        let after = next.votes();
        let voteless = |members: &Self| members.len() - members.votes().len();
        let moved = before.symmetric_difference(&after).count();

        // Without a change of votes, members without a vote may be added or removed, also one at a
        // time.
        let changed = if moved == 0 {
            voteless(self).abs_diff(voteless(next))
        } else {
            moved
        };
        let grown = self.len().abs_diff(next.len());

        if changed > 1 || grown > 1 {
            let changed = changed.max(grown);
            return Err(MembersError::Jump { changed });
        }

        Ok(())
    }

    /// The rule for members after any number of changes: they are those of the same register, and
    /// none has two names, which would count its vote twice.
    pub fn check_successor(&self, next: &Self) -> Result<(), MembersError> {
        if self.register != next.register {
            return Err(MembersError::OtherRegister);
        }

        let doubled = next.acceptors.values().flatten().count() - next.votes().len();
        if doubled > 0 || next.is_empty() {
            let changed = doubled + 1;
            return Err(MembersError::Jump { changed });
        }

        Ok(())
    }

    fn votes(&self) -> BTreeSet<Incarnation> {
        self.acceptors.values().flatten().copied().collect()
    }

    /// What the leader has to repair, one change at a time: suspend a member whose acceptor lost
    /// its state, or let one without a vote join. `heard`: the incarnation that each acceptor last
    /// answered with.
    pub fn mend(&self, heard: &BTreeMap<RegionName, Incarnation>) -> Option<Mend> {
        let described = |(name, counted): (&RegionName, &Option<Incarnation>)| {
            Some((name.clone(), *counted, *heard.get(name)?))
        };
        let mut known: Vec<_> = self.acceptors.iter().filter_map(described).collect();

        // Suspensions first: they cost nothing, and a join needs every voter.
        known.sort_by_key(|(_, counted, _)| counted.is_none());
        known
            .into_iter()
            .find_map(|(name, counted, heard)| match counted {
                Some(counted) if counted != heard => Some(Mend::Suspend(name)),
                Some(_) => None,
                None => Some(Mend::Join(name)),
            })
    }
}

/// What a leader does about a member that lost its vote or has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mend {
    /// Its acceptor lost its state: don't count its votes.
    Suspend(RegionName),
    /// It answers and has no vote: let it join.
    Join(RegionName),
}

/// The id of the register that `names` begin, derived from the mesh and its first acceptors. So all
/// agents that may begin it agree on it, and a region that once ran alone, or in another mesh, has
/// another.
pub fn register_id(mesh: &MeshName, names: &BTreeSet<RegionName>) -> u64 {
    let mut hasher = blake3::Hasher::new_derive_key("regionmesh register");
    for name in std::iter::once(mesh.as_str()).chain(names.iter().map(RegionName::as_str)) {
        hasher.update(name.as_bytes());
        // No name contains it.
        hasher.update(b"/");
    }

    let mut first = [0; 8];
    hasher.finalize_xof().fill(&mut first);
    u64::from_le_bytes(first)
}

/// The acceptors in a configuration: every region, and the witness if there is one.
pub fn configured(
    regions: impl IntoIterator<Item = RegionName>,
    has_witness: bool,
) -> Result<BTreeSet<RegionName>, IdentityError> {
    let witness = if has_witness {
        Some(RegionName::new(WITNESS)?)
    } else {
        None
    };

    Ok(regions.into_iter().chain(witness).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
