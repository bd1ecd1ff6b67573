//! The register: one value that a majority of regions agrees on (CASPaxos, Rystsov 2018), and what an acceptor does.
//!
//! Why it is safe. A ballot belongs to one proposer, which proposes one value after another under it and never two under
//! one [`Stamp`]. A proposer speaks only after a majority promised to answer no lower ballot; of what they accepted
//! before, it takes the highest, so a value that a majority accepted is found again by every later majority.
//! The value is the [`Plan`]; it names the acceptors that decide about the next one, see [`crate::members`].
//! The proposer's side is [`crate::proposer`]; when to propose at all is [`crate::election`].

use crate::{identity::AgentId, members::Incarnation, plan::Plan};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Name of the acceptor that is no region: a store of its own that makes the number of acceptors odd.
pub const WITNESS: &str = "witness";

/// A right to propose. Ordered by number; the rest makes two candidates' ballots differ.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ballot {
    /// At most one above the highest seen.
    pub number: u64,
    /// Who proposes.
    pub agent: AgentId,
    /// Drawn at the agent's start, so that a restarted agent never repeats a ballot; counted up where it stands again with
    /// the same number.
    pub boot: u64,
}

impl fmt::Display for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.number, self.agent)
    }
}

/// A value's place in the order of values: the leader's ballot, then the value's number under it.
///
/// A leader commits many values under one ballot (its promises stay good until a higher ballot takes them); `seq`
/// grows by one with each value and across leaders, so `(ballot, seq)` is what CASPaxos calls a ballot: no two
/// values ever share it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// The leader's ballot.
    pub ballot: Ballot,
    /// The value's number, counted from 1 over all leaders.
    pub seq: u64,
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.ballot, self.seq)
    }
}

/// What an acceptor keeps in its region's store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptorState {
    /// Which life of this acceptor: a state that was lost is never mistaken for one that began.
    pub incarnation: Incarnation,
    /// No lower ballot is answered any more.
    pub promised: Option<Ballot>,
    /// The last value accepted.
    pub accepted: Option<(Stamp, Plan)>,
}

impl AcceptorState {
    /// The state of an acceptor that begins with nothing.
    pub fn begin(incarnation: Incarnation) -> Self {
        Self { incarnation, ..Self::default() }
    }

    /// Answers `request`. A new state, if any, must be durable before the reply leaves; without one, this state must be
    /// known to be the current one.
    ///
    /// Accepting the same value under the same stamp again succeeds even after a higher promise: it says what was done
    /// already, and lets a proposer whose reply got lost learn that its value stands.
    pub fn apply(&self, request: &AcceptorRequest) -> (AcceptorReply, Option<AcceptorState>) {
        match request {
            AcceptorRequest::Read => (AcceptorReply::State(self.clone()), None),
            AcceptorRequest::Prepare(ballot) => self.prepare(ballot),
            AcceptorRequest::Accept(stamp, value) => self.accept(stamp, value),
            AcceptorRequest::Join(incarnation, stamp, value) => self.join(*incarnation, stamp, value),
        }
    }

    fn prepare(&self, ballot: &Ballot) -> (AcceptorReply, Option<AcceptorState>) {
        let promised = AcceptorReply::Promised { ballot: ballot.clone(), accepted: self.accepted.clone() };
        match &self.promised {
            Some(higher) if higher > ballot => (AcceptorReply::Refused { promised: higher.clone() }, None),
            Some(same) if same == ballot => (promised, None),
            _ => (promised, Some(Self { promised: Some(ballot.clone()), ..self.clone() })),
        }
    }

    fn accept(&self, stamp: &Stamp, value: &Plan) -> (AcceptorReply, Option<AcceptorState>) {
        if self.accepted.as_ref().is_some_and(|(s, v)| s == stamp && v == value) {
            return (AcceptorReply::Accepted(stamp.clone()), None);
        }
        if let Some(higher) = self.promised.as_ref().filter(|promised| **promised > stamp.ballot) {
            return (AcceptorReply::Refused { promised: higher.clone() }, None);
        }
        // Accepting raises the promise, so an accepted stamp's ballot is never above it; `promised` outranks or equals.
        if let Some((later, _)) = self.accepted.as_ref().filter(|(accepted, _)| accepted >= stamp) {
            return (AcceptorReply::Refused { promised: later.ballot.clone() }, None);
        }
        (AcceptorReply::Accepted(stamp.clone()), Some(Self::caught_up(self.incarnation, stamp, value)))
    }

    fn caught_up(incarnation: Incarnation, stamp: &Stamp, value: &Plan) -> Self {
        let (promised, accepted) = (Some(stamp.ballot.clone()), Some((stamp.clone(), value.clone())));
        Self { incarnation, promised, accepted }
    }

