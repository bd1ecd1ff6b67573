//! The agent's configuration: one TOML file, one struct per table, all faults reported together.
//!
//! Doc comments, ranges and defaults of settings are defined once, on the structs: they are what
//! [`form`] checks and what docs/reference/settings.md is generated from.

mod alerts;
mod cost;
mod dns;
mod environment;
mod faults;
#[cfg(test)]
#[allow(clippy::panic)]
pub(crate) mod fixture;
mod form;
mod health;
mod leader;
mod mesh;
mod reading;
pub mod schema;

pub use alerts::{AlertsConfig, ReceiverConfig, ReceiverKind};
pub use cost::{CostConfig, ExportConfig, NodesConfig, OptimiserConfig};
pub use health::{HealthConfig, InferenceConfig, ProbeKind};
use regionmesh_core::{planning::Strategy, recovery::ramp::RecoveryPolicy};
use regionmesh_dns::{NetworkConfig, WhenAllDown};
use regionmesh_mesh::TlsConfig;
use regionmesh_protocol::{
    identity::{AgentName, MeshName, RegionName},
    plan::FULL_WEIGHT_BP,
};
use regionmesh_runtime::logging::LogConfig;
use regionmesh_serving::ServingConfig;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

/// The settings of an agent.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The mesh; the trust domain of its certificates: labels of `a-z`, `0-9` and `-`, separated by
    /// dots.
    pub mesh: MeshName,
    /// The region that this agent runs in, as in its certificate.
    pub region: RegionName,
    /// This agent's name in its region, as in its certificate.
    pub agent: AgentName,
    /// Folder for disposable data, such as partially received models.
    pub data_dir: PathBuf,
    /// Certificates, PEM files. They are read again when they change.
    pub tls: TlsConfig,
    /// Addresses to listen on. Each port is needed once per protocol.
    pub listen: ListenConfig,
    /// Every region of the mesh, this one included.
    pub regions: Vec<RegionConfig>,
    /// `host:port` of the other agents of this region, or of a headless service that lists them.
    #[serde(default)]
    pub local_peers: Vec<String>,
    /// The region's [object store](../how-to/use-a-bucket.md).
    pub store: regionmesh_store::Settings,
    /// Store of a further acceptor of the register, needed with an [even number of
    /// regions](../how-to/run-two-regions.md).
    #[serde(default)]
    pub witness: Option<regionmesh_store::Settings>,
    /// The zone that this mesh is authoritative for.
    #[serde(default)]
    pub dns: regionmesh_dns::Settings,
    /// Probing of endpoints.
    #[serde(default)]
    pub health: HealthConfig,
    /// Distribution of traffic.
    #[serde(default)]
    pub traffic: TrafficConfig,
    /// The return of a failed region: a cool-down, then a ramp.
    #[serde(default)]
    pub recovery: RecoveryPolicy,
    /// Replication of models.
    #[serde(default)]
    pub replication: regionmesh_replication::Settings,
    /// The embedded model server.
    #[serde(default)]
    pub serving: ServingConfig,
    /// The HTTP API.
    #[serde(default)]
    pub api: ApiConfig,
    /// Receivers of events and alerts: [Route alerts](../how-to/route-alerts.md).
    #[serde(default)]
    pub alerts: AlertsConfig,
    /// Bills and budgets.
    #[serde(default)]
    pub cost: CostConfig,
    /// Log output.
    #[serde(default)]
    pub log: LogConfig,
}

/// Addresses to listen on.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenConfig {
    /// Other agents: QUIC, UDP.
    #[schemars(extend("format" = "socket-address"))]
    pub mesh: SocketAddr,
    /// DNS, UDP and TCP.
    #[schemars(extend("format" = "socket-address"))]
    pub dns: SocketAddr,
    /// API and metrics, TCP.
    #[schemars(extend("format" = "socket-address"))]
    pub api: SocketAddr,
    /// The embedded model server, TCP; used only with `serving.embedded`.
    #[schemars(extend("format" = "socket-address"))]
    pub serving: SocketAddr,
}

/// One region of the mesh.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegionConfig {
    /// Its name, a DNS label: 1 to 63 of `a-z`, `0-9` and `-`; not `witness`.
    pub name: RegionName,
    /// `host:port` at which other agents reach it: a load balancer or one agent.
    pub endpoint: String,
    /// URL for users and probes: `http://host:port`, `https://host:port` or `tcp://host:port`.
    pub serving_url: String,
    /// Its addresses in DNS answers; empty: the host of `serving_url`, which must then be an
    /// address.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// Its share of traffic relative to the others (strategy `weighted`), basis points; 0: standby.
    #[serde(default = "full_weight")]
    #[schemars(range(max = FULL_WEIGHT_BP))]
    pub weight_bp: u16,
    /// Its priority (strategy `active-passive`): the healthy region with the lowest one serves.
    #[serde(default)]
    pub priority: u16,
    /// Capacity, requests per second: automation moves no more load there than the spare capacity
    /// divided by 1.1. Default: unlimited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_rps: Option<u32>,
    /// The cloud that it is in: models are preferably copied within a cloud.
    #[serde(default = "local_cloud")]
    pub cloud: String,
    /// Its name on the cloud's bills, such as `europe-west1`. Default: derived from `name`, which
    /// is the cloud's name for it or that of an AWS region in the same place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing_region: Option<String>,
    /// Its nodes, for live cost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodesConfig>,
}

