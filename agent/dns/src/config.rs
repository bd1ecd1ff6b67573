//! What DNS is configured with: its own settings, and the part of the mesh's configuration that it
//! depends on.

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod fixture;
pub(crate) mod route53;
mod settings;

pub use route53::{CheckProtocol, HealthCheckConfig, RecordKind, Route53Config};
pub use settings::{CookieConfig, RateLimitConfig, Settings};

use ipnet::IpNet;
use regionmesh_core::planning::Strategy;
use regionmesh_protocol::{
    identity::{AgentId, MeshName, RegionName},
    plan::Plan,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

/// Everything that DNS is configured with. The agent builds it from its own configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The settings of DNS itself: `[dns]`.
    pub settings: Settings,
    /// Where to answer, UDP and TCP.
    pub listen: SocketAddr,
    /// The mesh; health checks are labelled with it.
    pub mesh: MeshName,
    /// The agent that answers.
    pub own: AgentId,
    /// Every region of the mesh.
    pub regions: Vec<Region>,
    /// How traffic is shared.
    pub traffic: Traffic,
}

/// A region, as far as DNS depends on its configuration.
#[derive(Debug, Clone)]
pub struct Region {
    pub name: RegionName,
    /// Where its agents are reached by the mesh: `host:port`.
    pub endpoint: String,
    /// Where its models are served: what DNS answers for it.
    pub addresses: Vec<IpAddr>,
    /// Its share of traffic relative to the others, basis points.
    pub weight_bp: u16,
    /// Its place in the order of an active-passive mesh; the lowest comes first.
    pub priority: u16,
}

/// How traffic is shared, as far as answers depend on it.
#[derive(Debug, Clone)]
pub struct Traffic {
    pub strategy: Strategy,
    /// What is answered while the verdict on every region is failed.
    pub when_all_down: WhenAllDown,
    /// Which regions serve which clients best (strategy `latency`).
    pub networks: Vec<NetworkConfig>,
}

/// What DNS answers while the verdict on every region is failed.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum WhenAllDown {
    /// The last shares: the observers may be at fault, and no region is better.
    #[default]
    Last,
    /// No address, so that clients fail fast.
    Empty,
}

/// Clients that are near each other, and the regions that are near to them.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// Their network: `198.51.100.0/24`, `2001:db8::/32`.
    #[schemars(with = "String", extend("format" = "network"))]
    pub cidr: IpNet,
    /// The regions, nearest first. Others follow by the latency that agents of the first region
    /// measure to them, then by weight.
    pub regions: Vec<RegionName>,
}

impl Config {
    /// Every fault of `[dns]`, as `place: what is wrong`; none where it can be used.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = self.settings.faults();
        if let Some(route53) = &self.settings.route53 {
            faults.extend(route53.faults(self));
        }

        faults
    }

    /// The entry of a region.
    pub(crate) fn region(&self, name: &RegionName) -> Option<&Region> {
        self.regions.iter().find(|region| region.name == *name)
    }
}

impl WhenAllDown {
    /// Whether a written configuration can leave it out.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the plan answers no region, since all had failed when it was made.
    pub fn withdraws(self, plan: &Plan) -> bool {
        self == Self::Empty && plan.all_failed_ms.is_some()
    }
}

impl NetworkConfig {
    /// Every fault of `traffic.networks`, as `place: what is wrong`; `regions` are all of the mesh.
    pub fn faults(networks: &[Self], regions: &BTreeSet<&RegionName>) -> Vec<String> {
        let mut faults = Vec::new();
        let mut seen = BTreeSet::new();
        for network in networks {
            let cidr = network.cidr;
            if cidr.trunc() != cidr {
                faults.push(format!(
                    "traffic.networks: {cidr} has bits beyond its prefix; {} is meant?",
                    cidr.trunc()
                ));
            }

            if !seen.insert(cidr.trunc()) {
                faults.push(format!("traffic.networks: {cidr} is listed twice"));
            }
            if network.regions.is_empty() {
                faults.push(format!("traffic.networks: {cidr} names no region"));
            }

            let unknown = network
                .regions
                .iter()
                .filter(|region| !regions.contains(region));

            faults.extend(unknown.map(|region| {
                format!("traffic.networks: {cidr} names {region}, which is no region")
            }));
        }

        faults
    }
}
