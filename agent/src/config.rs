//! The agent's configuration: one TOML file, one struct per part, every fault reported at once.
//!
//! Defaults stand here with their reasons; docs/reference/settings.md lists all settings.

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

/// Everything that an agent is told at start.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The mesh; the trust domain of every certificate in it.
    pub mesh: MeshName,
    /// The region that this agent runs in; must be the one in its certificate.
    pub region: RegionName,
    /// This agent's name in its region; must be the one in its certificate.
    pub agent: AgentName,
    /// Where the agent keeps what may be lost: half-received models.
    pub data_dir: PathBuf,
    /// Certificates.
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
    /// A further acceptor of the register, needed where the number of regions is even.
    #[serde(default)]
    pub witness: Option<regionmesh_store::Settings>,
    /// The zone that this mesh answers for.
    #[serde(default)]
    pub dns: regionmesh_dns::Settings,
    /// Probing of endpoints.
    #[serde(default)]
    pub health: HealthConfig,
    /// How traffic is shared.
    #[serde(default)]
    pub traffic: TrafficConfig,
    /// The way back of a region that failed.
    #[serde(default)]
    pub recovery: RecoveryPolicy,
    /// Copying of models.
    #[serde(default)]
    pub replication: regionmesh_replication::Settings,
    /// The embedded model server.
    #[serde(default)]
    pub serving: ServingConfig,
    /// The HTTP API.
    #[serde(default)]
    pub api: ApiConfig,
    /// Who is told of events and alerts.
    #[serde(default)]
    pub alerts: AlertsConfig,
    /// Bills and budgets.
    #[serde(default)]
    pub cost: CostConfig,
    /// Logging.
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
    /// The embedded model server, TCP; only where `serving.embedded` is on.
    pub serving: SocketAddr,
}

/// One region of the mesh.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegionConfig {
    /// The region.
    pub name: RegionName,
    /// Where its agents are reached by the mesh: `host:port`, a load balancer or one agent.
    pub endpoint: String,
    /// Where its models are served to users: `http://host:port`; this is what observers probe.
    pub serving_url: String,
    /// What DNS answers for the region. Empty: the host of `serving_url`, which must then be an
    /// address.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// Its share of traffic relative to the others (strategy `weighted`), basis points.
    #[serde(default = "full_weight")]
    pub weight_bp: u16,
    /// Its place in the order (strategy `active-passive`): the lowest that is healthy serves.
    #[serde(default)]
    pub priority: u16,
    /// What it can serve at most, requests per second. Where it is given, automation moves no more
    /// load there than headroom / 1.1; where it is not, nothing is known against moving all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_rps: Option<u32>,
    /// The cloud that it is in: same-cloud copies are preferred.
    #[serde(default = "local_cloud")]
    pub cloud: String,
    /// What its cloud calls it on bills: `europe-west1`. Where it is not given it is found by the
    /// region's name: that is either what the cloud calls it, or the name of an AWS region in the
    /// same place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing_region: Option<String>,
    /// What runs there, for what it costs now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodesConfig>,
}

fn full_weight() -> u16 {
    FULL_WEIGHT_BP
}

fn local_cloud() -> String {
    "local".into()
}

/// Sharing of traffic.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrafficConfig {
    /// The strategy.
    pub strategy: Strategy,
    /// Share that a suspect region keeps, percent of its normal weight.
    pub suspect_percent: u8,
    /// Regions that automation may have out at once; further ones that fail keep a suspect region's
    /// share. 1: what makes two regions look failed at once is likelier the observers' fault or an
    /// overload that moves with the users.
    pub max_out: u16,
    /// Whether the capacity of a region that declares none is measured, and no more moved there
    /// than that: an estimate on the low side (the protocol's `headroom`). Off: an estimate can
    /// keep users on a failing region, so it is asked for.
    pub measured_capacity: bool,
    /// Whether the leader moves traffic to regions where a request costs less: at most 20 % in all,
    /// in steps of 5 points every 15 minutes, while every region serves and no order stands. It
    /// needs capacities, declared or measured, and prices.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cost: bool,
    /// What DNS answers while the verdict on every region is failed.
    #[serde(skip_serializing_if = "WhenAllDown::is_default")]
    pub when_all_down: WhenAllDown,
    /// Which regions serve which clients best (strategy `latency`); the longest network that holds
    /// a client counts.
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

