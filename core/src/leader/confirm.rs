//! Whether an agent's claims about plans and leaders are true, judged by what the acceptors
//! themselves say.
//!
//! A status entry is one agent's claim: it is signed, but an agent can sign anything. So a plan
//! that an agent reports without a certificate ([`crate::leader::certificate`]) is looked up at the
//! acceptors before anything acts on it. It is committed if a majority of the members accepted
//! exactly that plan; it never was if a majority accepted nothing as late, since any two majorities
//! share an acceptor.
//!
//! Which members? A forged plan can name any, and an agent that was away knows only old ones. So
//! two majorities must agree: one of the members that the plan names, and one of those that the
//! last believed plan names or, failing that, of the acceptors in this agent's own configuration.

use regionmesh_protocol::{
    identity::RegionName,
    plan::{CommittedPlan, Plan},
    register::{
        acceptor::AcceptorState,
        ballot::{Ballot, Stamp},
        certificate::Certificate,
        members::Members,
    },
};
use std::collections::{BTreeMap, BTreeSet};

/// Which acceptors count, apart from those that a plan itself names.
#[derive(Debug, Clone, Copy)]
pub struct Voters<'a> {
    /// The members that the last believed plan names.
    pub known: Option<&'a Members>,
    /// The acceptors in this agent's configuration.
    pub configured: &'a BTreeSet<RegionName>,
    /// This agent's region: its acceptor does not count until it is a member.
    pub own: &'a RegionName,
}

/// The acceptors' states in one round of reads.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    states: BTreeMap<RegionName, AcceptorState>,
}

impl Reading {
    /// Adds what one acceptor says.
    pub fn add(&mut self, region: RegionName, state: AcceptorState) {
        self.states.insert(region, state);
    }

    /// Whether a majority accepted exactly this plan, so that it is committed.
    pub(crate) fn is_committed(&self, plan: &CommittedPlan, voters: &Voters<'_>) -> bool {
        let accepted = self.names(|state| {
            state
                .accepted
                .as_ref()
                .is_some_and(|(stamp, value)| *stamp == plan.stamp && *value == plan.plan)
        });
        let members = &plan.plan.members;
        let counts = |(name, counted): &(&RegionName, &Option<_>)| {
            let incarnation = self.states.get(*name).map(|state| state.incarnation);
            accepted.contains(*name) && counted.is_some() && **counted == incarnation
        };

        members.acceptors.iter().filter(counts).count() > members.len() / 2
            && self.agree(&accepted, members, voters)
    }

    /// Whether a majority accepted nothing as late as this plan, so that it was never committed. An
    /// acceptor that lost its state since may have accepted it.
    pub fn refutes(&self, plan: &CommittedPlan, voters: &Voters<'_>) -> bool {
        let earlier = self.states.iter().filter(|(name, state)| {
            let counted = plan.plan.members.acceptors.get(*name).copied().flatten();
            let is_known = voters
                .known
                .is_some_and(|known| known.counts(state.incarnation));
            let is_lost = counted.is_some_and(|counted| counted != state.incarnation) && !is_known;

            let accepted = state.accepted.as_ref();
            !is_lost && accepted.is_none_or(|(stamp, _)| *stamp < plan.stamp)
        });
        let earlier: BTreeSet<RegionName> = earlier.map(|(name, _)| name.clone()).collect();

        self.are_majority(&earlier, &self.configured(&plan.plan.members, voters))
            && voters
                .known
                .is_none_or(|known| self.are_majority(&earlier, &known.names()))
    }

    /// The latest plan that a majority accepted.
    pub fn committed(&self, voters: &Voters<'_>) -> Option<CommittedPlan> {
        let accepted = self
            .states
            .values()
            .filter_map(|state| state.accepted.clone());
        let plans = accepted.map(|(stamp, plan): (Stamp, Plan)| CommittedPlan {
            stamp,
            plan,
            certificate: Certificate::default(),
        });

        plans
            .filter(|plan| self.is_committed(plan, voters))
            .max_by(|a, b| a.stamp.cmp(&b.stamp))
    }

    /// Whether a majority promised this ballot, so that its owner may lead.
    pub fn is_promised(&self, ballot: &Ballot, voters: &Voters<'_>) -> bool {
        let promised = self.names(|state| state.promised.as_ref() == Some(ballot));
        self.are_majority(&promised, &self.members(voters))
    }

    /// Whether a majority promised only lower ballots, so that its owner can't have led.
    pub fn refutes_ballot(&self, ballot: &Ballot, voters: &Voters<'_>) -> bool {
        let lower = self.names(|state| {
            state
                .promised
                .as_ref()
                .is_none_or(|promised| promised < ballot)
        });

        self.are_majority(&lower, &self.members(voters))
    }

    fn names(&self, is_wanted: impl Fn(&AcceptorState) -> bool) -> BTreeSet<RegionName> {
        self.states
            .iter()
            .filter(|(_, state)| is_wanted(state))
            .map(|(name, _)| name.clone())
            .collect()
    }

    fn agree(&self, names: &BTreeSet<RegionName>, members: &Members, voters: &Voters<'_>) -> bool {
        voters
            .known
            .is_some_and(|known| self.are_majority(names, &known.names()))
            || self.are_majority(names, &self.configured(members, voters))
    }

    fn members(&self, voters: &Voters<'_>) -> BTreeSet<RegionName> {
        voters
            .known
            .map_or_else(|| voters.configured.clone(), Members::names)
    }

    /// The configuration's acceptors, without this agent's own unless it is a member.
    fn configured(&self, members: &Members, voters: &Voters<'_>) -> BTreeSet<RegionName> {
        let is_asked = |name: &&RegionName| {
            *name != voters.own || members.has(name) || voters.configured.len() == 1
        };
        voters.configured.iter().filter(is_asked).cloned().collect()
    }

    fn are_majority(&self, names: &BTreeSet<RegionName>, of: &BTreeSet<RegionName>) -> bool {
        names.intersection(of).count() > of.len() / 2
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
