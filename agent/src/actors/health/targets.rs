//! What is probed.

use crate::{
    config::Config,
    core_settings::endpoint_settings,
    probe::{Target, TargetError},
};
use regionmesh_core::health::Probe;
use regionmesh_protocol::identity::RegionName;
use std::collections::BTreeMap;

/// What one address of an endpoint is asked.
pub(super) struct EndpointTargets {
    regular: Target,
    /// The synthetic inference, where one is configured.
    inference: Option<Target>,
}

impl EndpointTargets {
    pub(super) fn of(&self, probe: &Probe) -> &Target {
        let inference = self.inference.as_ref().filter(|_| probe.is_inference);
        inference.unwrap_or(&self.regular)
    }
}

/// What to probe of every region, by the index of a probe.
pub(super) fn targets(
    config: &Config,
) -> Result<BTreeMap<RegionName, Vec<EndpointTargets>>, TargetError> {
    let mut targets = BTreeMap::new();
    for region in &config.regions {
        let regular = Target::new(&region.serving_url, &config.health)?;
        let inference = Target::inference(&region.serving_url, &config.health)?;
        let probed = endpoint_settings(region, &config.health)?.probed();

        let of_address = |address| EndpointTargets {
            regular: regular.clone().at(address),
            inference: inference.clone().map(|inference| inference.at(address)),
        };
        let of_region = probed.into_iter().map(of_address).collect();
        targets.insert(region.name.clone(), of_region);
    }

    Ok(targets)
}
