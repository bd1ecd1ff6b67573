//! DNS providers: zones that a third party serves and the mesh writes, in addition to its own name
//! servers.
//!
//! A provider is one folder or file here and one line in [`configured`]. It writes from committed
//! plans only, refuses a plan that is not newer than the one that the zone was written from, and
//! never changes a record that is not the mesh's.

mod error;
pub(crate) mod metrics;
mod provider;
pub(crate) mod route53;

pub use error::ProviderError;
pub(crate) use provider::Expected;
pub use provider::{Difference, DnsProvider, OnProgress, Preview, Propagation, Published, Receipt};

use crate::config::{Config, Region};
use metrics::ProviderMetrics;
use regionmesh_core::planning::Strategy;
use regionmesh_protocol::{
    plan::{CommittedPlan, Plan, RegionPlan},
    register::ballot::{Ballot, Stamp},
};
use regionmesh_runtime::metrics::Registry;
use route53::Route53;
use std::sync::Arc;

/// Every configured provider.
pub async fn configured(
    config: &Config,
    registry: &Registry,
) -> prometheus::Result<Vec<Arc<dyn DnsProvider>>> {
    let mut providers: Vec<Arc<dyn DnsProvider>> = Vec::new();
    if let Some(section) = &config.settings.route53 {
        providers.push(Arc::new(
            Route53::connect(config, section, ProviderMetrics::new(registry)?).await,
        ));
    }

    Ok(providers)
}

/// The plan for use before any was committed: every region gets its configured share, under a stamp
/// lower than any committed plan's.
pub fn first_plan(config: &Config, now_ms: u64) -> CommittedPlan {
    let first = config
        .regions
        .iter()
        .filter(|region| region.weight_bp > 0)
        .min_by_key(|region| region.priority);
    let region = |region: &Region| {
        let is_passive = config.traffic.strategy == Strategy::ActivePassive
            && first.is_none_or(|first| first.name != region.name);
        let planned = RegionPlan {
            weight_bp: if is_passive { 0 } else { region.weight_bp },
            addresses: region.addresses.clone(),
            ..RegionPlan::default()
        };

        (region.name.clone(), planned)
    };

    let plan = Plan {
        regions: config.regions.iter().map(region).collect(),
        reason: "first set-up, from the configuration".into(),
        made_ms: now_ms,
        ..Plan::default()
    };

    CommittedPlan {
        stamp: Stamp {
            ballot: Ballot {
                number: 0,
                agent: config.own.clone(),
                boot: 0,
            },
            seq: 0,
        },
        plan,
        certificate: Default::default(),
    }
}
