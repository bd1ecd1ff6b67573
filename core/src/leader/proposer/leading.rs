//! A ballot that a majority promised: what is decided, and what is under way.

use regionmesh_protocol::{
    identity::RegionName,
    plan::Plan,
    register::{
        ballot::{Ballot, Stamp},
        members::{Incarnation, Members},
    },
};
use std::collections::{BTreeMap, BTreeSet};

/// A value on its way to a majority.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) stamp: Stamp,
    pub(super) value: Plan,
    pub(super) members: Members,
    pub(super) accepted: BTreeSet<Incarnation>,
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
    /// False while the value found is being committed again.
    pub(super) is_elected: bool,
    pub(super) since_ms: u64,
    /// The members while this proposer has decided nothing.
    pub(super) first_members: Members,
    /// The last value known to be decided; its members decide about the next.
    pub(super) decided: Option<(Stamp, Plan)>,
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

    pub(super) fn last_seq(&self) -> u64 {
        self.decided.as_ref().map_or(0, |(stamp, _)| stamp.seq)
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
