//! DNS of the mesh: its authoritative server, the providers whose zones the mesh keeps, and a
//! resolver for other names.
//!
//! Every agent answers for the zone from the last committed plan. A watch cell of committed plans
//! goes in; [`zone`] compiles each into an immutable snapshot, which the server reads without a
//! lock. The server never withdraws: cut off from the mesh, it goes on answering the last plan, and
//! before the first plan it answers all regions of the configuration. It never resolves for others,
//! never transfers the zone and never answers `serving` with nothing.
//!
//! From the socket inwards: [`udp`] and [`tcp`] receive, [`wire`] makes a packet of a packet
//! ([`fast`] where it can, else [`answer`]), [`limits`] decides whether it is sent, [`cookies`] who
//! is beyond suspicion.
//!
//! The agent hands in [`DnsArguments`] and [`Guide`]; the crate reads nothing else of it.

mod answer;
mod batch;
mod config;
mod cookies;
mod counters;
mod distances;
mod error;
mod fast;
mod known_plan;
mod limits;
mod metrics;
mod nearness;
mod providers;
mod pulse;
mod resolver;
mod secrets;
mod server;
mod service;
mod tcp;
mod udp;
mod wire;
mod zone;

pub use config::{
    CheckProtocol, Config, CookieConfig, HealthCheckConfig, NetworkConfig, RateLimitConfig,
    RecordKind, Region, Route53Config, Settings, Traffic, WhenAllDown,
};
pub use error::DnsError;
pub use known_plan::{restrict_plan, unknown_addresses};
pub use metrics::DnsMetrics;
pub use providers::{
    Difference, DnsProvider, Outlook, ProviderError, Published, Receipt, Settled, Tell, configured,
    first_plan,
};
pub use resolver::{ResolveError, Resolver};
pub use server::DnsServer;
pub use service::{DnsArguments, Guide, run};

/// Amazon Route 53, for callers that bring their own API client.
pub mod route53 {
    pub use crate::providers::{
        metrics::ProviderMetrics,
        route53::{Route53, api::Timeouts, client},
    };
}

/// Answers a packet without sockets.
pub mod packet {
    pub use crate::{
        answer::UDP_PAYLOAD,
        cookies::Secrets,
        fast::respond as respond_fast,
        wire::{Asker, QUERY_LIMIT, Reply, Transport, respond, respond_generally},
        zone::Zone,
    };
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
