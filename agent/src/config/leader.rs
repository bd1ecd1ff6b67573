//! The dns-leader part's share of the configuration.

use super::{Config, RegionConfig};
use regionmesh_core::{
    leader::Settings,
    planning::{PlanSettings, RegionSettings},
};
use regionmesh_dns::WhenAllDown;
use regionmesh_protocol::{
    identity::{IdentityError, RegionName},
    register::members::configured,
};

impl Config {
    /// The configuration of elections and plans. `has_witness`: the witness is an acceptor too.
    pub(crate) fn for_leader(&self, has_witness: bool) -> Result<Settings, IdentityError> {
        let names = self.regions.iter().map(|region| region.name.clone());

        Ok(Settings {
            id: self.id(),
            mesh: self.mesh.clone(),
            configured: configured(names, has_witness)?,
            plan: self.for_plans(),
            filters_when_frozen: self.dns.filter_when_frozen,
            withdraws_when_all_failed: self.traffic.when_all_down == WhenAllDown::Empty,
        })
    }

    fn for_plans(&self) -> PlanSettings {
        PlanSettings {
            regions: self.regions.iter().map(for_region).collect(),
            strategy: self.traffic.strategy,
            suspect_percent: self.traffic.suspect_percent,
            recovery: self.recovery.clone(),
            max_out: self.traffic.max_out,
            ttl_ms: u64::from(self.dns.ttl_s) * 1_000,
            is_serving_embedded: self.serving.embedded,
            judges_each_address: self.health.each_address,
            has_inference_probes: self.health.inference.is_some(),
            measured_capacity: self.traffic.measured_capacity,
            shifts_for_cost: self.traffic.cost,
        }
    }
}

fn for_region(region: &RegionConfig) -> (RegionName, RegionSettings) {
    let settings = RegionSettings {
        weight_bp: region.weight_bp,
        priority: region.priority,
        addresses: region.dns_addresses(),
        capacity_rps: region.capacity_rps,
    };

    (region.name.clone(), settings)
}