fn full_weight() -> u16 {
    FULL_WEIGHT_BP
}

fn local_cloud() -> String {
    "local".into()
}

/// Distribution of traffic.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrafficConfig {
    /// How traffic is shared between healthy regions.
    pub strategy: Strategy,
    /// Share of a suspect region, percent of its normal weight.
    #[schemars(range(max = 100))]
    pub suspect_percent: u8,
    /// Number of regions that automation may take out together; others that fail keep a suspect
    /// region's share. 0: automation only cuts shares. 1: if two regions seem to fail together, the
    /// observers are more likely at fault, or an overload that moves with the users.
    pub max_out: u16,
    /// Whether a region without `capacity_rps` is limited to an estimate of its capacity. Off: the
    /// estimate is on the low side and can keep users on a failing region.
    pub measured_capacity: bool,
    /// Whether the leader prefers cheaper regions: it moves at most 20 % of the traffic, 5 points
    /// every 15 minutes, while every region serves and no order is in force. Needs prices and
    /// capacities, declared or measured; not possible with `active-passive`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = Self::default().cost))]
    pub cost: bool,
    /// DNS answers while the verdict on every region is failed.
    #[serde(skip_serializing_if = "WhenAllDown::is_default")]
    #[schemars(extend("default" = Self::default().when_all_down))]
    pub when_all_down: WhenAllDown,
    /// The nearest regions of clients, by network (strategy `latency`). The most specific network
    /// that matches a client applies.
    pub networks: Vec<NetworkConfig>,
}

impl Default for TrafficConfig {
    fn default() -> Self {
        Self {
            strategy: Strategy::Weighted,
            suspect_percent: 10,
            max_out: 1,
            measured_capacity: false,
            cost: false,
            when_all_down: WhenAllDown::Last,
            networks: Vec::new(),
        }
    }
}

/// The HTTP API.
#[derive(Debug, Clone, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ApiConfig {
    /// File with the bearer tokens that changes of state need, one `[NAME] TOKEN` a line; without
    /// it, changes are refused.
    pub token_file: Option<PathBuf>,
    /// Host names that the API accepts in addition to addresses, `localhost` and the names in this
    /// file; `.example.org`: every name below `example.org`. Other names are refused, so that no
    /// web page can read the API by DNS rebinding.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read {path}: {error}")]
    Unreadable {
        path: PathBuf,
        /// The system's reason.
        error: std::io::Error,
    },
    /// Not TOML.
    #[error("{path}: {error}")]
    Malformed {
        path: PathBuf,
        /// Where and why.
        error: Box<toml::de::Error>,
    },
    /// Unknown or missing fields, or values of the wrong type or out of range.
    #[error("{path} has {} fault(s):\n  - {}", faults.len(), faults.join("\n  - "))]
    Faulty {
        path: PathBuf,
        /// Every fault found.
        faults: Vec<String>,
    },
}

impl Config {
    /// This agent's identity.
    pub fn id(&self) -> regionmesh_protocol::identity::AgentId {
        regionmesh_protocol::identity::AgentId {
            region: self.region.clone(),
            agent: self.agent.clone(),
        }
    }

    /// The cloud that each region is in.
    pub fn clouds(&self) -> BTreeMap<RegionName, String> {
        let cloud = |region: &RegionConfig| (region.name.clone(), region.cloud.clone());
        self.regions.iter().map(cloud).collect()
    }

    /// The entry of a region.
    pub fn region(&self, name: &RegionName) -> Option<&RegionConfig> {
        self.regions.iter().find(|region| &region.name == name)
    }
}

impl RegionConfig {
    /// The region's addresses in DNS answers: `addresses`, or else the address in `serving_url`.
    pub fn dns_addresses(&self) -> Vec<IpAddr> {
        if !self.addresses.is_empty() {
            return self.addresses.clone();
        }
        self.serving_host()
            .and_then(|host| host.parse().ok())
            .into_iter()
            .collect()
    }

    fn serving_host(&self) -> Option<String> {
        let uri: http::Uri = self.serving_url.parse().ok()?;
        uri.host()
            .map(|host| host.trim_matches(['[', ']']).to_owned())
    }
}

#[cfg(test)]
mod tests;