    /// Begins anew as `incarnation`, with what is decided: whatever was promised and accepted before is forgotten. Refused
    /// by an acceptor whose votes may count: its promises must not be forgotten. They do not count if it never
    /// accepted anything that names it (nobody decided anything with it), or if `value`, which is decided and later,
    /// names it no longer.
    fn join(&self, incarnation: Incarnation, stamp: &Stamp, value: &Plan) -> (AcceptorReply, Option<AcceptorState>) {
        if self.incarnation == incarnation {
            return (AcceptorReply::Joined(incarnation), None);
        }
        let begun = (AcceptorReply::Joined(incarnation), Some(Self::caught_up(incarnation, stamp, value)));
        let Some((known, accepted)) = &self.accepted else { return begun };
        let is_same = accepted.members.register == value.members.register;
        if is_same && (known > stamp || self.promised.as_ref().is_some_and(|promised| *promised > stamp.ballot)) {
            // A late request of a leader that was overtaken.
            let higher = self.highest().unwrap_or(&known.ballot);
            return (AcceptorReply::Refused { promised: higher.clone() }, None);
        }
        let votes =
            if is_same { value.members.counts(self.incarnation) } else { accepted.members.counts(self.incarnation) };
        if votes {
            return (AcceptorReply::Votes { register: accepted.members.register }, None);
        }
        begun
    }

    /// The highest ballot that this state names.
    pub fn highest(&self) -> Option<&Ballot> {
        self.promised.as_ref().max(self.accepted.as_ref().map(|(stamp, _)| &stamp.ballot))
    }
}

/// What a proposer asks of an acceptor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AcceptorRequest {
    /// Promise this ballot and tell what was accepted.
    Prepare(Ballot),
    /// Accept this value, unless a higher ballot was promised or a later stamp accepted.
    Accept(Stamp, Plan),
    /// Forget everything, be this incarnation, and take this value, which is decided, as accepted.
    Join(Incarnation, Stamp, Plan),
    /// Tell what is promised and accepted; changes nothing.
    Read,
}

/// What an acceptor answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AcceptorReply {
    /// The ballot is promised; here is what was accepted before.
    Promised {
        /// The ballot promised.
        ballot: Ballot,
        /// The last value accepted, if any.
        accepted: Option<(Stamp, Plan)>,
    },
    /// The value is accepted and durable.
    Accepted(Stamp),
    /// Refused: a higher ballot was promised, or a later stamp accepted.
    Refused {
        /// The ballot that outranks the request's.
        promised: Ballot,
    },
    /// It has begun anew as this incarnation; its votes count once it is a member.
    Joined(Incarnation),
    /// It can't begin anew: its votes count already.
    Votes {
        /// In this register.
        register: u64,
    },
    /// The answer to [`AcceptorRequest::Read`].
    State(AcceptorState),
}

