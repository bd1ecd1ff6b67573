//! What the core is configured with.

use crate::{
    config::{Config, HealthConfig, RegionConfig},
    probe::{Target, TargetError},
};
use anyhow::Result;
use regionmesh_core::{
    agent::Settings,
    gossip,
    health::{self, EndpointSettings, endpoint::EndpointPolicy, probe::ProbePolicy},
};

/// Added to the longest regular time between two results, milliseconds: timers are late on a busy
/// machine.
const GAP_SLACK_MS: u64 = 250;

/// `started_ms`: when the process started, Unix milliseconds.
pub(crate) fn core_settings(config: &Config, started_ms: u64) -> Result<Settings> {
    Ok(Settings {
        gossip: gossip::Settings {
            own: config.id(),
            mesh: config.mesh.clone(),
            started_ms,
        },
        health: health_settings(config)?,
        leader: config.for_leader(config.witness.is_some())?,
        replication: (&config.replication).into(),
    })
}

fn health_settings(config: &Config) -> Result<health::Settings, TargetError> {
    let health = &config.health;
    let policy = EndpointPolicy {
        probes: probe_policy(health),
        gray: health.gray,
        minimum: usize::from(health.minimum_addresses),
    };

    let regions = config.regions.iter();
    let endpoints = regions
        .map(|region| Ok((region.name.clone(), endpoint_settings(region, health)?)))
        .collect::<Result<_, TargetError>>()?;

    Ok(health::Settings {
        id: config.id(),
        policy,
        endpoints,
        has_canaries: !health.canaries.is_empty(),
        serves_at: config.serving.embedded.then(|| config.listen.serving.ip()),
    })
}

fn probe_policy(health: &HealthConfig) -> ProbePolicy {
    ProbePolicy {
        failures: health.failures,
        evidence_ms: health.evidence_ms,
        interval_ms: health.interval_ms.max(10),
        confirm_interval_ms: health.confirm_interval_ms.max(10),
        successes: health.successes,
        suspect_ms: health.suspect_ms,
        silent_ms: health.silent_ms,
        gap_ms: health
            .interval_ms
            .saturating_add(health.timeout_ms)
            .saturating_add(GAP_SLACK_MS),
    }
}

/// How a region's endpoint is probed.
pub(crate) fn endpoint_settings(
    region: &RegionConfig,
    health: &HealthConfig,
) -> Result<EndpointSettings, TargetError> {
    let has_inference = Target::inference(&region.serving_url, health)?.is_some();
    let every = health.inference.as_ref().map(|inference| inference.every);
    let addresses = if health.each_address {
        region.dns_addresses()
    } else {
        Vec::new()
    };

    Ok(EndpointSettings {
        addresses,
        inference_every: every.filter(|_| has_inference),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_settings_give_the_default_policy() {
        assert_eq!(probe_policy(&HealthConfig::default()), ProbePolicy::DEFAULT);
    }
}
