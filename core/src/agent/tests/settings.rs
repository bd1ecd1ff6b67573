//! The configuration of the agents.

use crate::{
    agent::Settings,
    gossip,
    health::{
        self, EndpointSettings, endpoint::EndpointPolicy, gray::GrayPolicy, probe::ProbePolicy,
    },
    leader,
    planning::{PlanSettings, RegionSettings, Strategy},
    recovery::ramp::RecoveryPolicy,
    replication,
};
use regionmesh_protocol::identity::{AgentId, MeshName, RegionName};
use std::time::Duration;

pub(super) const REGIONS: [&str; 3] = ["a", "b", "c"];
/// When the processes start, Unix milliseconds.
pub(super) const START_MS: u64 = 1_700_000_000_000;

pub(super) fn region(name: &str) -> RegionName {
    name.parse().unwrap()
}

pub(super) fn id(name: &str) -> AgentId {
    format!("{name}/node").parse().unwrap()
}

fn health_settings(own: &AgentId) -> health::Settings {
    let probes = ProbePolicy {
        failures: 3,
        evidence_ms: 300,
        interval_ms: 500,
        confirm_interval_ms: 100,
        successes: 3,
        suspect_ms: 2_000,
        silent_ms: 8_000,
        gap_ms: 1_750,
    };

    health::Settings {
        id: own.clone(),
        policy: EndpointPolicy {
            probes,
            gray: GrayPolicy::default(),
            minimum: 1,
        },
        endpoints: REGIONS
            .map(|name| (region(name), EndpointSettings::default()))
            .into(),
        has_canaries: false,
        serves_at: None,
    }
}

fn plan_settings() -> PlanSettings {
    let regions = REGIONS.map(|name| {
        let settings = RegionSettings {
            weight_bp: 10_000,
            priority: 0,
            addresses: vec!["127.0.0.1".parse().unwrap()],
            capacity_rps: None,
        };
        (region(name), settings)
    });

    PlanSettings {
        regions: regions.into(),
        strategy: Strategy::Weighted,
        suspect_percent: 10,
        recovery: RecoveryPolicy {
            cool_down_ms: 2_000,
            steps: Vec::new(),
            ..RecoveryPolicy::default()
        },
        max_out: 1,
        ttl_ms: 5_000,
        is_serving_embedded: false,
        judges_each_address: false,
        has_inference_probes: false,
        measured_capacity: false,
    }
}

pub(super) fn settings(name: &str) -> Settings {
    let own = id(name);
    let mesh: MeshName = "test.mesh".parse().unwrap();

    Settings {
        gossip: gossip::Settings {
            own: own.clone(),
            mesh: mesh.clone(),
            started_ms: START_MS,
        },
        health: health_settings(&own),
        leader: leader::Settings {
            id: own,
            mesh,
            configured: REGIONS.map(region).into(),
            plan: plan_settings(),
            filters_when_frozen: true,
            withdraws_when_all_failed: false,
        },
        replication: replication::Settings {
            rescan_interval: Duration::from_secs(10),
            parallel_versions: 2,
            relay_wait: Duration::from_secs(120),
        },
    }
}
