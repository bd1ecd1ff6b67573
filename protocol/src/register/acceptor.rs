//! The register: one value that a majority of regions agrees on (CASPaxos, Rystsov 2018), and what
//! an acceptor does.
//!
//! Why it is safe. A ballot belongs to one proposer, which proposes one value after another under
//! it and never two under one [`Stamp`]. A proposer proposes only after a majority promised to
//! answer no lower ballot; of what they accepted before, it takes the highest, so every later
//! majority finds a value that a majority accepted. The value is the [`Plan`]; it names the
//! acceptors that decide about the next one, see [`crate::register::members`]. The proposer is in
//! `regionmesh_core::leader::proposer`; `regionmesh_core::leader::election` decides when to
//! propose.

use crate::{
    plan::Plan,
    register::{
        ballot::{Ballot, Bounds, Reach, Stamp},
        certificate::Acceptance,
        members::Incarnation,
    },
};
use serde::{Deserialize, Serialize};

/// What an acceptor keeps in its region's store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptorState {
    /// The run of this acceptor's state: a lost state is never mistaken for a new one.
    pub incarnation: Incarnation,
    /// Lower ballots are refused.
    pub promised: Option<Ballot>,
    /// The last value accepted.
    pub accepted: Option<(Stamp, Plan)>,
}

impl AcceptorState {
    /// The state of a new acceptor.
    pub fn begin(incarnation: Incarnation) -> Self {
        Self {
            incarnation,
            ..Self::default()
        }
    }

    /// Whether it has accepted this value, under any stamp. Then the value may be committed, and is
    /// accepted again whatever speaks against it now.
    pub fn has_accepted(&self, plan: &Plan) -> bool {
        self.accepted
            .as_ref()
            .is_some_and(|(_, accepted)| accepted == plan)
    }

    /// Answers `request`. A new state, if any, must be durable before the reply is sent; without
    /// one, this state must be known to be current.
    ///
    /// Accepting the same value under the same stamp again succeeds even after a higher promise: it
    /// confirms what was done already, and a proposer whose reply got lost learns that its value
    /// was accepted.
    pub fn apply(&self, request: &AcceptorRequest) -> (AcceptorReply, Option<AcceptorState>) {
        match request {
            AcceptorRequest::Read => (AcceptorReply::State(self.clone()), None),
            AcceptorRequest::Prepare(ballot) => self.prepare(ballot),
            AcceptorRequest::Accept(stamp, value) => self.accept(stamp, value),
            AcceptorRequest::Join(incarnation, stamp, value) => {
                self.join(*incarnation, stamp, value)
            }
        }
    }

    /// Like [`Self::apply`], but within `bounds`, which no request widens; only what other
    /// acceptors say about themselves does.
    pub fn apply_within(
        &self,
        request: &AcceptorRequest,
        bounds: &Bounds,
    ) -> (AcceptorReply, Option<AcceptorState>) {
        let limit = self.reach().max(bounds.allowance);
        if !request.reach().is_within(limit) {
            return (AcceptorReply::TooFar(limit), None);
        }

        match request {
            // An agent that could make a majority forget its promises could end all elections.
            AcceptorRequest::Join(incarnation, stamp, value)
                if self.accepted.is_some()
                    && self.incarnation != *incarnation
                    && !bounds
                        .decided
                        .as_ref()
                        .is_some_and(|(decided, plan)| decided == stamp && plan == value) =>
            {
                (AcceptorReply::Undecided(stamp.clone()), None)
            }
            _ => self.apply(request),
        }
    }

    /// How far this acceptor has come.
    pub fn reach(&self) -> Reach {
        Reach {
            number: self.highest().map_or(0, |ballot| ballot.number),
            seq: self.accepted.as_ref().map_or(0, |(stamp, _)| stamp.seq),
        }
    }

