//! What the core is configured with, and the targets of its probes.

use super::probing::EndpointTargets;
use crate::{
    config::{Config, HealthConfig, RegionConfig},
    probe::{Target, TargetError},
};
use regionmesh_core::health::{
    EndpointSettings, Settings, endpoint::EndpointPolicy, probe::ProbePolicy,
};
use regionmesh_protocol::identity::RegionName;
use std::collections::BTreeMap;

/// Added to the longest regular time between two results, milliseconds: timers are late on a busy
/// machine.
const GAP_SLACK_MS: u64 = 250;

/// `is_serving`: whether this agent has the embedded model server.
pub(super) fn settings(config: &Config, is_serving: bool) -> Result<Settings, TargetError> {
    let health = &config.health;
    let policy = EndpointPolicy {
        probes: probe_policy(health),
        gray: health.gray,
        minimum: usize::from(health.minimum_addresses),
    };

    let endpoints = config
        .regions
        .iter()
        .map(|region| Ok((region.name.clone(), endpoint(region, health)?)))
        .collect::<Result<_, TargetError>>()?;

    Ok(Settings {
        id: config.id(),
        policy,
        endpoints,
        has_canaries: !health.canaries.is_empty(),
        serves_at: is_serving.then(|| config.listen.serving.ip()),
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

fn endpoint(region: &RegionConfig, health: &HealthConfig) -> Result<EndpointSettings, TargetError> {
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

/// What to probe of every region, by the index of a probe.
pub(super) fn targets(
    config: &Config,
    settings: &Settings,
) -> Result<BTreeMap<RegionName, Vec<EndpointTargets>>, TargetError> {
    let mut targets = BTreeMap::new();
    for region in &config.regions {
        let regular = Target::new(&region.serving_url, &config.health)?;
        let inference = Target::inference(&region.serving_url, &config.health)?;
        let endpoint = settings.endpoints.get(&region.name);

        let of_address = |address| EndpointTargets {
            regular: regular.clone().at(address),
            inference: inference.clone().map(|inference| inference.at(address)),
        };
        let probed = endpoint.map(EndpointSettings::probed).unwrap_or_default();
        let of_region = probed.into_iter().map(of_address).collect();
        targets.insert(region.name.clone(), of_region);
    }

    Ok(targets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_settings_give_the_default_policy() {
        assert_eq!(probe_policy(&HealthConfig::default()), ProbePolicy::DEFAULT);
    }
}
