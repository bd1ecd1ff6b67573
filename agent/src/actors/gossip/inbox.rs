//! What the mesh passes on, as messages to the core actor.

use crate::{actors::messages::CoreMessage, address::Address};
use async_trait::async_trait;
use regionmesh_core::gossip::{ExchangeError, Input};
use regionmesh_mesh::{GossipInbox, PeerError};
use regionmesh_protocol::{
    identity::AgentId,
    status::{Links, StatusEntry},
};
use std::time::Duration;

// Messages to the actor are lost while it is being restarted; the mesh allows for that.
#[async_trait]
impl GossipInbox for Address<CoreMessage> {
    fn link_up(&self, peer: &AgentId) {
        let _ = self.cast(CoreMessage::input(Input::LinkUp(peer.clone())));
    }

    fn link_down(&self, peer: &AgentId) {
        let _ = self.cast(CoreMessage::input(Input::LinkDown(peer.clone())));
    }

    fn datagram(&self, from: AgentId, payload: Vec<u8>) {
        let _ = self.cast(CoreMessage::Datagram { from, payload });
    }

    async fn exchange(
        &self,
        from: &AgentId,
        request: Vec<u8>,
        timeout: Duration,
    ) -> Option<Vec<u8>> {
        let from = from.clone();
        let ask = |reply| CoreMessage::Exchange {
            from,
            request,
            reply,
        };

        self.call(ask, timeout).await.ok()
    }

    fn certificate_reloaded(&self) {
        let _ = self.cast(CoreMessage::input(Input::CertificateReloaded));
    }

    fn publish(&self, links: Links) {
        let _ = self.cast(CoreMessage::publish(StatusEntry::Links(links)));
    }
}

/// Why an exchange failed, for gossip.
pub(super) fn exchange_error(error: PeerError) -> ExchangeError {
    let outcome = match error {
        PeerError::NotConnected(_) => "not_connected",
        PeerError::Busy(_) => "busy",
        PeerError::TimedOut(..) => "timed_out",
        PeerError::Broken(..) => "broken",
        PeerError::Malformed(..) => "malformed",
    };

    ExchangeError {
        outcome,
        error: error.to_string(),
    }
}
