//! The mesh: QUIC connections between agents, who is at their other end, and what travels on them.

pub mod actor;
pub mod ca;
mod caller;
mod connection;
mod dial;
pub mod endpoint;
pub mod handle;
pub mod links;
pub mod membership;
pub mod metrics;
pub mod node;
pub mod rpc;
pub mod tls;
