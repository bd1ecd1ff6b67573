//! Why the DNS server can't run.

use regionmesh_runtime::describe::io_error;
use std::{io, net::SocketAddr, path::PathBuf};

/// Why the DNS server can't run.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// The address can't be listened on.
    #[error("DNS can't listen on {address}/{transport}: {}; \
        {}", io_error(.source), bind_advice(.source))]
    Bind {
        /// `listen.dns` of the configuration.
        address: SocketAddr,
        /// `udp` or `tcp`.
        transport: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// The secrets of the cookies can't be read.
    #[error("dns.cookies.secret_file {path}: {why}")]
    Secrets {
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A worker's thread could not be started, or ended.
    #[error("a DNS worker {0}; restarting all workers")]
    Worker(String),
    /// A name of the zone would be longer than DNS allows.
    #[error(
        "{name:?} can't be a name in DNS ({why}): shorten dns.zone, the region's name, or give \
            dns.name_servers"
    )]
    Name {
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
