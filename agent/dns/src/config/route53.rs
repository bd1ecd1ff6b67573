//! `[dns.route53]`: the zone in Amazon Route 53 that the mesh keeps, beside or instead of its own
//! name servers.
//!
//! Credentials are never here: they come from the environment or the platform's workload identity.

use super::{Config, Region};
use regionmesh_core::planning::Strategy;
use regionmesh_protocol::identity::RegionName;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

/// Longest domain name, characters, without the dot at its end (RFC 1035 §2.3.4).
const NAME_MAX: usize = 253;

/// A zone in Route 53.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route53Config {
    /// The hosted zone that holds `dns.zone` or a parent: `Z0123456789ABC`.
    pub zone_id: String,
    /// Time to live of the records, seconds. 30 s: Route 53's checkers need about as long to notice
    /// a failure, and AWS advises at most 60 s for records with health checks.
    #[serde(default = "default_ttl_s")]
    #[schemars(range(min = 1, max = 86_400))]
    pub ttl_s: u32,
    /// How the record sets of `serving.<zone>` share the traffic.
    #[serde(default)]
    pub records: RecordKind,
    /// Limit on requests to the API. 5: an account has 10, and the mesh is not its only user.
    #[serde(default = "default_requests_per_second")]
    #[schemars(range(min = 1, max = 10))]
    pub requests_per_second: u32,
    /// The health checks that move traffic in an emergency.
    #[serde(default)]
    pub health_check: HealthCheckConfig,
    /// By region: the public host name or address, without a port, at which Route 53's checkers
    /// reach its agents. Default: the host of the region's `endpoint`.
    #[serde(default)]
    pub agents: BTreeMap<RegionName, String>,
    /// By region: the nearest AWS region, for `latency` records. Default: the region's own name.
    #[serde(default)]
    pub latency_regions: BTreeMap<RegionName, String>,
    /// Whether the zone's name servers are queried after each change.
    #[serde(default = "yes")]
    pub verify: bool,
    /// The name servers to query; empty: those of the hosted zone.
    #[serde(default)]
    #[schemars(extend("items" = {"type": "string", "format": "socket-address"}))]
    pub name_servers: Vec<SocketAddr>,
    /// Another address of the API, such as `http://localhost:4566`. Default: Amazon's.
    #[serde(default)]
    pub endpoint_url: Option<String>,
}

/// How record sets share the traffic.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum RecordKind {
    /// By the plan's weights; the only kind that supports a ramp.
    #[default]
    Weighted,
    /// The region with the largest share and a fallback; for strategy `active-passive`.
    Failover,
    /// The nearest region that has a share.
    Latency,
}

/// How Route 53's checkers ask agents for their verdict on a region.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HealthCheckConfig {
    /// If off, the records have no health checks, and an emergency needs the API.
    pub enabled: bool,
    /// The protocol of the checkers.
    pub protocol: CheckProtocol,
    /// Port of the agents' API, as the checkers reach it.
    #[schemars(range(min = 1))]
    pub port: u16,
    /// Path of the verdicts; `/<region>` is appended.
    pub path: String,
    /// Time between two requests of one checker, seconds: 10 or 30.
    pub interval_s: u32,
    /// Consecutive failures until a checker's result is bad. 1: agents have already settled the
    /// verdict.
    #[schemars(range(min = 1, max = 10))]
    pub failures: u32,
}

impl Default for HealthCheckConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            protocol: CheckProtocol::Http,
            port: 9080,
            path: "/verdict".into(),
            interval_s: 10,
            failures: 1,
        }
    }
}

/// What the checkers speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CheckProtocol {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS; Route 53 does not verify the certificate.
    Https,
}

fn default_ttl_s() -> u32 {
    30
}

fn default_requests_per_second() -> u32 {
    5
}

fn yes() -> bool {
    true
}

impl Route53Config {
    /// Where the checkers reach the agents of `region`, whose mesh endpoint is `endpoint`: a host
    /// name or an address.
    pub fn agent_host(&self, region: &RegionName, endpoint: &str) -> String {
        let own = || {
            endpoint
                .rsplit_once(':')
                .map_or("", |(host, _)| host)
                .trim_matches(['[', ']'])
                .to_owned()
        };

        self.agents.get(region).cloned().unwrap_or_else(own)
    }

    /// The AWS region next to `region`.
    pub(crate) fn latency_region(&self, region: &RegionName) -> String {
        self.latency_regions
            .get(region)
            .cloned()
            .unwrap_or_else(|| region.to_string())
    }

    /// Every fault, as `place: what is wrong`.
    pub(super) fn faults(&self, config: &Config) -> Vec<String> {
        let mut faults = Vec::new();
        let mut fault = |text: String| faults.push(format!("dns.route53.{text}"));

        self.zone_faults(&mut fault);
        self.health_check.faults(&mut fault);
        self.reference_faults(config, &mut fault);
        for region in &config.regions {
            self.region_faults(config, region, &mut fault);
        }

        faults
    }

