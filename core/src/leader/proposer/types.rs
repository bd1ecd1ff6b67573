//! What goes into a proposer and comes out of it.

use regionmesh_protocol::{
    identity::RegionName,
    plan::{CommittedPlan, Plan},
    register::{
        acceptor::AcceptorRequest,
        ballot::{Ballot, Stamp},
        members::{Incarnation, Members, MembersError},
    },
};
use std::collections::BTreeSet;

/// Retry intervals and timeouts of the proposer, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProposerSettings {
    /// An acceptor that did not answer is asked again after this long.
    pub(crate) retry_ms: u64,
    /// A ballot without a majority, a first commit without one, or a join is given up after this
    /// long.
    pub(crate) prepare_ms: u64,
    /// How often an idle leader asks the acceptors whether it still leads.
    pub(crate) refresh_ms: u64,
    /// A leader that has heard from no majority for this long steps down.
    pub(crate) silence_ms: u64,
    /// How long the first leader of a register waits for the remaining acceptors once it has a
    /// majority.
    pub(crate) first_ms: u64,
    /// An acceptor whose agent objects to a value is asked again after this long: the agent may
    /// just not have heard of the reason.
    pub(crate) objection_retry_ms: u64,
    /// A value to which so many object that no majority can accept it is given up after this long.
    pub(crate) objection_ms: u64,
    /// One that some object to and too few answer about is given up after this long.
    pub(crate) stalled_ms: u64,
    /// The same for a value found in promises: its reason had time to be heard of, and other
    /// candidates don't wait long.
    pub(crate) pass_over_ms: u64,
}

impl Default for ProposerSettings {
    fn default() -> Self {
        // A refresh costs one listing per region in a cloud's store: every 2 s, that is about 6 USD
        // per region and month.
        Self {
            retry_ms: 500,
            prepare_ms: 3_000,
            refresh_ms: 2_000,
            silence_ms: 5_000,
            first_ms: 2_000,
            objection_retry_ms: 200,
            objection_ms: 800,
            stalled_ms: 3_000,
            pass_over_ms: 250,
        }
    }
}

/// Which acceptors to ask for promises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acceptors {
    /// No register is known: these names form one with the id `register`, unless an acceptor
    /// already has a value.
    First {
        /// The configured acceptors.
        names: BTreeSet<RegionName>,
        /// Equal at every agent that may begin it: several may try at the same time.
        register: u64,
    },
    /// The latest known members of an existing register.
    Known(Members),
}

/// What the caller must do, or learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Ask this acceptor; hand its answer to [`crate::leader::proposer::Proposer::answered`].
    Send {
        /// The acceptor: a region's name, or `witness`.
        to: RegionName,
        request: AcceptorRequest,
    },
    /// The highest value found in a majority's promises: answer with
    /// [`crate::leader::proposer::Proposer::succeed`].
    Found(Stamp, Plan),
    /// This proposer leads: it holds a majority's promises and what was decided before is committed
    /// under its ballot.
    Elected(Ballot),
    /// A majority accepted this value: it is decided. Its certificate is complete unless the
    /// witness voted.
    Committed(CommittedPlan),
    /// The value committed last, now with a complete certificate.
    Certified(CommittedPlan),
    /// The agent of this acceptor objects to the value that it was asked to accept.
    Unjustified {
        from: RegionName,
        stamp: Stamp,
        why: String,
    },
    /// The value is given up after objections.
    Dropped(Stamp),
    /// This value, found in promises, is passed over after objections.
    PassedOver(Stamp),
    /// This acceptor was reset and has caught up: a value that lets it join may be committed.
    Joined(RegionName, Incarnation),
    /// It was not reset, and is no longer asked.
    NotJoined(RegionName, NoJoin),
    /// This proposer no longer leads, or will not.
    SteppedDown(Ballot, StepDown),
}

/// Why a proposer gave up its ballot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepDown {
    /// Another proposer holds a higher ballot.
    #[error("fenced by the higher ballot {0}")]
    Outranked(Ballot),
    /// Too few acceptors answered in time.
    #[error("no majority of {members} acceptors answered for {silent_ms} ms")]
    NoMajority {
        /// How many acceptors there are.
        members: usize,
        /// How long, milliseconds.
        silent_ms: u64,
    },
    /// After objections to its values.
    #[error("agents of the acceptors keep objecting to its values")]
    Objections,
    /// Its region is no longer a member.
    #[error("its region is no longer a member of the register")]
    Removed,
}

/// Why an acceptor did not join.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoJoin {
    /// It did not answer in time.
    #[error(
        "its acceptor did not answer within {0} ms: check that an agent of that region runs, is \
         connected, and reaches its store"
    )]
    Silent(u64),
    /// It votes in a register already.
    #[error(
        "its acceptor votes in a register of its own ({0:016x}): empty `register/` in its store if \
         that one is not needed"
    )]
    Votes(u64),
}

/// Why a request to the proposer was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposerError {
    /// This agent does not lead.
    #[error("this agent does not lead, so it cannot commit a plan")]
    NotLeading,
    /// Ballots must ascend.
    #[error("ballot {asked} is not higher than {last}, which was used before")]
    BallotNotHigher {
        /// The ballot asked for.
        asked: Box<Ballot>,
        /// The last one used.
        last: Box<Ballot>,
    },
    /// Members change by one at a time.
    #[error(transparent)]
    Members(#[from] MembersError),
    /// Another acceptor is joining.
    #[error("{0} is joining the register; one change at a time")]
    Joining(RegionName),
    /// No sequence number is left.
    #[error("the register's sequence numbers are used up")]
    Exhausted,
}
