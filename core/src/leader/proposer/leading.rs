//! A ballot that a majority promised: what is decided, and what is under way.

use super::{preparing::Found, types::Effect};
use crate::leader::certificate::has_majority;
use regionmesh_protocol::{
    identity::RegionName,
    plan::{CommittedPlan, Plan},
    register::{
        ballot::{Ballot, Stamp},
        certificate::Acceptance,
        members::{Incarnation, Members},
    },
};
use std::collections::{BTreeMap, BTreeSet};

/// What the agent of an acceptor has against a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unjustified {
    pub(super) why: String,
    /// Whether no honest agent ever accepted it.
    pub(super) is_final: bool,
}

/// A value on its way to a majority.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) stamp: Stamp,
    pub(super) value: Plan,
    /// Those that decide about it, which may differ from those that it names.
    pub(super) members: Members,
    pub(super) accepted: BTreeSet<Incarnation>,
    /// The signatures of those that have one.
    acceptances: BTreeMap<RegionName, Acceptance>,
    /// Of those whose agents objected last.
    pub(super) objections: BTreeMap<RegionName, Unjustified>,
    pub(super) since_ms: u64,
    /// Whether it is the value decided last, after another was given up.
    pub(super) is_repeated: bool,
}

impl Pending {
    pub(super) fn new(stamp: Stamp, value: Plan, members: Members, now_ms: u64) -> Self {
        Self {
            stamp,
            value,
            members,
            accepted: BTreeSet::new(),
            acceptances: BTreeMap::new(),
            objections: BTreeMap::new(),
            since_ms: now_ms,
            is_repeated: false,
        }
    }

    /// Whether so many object that the others are no majority.
    pub(super) fn is_blocked(&self) -> bool {
        let is_short = |members: &Members| {
            let open = members
                .acceptors
                .iter()
                .filter(|(name, counted)| {
                    let has_accepted = counted.is_some_and(|vote| self.accepted.contains(&vote));
                    has_accepted || !self.objections.contains_key(*name)
                })
                .count();
            open <= members.len() / 2
        };
        is_short(&self.members) || is_short(&self.value.members)
    }

    /// Whether a majority says that no honest agent ever accepted it.
    pub(super) fn is_impossible(&self) -> bool {
        let names = self.members.acceptors.keys();
        let against = names.filter(|name| {
            let objection = self.objections.get(*name);
            objection.is_some_and(|objection| objection.is_final)
        });
        against.count() > self.members.len() / 2
    }

    pub(super) fn add(&mut self, incarnation: Incarnation, acceptance: Option<Acceptance>) {
        self.accepted.insert(incarnation);
        if let Some(acceptance) = acceptance {
            self.acceptances
                .insert(acceptance.region().clone(), acceptance);
        }
    }

    /// Whether majorities of the members that decide and of those that it names accepted it.
    pub(super) fn has_majorities(&self) -> bool {
        self.members.has_majority(&self.accepted) && self.value.members.has_majority(&self.accepted)
    }

    /// Whether the signatures prove that.
    pub(super) fn is_certified(&self) -> bool {
        let signed = self
            .acceptances
            .iter()
            .map(|(region, acceptance)| (region.clone(), acceptance.incarnation))
            .collect();
        has_majority(&self.members, &signed) && has_majority(&self.value.members, &signed)
    }

