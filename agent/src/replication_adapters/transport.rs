//! The mesh as replication's transport.

use async_trait::async_trait;
use regionmesh_mesh::{LinkInfo, Mesh, Peer, PeerError, Peers};
use regionmesh_protocol::{
    identity::AgentId,
    wire::{PeerReply, PeerRequest},
};
use regionmesh_replication::{BulkReceive, BulkSend, STALL, Transport};
use std::{collections::BTreeMap, io, sync::Arc, time::Duration};
use tokio::sync::watch;

/// The mesh as a transport.
pub(crate) struct MeshTransport {
    /// Opens bulk streams.
    pub(crate) mesh: Mesh,
    /// Sends calls.
    pub(crate) peers: Arc<dyn Peers>,
    /// The current connections.
    pub(crate) links: watch::Receiver<Arc<BTreeMap<AgentId, LinkInfo>>>,
}

#[async_trait]
impl Transport for MeshTransport {
    fn connected(&self) -> Vec<AgentId> {
        self.links.borrow().keys().cloned().collect()
    }

    async fn open(&self, to: &AgentId) -> io::Result<(BulkSend, BulkReceive)> {
        let opened = tokio::time::timeout(STALL, self.mesh.open_bulk(to))
            .await
            .unwrap_or_else(|_| Err(PeerError::TimedOut(Peer::Agent(to.clone()), STALL)));
        let (send, receive) = opened.map_err(io::Error::other)?;

        Ok((Box::new(send), Box::new(receive)))
    }

    async fn call(
        &self,
        to: &AgentId,
        request: PeerRequest,
        timeout: Duration,
    ) -> io::Result<PeerReply> {
        self.peers
            .call(&Peer::Agent(to.clone()), request, timeout)
            .await
            .map_err(io::Error::other)
    }
}
