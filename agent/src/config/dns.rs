//! DNS's part of the configuration.

use super::{Config, RegionConfig};
use regionmesh_dns::{Region, Traffic};

impl Config {
    /// The configuration of DNS.
    pub fn for_dns(&self) -> regionmesh_dns::Config {
        regionmesh_dns::Config {
            settings: self.dns.clone(),
            listen: self.listen.dns,
            mesh: self.mesh.clone(),
            own: self.id(),
            regions: self.dns_regions(),
            traffic: Traffic {
                strategy: self.traffic.strategy,
                when_all_down: self.traffic.when_all_down,
                networks: self.traffic.networks.clone(),
            },
        }
    }

    /// The regions, reduced to what DNS needs.
    pub(crate) fn dns_regions(&self) -> Vec<Region> {
        let region = |region: &RegionConfig| Region {
            name: region.name.clone(),
            endpoint: region.endpoint.clone(),
            addresses: region.dns_addresses(),
            weight_bp: region.weight_bp,
            priority: region.priority,
        };

        self.regions.iter().map(region).collect()
    }
}

#[cfg(test)]
mod tests;
