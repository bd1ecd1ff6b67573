//! Links to other regions, as [`Reach`](super::reach::Reach) says who holds them.

use super::{
    handle::Peer,
    links::{Inner, Mesh},
    reach::Wanted,
};
use quinn::{Connection, ConnectionError, VarInt};
use rand::seq::IteratorRandom;
use regionmesh_protocol::{
    codec,
    identity::{AgentId, RegionName},
    wire::Envelope,
};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// QUIC application error code: other agents of the region hold its links. The reason names their
/// addresses.
pub(crate) const SENT_ON: VarInt = VarInt::from_u32(2);
/// Most addresses of one reason that are dialled.
const ADDRESSES_MAX: usize = 4;
/// How long a call waits for a link to its region.
const LINK_TIMEOUT: Duration = Duration::from_secs(3);

/// Adopts the gateways of this agent's region whenever they change.
pub(crate) async fn follow_gateways(mesh: Mesh) {
    let inner = &mesh.inner;
    let mut gateways = inner.gateways.clone();
    gateways.mark_changed();
    while gateways.changed().await.is_ok() {
        let gateways = gateways.borrow_and_update().clone();
        let is_gateway = gateways.is_own;
        let regions = inner.settings.regions.iter().map(|region| &region.name);
        let was_gateway = inner.is_gateway();
        inner.reach.lock().set(gateways, regions, Instant::now());

        inner.metrics.gateway.set(i64::from(is_gateway));
        if is_gateway != was_gateway {
            tracing::info!(
                is_gateway,
                "whether this agent holds links to other regions changed"
            );
        }
        inner.publish();
    }
}

impl Inner {
    pub(crate) fn wanted(&self, region: &RegionName) -> Wanted {
        self.reach.lock().wanted(region, Instant::now())
    }

    pub(crate) fn is_gateway(&self) -> bool {
        self.reach.lock().gateways().is_own
    }

    /// Whether to keep a connection that an agent opened; one that is not kept is closed.
    pub(crate) fn keeps(&self, peer: &AgentId, connection: &Connection) -> bool {
        if peer.region == self.id.region {
            return true;
        }
        let addresses = self.gateway_addresses();
        // Without an address to name, the agent would come back anyway.
        if addresses.is_empty() || self.reach.lock().accepts(peer, Instant::now()) {
            return true;
        }

        tracing::debug!(%peer, addresses, "sent on to the gateways of this region");
        connection.close(SENT_ON, addresses.as_bytes());
        false
    }

    /// Closes the connections to a region that are neither wanted here nor insisted on there.
    pub(crate) fn close_unwanted(&self, region: &RegionName) {
        let addresses = self.gateway_addresses();
        for (peer, connection) in self.connections(|peer| peer.region == *region) {
            if !self.reach.lock().may_stay(&peer) {
                connection.close(SENT_ON, addresses.as_bytes());
            }
        }
    }

    /// Addresses of the connected gateways of this region, separated by spaces.
    fn gateway_addresses(&self) -> String {
        let gateways = self.connected_gateways().into_iter();
        let addresses = gateways.map(|connection| connection.remote_address().to_string());
        addresses.collect::<Vec<_>>().join(" ")
    }

    /// The connections to the gateways of this region.
    fn connected_gateways(&self) -> Vec<Connection> {
        let gateways = self.reach.lock().gateways().clone();
        let others = gateways.others.iter();
        others.filter_map(|agent| self.newest(agent)).collect()
    }

    /// Sends an envelope straight to its member or to an agent of the member's region, which relays
    /// it; without a link to that region, through a gateway of our own.
    pub(crate) fn post(&self, envelope: &Envelope) {
        let is_abroad = envelope.to.region != self.id.region;
        let any_gateway = || {
            let gateways = self.connected_gateways().into_iter();
            gateways.filter(|_| is_abroad).choose(&mut rand::rng())
        };
        self.send(self.towards(&envelope.to).or_else(any_gateway), envelope);
    }

    /// Passes on an envelope of another agent.
    pub(crate) fn relay(&self, envelope: &Envelope) {
        let connection = self.towards(&envelope.to);
        if connection.is_some() {
            self.metrics.datagrams.with_label_values(&["relayed"]).inc();
        }
        self.send(connection, envelope);
    }

    /// The connection to an agent, or to one of its region if that is another.
    fn towards(&self, to: &AgentId) -> Option<Connection> {
        let is_abroad = to.region != self.id.region;
        let nearest = || self.nearest(&to.region).filter(|_| is_abroad);
        self.newest(to)
            .or_else(|| nearest().map(|(_, connection)| connection))
    }

    fn send(&self, connection: Option<Connection>, envelope: &Envelope) {
        let outcome = match (connection, codec::encode(envelope)) {
            (Some(connection), Ok(bytes)) => connection
                .send_datagram(bytes.into())
                .map_or("unsendable", |()| "sent"),
            _ => "unsendable",
        };

        self.metrics.datagrams.with_label_values(&[outcome]).inc();
    }

    /// The agent to call. Waits for a link to a region that only its gateways are linked with.
    pub(crate) async fn reach(&self, to: &Peer, timeout: Duration) -> Option<AgentId> {
        let region = match to {
            Peer::Region(region) if *region != self.id.region => region,
            _ => return self.target(to),
        };

        if self.is_gateway() {
            return self.target(to);
        }
        self.reach.lock().need(region, Instant::now());
        if let Some(agent) = self.target(to) {
            return Some(agent);
        }

        let mut sessions = self.sessions.watch();
        self.wake_diallers();
        let linked = async {
            loop {
                if let Some(agent) = self.target(to) {
                    return Some(agent);
                }
                sessions.changed().await.ok()?;
            }
        };
        tokio::time::timeout(timeout.min(LINK_TIMEOUT), linked)
            .await
            .ok()?
    }
}

/// The addresses to dial instead, if a connection was closed with them.
pub(crate) fn sent_on(connection: &Connection) -> Option<Vec<SocketAddr>> {
    match connection.close_reason()? {
        ConnectionError::ApplicationClosed(close) if close.error_code == SENT_ON => {
            let reason = std::str::from_utf8(&close.reason).unwrap_or_default();
            let addresses = reason.split(' ').filter_map(|word| word.parse().ok());
            Some(addresses.take(ADDRESSES_MAX).collect())
        }
        _ => None,
    }
}
