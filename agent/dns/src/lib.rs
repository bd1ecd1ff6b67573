//! DNS of the mesh: its authoritative server, the providers whose zones it writes, and a resolver
//! for other names.
//!
//! Every agent answers for the zone from the last committed plan. Committed plans arrive on a watch
//! channel; [`zone`] compiles each into an immutable snapshot, which the server reads without a
//! lock. Disconnected from the mesh, the server continues with the last plan; before the first plan
//! it answers all configured regions. It is not recursive and refuses zone transfers. `serving`
//! keeps an address unless `traffic.when_all_down` asks for none once every region has failed.
//!
//! From the socket inwards: [`udp`] and [`tcp`] receive, [`wire`] turns a query into an answer
//! ([`fast`] where it can, else [`answer`]), [`limits`] decides whether it is sent, [`cookies`]
//! which clients are exempt.
//!
//! The agent passes in [`DnsArguments`] and [`DnsChannels`]; the crate reads nothing else of it.

mod answer;
mod arguments;
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
mod resolver;
mod secrets;
mod server;
mod shared;
mod stall_detector;
mod stalls;
mod tcp;
mod udp;
mod wire;
mod zone;

pub use arguments::{DnsArguments, DnsChannels};
pub use config::{
    CheckProtocol, Config, CookieConfig, HealthCheckConfig, NetworkConfig, RateLimitConfig,
    RecordKind, Region, Route53Config, Settings, Traffic, WhenAllDown,
};
pub use error::DnsError;
pub use known_plan::restrict_plan;
pub use metrics::DnsMetrics;
pub use providers::{
    Difference, DnsProvider, OnProgress, Preview, Propagation, ProviderError, Published, Receipt,
    configured, first_plan,
};
pub use resolver::{ResolveError, Resolver};
pub use server::{DnsServer, run};

/// Amazon Route 53, for callers with their own API client.
pub mod route53 {
    pub use crate::providers::{
        metrics::ProviderMetrics,
        route53::{Route53, api::Timeouts, client},
    };
}

/// Answering packets without sockets.
pub mod packet {
    pub use crate::{
        cookies::Secrets,
        fast::respond as respond_fast,
        wire::{
            QUERY_LIMIT,
            format::UDP_PAYLOAD,
            reply::{QueryContext, Reply, Transport},
            respond, respond_generally,
        },
        zone::Zone,
    };
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
