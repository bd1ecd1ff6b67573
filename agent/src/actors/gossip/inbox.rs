//! What the mesh has for gossip, as messages to the actor.

use crate::{actors::messages::GossipMessage, address::Address};
use async_trait::async_trait;
use regionmesh_mesh::GossipInbox;
use regionmesh_protocol::{
    identity::AgentId,
    status::{Links, StatusEntry},
};
use std::time::Duration;

// While the actor is being restarted what is sent to it is lost, as the mesh knows.
#[async_trait]
impl GossipInbox for Address<GossipMessage> {
    fn link_up(&self, peer: &AgentId) {
        let _ = self.cast(GossipMessage::LinkUp(peer.clone()));
    }

    fn link_down(&self, peer: &AgentId) {
        let _ = self.cast(GossipMessage::LinkDown(peer.clone()));
    }

    fn datagram(&self, from: AgentId, payload: Vec<u8>) {
        let _ = self.cast(GossipMessage::Datagram { from, payload });
    }

    async fn exchange(
        &self,
        from: &AgentId,
        request: Vec<u8>,
        timeout: Duration,
    ) -> Option<Vec<u8>> {
        let from = from.clone();
        let ask = |reply| GossipMessage::Exchange {
            from,
            request,
            reply,
        };

        self.call(ask, timeout).await.ok()
    }

    fn certificate_reloaded(&self) {
        let _ = self.cast(GossipMessage::CertificateReloaded);
    }

    fn publish(&self, links: Links) {
        let _ = self.cast(GossipMessage::Publish(Box::new(StatusEntry::Links(links))));
    }
}
