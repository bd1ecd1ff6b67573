//! The mesh's configuration.

use regionmesh_protocol::identity::RegionName;
use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, path::PathBuf};

/// Certificates, PEM files; read again when they change.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// Certificates of the authorities that the mesh trusts.
    pub ca: PathBuf,
    /// This agent's certificate chain, leaf first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Where an agent listens and what it stays connected to.
#[derive(Debug, Clone)]
pub struct Settings {
    /// QUIC, UDP: `listen.mesh`.
    pub listen: SocketAddr,
    /// Every region of the mesh, our own included.
    pub regions: Vec<RegionEndpoint>,
    /// `host:port` of the other agents of our region, or of a headless service that lists them.
    pub local_peers: Vec<String>,
}

/// Where a region's agents are reached.
#[derive(Debug, Clone)]
pub struct RegionEndpoint {
    pub name: RegionName,
    /// `host:port`, a load balancer or one agent.
    pub endpoint: String,
}

impl Settings {
    /// Every fault, as `place: what is wrong`.
    pub fn faults(&self) -> Vec<String> {
        let regions = self.regions.iter().map(|region| {
            (
                format!("regions.{}.endpoint", region.name),
                &region.endpoint,
            )
        });
        let peers = self
            .local_peers
            .iter()
            .map(|peer| ("local_peers".to_owned(), peer));

        regions
            .chain(peers)
            .filter(|(_, address)| !is_host_port(address))
            .map(|(place, address)| format!("{place}: {address:?} is not host:port"))
            .collect()
    }
}

/// Whether a text is `host:port`.
pub fn is_host_port(text: &str) -> bool {
    text.rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_malformed_address_is_reported() {
        let region = |name: &str, endpoint: &str| RegionEndpoint {
            name: name.parse().unwrap(),
            endpoint: endpoint.into(),
        };
        let settings = Settings {
            listen: ([127, 0, 0, 1], 7443).into(),
            regions: vec![
                region("a", "a.example.org:7443"),
                region("b", "b.example.org"),
                region("c", "[::1]:70000"),
            ],
            local_peers: vec!["[::1]:7443".into(), ":7443".into()],
        };

        assert_eq!(
            settings.faults(),
            [
                "regions.b.endpoint: \"b.example.org\" is not host:port",
                "regions.c.endpoint: \"[::1]:70000\" is not host:port",
                "local_peers: \":7443\" is not host:port",
            ]
        );
    }
}
