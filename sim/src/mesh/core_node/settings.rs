//! The settings of an agent's core.

use crate::mesh::node::NodeConfig;
use regionmesh_core::{
    agent::Settings,
    gossip,
    health::{
        self, EndpointSettings, endpoint::EndpointPolicy, gray::GrayPolicy, probe::ProbePolicy,
    },
    leader,
    planning::{PlanSettings, RegionSettings},
    replication,
};
use regionmesh_protocol::{plan::FULL_WEIGHT_BP, register::members::configured};
use std::time::Duration;

/// `started_ms`: when the process starts, by its wall clock.
pub(super) fn settings(config: &NodeConfig, started_ms: u64) -> Settings {
    let names = config.regions.iter().map(|region| region.name.clone());
    let endpoint = |name| (name, EndpointSettings::default());

    Settings {
        gossip: gossip::Settings {
            own: config.id.clone(),
            mesh: config.mesh.clone(),
            started_ms,
        },
        health: health::Settings {
            id: config.id.clone(),
            policy: EndpointPolicy {
                probes: ProbePolicy::DEFAULT,
                gray: GrayPolicy::default(),
                minimum: 1,
            },
            endpoints: names.clone().map(endpoint).collect(),
            has_canaries: false,
            serves_at: None,
        },
        leader: leader::Settings {
            id: config.id.clone(),
            mesh: config.mesh.clone(),
            configured: configured(names, config.has_witness).unwrap_or_default(),
            plan: plan_settings(config),
            filters_when_frozen: true,
            withdraws_when_all_failed: false,
        },
        replication: replication::Settings {
            rescan_interval: Duration::from_millis(config.rescan_ms),
            parallel_versions: 2,
            relay_wait: Duration::from_secs(120),
        },
    }
}

fn plan_settings(config: &NodeConfig) -> PlanSettings {
    let region = |region: &crate::mesh::node::RegionConfig| {
        let settings = RegionSettings {
            weight_bp: FULL_WEIGHT_BP,
            priority: region.priority,
            addresses: vec![region.address],
            capacity_rps: None,
        };
        (region.name.clone(), settings)
    };

    PlanSettings {
        regions: config.regions.iter().map(region).collect(),
        strategy: config.strategy,
        suspect_percent: 10,
        recovery: config.recovery.clone(),
        max_out: config.max_out,
        ttl_ms: config.ttl_ms,
        is_serving_embedded: false,
        judges_each_address: false,
        has_inference_probes: false,
        measured_capacity: false,
        shifts_for_cost: false,
    }
}
