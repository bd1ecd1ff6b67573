//! Which ballots an agent believes in.
//!
//! A ballot's number is only a number: an agent that made the others believe in 2^64-1 would end
//! all elections. So an agent believes what a majority of the acceptors says about itself; beyond
//! that, one bounded step ([`STEP_MAX`]) of what it hears (a status entry, a vote), and two of what
//! an acceptor says about itself. One acceptor is one vote here too.
//!
//! Why elections stay possible:
//! * An acceptor goes at most one step beyond the majority, or one above any acceptor that is
//!   further ([`KnownBallots::allowance`]), however often it is asked. If an attacker takes a
//!   single acceptor that far, a candidate can still go one above it: the others ask that acceptor
//!   how far it is, and catch up.
//! * A candidate's ballot is one above the highest that it believes. The promise of an acceptor
//!   that it can't reach does not bind it: no other agent could read that promise.
//! * Hearsay does not accumulate: the limit counts from what acceptors said, not from what was
//!   heard before.
//! * An acceptor that is more than two steps above the majority, which only its store's owner can
//!   cause, has no vote until it is repaired or the others have come that far. Its refusals don't
//!   reach the proposer.
//! * A step is far more than elections use in months, and so small a part of a 64-bit number that
//!   one step per millisecond would last for centuries.

use regionmesh_protocol::{
    identity::RegionName,
    register::{
        acceptor::AcceptorReply,
        ballot::{Ballot, Reach},
    },
};
use std::collections::{BTreeMap, BTreeSet};

#[cfg(doc)]
use regionmesh_protocol::register::ballot::STEP_MAX;

/// What one agent knows of ballots.
#[derive(Debug, Clone, Default)]
pub struct KnownBallots {
    /// The register's members as far as known.
    members: BTreeSet<RegionName>,
    /// How far each acceptor says it has come.
    acceptors: BTreeMap<RegionName, Reach>,
    /// How far a majority of them has come: asked for at every tick, for each ballot on the board.
    majority: Reach,
    /// The highest ballot that each acceptor named.
    named: BTreeMap<RegionName, Ballot>,
    /// The highest believable ballot that was heard of.
    heard: Option<Ballot>,
}

impl KnownBallots {
    /// Sets the members, as far as known.
    pub(crate) fn set_members(&mut self, members: &BTreeSet<RegionName>) {
        if self.members != *members {
            self.members.clone_from(members);
            self.majority = self.reach_of_majority();
        }
    }

    /// Records what an acceptor says about itself, which may be less than before if it was
    /// repaired.
    pub fn acceptor(&mut self, region: &RegionName, reply: &AcceptorReply) {
        if let Some(reach) = reply.reach() {
            let before = self.acceptors.get(region).copied().unwrap_or_default();
            // A refusal names no value.
            let seq = if matches!(reply, AcceptorReply::Refused { .. }) {
                before.seq
            } else {
                reach.seq
            };

            self.acceptors
                .insert(region.clone(), Reach { seq, ..reach });
            self.majority = self.reach_of_majority();
        }

        match reply.ballot() {
            Some(ballot) => drop(self.named.insert(region.clone(), ballot.clone())),
            None if matches!(reply, AcceptorReply::State(_)) => drop(self.named.remove(region)),
            None => {}
        }
    }

    /// Records a ballot that was heard of, if it can be believed; returns whether it can.
    pub fn hear(&mut self, ballot: &Ballot) -> bool {
        // One below the limit, so that a candidate can go above it.
        let is_believed = ballot.number < self.limit().number;
        if is_believed && self.heard.as_ref().is_none_or(|heard| heard < ballot) {
            self.heard = Some(ballot.clone());
        }
        is_believed
    }

    /// How far a majority of the acceptors has come.
    pub fn majority(&self) -> Reach {
        self.majority
    }

    fn reach_of_majority(&self) -> Reach {
        let all = self
            .members
            .iter()
            .map(|region| self.acceptors.get(region).copied().unwrap_or_default());
        Reach::of_majority(all)
    }

    /// Whether a majority of the acceptors was heard, so that the limit is known.
    pub fn is_informed(&self) -> bool {
        let heard = self
            .members
            .iter()
            .filter(|region| self.acceptors.contains_key(*region))
            .count();

        heard > self.members.len() / 2
    }

    /// Nothing beyond this is believed.
    pub fn limit(&self) -> Reach {
        self.majority().step()
    }

    /// The furthest that an acceptor is believed to have come.
    fn acceptor_limit(&self) -> Reach {
        self.limit().step()
    }

    /// How far our own acceptor may go, and how far a candidate may ask: a step beyond the
    /// majority, or just beyond the furthest acceptor that is believed.
    pub fn allowance(&self) -> Reach {
        let believed = |reach: &Reach| {
            reach.is_within(self.acceptor_limit()) && self.can_be_outbid(reach.number)
        };
        let all = self
            .members
            .iter()
            .filter_map(|region| self.acceptors.get(region).copied());
        let furthest = all.filter(believed).fold(Reach::default(), Reach::max);

        self.limit().max(Reach {
            number: furthest.number.saturating_add(1),
            seq: furthest.seq.saturating_add(1),
        })
    }

    /// An acceptor can't be reached: its promises bind no candidate.
    pub fn lost(&mut self, region: &RegionName) {
        self.named.remove(region);
    }

    /// The highest ballot that is believed.
    pub fn highest(&self) -> Option<&Ballot> {
        let is_believed = |ballot: &&Ballot| self.can_be_outbid(ballot.number);
        self.named
            .values()
            .filter(is_believed)
            .chain(&self.heard)
            .max()
    }

    /// Whether a candidate may go above this number: it is below the limit, or a majority of the
    /// acceptors has come that far.
    fn can_be_outbid(&self, number: u64) -> bool {
        number < self.acceptor_limit().number || number <= self.majority().number
    }

    /// Whether an acceptor's reply to a candidate with ballot `own` is believable. A promise to
    /// another agent of a ballot that no candidate can outbid is not, until the others have come
    /// closer: such refusals would end all elections.
    pub fn believes(&self, reply: &AcceptorReply, own: Option<&Ballot>) -> bool {
        let is_own = own.is_some() && reply.ballot() == own;
        reply.reach().is_none_or(|reach| {
            reach.is_within(self.acceptor_limit()) && (is_own || self.can_be_outbid(reach.number))
        })
    }

    /// Members whose acceptors are further than is believed, and how far.
    pub fn strays(&self) -> impl Iterator<Item = (&RegionName, Reach)> {
        let limit = self.acceptor_limit();
        let is_informed = self.is_informed();
        let is_stray = move |reach: &Reach| {
            is_informed && !(reach.is_within(limit) && self.can_be_outbid(reach.number))
        };
        let members = self
            .members
            .iter()
            .filter_map(|region| Some((region, *self.acceptors.get(region)?)));

        members.filter(move |(_, reach)| is_stray(reach))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
