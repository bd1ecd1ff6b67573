//! Which ballots an agent believes in.
//!
//! A ballot's number is only a number, and whoever makes the others believe in 2^64-1 ends all
//! elections. So an agent believes what a majority of the acceptors says of itself, and beyond that
//! one bounded step ([`STEP_MAX`]) of what it hears (a status entry, a vote), and two of what an
//! acceptor says of itself. One acceptor is one vote here too.
//!
//! Why elections go on:
//! * An acceptor goes one step beyond the majority, however often it is asked, or one above any
//!   acceptor that is further ([`KnownBallots::allowance`]). So whoever takes a single acceptor as
//!   far as it goes finds that a candidate stands one above it: the others ask that acceptor how
//!   far it is, and follow.
//! * A candidate stands one above the highest ballot that it believes in. The promise of an
//!   acceptor that it can't reach does not bind it: nobody else could look that promise up.
//! * What is heard never adds up: it is measured from what acceptors said, not from what was heard
//!   before.
//! * An acceptor that is more than two steps above the majority, which only its store's owner can
//!   bring about, has no vote until it is repaired or the others have come that far. The proposer
//!   does not hear its refusals.
//! * A step is far more than elections use in months, and so little of a 64-bit number that taking
//!   it once a millisecond would last for centuries.

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
    /// How far each acceptor has come, in its own words.
    acceptors: BTreeMap<RegionName, Reach>,
    /// The highest ballot that each acceptor named.
    named: BTreeMap<RegionName, Ballot>,
    /// The highest believable ballot that anybody told of.
    heard: Option<Ballot>,
}

impl KnownBallots {
    /// Who the members are, as far as known.
    pub fn set_members(&mut self, members: &BTreeSet<RegionName>) {
        if self.members != *members {
            self.members.clone_from(members);
        }
    }

    /// Takes note of what an acceptor says of itself, which may be less than before if it was
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
        }

        match reply.ballot() {
            Some(ballot) => drop(self.named.insert(region.clone(), ballot.clone())),
            None if matches!(reply, AcceptorReply::State(_)) => drop(self.named.remove(region)),
            None => {}
        }
    }

    /// Takes note of a ballot that anybody told of, if it can be believed; whether it can.
    pub fn hear(&mut self, ballot: &Ballot) -> bool {
        // One below the limit, so that a candidate can stand above it.
        let is_believed = ballot.number < self.limit().number;
        if is_believed && self.heard.as_ref().is_none_or(|heard| heard < ballot) {
            self.heard = Some(ballot.clone());
        }
        is_believed
    }

    /// How far a majority of the acceptors has come.
    pub fn majority(&self) -> Reach {
        let all = self
            .members
            .iter()
            .map(|region| self.acceptors.get(region).copied().unwrap_or_default());
        Reach::of_majority(all)
    }

    /// Whether a majority of the acceptors was heard, so that what is beyond the limit is known to
    /// be.
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

    /// How far an acceptor may be to be believed.
    fn acceptor_limit(&self) -> Reach {
        self.limit().step()
    }

    /// How far an acceptor of ours may be taken, and a candidate may ask: a step beyond the
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

    /// An acceptor can't be reached: what it promised binds no candidate.
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

    /// Whether a candidate may stand above this number: it is below the limit, or a majority of the
    /// acceptors has come so far.
    fn can_be_outbid(&self, number: u64) -> bool {
        number < self.acceptor_limit().number || number <= self.majority().number
    }

    /// Whether an acceptor's reply, to a candidate that stands with `own`, says nothing beyond what
    /// is believed. One that promised somebody else a ballot that nobody can stand above is not
    /// heard either, until the others have come closer: its refusals would end all elections.
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
