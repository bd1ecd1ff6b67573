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
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};
    use regionmesh_protocol::register::{acceptor::AcceptorState, ballot::STEP_MAX};

    fn ballot(number: u64) -> Ballot {
        Ballot {
            number,
            agent: "r/a".parse().unwrap(),
            boot: 1,
        }
    }

    fn region(index: usize) -> RegionName {
        format!("r{index}").parse().unwrap()
    }

    fn promised(number: u64) -> AcceptorReply {
        AcceptorReply::State(AcceptorState {
            promised: Some(ballot(number)),
            ..AcceptorState::default()
        })
    }

    fn known(numbers: &[u64]) -> KnownBallots {
        let mut known = KnownBallots::default();
        known.set_members(&(0..numbers.len()).map(region).collect());
        numbers
            .iter()
            .enumerate()
            .for_each(|(at, number)| known.acceptor(&region(at), &promised(*number)));

        known
    }

    fn number() -> impl Strategy<Value = u64> {
        prop_oneof![0..100u64, 0..STEP_MAX * 3, Just(u64::MAX), any::<u64>()]
    }

    proptest! {
        #[test]
        fn a_minority_of_acceptors_never_moves_what_is_believed_further_than_two_steps(
            honest in vec(0..1_000u64, 2..4),
            liars in vec(number(), 1..3),
            told in vec(number(), 0..10),
        ) {
            prop_assume!(liars.len() < honest.len());
            let all: Vec<u64> = honest.iter().chain(&liars).copied().collect();
            let mut known = known(&all);

            for number in &told {
                known.hear(&ballot(*number));
            }

            let bound = honest.iter().max().unwrap() + 2 * STEP_MAX;
            prop_assert!(known.highest().is_none_or(|highest| highest.number < bound));
        }

        #[test]
        fn what_is_heard_adds_up_to_one_step_however_often(
            numbers in vec(0..1_000u64, 1..5),
            told in vec(number(), 0..50),
        ) {
            let mut known = known(&numbers);
            let limit = known.limit();
            for number in told {
                known.hear(&ballot(number));
                prop_assert_eq!(known.limit(), limit);
                prop_assert!(
                    known
                        .highest()
                        .is_none_or(|highest| highest.number < limit.number)
                );
            }
        }

        #[test]
        fn one_above_the_highest_believed_is_allowed_to_every_acceptor_that_asks_the_others(
            numbers in vec(number(), 1..6),
            told in vec(number(), 0..5),
        ) {
            let mut known = known(&numbers);
            for number in &told {
                known.hear(&ballot(*number));
            }

            let Some(next) = known
                .highest()
                .map_or(Some(1), |highest| highest.number.checked_add(1))
            else {
                return Ok(());
            };

            prop_assert!(next <= known.allowance().number, "{next} is too far");
        }
    }

    #[test]
    fn an_acceptor_at_the_end_of_all_numbers_is_a_stray_and_counts_no_more_than_one_that_is_away() {
        let known = known(&[50, 51, u64::MAX]);
        assert_eq!(known.highest(), Some(&ballot(51)));
        assert_eq!(
            known
                .strays()
                .map(|(region, _)| region.clone())
                .collect::<Vec<_>>(),
            [region(2)]
        );

        assert!(
            !known.believes(&promised(u64::MAX), None)
                && known.believes(&promised(50 + STEP_MAX), None)
        );

        // The last number that an acceptor takes: no candidate may ask for more.
        let last = ballot(51 + 2 * STEP_MAX);
        assert!(
            !known.believes(&promised(last.number), None)
                && known.believes(&promised(last.number), Some(&last))
        );
    }

    #[test]
    fn an_agent_that_was_away_for_long_believes_what_a_majority_says() {
        let mut known = known(&[3, 0, 0]);
        assert!(!known.hear(&ballot(STEP_MAX * 5)));
        known.acceptor(&region(1), &promised(STEP_MAX * 5));
        assert!(
            !known.hear(&ballot(STEP_MAX * 5)),
            "one acceptor is one vote"
        );

        known.acceptor(&region(2), &promised(STEP_MAX * 5));
        assert!(known.hear(&ballot(STEP_MAX * 5)));
        assert_eq!(known.highest(), Some(&ballot(STEP_MAX * 5)));
    }
}