    fn prepare(&self, ballot: &Ballot) -> (AcceptorReply, Option<AcceptorState>) {
        let promised = AcceptorReply::Promised {
            ballot: ballot.clone(),
            accepted: self.accepted.clone(),
        };

        match &self.promised {
            Some(higher) if higher > ballot => (
                AcceptorReply::Refused {
                    promised: higher.clone(),
                },
                None,
            ),
            Some(same) if same == ballot => (promised, None),
            _ => (
                promised,
                Some(Self {
                    promised: Some(ballot.clone()),
                    ..self.clone()
                }),
            ),
        }
    }

    fn accept(&self, stamp: &Stamp, value: &Plan) -> (AcceptorReply, Option<AcceptorState>) {
        if self
            .accepted
            .as_ref()
            .is_some_and(|(s, v)| s == stamp && v == value)
        {
            return (AcceptorReply::Accepted(stamp.clone()), None);
        }

        if let Some(higher) = self
            .promised
            .as_ref()
            .filter(|promised| **promised > stamp.ballot)
        {
            return (
                AcceptorReply::Refused {
                    promised: higher.clone(),
                },
                None,
            );
        }

        // Accepting raises the promise, so `promised` is at least the accepted stamp's ballot.
        if let Some((later, _)) = self
            .accepted
            .as_ref()
            .filter(|(accepted, _)| accepted >= stamp)
        {
            return (
                AcceptorReply::Refused {
                    promised: later.ballot.clone(),
                },
                None,
            );
        }

        (
            AcceptorReply::Accepted(stamp.clone()),
            Some(Self::caught_up(self.incarnation, stamp, value)),
        )
    }

    fn caught_up(incarnation: Incarnation, stamp: &Stamp, value: &Plan) -> Self {
        let promised = Some(stamp.ballot.clone());
        let accepted = Some((stamp.clone(), value.clone()));
        Self {
            incarnation,
            promised,
            accepted,
        }
    }

    /// Resets to `incarnation` and to what is decided: earlier promises and values are forgotten.
    /// An acceptor whose votes may count refuses, since its promises must not be forgotten. They
    /// don't count if it never accepted anything that names it (nothing was decided with it), or if
    /// `value`, which is decided and later, no longer names it.
    fn join(
        &self,
        incarnation: Incarnation,
        stamp: &Stamp,
        value: &Plan,
    ) -> (AcceptorReply, Option<AcceptorState>) {
        if self.incarnation == incarnation {
            return (AcceptorReply::Joined(incarnation), None);
        }

        let begun = (
            AcceptorReply::Joined(incarnation),
            Some(Self::caught_up(incarnation, stamp, value)),
        );
        let Some((known, accepted)) = &self.accepted else {
            return begun;
        };
        let is_same = accepted.members.register == value.members.register;

        if is_same
            && (known > stamp
                || self
                    .promised
                    .as_ref()
                    .is_some_and(|promised| *promised > stamp.ballot))
        {
            // A late request of a leader that was overtaken.
            let higher = self.highest().unwrap_or(&known.ballot);
            return (
                AcceptorReply::Refused {
                    promised: higher.clone(),
                },
                None,
            );
        }

        let votes = if is_same {
            value.members.counts(self.incarnation)
        } else {
            accepted.members.counts(self.incarnation)
        };

        if votes {
            return (
                AcceptorReply::Votes {
                    register: accepted.members.register,
                },
                None,
            );
        }

        begun
    }

    /// The highest ballot that this state names.
    pub fn highest(&self) -> Option<&Ballot> {
        self.promised
            .as_ref()
            .max(self.accepted.as_ref().map(|(stamp, _)| &stamp.ballot))
    }
}

/// What a proposer asks of an acceptor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AcceptorRequest {
    /// Promise this ballot and return what was accepted.
    Prepare(Ballot),
    /// Accept this value, unless a higher ballot was promised or a later stamp accepted.
    Accept(Stamp, Plan),
    /// Forget everything, become this incarnation, and accept this value, which is decided.
    Join(Incarnation, Stamp, Plan),
    /// Return what is promised and accepted; changes nothing.
    Read,
}

