//! Who listens where, and every agent's configuration. Pure.
//!
//! Region `i`'s agent `k`, both counted from 0, has the address `127.0.k.(11+i)`, and the same
//! ports as all others; a mesh with another [`Layout::base`] counts from there.

use crate::config::{
    AlertsConfig, ApiConfig, Config, CostConfig, HealthConfig, ListenConfig, RegionConfig,
    TrafficConfig,
};
use regionmesh_core::{
    planning::Strategy,
    recovery::ramp::{RampStep, RecoveryPolicy},
};
use regionmesh_mesh::TlsConfig;
use regionmesh_protocol::{
    identity::{AgentId, AgentName, MeshName, RegionName},
    plan::FULL_WEIGHT_BP,
};
use regionmesh_runtime::logging::LogConfig;
use regionmesh_serving::ServingConfig;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

/// Most regions on one machine: each process needs memory and file descriptors, and acceptors grow
/// with regions.
pub const REGIONS_MAX: usize = 32;
/// Most agents of one region.
pub const AGENTS_PER_REGION_MAX: u8 = 16;
/// Most agents in all.
pub const AGENTS_MAX: usize = 64;
/// Address of the first region's first agent, unless another is asked for.
pub const FIRST_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

/// The ports that every agent listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// QUIC, UDP.
    pub mesh: u16,
    /// DNS, UDP and TCP.
    pub dns: u16,
    /// API, TCP.
    pub api: u16,
    /// Serving, TCP.
    pub serving: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self {
            mesh: 7443,
            dns: 5300,
            api: 9080,
            serving: 8080,
        }
    }
}

/// One agent of a mesh on one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalAgent {
    /// Who it is.
    pub id: AgentId,
    /// Its loopback address.
    pub ip: Ipv4Addr,
    /// Ports that it listens on.
    pub ports: Ports,
    /// Its own directory: certificates, configuration, half-received models.
    pub directory: PathBuf,
    /// Where its standard output and error go.
    pub log_file: PathBuf,
}

impl LocalAgent {
    /// Where it speaks QUIC.
    pub fn mesh(&self) -> SocketAddr {
        (self.ip, self.ports.mesh).into()
    }

    /// Where it answers DNS.
    pub fn dns(&self) -> SocketAddr {
        (self.ip, self.ports.dns).into()
    }

    /// Where its API is.
    pub fn api(&self) -> SocketAddr {
        (self.ip, self.ports.api).into()
    }

    /// Its API's URL.
    pub fn api_url(&self) -> String {
        format!("http://{}", self.api())
    }

    /// Where it serves models.
    pub fn serving(&self) -> SocketAddr {
        (self.ip, self.ports.serving).into()
    }

    /// Its configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.directory.join("agent.toml")
    }

    /// Where its process is noted while it runs.
    pub fn pid_file(&self) -> PathBuf {
        self.directory.join("pid")
    }
}

/// A whole mesh on one machine.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The mesh's name and its DNS zone.
    pub domain: MeshName,
    /// Its regions, in order of address.
    pub regions: Vec<RegionName>,
    /// Agents of each.
    pub agents_per_region: u8,
    /// Absolute path of all state.
    pub data_dir: PathBuf,
    /// How traffic is shared.
    pub strategy: Strategy,
    /// How a region comes back.
    pub recovery: RecoveryPolicy,
    /// Ports of every agent.
    pub ports: Ports,
    /// What is added to every agent's configuration.
    pub settings: toml::Table,
    /// Address of the first region's first agent: regions count on in its last byte, agents in the
    /// one before.
    pub base: Ipv4Addr,
}

impl Layout {
    /// Why this mesh can't be: too many regions or agents, or a region twice. Empty: it can.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let regions = self.regions.len();
        let agents = self.agents_per_region;

        if regions == 0 || regions > REGIONS_MAX {
            faults.push(format!(
                "--regions: {regions} regions given; 1 to {REGIONS_MAX} fit on one machine"
            ));
        }

        if agents == 0 || agents > AGENTS_PER_REGION_MAX {
            faults.push(format!(
                "--agents-per-region: {agents} given; 1 to {AGENTS_PER_REGION_MAX} are possible"
            ));
        }

        if regions * usize::from(agents) > AGENTS_MAX {
            faults.push(format!(
                "{regions} regions of {agents} agents are more than {AGENTS_MAX} processes"
            ));
        }

        let [_, _, third, last] = self.base.octets();
        if usize::from(last) + regions > 255 || u16::from(third) + u16::from(agents) > 256 {
            faults.push(format!(
                "{regions} regions of {agents} agents have no addresses from {} on",
                self.base
            ));
        }

        let mut seen = BTreeSet::new();
        for region in &self.regions {
            if !seen.insert(region) {
                faults.push(format!("--regions: {region} is given twice"));
            }

            if region.as_str() == WITNESS {
                faults.push(format!(
                    "--regions: {WITNESS} is the name of the extra acceptor, not of a region"
                ));
            }
        }

