//! Asking for votes before an election (PreVote, Ongaro 2014, §9.6).

use crate::register::ballot::Ballot;

use serde::{Deserialize, Serialize};

/// A candidate's question before it takes a ballot: would you follow me? (PreVote, Ongaro 2014
/// §9.6)
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreVoteRequest {
    /// The ballot that the candidate would take.
    pub ballot: Ballot,
}

/// The answer to a [`PreVoteRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreVoteReply {
    /// Whether this agent, too, sees no leader.
    pub is_granted: bool,
    /// The highest ballot that this agent knows of.
    pub highest: Option<Ballot>,
    /// Why not, for the candidate's log.
    pub reason: String,
}