    pub(super) fn committed(&self) -> CommittedPlan {
        CommittedPlan {
            stamp: self.stamp.clone(),
            plan: self.value.clone(),
            certificate: self.acceptances.values().cloned().collect(),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Joining {
    pub(super) region: RegionName,
    pub(super) incarnation: Incarnation,
    pub(super) since_ms: u64,
    pub(super) asked_ms: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Leading {
    pub(super) ballot: Ballot,
    /// False while the value found, or its successor, is being committed.
    pub(super) is_elected: bool,
    pub(super) since_ms: u64,
    /// The members while this proposer has decided nothing.
    pub(super) first_members: Members,
    /// What acceptors had accepted when they promised this ballot.
    pub(super) found: Found,
    /// Which of it is being committed again.
    pub(super) repeated: Option<Stamp>,
    /// The value found, while its successor is being committed in its place.
    pub(super) succeeded: Option<Plan>,
    /// The number of the last value that was given up.
    pub(super) given_up_seq: u64,
    /// Values given up since the last one was decided.
    pub(super) given_up: u32,
    /// The last value known to be decided; its members decide about the next.
    pub(super) decided: Option<(Stamp, Plan)>,
    /// The same, while its signatures are too few: the witness voted.
    pub(super) uncertified: Option<Pending>,
    pub(super) pending: Option<Pending>,
    pub(super) queued: Option<Plan>,
    pub(super) joining: Option<Joining>,
    /// When each acceptor last answered, and its incarnation.
    pub(super) heard: BTreeMap<RegionName, (u64, Incarnation)>,
    /// The former incarnations of acceptors that joined, and when they joined: their late answers
    /// don't count.
    pub(super) gone: BTreeMap<Incarnation, u64>,
    /// When members without a vote were last asked for their state.
    pub(super) polled_ms: u64,
    pub(super) refreshed_ms: u64,
}

impl Leading {
    pub(super) fn members(&self) -> &Members {
        self.decided
            .as_ref()
            .map_or(&self.first_members, |(_, value)| &value.members)
    }

    /// Takes in the signature of an acceptor that answered after the majority.
    pub(super) fn accepted_late(
        &mut self,
        stamp: &Stamp,
        acceptance: Option<Acceptance>,
    ) -> Vec<Effect> {
        let late = self
            .uncertified
            .as_mut()
            .filter(|late| late.stamp == *stamp);
        let Some((late, acceptance)) = late.zip(acceptance) else {
            return Vec::new();
        };

        late.add(acceptance.incarnation, Some(acceptance));
        if !late.is_certified() {
            return Vec::new();
        }
        let committed = late.committed();
        self.uncertified = None;
        vec![Effect::Certified(committed)]
    }

    pub(super) fn last_seq(&self) -> u64 {
        let decided_seq = self.decided.as_ref().map_or(0, |(stamp, _)| stamp.seq);
        decided_seq.max(self.given_up_seq)
    }

    /// Whether the value with this stamp was never committed or certified, and never will be: so
    /// many acceptors promised this ballot without having accepted it that the others are no
    /// majority, neither of the members nor of their regions.
    pub(super) fn was_never_committed(&self, stamp: &Stamp, members: &Members) -> bool {
        let can_have_accepted = |counted: &Incarnation| {
            self.found.get(counted).is_none_or(|accepted| {
                accepted
                    .as_ref()
                    .is_some_and(|(accepted, _)| accepted == stamp)
            })
        };
        let of = |counted: &Option<Incarnation>| counted.as_ref().is_some_and(can_have_accepted);
        let votes = members.acceptors.values().filter(|counted| of(counted));
        let regions = members.regions();
        let signers = regions.filter(|name| members.acceptors.get(*name).is_some_and(of));

        votes.count() <= members.len() / 2 && signers.count() <= members.regions().count() / 2
    }

    /// When a majority last answered.
    pub(super) fn majority_heard_ms(&self) -> u64 {
        let members = self.members();
        let heard_ms = |(name, counted): (&RegionName, &Option<Incarnation>)| {
            let heard = self
                .heard
                .get(name)
                .filter(|(_, incarnation)| *counted == Some(*incarnation));

            // A member that was never heard counts from the beginning; one without a vote as never.
            counted.map_or(0, |_| heard.map_or(self.since_ms, |(at_ms, _)| *at_ms))
        };

        let mut heard: Vec<u64> = members.acceptors.iter().map(heard_ms).collect();
        heard.sort_unstable_by(|a, b| b.cmp(a));
        heard
            .get(members.len() / 2)
            .copied()
            .unwrap_or(self.since_ms)
    }
}
