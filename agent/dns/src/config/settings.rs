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
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The zone; `serving.<zone>` is the service name.
    pub zone: String,
    /// Time to live of `serving` answers, seconds. 5 s: half of it is the mean time a client stays
    /// with a dead region.
    pub ttl_s: u32,
    /// Names of the zone's servers, below the zone or elsewhere; empty: `ns-<region>.<zone>` for
    /// each region.
    pub name_servers: Vec<String>,
    /// Whether this agent leaves regions that refuse its own probes out of its answers while no
    /// majority of regions can change the plan.
    #[serde(skip_serializing_if = "is_on")]
    pub filter_when_frozen: bool,
    /// Threads that answer UDP, each with a socket of its own; 0: one for each core.
    pub workers: usize,
    /// How often one network is answered over UDP.
    pub rate_limit: RateLimitConfig,
    /// Cookies, by which a client proves its address (RFC 7873).
    pub cookies: CookieConfig,
    /// The zone in Amazon Route 53, where there is one.
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
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimitConfig {
    /// Answers of one kind (positive, empty, no such name, error) to one /24 of IPv4 or /56 of
    /// IPv6, per second; 0: no limit. 20: with a TTL of 5 s a resolver asks for a name and type
    /// every fifth second, for each client subnet.
    pub responses_per_second: u32,
    /// Every so many-th answer beyond the limit is sent cut, with TC set, so that an honest client
    /// among the flood comes back over TCP; the others are not sent. 0: none is sent, 1: all are
    /// cut.
    pub slip: u32,
    /// Networks that are never limited: own resolvers, monitoring. By default the machine itself,
    /// which can't be forged from outside.
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
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CookieConfig {
    /// Whether cookies are answered.
    pub enabled: bool,
    /// File with the secrets, 32 hexadecimal digits a line: the first makes cookies, all are
    /// accepted. Read again when it changes. Needed where several agents answer on one address;
    /// without it each agent makes its own, new every day.
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

        if !(1..=86_400).contains(&self.ttl_s) {
            faults.push(format!(
                "dns.ttl_s: {} is not within 1 to 86400",
                self.ttl_s
            ));
        }

        if self.workers > WORKERS_MAX {
            faults.push(format!(
                "dns.workers: {} is not within 0 to {WORKERS_MAX}",
                self.workers
            ));
        }

        let limit = &self.rate_limit;
        if limit.responses_per_second > RATE_MAX {
            let rate = limit.responses_per_second;
            faults.push(format!(
                "dns.rate_limit.responses_per_second: {rate} is not within 0 to {RATE_MAX}"
            ));
        }

        if limit.slip > 10 {
            faults.push(format!(
                "dns.rate_limit.slip: {} is not within 0 to 10",
                limit.slip
            ));
        }

        for network in limit
            .exempt
            .iter()
            .filter(|network| network.trunc() != **network)
        {
            let meant = network.trunc();
            faults.push(format!(
                "dns.rate_limit.exempt: {network} has bits beyond its prefix; {meant} is meant?"
            ));
        }

        faults
    }
}
