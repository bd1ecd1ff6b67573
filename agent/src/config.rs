//! The agent's configuration: one TOML file, one struct per table, all faults reported together.
//!
//! Defaults are defined here with their reasons; docs/reference/settings.md lists all settings.

mod alerts;
mod cost;
mod dns;
mod environment;
mod faults;
#[cfg(test)]
#[allow(clippy::panic)]
pub(crate) mod fixture;
mod health;
mod mesh;
mod reading;

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
    path::{Path, PathBuf},
};

/// The settings of an agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The mesh; the trust domain of every certificate in it.
    pub mesh: MeshName,
    /// The region that this agent runs in; must be the one in its certificate.
    pub region: RegionName,
    /// This agent's name in its region; must be the one in its certificate.
    pub agent: AgentName,
    /// Folder for data that may be lost, such as partially received models.
    pub data_dir: PathBuf,
    pub tls: TlsConfig,
    /// Addresses to listen on.
    pub listen: ListenConfig,
    /// Every region of the mesh, this one included; the same list in every agent.
    pub regions: Vec<RegionConfig>,
    /// `host:port` of the other agents of this region, or of a headless service that lists them.
    #[serde(default)]
    pub local_peers: Vec<String>,
    /// The region's object store.
    pub store: regionmesh_store::Settings,
    /// A further acceptor of the register, needed with an even number of regions.
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
    /// Recovery of a region that failed.
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
    /// Receivers of events and alerts.
    #[serde(default)]
    pub alerts: AlertsConfig,
    /// Bills and budgets.
    #[serde(default)]
    pub cost: CostConfig,
    #[serde(default)]
    pub log: LogConfig,
}

/// Addresses to listen on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenConfig {
    /// QUIC, UDP.
    pub mesh: SocketAddr,
    /// DNS, UDP and TCP.
    pub dns: SocketAddr,
    /// API and metrics, TCP.
    pub api: SocketAddr,
    /// The embedded model server, TCP; used only with `serving.embedded`.
    pub serving: SocketAddr,
}

/// One region of the mesh.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegionConfig {
    pub name: RegionName,
    /// Address at which the mesh reaches its agents: `host:port` of a load balancer or an agent.
    pub endpoint: String,
    /// URL at which its models are served, and which observers probe: `http://host:port`.
    pub serving_url: String,
    /// The region's addresses in DNS answers. Empty: the host of `serving_url`, which must then be
    /// an address.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// Its share of traffic relative to the others (strategy `weighted`), basis points.
    #[serde(default = "full_weight")]
    pub weight_bp: u16,
    /// Its priority (strategy `active-passive`): the healthy region with the lowest one serves.
    #[serde(default)]
    pub priority: u16,
    /// Capacity, requests per second. If given, automation moves no more load there than the spare
    /// capacity / 1.1; if not, there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_rps: Option<u32>,
    /// The cloud that it is in: copies within a cloud are preferred.
    #[serde(default = "local_cloud")]
    pub cloud: String,
    /// Its name on the cloud's bills: `europe-west1`. By default derived from the region's name,
    /// which is either the cloud's name for it or that of an AWS region in the same place.
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
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrafficConfig {
    pub strategy: Strategy,
    /// Share of a suspect region, percent of its normal weight.
    pub suspect_percent: u8,
    /// Number of regions that automation may take out at the same time; further ones that fail keep
    /// a suspect region's share. 1: two regions that seem to fail together more likely mean faulty
    /// observers, or an overload that moves with the users.
    pub max_out: u16,
    /// Whether to measure the capacity of regions that declare none, and move no more load there
    /// than the estimate, which is on the low side. Off by default: an estimate can keep users on a
    /// failing region.
    pub measured_capacity: bool,
    /// Whether the leader moves traffic to regions where a request costs less: at most 20 % in
    /// total, in steps of 5 points every 15 minutes, while every region serves and no order is in
    /// force. Needs prices and capacities, declared or measured.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cost: bool,
    /// DNS answers while the verdict on every region is failed.
    #[serde(skip_serializing_if = "WhenAllDown::is_default")]
    pub when_all_down: WhenAllDown,
    /// The best regions for clients by network (strategy `latency`); the most specific network of a
    /// client applies.
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
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiConfig {
    /// File with the bearer tokens required for changes of state; without it they are refused.
    pub token_file: Option<PathBuf>,
    /// Host names that the API accepts, in addition to addresses, `localhost` and the names in this
    /// configuration; `.example.org` means every name below `example.org`. Requests for other names
    /// are refused, so that a web page whose name resolves to this agent can't read the API (DNS
    /// rebinding).
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
    /// Reads and checks a file; `${NAME}` in strings is replaced by an environment variable.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable {
            path: path.into(),
            error,
        })?;
        let mut document = text.parse().map_err(|error| ConfigError::Malformed {
            path: path.into(),
            error: Box::new(error),
        })?;
        let unfilled = environment::fill(&mut document, &|name| std::env::var(name).ok());
        let reading = reading::read::<Self>(document);
        let found = reading.value.as_ref().map(Self::faults).unwrap_or_default();

        let found: Vec<_> = found
            .into_iter()
            .filter(|fault| !reading.is_in_doubt(fault))
            .collect();
        let others = reading.faults.into_iter().chain(found);
        let others = others.filter(|fault| !unfilled.iter().any(|cause| cause.explains(fault)));
        let faults: Vec<_> = unfilled
            .iter()
            .map(environment::Unfilled::fault)
            .chain(others)
            .collect();

        match reading.value {
            Some(config) if faults.is_empty() => Ok(config),
            _ => Err(ConfigError::Faulty {
                path: path.into(),
                faults,
            }),
        }
    }

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