        faults
    }

    /// Every agent, region by region.
    pub fn agents(&self) -> Result<Vec<LocalAgent>, regionmesh_protocol::identity::IdentityError> {
        let mut agents = Vec::new();
        for (index, region) in (0u8..).zip(&self.regions) {
            for number in 0..self.agents_per_region {
                let id = AgentId {
                    region: region.clone(),
                    agent: AgentName::new(format!("node-{number}"))?,
                };
                let label = format!("{}.{}", id.region, id.agent);

                agents.push(LocalAgent {
                    ip: self.address(index, number),
                    ports: self.ports,
                    directory: self.data_dir.join("agents").join(&label),
                    log_file: self.data_dir.join("logs").join(format!("{label}.log")),
                    id,
                });
            }
        }

        Ok(agents)
    }

    /// The service name that users resolve.
    pub fn service(&self) -> String {
        format!("serving.{}", self.domain)
    }

    /// The file with the API's bearer token.
    pub fn token_file(&self) -> PathBuf {
        self.data_dir.join("token")
    }

    /// An agent's configuration.
    pub fn config(&self, agent: &LocalAgent, tls: TlsConfig) -> Config {
        let at = |ip: Ipv4Addr, port: u16| SocketAddr::from((ip, port)).to_string();
        let regions = (0u8..)
            .zip(&self.regions)
            .map(|(index, name)| RegionConfig {
                name: name.clone(),
                endpoint: at(self.address(index, 0), self.ports.mesh),
                serving_url: format!("http://{}", at(self.address(index, 0), self.ports.serving)),
                addresses: (0..self.agents_per_region)
                    .map(|number| IpAddr::V4(self.address(index, number)))
                    .collect(),
                weight_bp: FULL_WEIGHT_BP,
                priority: u16::from(index),
                capacity_rps: None,
                cloud: "local".into(),
                billing_region: None,
                nodes: Vec::new(),
            });

        let index = (0u8..)
            .zip(&self.regions)
            .find(|(_, name)| **name == agent.id.region)
            .map_or(0, |(index, _)| index);
        let siblings = (0..self.agents_per_region)
            .map(|number| self.address(index, number))
            .filter(|ip| *ip != agent.ip);

        Config {
            mesh: self.domain.clone(),
            region: agent.id.region.clone(),
            agent: agent.id.agent.clone(),
            data_dir: agent.directory.join("data"),
            tls,
            listen: ListenConfig {
                mesh: agent.mesh(),
                dns: agent.dns(),
                api: agent.api(),
                serving: agent.serving(),
            },
            regions: regions.collect(),
            local_peers: siblings.map(|ip| at(ip, self.ports.mesh)).collect(),
            store: store(&self.data_dir.join("regions").join(agent.id.region.as_str())),
            // An even number of acceptors tolerates no more failures than one fewer, and two halves
            // can't decide.
            witness: self
                .regions
                .len()
                .is_multiple_of(2)
                .then(|| store(&self.data_dir.join(WITNESS))),
            dns: regionmesh_dns::Settings {
                zone: self.domain.to_string(),
                ..regionmesh_dns::Settings::default()
            },
            health: HealthConfig::default(),
            traffic: TrafficConfig {
                strategy: self.strategy,
                ..TrafficConfig::default()
            },
            recovery: self.recovery.clone(),
            replication: regionmesh_replication::Settings::default(),
            serving: ServingConfig::default(),
            api: ApiConfig {
                token_file: Some(self.token_file()),
                ..ApiConfig::default()
            },
            alerts: AlertsConfig::default(),
            cost: CostConfig::default(),
            log: LogConfig::default(),
        }
    }

    /// The directories that stores live in.
    pub fn store_directories(&self) -> Vec<PathBuf> {
        let mut directories: Vec<PathBuf> = self
            .regions
            .iter()
            .map(|region| self.data_dir.join("regions").join(region.as_str()))
            .collect();

        if self.regions.len().is_multiple_of(2) {
            directories.push(self.data_dir.join(WITNESS));
        }
        directories
    }

    /// The address of region `region`'s agent `agent`, both counted from 0.
    fn address(&self, region: u8, agent: u8) -> Ipv4Addr {
        let [first, second, third, last] = self.base.octets();
        Ipv4Addr::new(
            first,
            second,
            third.saturating_add(agent),
            last.saturating_add(region),
        )
    }
}

const WITNESS: &str = "witness";

fn store(directory: &Path) -> regionmesh_store::Settings {
    regionmesh_store::Settings {
        url: file_url(directory),
        options: BTreeMap::new(),
    }
}

/// A `file://` URL (RFC 8089); whatever is not plainly safe in a URL's path is escaped (RFC 3986
/// §2.3).
fn file_url(path: &Path) -> String {
    let mut url = String::from("file://");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => {
                url.push(char::from(*byte))
            }
            _ => url.push_str(&format!("%{byte:02X}")),
        }
    }

    url
}

/// A ramp short enough to watch: about eight seconds instead of more than half an hour.
pub fn fast_recovery() -> RecoveryPolicy {
    let step = |percent| RampStep {
        percent,
        hold_ms: 1_000,
    };

    RecoveryPolicy {
        cool_down_ms: 2_000,
        cool_down_max_ms: 8_000,
        forget_flaps_ms: 60_000,
        steps: vec![step(1), step(5), step(10), step(25), step(50), step(75)],
        // No time to wait for caches and requests; worse errors than elsewhere still send a region
        // back.
        ttl_multiple: 0,
        min_requests: 0,
        ..RecoveryPolicy::default()
    }
}
