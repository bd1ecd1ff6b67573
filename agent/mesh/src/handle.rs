//! The mesh's interface for the rest of the agent.

use async_trait::async_trait;
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    status::Links,
    wire::{PeerReply, PeerRequest},
};
use std::{fmt, time::Duration};

/// The receiver of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// This agent, if we are connected to it.
    Agent(AgentId),
    /// Any connected agent of the region.
    Region(RegionName),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Agent(agent) => write!(f, "agent {agent}"),
            Peer::Region(region) => write!(f, "region {region}"),
        }
    }
}

/// Why a call to a peer failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// No connection to that peer; it is being redialled.
    #[error("{0} is not connected")]
    NotConnected(Peer),
    /// Too many calls to the peer are in flight.
    #[error("{0} has too many calls in flight")]
    Busy(Peer),
    /// No answer in time. The request may have been carried out.
    #[error("{0} did not answer within {1:?}")]
    TimedOut(Peer, Duration),
    /// The connection broke; the request may have been carried out.
    #[error("the connection to {0} broke: {1}")]
    Broken(Peer, String),
    /// The answer could not be decoded, or the request was too large to send.
    #[error("{0}: {1}")]
    Malformed(Peer, String),
}

/// Calls other agents: over ractor_cluster in production, over a scripted network in tests.
#[async_trait]
pub trait Peers: Send + Sync + 'static {
    /// Sends `request` and waits for the answer, at most `timeout`.
    async fn call(
        &self,
        to: &Peer,
        request: PeerRequest,
        timeout: Duration,
    ) -> Result<PeerReply, PeerError>;
}

/// Answers peers' calls to our actors.
#[async_trait]
pub trait PeerService: Send + Sync + 'static {
    /// Answers one request of `caller`, the agent in the connection's certificate, within a few
    /// seconds.
    async fn answer(&self, caller: &AgentId, request: PeerRequest) -> PeerReply;

    /// The answer to a request that can't be decoded or whose caller is unknown.
    fn refuse(&self, caller: Option<&AgentId>, why: &str) -> PeerReply;
}

/// Serves one stream of a peer's bulk connection.
#[async_trait]
pub trait BulkService: Send + Sync + 'static {
    /// Reads a `BulkRequest` and answers it; the mesh logs and counts the error and drops the
    /// stream.
    async fn serve(
        &self,
        from: AgentId,
        send: quinn::SendStream,
        recv: quinn::RecvStream,
    ) -> Result<(), String>;
}

/// Receives the mesh's messages for gossip. They are lost while the core actor restarts.
#[async_trait]
pub trait GossipInbox: Send + Sync + 'static {
    /// The mesh connected to this agent.
    fn link_up(&self, peer: &AgentId);

    /// The last connection to this agent closed.
    fn link_down(&self, peer: &AgentId);

    /// A SWIM packet arrived from this agent, as far as its region's certificate proves.
    fn datagram(&self, from: AgentId, payload: Vec<u8>);

    /// Answers a board exchange that `from` opened; none without an answer in time.
    async fn exchange(
        &self,
        from: &AgentId,
        request: Vec<u8>,
        timeout: Duration,
    ) -> Option<Vec<u8>>;

    /// The certificate was replaced: entries must be signed again.
    fn certificate_reloaded(&self);

    /// Put these connections on our status board.
    fn publish(&self, links: Links);
}

/// What gossip needs of the mesh.
#[async_trait]
pub trait GossipTransport: Send + Sync + 'static {
    /// Sends a SWIM packet, directly or through one relay of the member's region. Best effort,
    /// never blocks.
    fn send_datagram(&self, to: &AgentId, payload: Vec<u8>);
    /// One board exchange with a connected peer: a request, a reply, at most
    /// `codec::DOCUMENT_LIMIT` bytes each.
    async fn exchange(
        &self,
        to: &AgentId,
        request: Vec<u8>,
        timeout: Duration,
    ) -> Result<Vec<u8>, PeerError>;
}
