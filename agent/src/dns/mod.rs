//! The mesh's own authoritative DNS: every agent answers for the zone from the last committed plan.
//!
//! A watch cell of committed plans goes in; [`zone::Zone`] compiles each into an immutable
//! snapshot, which the server reads without a lock. The server never withdraws: cut off from the
//! mesh, it goes on answering the last plan, and before the first plan it answers all regions of
//! the configuration. It never resolves for others, never transfers the zone and never answers
//! `serving` with nothing.
//!
//! From the socket inwards: [`udp`] and [`tcp`] receive, [`wire`] makes a packet of a packet
//! ([`fast`] where it can, else [`answer`]), [`limits`] decides whether it is sent, [`cookies`] who
//! is beyond suspicion.

pub mod answer;
mod batch;
pub mod cookies;
mod counters;
pub mod distances;
pub mod fast;
pub mod limits;
pub mod metrics;
pub mod nearness;
pub mod providers;
mod pulse;
pub mod server;
mod tcp;
mod udp;
pub mod wire;
pub mod zone;

use crate::{config::Config, snapshots::Snapshots};
use metrics::DnsMetrics;
use regionmesh_core::gossip::BoardView;
use regionmesh_protocol::plan::CommittedPlan;
use std::{io, net::SocketAddr, sync::Arc};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What the DNS server needs.
#[derive(Debug, Clone)]
pub struct DnsArguments {
    /// The agent's configuration: where to listen, the zone, the regions.
    pub config: Arc<Config>,
    /// The last committed plan, as this agent knows it.
    pub plan: watch::Receiver<Option<Arc<CommittedPlan>>>,
    /// What agents measure of each other's regions.
    pub board: watch::Receiver<Arc<BoardView>>,
    /// Counters; made once per registry, so that a restarted server goes on counting.
    pub metrics: DnsMetrics,
}

/// Why the DNS server can't run.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// The address can't be listened on.
    #[error("DNS can't listen on {address}/{transport}: {}; \
        {}", regionmesh_runtime::describe::io_error(.source), bind_advice(.source))]
    Bind {
        /// `listen.dns` of the configuration.
        address: SocketAddr,
        /// `udp` or `tcp`.
        transport: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// The cookies' secrets can't be had.
    #[error("dns.cookies.secret_file {path}: {why}")]
    Secrets {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A worker's thread could not be started, or ended.
    #[error("a DNS worker {0}; all are started again")]
    Worker(String),
    /// A name of the zone would be longer than DNS allows.
    #[error(
        "{name:?} can't be a name in DNS ({why}): shorten dns.zone, the region's name, or give \
            dns.name_servers"
    )]
    Name {
        /// The name.
        name: String,
        /// The rule that it breaks.
        why: String,
    },
}

fn bind_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "stop what listens there, or change listen.dns",
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need the capability CAP_NET_BIND_SERVICE"
        }
        io::ErrorKind::AddrNotAvailable => "give an address of this machine as listen.dns",
        _ => "check listen.dns",
    }
}

/// Binds and serves until `stop`, as `snapshots` say: what to answer while the plan is frozen, and
/// when a plan is heard again after the process stood still. Binding failures are returned;
/// afterwards nothing from outside ends it.
pub async fn run(
    arguments: DnsArguments,
    snapshots: &Snapshots,
    stop: CancellationToken,
) -> Result<(), DnsError> {
    server::DnsServer::bind(arguments)
        .await?
        .guided_by(snapshots)
        .serve(stop)
        .await
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