/// The API.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiConfig {
    /// File with the bearer token that changes of state need; without it they are refused.
    pub token_file: Option<PathBuf>,
    /// Further names under which the API may be asked, beside addresses, `localhost` and the names
    /// of this configuration; `.example.org` stands for every name below `example.org`. A request
    /// for another name is refused, so that a web page whose name resolves to this agent can't read
    /// the API (DNS rebinding).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
}

/// Why a configuration was refused: all reasons.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read {path}: {error}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: std::io::Error,
    },
    /// Not TOML.
    #[error("{path}: {error}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and why.
        error: Box<toml::de::Error>,
    },
    /// TOML, and wrong: fields unknown, missing or of the wrong type, values that can't be.
    #[error("{path} has {} fault(s):\n  - {}", faults.len(), faults.join("\n  - "))]
    Faulty {
        /// The file.
        path: PathBuf,
        /// Every fault found.
        faults: Vec<String>,
    },
}

impl Config {
    /// Reads and checks a file; `${NAME}` in its texts stands for a variable of the environment.
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
        let told = reading.value.as_ref().map(Self::faults).unwrap_or_default();

        let told: Vec<_> = told
            .into_iter()
            .filter(|fault| !reading.is_in_doubt(fault))
            .collect();
        let others = reading.faults.into_iter().chain(told);
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
    /// What DNS answers for the region: `addresses`, else the address in `serving_url`.
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
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        mesh = "m"
        region = "a"
        agent = "0"
        data_dir = "/tmp/a"
        tls = { ca = "ca.pem", certificate = "a.pem", key = "a.key" }
        listen = { mesh = "127.0.0.1:1", dns = "127.0.0.1:2", api = "127.0.0.1:3", serving = "127.0.0.1:4" }
        store = { url = "file:///tmp/a" }
        regions = [{ name = "a", endpoint = "a:1", serving_url = "http://127.0.0.1:4" }]
    "#;

    fn load(text: &str) -> Result<Config, ConfigError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Config::load(file.path())
    }

    fn faults(text: &str) -> Vec<String> {
        match load(text) {
            Err(ConfigError::Faulty { faults, .. }) => faults,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_good_configuration_is_read() {
        assert_eq!(load(GOOD).unwrap().id().to_string(), "a/0");
    }

    #[test]
    fn texts_take_variables_of_the_environment_and_a_missing_one_is_told_once() {
        // Set by cargo for every test.
        let text = GOOD.replace("agent = \"0\"", "agent = \"${CARGO_PKG_NAME}\"");
        assert_eq!(load(&text).unwrap().id().to_string(), "a/regionmesh");

        let text = GOOD.replace("127.0.0.1:3", "${REGIONMESH_TEST_UNSET}:3");
        let told = faults(&text);
        assert_eq!(
            told,
            ["listen.api: the environment has no variable REGIONMESH_TEST_UNSET, or an empty one"]
        );
    }

    #[test]
    fn faults_of_form_and_of_meaning_are_told_together() {
        let text = GOOD
            .replace(
                "mesh = \"m\"",
                "mesh = \"m\"\nmash = 1\nlocal_peers = [\"nowhere\"]",
            )
            .replace("\"127.0.0.1:3\"", "\"127.0.0.1:2\"")
            .replace("file:///tmp/a", "ftp://a")
            .replace("tls = { ca = \"ca.pem\",", "tls = {")
            + "dns = { ttl_s = 0, zone = \"\" }\nhealth = { interval_ms = \"fast\" }\nlog = \
                { filter = \"a=loud\" }\n";

        let found = faults(&text);
        for part in [
            "unknown field `mash`",
            "tls: missing field `ca`",
            "health.interval_ms: invalid type",
            "local_peers: \"nowhere\" is not host:port",
            "listen: api and dns are both 127.0.0.1:2/tcp",
            "store.url: \"ftp://a\" is not file:// or s3://",
            "dns.ttl_s: 0",
            "dns.zone: \"\"",
            "log.filter: \"a=loud\"",
        ] {
            assert!(
                found.iter().any(|fault| fault.starts_with(part)),
                "{part}\n{found:#?}"
            );
        }

        assert_eq!(found.len(), 9, "{found:#?}");
    }

    #[test]
    fn a_missing_table_is_one_fault() {
        let text: String = GOOD
            .lines()
            .filter(|line| !line.contains("regions ="))
            .map(|line| format!("{line}\n"))
            .collect();

        assert_eq!(faults(&text), ["missing field `regions`"]);
    }

    #[test]
    fn what_is_no_toml_is_shown_with_its_line() {
        let error = load("mesh = \n").unwrap_err().to_string();
        assert!(error.contains("line 1"), "{error}");
    }
}
