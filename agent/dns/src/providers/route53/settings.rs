//! The settings that the planning needs, and the names in the zone. Pure.

use crate::config::{Config, HealthCheckConfig, RecordKind, Region, Route53Config};
use regionmesh_protocol::identity::RegionName;

/// Set identifiers of ours begin with this; the region follows.
const OWN_PREFIX: &str = "regionmesh:";

/// The configuration for planning.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The mesh's name.
    pub(crate) mesh: String,
    /// `dns.zone` as Route 53 writes names: lower case, with a dot at the end.
    pub(crate) zone: String,
    /// The hosted zone.
    pub(crate) zone_id: String,
    /// Time to live of every record, seconds.
    pub(crate) ttl_s: u32,
    /// The kind of the service's record sets.
    pub(crate) records: RecordKind,
    /// Every region.
    pub(crate) regions: Vec<RegionSettings>,
    /// How verdicts are checked.
    pub(crate) health_check: HealthCheckConfig,
}

/// One region for planning.
#[derive(Debug, Clone)]
pub(crate) struct RegionSettings {
    pub(crate) name: RegionName,
    /// Its place in the order of an active-passive mesh.
    pub(crate) priority: u16,
    /// Where the checkers reach its agents: a host name or an address.
    pub(crate) agent_host: String,
    /// The AWS region next to it.
    pub(crate) latency_region: String,
}

impl Settings {
    /// From the configuration.
    pub(crate) fn new(config: &Config, route53: &Route53Config) -> Self {
        let region = |region: &Region| RegionSettings {
            name: region.name.clone(),
            priority: region.priority,
            agent_host: route53.agent_host(&region.name, &region.endpoint),
            latency_region: route53.latency_region(&region.name),
        };

        Self {
            mesh: config.mesh.to_string(),
            zone: format!(
                "{}.",
                config
                    .settings
                    .zone
                    .trim_end_matches('.')
                    .to_ascii_lowercase()
            ),
            zone_id: route53.zone_id.clone(),
            ttl_s: route53.ttl_s,
            records: route53.records,
            regions: config.regions.iter().map(region).collect(),
            health_check: route53.health_check.clone(),
        }
    }

    /// The name that users resolve.
    pub(crate) fn service_name(&self) -> String {
        format!("serving.{}", self.zone)
    }

    /// The name of one region's endpoint.
    pub(crate) fn region_name(&self, label: &str) -> String {
        format!("{label}.serving.{}", self.zone)
    }

    /// The region's label, if `name` is the name of a region's endpoint; the region may be unknown
    /// to us.
    pub(crate) fn region_label<'a>(&self, name: &'a str) -> Option<&'a str> {
        let label = name
            .strip_suffix(self.zone.as_str())?
            .strip_suffix(".serving.")?;
        (!label.is_empty() && !label.contains('.')).then_some(label)
    }

    /// The name of the fence.
    pub(crate) fn fence_name(&self) -> String {
        format!("_regionmesh-fence.{}", self.zone)
    }

    /// The configuration of a region.
    pub(crate) fn region(&self, name: &RegionName) -> Option<&RegionSettings> {
        self.regions.iter().find(|region| region.name == *name)
    }
}

/// The set identifier of a region's record set.
pub(crate) fn set_identifier(region: &RegionName) -> String {
    format!("{OWN_PREFIX}{region}")
}

/// Whether a set identifier is one of ours.
pub(crate) fn is_own_identifier(identifier: &str) -> bool {
    identifier.starts_with(OWN_PREFIX)
}
