//! The part of the configuration that the DNS server goes by: the zone, and what keeps its packets
//! from being abused.

use super::Route53Config;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::{net::Ipv4Addr, path::PathBuf};

/// Most worker threads; far more than one network card fills.
const WORKERS_MAX: usize = 64;
/// Highest rate limit, responses per second; beyond it a limit limits nothing.
const RATE_MAX: u32 = 8_000;

/// DNS: `[dns]`.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The zone; `serving.<zone>` is the service name.
    pub zone: String,
    /// Time to live of `serving` answers, seconds. 5 s: a client stays with a dead region for half
    /// of it on average.
    #[schemars(range(min = 1, max = 86_400))]
    pub ttl_s: u32,
    /// Names of the zone's name servers, inside or outside the zone; empty: `ns-<region>.<zone>`
    /// for each region.
    pub name_servers: Vec<String>,
    /// Whether this agent omits regions that refuse its own probes from its answers while no
    /// majority of regions can change the plan.
    #[serde(skip_serializing_if = "is_on")]
    #[schemars(extend("default" = Self::default().filter_when_frozen))]
    pub filter_when_frozen: bool,
    /// Number of threads that answer UDP, each with its own socket; 0: one per core.
    #[schemars(range(max = WORKERS_MAX))]
    pub workers: usize,
    /// Rate limit of UDP answers to one network.
    pub rate_limit: RateLimitConfig,
    /// Cookies, by which a client proves its address (RFC 7873).
    pub cookies: CookieConfig,
    /// The zone in Amazon Route 53. Credentials come from the environment or the platform's
    /// workload identity, never from here.
    pub route53: Option<Route53Config>,
}

/// Whether a setting that is on by default is on: it need not be written then.
fn is_on(setting: &bool) -> bool {
    *setting
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            zone: "regionmesh.test".into(),
            ttl_s: 5,
            name_servers: Vec::new(),
            filter_when_frozen: true,
            workers: 0,
            rate_limit: RateLimitConfig::default(),
            cookies: CookieConfig::default(),
            route53: None,
        }
    }
}

/// Response rate limiting: what a forged sender address can make this server send to its owner.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimitConfig {
    /// Answers of one kind (positive, empty, no such name, error) per second to one /24 of IPv4 or
    /// /56 of IPv6; 0: unlimited. 20: with a TTL of 5 s a resolver asks for a name and type every
    /// fifth second for each client subnet.
    #[schemars(range(max = RATE_MAX))]
    pub responses_per_second: u32,
    /// Every n-th answer beyond the limit is sent truncated, so that honest clients return over
    /// TCP; the others are dropped. 0: all are dropped.
    #[schemars(range(max = 10))]
    pub slip: u32,
    /// Networks that are never limited, such as your resolvers and monitoring. By default only this
    /// machine, which can't be forged from outside; include it in your list.
    #[schemars(with = "Vec<String>", extend("items" = {"type": "string", "format": "network"}))]
    pub exempt: Vec<IpNet>,
}

impl Default for RateLimitConfig {
    fn default() -> Self {
        let loopback = IpNet::new_assert(Ipv4Addr::new(127, 0, 0, 0).into(), 8);
        let loopback_v6 = IpNet::from(std::net::IpAddr::from(std::net::Ipv6Addr::LOCALHOST));
        Self {
            responses_per_second: 20,
            slip: 2,
            exempt: vec![loopback, loopback_v6],
        }
    }
}

/// DNS cookies.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CookieConfig {
    /// Whether cookies are answered.
    pub enabled: bool,
    /// File with secrets, 32 hexadecimal digits a line: the first one signs, all are accepted.
    /// Needed if several agents share an address; by default each agent makes a new one every day.
    pub secret_file: Option<PathBuf>,
}

impl Default for CookieConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            secret_file: None,
        }
    }
}

impl Settings {
    /// Every fault, as `place: what is wrong`.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if hickory_proto::rr::Name::from_ascii(&self.zone).is_err() || self.zone.is_empty() {
            faults.push(format!("dns.zone: {:?} is not a domain name", self.zone));
        }

        let exempt = &self.rate_limit.exempt;
        for network in exempt.iter().filter(|network| network.trunc() != **network) {
            let meant = network.trunc();
            faults.push(format!(
                "dns.rate_limit.exempt: {network} has bits beyond its prefix; {meant} is meant?"
            ));
        }

        faults
    }
}