/// An acceptor's reply, and who gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptorAnswer {
    /// The acceptor's incarnation when it replied: whether its vote counts is told by this, not by its name.
    pub incarnation: Incarnation,
    /// The reply.
    pub reply: AcceptorReply,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::members::Members;
    use proptest::prelude::*;

    fn ballot(number: u64) -> Ballot {
        Ballot { number, agent: "r/a".parse().unwrap(), boot: 1 }
    }

    fn value(reason: u8) -> Plan {
        Plan { reason: reason.to_string(), members: members(7, &[1]), ..Plan::default() }
    }

    fn members(register: u64, votes: &[u64]) -> Members {
        let acceptors = votes.iter().map(|vote| (format!("r{vote}").parse().unwrap(), Some(Incarnation(*vote))));
        Members { register, acceptors: acceptors.collect() }
    }

    fn request() -> impl Strategy<Value = AcceptorRequest> {
        prop_oneof![
            (0..6u64).prop_map(|number| AcceptorRequest::Prepare(ballot(number))),
            (0..6u64, 1..4u64, 0..2u8).prop_map(|(number, seq, reason)| {
                AcceptorRequest::Accept(Stamp { ballot: ballot(number), seq }, value(reason))
            }),
            Just(AcceptorRequest::Read),
        ]
    }

    fn accepted_stamp(state: &AcceptorState) -> Option<&Stamp> {
        state.accepted.as_ref().map(|(stamp, _)| stamp)
    }

    proptest! {
        #[test]
        fn promises_and_accepted_stamps_never_go_back(requests in prop::collection::vec(request(), 0..40)) {
            let mut state = AcceptorState::default();
            for request in &requests {
                let (_, next) = state.apply(request);
                let Some(next) = next else { continue };
                prop_assert!(next.promised >= state.promised);
                prop_assert!(accepted_stamp(&next) >= accepted_stamp(&state));
                prop_assert!(next.promised.as_ref() >= accepted_stamp(&next).map(|stamp| &stamp.ballot));
                if accepted_stamp(&next) == accepted_stamp(&state) {
                    prop_assert_eq!(&next.accepted, &state.accepted);
                }
                state = next;
            }
        }

        #[test]
        fn after_a_promise_nothing_lower_is_accepted_anew(
            requests in prop::collection::vec(request(), 0..40), number in 0..6u64, seq in 1..4u64,
        ) {
            let mut state = AcceptorState::default();
            for request in &requests {
                state = state.apply(request).1.unwrap_or(state);
            }
            let promised = state.promised.clone();
            let stamp = Stamp { ballot: ballot(number), seq };
            let (reply, next) = state.apply(&AcceptorRequest::Accept(stamp.clone(), value(9)));
            if promised.is_some_and(|promised| promised > stamp.ballot) {
                let is_refused = matches!(reply, AcceptorReply::Refused { .. });
                prop_assert!(is_refused);
                prop_assert_eq!(next, None);
            }
        }

        #[test]
        fn repeating_a_request_changes_nothing_and_answers_the_same(
            requests in prop::collection::vec(request(), 0..40), last in request(),
        ) {
            let mut state = AcceptorState::default();
            for request in &requests {
                state = state.apply(request).1.unwrap_or(state);
            }
            let (first, next) = state.apply(&last);
            let state = next.unwrap_or(state);
            let (second, next) = state.apply(&last);
            prop_assert_eq!(next, None);
            prop_assert_eq!(first, second);
        }
    }

    #[test]
    fn one_stamp_never_takes_a_second_value() {
        let stamp = Stamp { ballot: ballot(1), seq: 1 };
        let state = AcceptorState::default().apply(&AcceptorRequest::Accept(stamp.clone(), value(1))).1.unwrap();
        let (reply, next) = state.apply(&AcceptorRequest::Accept(stamp, value(2)));
        assert!(matches!(reply, AcceptorReply::Refused { .. }) && next.is_none());
    }

    fn voter(votes: &[u64], seq: u64) -> AcceptorState {
        let plan = Plan { members: members(7, votes), ..Plan::default() };
        let state = AcceptorState::begin(Incarnation(1));
        state.apply(&AcceptorRequest::Accept(Stamp { ballot: ballot(2), seq }, plan)).1.unwrap()
    }

    fn join(state: &AcceptorState, register: u64, votes: &[u64], number: u64, seq: u64) -> AcceptorReply {
        let plan = Plan { members: members(register, votes), ..Plan::default() };
        let request = AcceptorRequest::Join(Incarnation(9), Stamp { ballot: ballot(number), seq }, plan.clone());
        let (reply, next) = state.apply(&request);
        if let Some(next) = next {
            assert_eq!((next.incarnation, next.accepted.as_ref().unwrap().1.clone()), (Incarnation(9), plan));
            assert_eq!(next.apply(&request), (AcceptorReply::Joined(Incarnation(9)), None));
        }
        reply
    }

    #[test]
    fn an_acceptor_begins_anew_only_where_no_promise_of_its_may_count() {
        let joined = AcceptorReply::Joined(Incarnation(9));
        let fresh = AcceptorState::begin(Incarnation(1));
        let promised = fresh.apply(&AcceptorRequest::Prepare(ballot(50))).1.unwrap();
        assert_eq!([join(&fresh, 7, &[2], 3, 9), join(&promised, 7, &[2], 3, 9)], [joined.clone(), joined.clone()]);
        // It votes: by what it is asked to take, or, in a register that the asker does not know, by what it has.
        assert_eq!(join(&voter(&[1, 2], 4), 7, &[1, 2], 3, 9), AcceptorReply::Votes { register: 7 });
        assert_eq!(join(&voter(&[1, 2], 4), 8, &[2], 3, 9), AcceptorReply::Votes { register: 7 });
        // Removed or suspended meanwhile.
        assert_eq!(join(&voter(&[1, 2], 4), 7, &[2], 3, 9), joined);
        // Of another register, where it never had a vote.
        assert_eq!(join(&voter(&[2], 4), 8, &[2], 3, 9), joined);
        // A late request of an older leader, or from before something that it knows.
        for (number, seq) in [(1, 9), (2, 3)] {
            assert!(matches!(join(&voter(&[1, 2], 4), 7, &[2], number, seq), AcceptorReply::Refused { .. }));
        }
    }
}
