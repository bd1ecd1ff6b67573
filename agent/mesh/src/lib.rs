//! Connections between agents: identity and transport.
//!
//! An agent has one UDP port and one [`Identity`]. Its [`MeshActor`] accepts and dials QUIC
//! connections with mutual TLS and redials indefinitely; the [`Mesh`] handle calls peers, exchanges
//! status boards with them and opens bulk streams. What comes in goes to the traits that the agent
//! hands in: [`GossipInbox`], [`PeerService`] (through the [`PeerActor`]) and [`BulkService`].

mod actor;
mod ca;
mod connection;
mod dial;
mod endpoint;
mod handle;
mod link_publisher;
mod links;
mod metrics;
mod published;
mod reach;
mod regions;
mod sessions;
mod settings;
mod tls;

pub use actor::MeshActor;
pub use ca::{CA_CERTIFICATE, CA_KEY, CaError, IssuedPaths, init_authority, issue_certificate};
pub use endpoint::transport_config;
pub use handle::{BulkService, GossipInbox, GossipTransport, Peer, PeerError, PeerService, Peers};
pub use links::{Mesh, MeshArguments};
pub use metrics::MeshMetrics;
pub use published::LinkInfo;
pub use sessions::{PeerActor, PeerArguments};
pub use settings::{RegionEndpoint, Settings, TlsConfig, is_host_port};
pub use tls::{Identity, IdentityError, crypto_provider};
