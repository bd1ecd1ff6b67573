//! The messages between two agents, and the first bytes of their streams.

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
use strum::{IntoStaticStr, VariantNames};
use thiserror::Error;

/// ALPN of control connections: protocol and version (RFC 7301).
pub const ALPN_CONTROL: &[u8] = b"regionmesh/1";
/// ALPN of bulk connections, which carry chunks only.
pub const ALPN_BULK: &[u8] = b"regionmesh-bulk/1";
/// Largest page of a catalogue, bytes: fits [`crate::codec::MESSAGE_LIMIT`] with room to spare.
pub const PAGE_MAX: usize = 512 << 10;

/// First byte of a bidirectional stream on a control connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum StreamKind {
    /// A ractor_cluster session; at most one per connection.
    Actors = 1,
    /// One board exchange: a request and a reply.
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

/// A SWIM datagram, perhaps relayed once within the member's region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The sender. Must match the certificate of the connection, except that a relay may forward
    /// for its own region.
    pub from: AgentId,
    pub to: AgentId,
    /// The SWIM packet.
    #[serde(with = "codec::bytes")]
    pub payload: Vec<u8>,
}

/// A request to a peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerRequest {
    /// For the acceptor of the peer's region.
    Acceptor(AcceptorRequest),
    /// For the peer's election.
    PreVote(PreVoteRequest),
    /// Part of the peer's encoded catalogue, from `offset` on, at most [`PAGE_MAX`] bytes.
    CataloguePage {
        /// Digest of the catalogue that earlier pages came from; none: the newest.
        digest: Option<Digest>,
        /// Where the page begins, bytes.
        offset: u64,
    },
    /// A version is visible in the caller's region and its publisher waits for the answer: does the
    /// peer's region hold, or is it about to commit, other content under that name?
    Publication(VersionSummary),
    /// For the leader: an operator's order.
    Order {
        order: Order,
        /// How often it may still be forwarded, if another agent leads.
        hops_left: u8,
    },
    /// A request with a proof that the caller knows an operator's token.
    Attested(Box<Attested>),
}

impl PeerRequest {
    /// The refusal of a request under a ballot that is not the caller's own.
    pub fn others_ballot(&self, caller: &AgentId) -> Option<PeerRefusal> {
        let ballot = match self {
            Self::Acceptor(request) => request.ballot()?,
            Self::PreVote(request) => &request.ballot,
            _ => return None,
        };

        (ballot.agent != *caller).then(|| PeerRefusal::OthersBallot {
            caller: caller.clone(),
            ballot: ballot.clone(),
        })
    }
}

/// A request with the proof of an operator's token: a certificate alone does not authorise orders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attested {
    /// The [`PeerRequest`], encoded.
    #[serde(with = "codec::bytes")]
    pub request: Vec<u8>,
    /// Who gave the order, and where; none for an agent's own requests.
    pub origin: Option<OrderOrigin>,
    /// When it was sent, the caller's clock, Unix milliseconds.
    pub sent_ms: u64,
    /// Drawn for this request: an order counts once, and an answer belongs to one request.
    pub nonce: [u8; 16],
    /// HMAC-SHA256 under a key derived from the token, see [`Attested::message`].
    pub mac: [u8; 32],
}

/// Who gave an order, as authenticated by the agent that received it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderOrigin {
    pub operator: String,
    /// The agent whose API received the order and checked the token.
    pub agent: AgentId,
}

impl Attested {
    /// The message that a request's MAC covers. It contains the caller, whom the receiver knows by
    /// its certificate: an agent that sees a request can't send it in its own name.
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

    /// The message that the MAC of the answer covers, for the request with this nonce.
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
    /// Part of the peer's encoded catalogue.
    CataloguePage {
        /// Digest of the whole catalogue, which may differ from the one asked for.
        digest: Digest,
        /// Size of the whole encoded catalogue, bytes.
        total: u64,
        #[serde(with = "codec::bytes")]
        bytes: Vec<u8>,
    },
    /// The version of the same name with other content, if there is one.
    Rival(Option<VersionSummary>),
    /// The committed plan with the order; or why there is none.
    Order(Result<CommittedPlan, OrderRefusal>),
    /// The request failed: what, where and why.
    Failed(String),
    /// The peer refuses the request.
    Refused(PeerRefusal),
    /// The answer to an [`Attested`] request, from an agent with the same token.
    Attested {
        /// The [`PeerReply`], encoded.
        #[serde(with = "codec::bytes")]
        reply: Vec<u8>,
        /// HMAC-SHA256, see [`Attested::reply_message`].
        mac: [u8; 32],
    },
}

/// Why a peer's request was refused.
#[derive(
    Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error, IntoStaticStr, VariantNames,
)]
#[strum(serialize_all = "kebab-case")]
pub enum PeerRefusal {
    /// The session of the request has no known caller.
    #[error("the caller is not known")]
    NoCaller,
    /// The ballot belongs to another agent.
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
    /// The proof does not match this agent's tokens.
    #[error(
        "the proof does not match any token of this agent: all agents need the same api.token_file"
    )]
    WrongProof,
    /// This agent has no token to check proofs with.
    #[error("this agent can't check proofs: {0}")]
    NoToken(String),
    /// Sent too long ago, or in the future.
    #[error(
        "the order was sent {0} s ago by the sender's clock; the limit is {MAX_AGE_S} s either \
         way: check both clocks"
    )]
    #[strum(serialize = "stale-order")]
    Stale(i64),
    /// The order was received before.
    #[error("the order was received before")]
    #[strum(serialize = "replayed-order")]
    Replayed,
}

/// The largest difference between the time an order was sent and the receiver's clock, seconds.
pub const MAX_AGE_S: u64 = 2 * 3_600;

impl PeerRefusal {
    /// Every word that [`Self::reason`] returns.
    pub const REASONS: &'static [&'static str] = Self::VARIANTS;

    /// The word for it, as in metric labels.
    pub fn reason(&self) -> &'static str {
        self.into()
    }
}

/// Why an order was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
pub enum OrderRefusal {
    /// The order is invalid; it will be refused again.
    #[error(transparent)]
    Wrong(#[from] OrderError),
    /// No agent can carry it out now; nothing was done.
    #[error("{0}")]
    NotNow(String),
    /// It was begun, and its outcome is unknown.
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
    /// Send these byte ranges of one file, one after the other.
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
    /// Not held here, or held with other content.
    NotHeld,
    /// Reading failed: what and why.
    Failed(String),
}
