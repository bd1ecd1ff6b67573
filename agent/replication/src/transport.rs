//! Access to other agents.

use async_trait::async_trait;
use regionmesh_protocol::{
    identity::AgentId,
    wire::{PeerReply, PeerRequest},
};
use std::{io, time::Duration};
use tokio::io::{AsyncRead, AsyncWrite};

/// The sending half of a bulk stream.
pub type BulkSend = Box<dyn AsyncWrite + Send + Unpin>;
/// The receiving half of a bulk stream.
pub type BulkReceive = Box<dyn AsyncRead + Send + Unpin>;

/// What replication needs from the mesh. QUIC in production, in memory in tests.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// The agents that this one is connected to.
    fn connected(&self) -> Vec<AgentId>;

    /// Opens a bulk stream to a connected agent, within [`crate::STALL`].
    async fn open(&self, to: &AgentId) -> io::Result<(BulkSend, BulkReceive)>;

    /// Sends `request` to a connected agent and waits for the answer, at most `timeout`.
    async fn call(
        &self,
        to: &AgentId,
        request: PeerRequest,
        timeout: Duration,
    ) -> io::Result<PeerReply>;
}