    fn zone_faults(&self, fault: &mut impl FnMut(String)) {
        if !(1..=32).contains(&self.zone_id.len())
            || !self
                .zone_id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric())
        {
            fault(format!(
                "zone_id: {:?} is not the ID of a hosted zone, for example Z0123456789ABC",
                self.zone_id
            ));
        }
    }

    /// Faults that concern other parts of the configuration.
    fn reference_faults(&self, config: &Config, fault: &mut impl FnMut(String)) {
        let known = |name: &RegionName| config.region(name).is_some();
        for name in self.agents.keys().filter(|name| !known(name)) {
            fault(format!("agents: there is no region {name}"));
        }
        for name in self.latency_regions.keys().filter(|name| !known(name)) {
            fault(format!("latency_regions: there is no region {name}"));
        }

        if self.records == RecordKind::Failover
            && config.traffic.strategy != Strategy::ActivePassive
        {
            fault(
                "records: failover answers one region only, so traffic.strategy must be \
                active-passive"
                    .into(),
            );
        }

        let url = self.endpoint_url.as_deref().map(str::parse::<http::Uri>);
        if url.is_some_and(|url| {
            !url.is_ok_and(|url| matches!(url.scheme_str(), Some("http" | "https")))
        }) {
            fault("endpoint_url is not http://host:port or https://host".into());
        }
    }

    fn region_faults(&self, config: &Config, region: &Region, fault: &mut impl FnMut(String)) {
        let name = format!("{}.serving.{}", region.name, config.settings.zone);
        if name.trim_end_matches('.').len() > NAME_MAX {
            fault(format!("{name} is longer than a domain name may be"));
        }

        if self.records == RecordKind::Latency && !is_aws_region(&self.latency_region(&region.name))
        {
            fault(format!(
                "latency_regions: {:?} is no AWS region; say which one is next to {}",
                self.latency_region(&region.name),
                region.name
            ));
        }

        if self.health_check.enabled && config.regions.len() > 1 {
            let host = self.agent_host(&region.name, &region.endpoint);
            if let Some(why) = unreachable_reason(&host) {
                fault(format!("agents: {host:?} of {} {why}", region.name));
            }
        }
    }
}

impl HealthCheckConfig {
    fn faults(&self, fault: &mut impl FnMut(String)) {
        if !matches!(self.interval_s, 10 | 30) {
            fault(format!(
                "health_check.interval_s: {} is neither 10 nor 30",
                self.interval_s
            ));
        }

        // The longest path that Route 53 takes has 255 characters, and a region's name up to 64
        // with its slash.
        if !self.path.starts_with('/') || self.path.ends_with('/') || self.path.len() > 190 {
            fault(format!(
                "health_check.path: {:?} must begin with /, not end with it, be at most 190 long",
                self.path
            ));
        }
    }
}

fn is_aws_region(name: &str) -> bool {
    aws_sdk_route53::types::ResourceRecordSetRegion::values().contains(&name)
}

/// Why Route 53's checkers can't reach a host; an address must be public (RFC 5735, RFC 6598, RFC
/// 5156).
fn unreachable_reason(host: &str) -> Option<&'static str> {
    const PRIVATE: &str =
        "is not a public address, so Route 53's checkers can't reach it; give a host name";

    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => {
            let [first, second, ..] = ip.octets();
            let is_shared = first == 100 && (64..128).contains(&second);
            let is_special = ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_documentation()
                || ip.is_unspecified()
                || first == 0
                || first >= 224
                || is_shared;

            is_special.then_some(PRIVATE)
        }
        Ok(IpAddr::V6(ip)) => {
            let first = ip.segments()[0];
            // Global unicast alone (RFC 4291 §2.4), without the documentation prefix.
            let is_public = first & 0xe000 == 0x2000 && ip.segments()[..2] != [0x2001, 0x0db8];
            (!is_public).then_some(PRIVATE)
        }
        Err(_) if host.is_empty() || host.len() > NAME_MAX => Some("is not a host name"),
        Err(_) if hickory_proto::rr::Name::from_ascii(host).is_err() => Some("is not a host name"),
        Err(_) => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_and_names_can_be_checked() {
        for good in ["agents.eu-west-1.example.com", "8.8.8.8", "2a00:1450::1"] {
            assert_eq!(unreachable_reason(good), None, "{good}");
        }

        for bad in [
            "",
            "10.1.2.3",
            "127.0.0.1",
            "100.64.0.1",
            "169.254.1.1",
            "203.0.113.7",
            "0.0.0.0",
            "224.0.0.1",
            "::1",
            "fe80::1",
            "fc00::1",
            "2001:db8::1",
            "a..b",
        ] {
            assert!(unreachable_reason(bad).is_some(), "{bad}");
        }
    }
}
