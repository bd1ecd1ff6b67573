//! Votes before an election (PreVote, Ongaro 2014, §9.6).

use crate::register::ballot::Ballot;

use serde::{Deserialize, Serialize};

/// A candidate's question before it takes a ballot: would you follow me?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreVoteRequest {
    /// The ballot that the candidate would take.
    pub ballot: Ballot,
}

/// The answer to a [`PreVoteRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreVoteReply {
    /// Whether this agent sees no leader either.
    pub is_granted: bool,
    /// The highest ballot that this agent knows of.
    pub highest: Option<Ballot>,
    /// Why the vote was refused, for the candidate's log.
    pub reason: String,
}
