//! The messages between two agents, and what opens a stream.

use crate::{
    election::{PreVoteReply, PreVoteRequest},
    identity::AgentId,
    manifest::{Digest, ModelName, VersionName, VersionSummary},
    plan::{CommittedPlan, Order, OrderError},
    register::{AcceptorAnswer, AcceptorRequest},
};
use serde::{Deserialize, Serialize};

/// ALPN of control connections: protocol and version (RFC 7301).
pub const ALPN_CONTROL: &[u8] = b"regionmesh/1";
/// ALPN of bulk connections, which carry chunks only.
pub const ALPN_BULK: &[u8] = b"regionmesh-bulk/1";
/// Most bytes of a catalogue in one page: fits [`crate::codec::MESSAGE_LIMIT`] with room to spare.
pub const PAGE_MAX: usize = 512 << 10;

/// First byte of a bidirectional stream on a control connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum StreamKind {
    /// A ractor_cluster session; at most one per connection.
    Actors = 1,
    /// One board exchange: a request and a reply, then the end.
    Exchange = 2,
}

impl StreamKind {
    /// Reads the first byte of a stream.
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Actors),
            2 => Some(Self::Exchange),
            _ => None,
        }
    }
}

/// A SWIM datagram on its way, perhaps through one relay of the member's region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Who sent it. Only believed as far as the certificate of the connection: a relay may carry its own region's mail.
    pub from: AgentId,
    /// Whom it is for.
    pub to: AgentId,
    /// The SWIM packet.
    pub payload: Vec<u8>,
}

/// A call to a peer's actors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerRequest {
    /// To the acceptor of the peer's region.
    Acceptor(AcceptorRequest),
    /// To the peer's view of the leader.
    PreVote(PreVoteRequest),
    /// Part of what your region holds: the encoded catalogue from `offset` on, at most [`PAGE_MAX`] bytes.
    CataloguePage {
        /// The catalogue that earlier pages came from; none: the newest.
        digest: Option<Digest>,
        /// Where the page begins, bytes.
        offset: u64,
    },
    /// A version is visible in the caller's region and its publisher waits for the answer. Does yours hold, or is it about to
    /// commit, other content under that name?
    Publication(VersionSummary),
    /// To the leader: an operator's order.
    Order {
        /// The order.
        order: Order,
        /// How often whoever gets it may pass it on, if another agent leads.
        hops_left: u8,
    },
}

/// The answer to a [`PeerRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerReply {
    /// From the acceptor.
    Acceptor(AcceptorAnswer),
    /// From the peer's election.
    PreVote(PreVoteReply),
    /// Part of what the peer's region holds.
    CataloguePage {
        /// Digest of the whole catalogue, which may be another than was asked for.
        digest: Digest,
        /// Size of the whole encoded catalogue, bytes.
        total: u64,
        /// The part.
        bytes: Vec<u8>,
    },
    /// The version of the same name with other content, if there is one.
    Rival(Option<VersionSummary>),
    /// The plan that the order became part of, committed; or why it did not.
    Order(Result<CommittedPlan, OrderRefusal>),
    /// The peer could not do it; what, where and why.
    Failed(String),
}

/// Why an order was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum OrderRefusal {
    /// The order is wrong; the same order will be refused again.
    #[error(transparent)]
    Wrong(#[from] OrderError),
    /// Nobody can carry it out now, and nothing was done.
    #[error("{0}")]
    NotNow(String),
    /// It was begun, and what became of it is not known.
    #[error("{0}; it may have been done, look before you repeat it")]
    Unknown(String),
}

/// The first frame on a bulk stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BulkRequest {
    /// Send this version's manifest (encoded, as stored).
    Manifest {
        /// The model.
        model: ModelName,
        /// The version.
        version: VersionName,
    },
    /// Send these byte ranges of one file, back to back.
    Ranges {
        /// The model.
        model: ModelName,
        /// The version.
        version: VersionName,
        /// Digest of the version's content, so that a replaced version is noticed.
        content: Digest,
        /// Path of the file within the version.
        path: String,
        /// Offset and length of each range, bytes.
        ranges: Vec<(u64, u32)>,
    },
}

/// The first frame of the answer on a bulk stream; the bytes follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BulkReply {
    /// This many bytes follow.
    Bytes(u64),
    /// Not held here, or not with that content.
    NotHeld,
    /// Could not be read; what and why.
    Failed(String),
}
