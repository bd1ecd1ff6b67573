//! The configuration of the agents.

use crate::{
    agent::Settings,
    gossip,
    health::{
        self, EndpointSettings, endpoint::EndpointPolicy, gray::GrayPolicy, probe::ProbePolicy,
    },
    leader,
    planning::PlanSettings,
    recovery::ramp::RecoveryPolicy,
    replication, testing,
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
    health::Settings {
        id: own.clone(),
        policy: EndpointPolicy {
            probes: ProbePolicy::DEFAULT,
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
    PlanSettings {
        recovery: RecoveryPolicy {
            cool_down_ms: 2_000,
            steps: Vec::new(),
            ..RecoveryPolicy::default()
        },
        is_serving_embedded: false,
        judges_each_address: false,
        ..testing::plan_settings(&REGIONS)
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