impl AcceptorRequest {
    /// The ballot of the request; none for a read.
    pub fn ballot(&self) -> Option<&Ballot> {
        match self {
            Self::Prepare(ballot) => Some(ballot),
            Self::Accept(stamp, _) | Self::Join(_, stamp, _) => Some(&stamp.ballot),
            Self::Read => None,
        }
    }

    /// How far the request would take an acceptor.
    pub fn reach(&self) -> Reach {
        let seq = match self {
            Self::Accept(stamp, _) | Self::Join(_, stamp, _) => stamp.seq,
            Self::Prepare(_) | Self::Read => 0,
        };

        Reach {
            number: self.ballot().map_or(0, |ballot| ballot.number),
            seq,
        }
    }
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
    /// It was reset to this incarnation; its votes count once it is a member.
    Joined(Incarnation),
    /// It can't be reset: its votes count already.
    Votes {
        /// In this register.
        register: u64,
    },
    /// The answer to [`AcceptorRequest::Read`].
    State(AcceptorState),
    /// Refused: more than one step beyond what the acceptor and its agent know of. The agent asks
    /// the other acceptors; if a majority of them is that far, the same request succeeds later.
    TooFar(Reach),
    /// It is not reset until this value is known to be committed. The agent asks the other
    /// acceptors; the same request succeeds later.
    Undecided(Stamp),
    /// Refused by its agent: the value moves traffic or changes orders without a reason that the
    /// agent knows. The same request may succeed once the agent knows more.
    Unjustified {
        stamp: Stamp,
        /// Why, in words.
        why: String,
        /// Whether no honest agent ever accepted it.
        is_final: bool,
    },
}

impl AcceptorReply {
    /// The highest ballot that the acceptor reports as promised or accepted.
    pub fn ballot(&self) -> Option<&Ballot> {
        match self {
            Self::Promised { ballot, .. } | Self::Refused { promised: ballot } => Some(ballot),
            Self::Accepted(stamp) => Some(&stamp.ballot),
            Self::State(state) => state.highest(),
            Self::Joined(_)
            | Self::Votes { .. }
            | Self::TooFar(_)
            | Self::Undecided(_)
            | Self::Unjustified { .. } => None,
        }
    }

    /// How far the acceptor reports to have come; none if the reply does not say.
    pub fn reach(&self) -> Option<Reach> {
        let seq_of =
            |accepted: &Option<(Stamp, Plan)>| accepted.as_ref().map_or(0, |(stamp, _)| stamp.seq);
        match self {
            Self::Promised { ballot, accepted } => {
                let number = accepted
                    .as_ref()
                    .map_or(0, |(stamp, _)| stamp.ballot.number)
                    .max(ballot.number);

                Some(Reach {
                    number,
                    seq: seq_of(accepted),
                })
            }
            Self::Refused { promised } => Some(Reach {
                number: promised.number,
                seq: 0,
            }),
            Self::Accepted(stamp) => Some(Reach {
                number: stamp.ballot.number,
                seq: stamp.seq,
            }),
            Self::State(state) => Some(state.reach()),
            // `TooFar` also contains what its agent knows of others.
            Self::TooFar(_)
            | Self::Joined(_)
            | Self::Votes { .. }
            | Self::Undecided(_)
            | Self::Unjustified { .. } => None,
        }
    }
}

/// An acceptor's reply, with its incarnation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptorAnswer {
    /// The acceptor's incarnation when it replied: this, not its name, decides whether its vote
    /// counts.
    pub incarnation: Incarnation,
    pub reply: AcceptorReply,
    /// Proof of [`AcceptorReply::Accepted`], by the agent that asked the store. None for other
    /// replies, and from the witness, which has no agent.
    pub acceptance: Option<Acceptance>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
