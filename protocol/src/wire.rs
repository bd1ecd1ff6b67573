//! The messages between two agents, and what opens a stream.

use crate::{
    codec::{self, CodecError},
    identity::{AgentId, MeshName},
    models::{
        digest::Digest,
        manifest::{ModelName, VersionName, VersionSummary},
    },
    plan::{CommittedPlan, Order, OrderError},
    register::{
        acceptor::{AcceptorAnswer, AcceptorRequest},
        ballot::Ballot,
        prevote::{PreVoteReply, PreVoteRequest},
    },
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
    /// Who sent it. Only believed as far as the certificate of the connection: a relay may carry
    /// its own region's mail.
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
    /// Part of what your region holds: the encoded catalogue from `offset` on, at most [`PAGE_MAX`]
    /// bytes.
    CataloguePage {
        /// The catalogue that earlier pages came from; none: the newest.
        digest: Option<Digest>,
        /// Where the page begins, bytes.
        offset: u64,
    },
    /// A version is visible in the caller's region and its publisher waits for the answer. Does
    /// yours hold, or is it about to commit, other content under that name?
    Publication(VersionSummary),
    /// To the leader: an operator's order.
    Order {
        order: Order,
        /// How often whoever gets it may pass it on, if another agent leads.
        hops_left: u8,
    },
    /// A request of an agent that knows an operator's token, and its proof of that.
    Attested(Box<Attested>),
}

/// A request with the proof that an operator's token stands behind it: a certificate alone gives no
/// orders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attested {
    /// The [`PeerRequest`], encoded.
    pub request: Vec<u8>,
    /// Who gave the order, and where; none for what an agent asks of its own accord.
    pub origin: Option<OrderOrigin>,
    /// When it was sent, the caller's clock, Unix milliseconds.
    pub sent_ms: u64,
    /// Drawn for this request: an order counts once, an answer belongs to one question.
    pub nonce: [u8; 16],
    /// HMAC-SHA256 under a key made of the token, see [`Attested::message`].
    pub mac: [u8; 32],
}

/// Who gave an order, as the agent that took it authenticated them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderOrigin {
    pub operator: String,
    /// The agent whose API took the order and checked the token.
    pub agent: AgentId,
}

impl Attested {
    /// What a request's MAC is made of. The caller is in it, and the receiver knows the caller by
    /// its certificate: whoever gets to see a request can't send it in their own name.
    pub fn message(&self, mesh: &MeshName, caller: &AgentId) -> Result<Vec<u8>, CodecError> {
        codec::encode_document(&(
            "regionmesh attested request 1",
            mesh,
            caller,
            &self.origin,
            self.sent_ms,
            self.nonce,
            &self.request,
        ))
    }

    /// What the MAC of the answer to the request with this nonce is made of.
    pub fn reply_message(
        mesh: &MeshName,
        nonce: &[u8; 16],
        reply: &[u8],
    ) -> Result<Vec<u8>, CodecError> {
        codec::encode_document(&("regionmesh attested reply 1", mesh, nonce, reply))
    }
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
        bytes: Vec<u8>,
    },
    /// The version of the same name with other content, if there is one.
    Rival(Option<VersionSummary>),
    /// The plan that the order became part of, committed; or why it did not.
    Order(Result<CommittedPlan, OrderRefusal>),
    /// The peer could not do it; what, where and why.
    Failed(String),
    /// The peer does not do this for the caller.
    Refused(PeerRefusal),
    /// The answer to an [`Attested`] request, from an agent that knows the same token.
    Attested {
        /// The [`PeerReply`], encoded.
        reply: Vec<u8>,
        /// HMAC-SHA256, see [`Attested::reply_message`].
        mac: [u8; 32],
    },
}

/// Why a peer's request was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum PeerRefusal {
    /// It is not known whose session the request came on.
    #[error("the caller is not known")]
    NoCaller,
    /// A ballot is its owner's alone.
    #[error("{caller} asked under ballot {ballot}, which is not its own")]
    OthersBallot {
        /// Who asked.
        caller: AgentId,
        ballot: Ballot,
    },
    /// An order without a proof.
    #[error(
        "an order must carry the proof of an operator's token; send it to an agent's API, and run \
         the same version on all agents"
    )]
    NoProof,
    /// The proof is not one that this agent can confirm.
    #[error(
        "the proof does not match any token of this agent: all agents need the same api.token_file"
    )]
    WrongProof,
    /// This agent has no token to check proofs by.
    #[error("this agent can't check proofs: {0}")]
    NoToken(String),
    /// Sent too long ago, or in the future.
    #[error(
        "the order was sent {0} s ago by the sender's clock; the limit is {MAX_AGE_S} s either \
         way: check both clocks"
    )]
    Stale(i64),
    /// The same order came before.
    #[error("the order was received before")]
    Replayed,
}

/// An order is taken this long after it was sent, and this long before, seconds.
pub const MAX_AGE_S: u64 = 2 * 3_600;

impl PeerRefusal {
    /// Every word that [`Self::reason`] can say.
    pub const REASONS: [&str; 7] = [
        "no-caller",
        "others-ballot",
        "no-proof",
        "wrong-proof",
        "no-token",
        "stale-order",
        "replayed-order",
    ];

    /// The word for it, as in metric labels.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoCaller => "no-caller",
            Self::OthersBallot { .. } => "others-ballot",
            Self::NoProof => "no-proof",
            Self::WrongProof => "wrong-proof",
            Self::NoToken(_) => "no-token",
            Self::Stale(_) => "stale-order",
            Self::Replayed => "replayed-order",
        }
    }
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
        model: ModelName,
        version: VersionName,
    },
    /// Send these byte ranges of one file, back to back.
    Ranges {
        model: ModelName,
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
