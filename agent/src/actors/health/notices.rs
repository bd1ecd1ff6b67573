//! Logs and counts what the core reports.

use super::metrics::HealthMetrics;
use crate::config::Config;
use regionmesh_core::health::Notice;
use regionmesh_protocol::{identity::RegionName, status::condition::Condition};
use std::net::IpAddr;

/// Logs and counts a notice.
pub(crate) fn record(notice: Notice, metrics: &HealthMetrics, config: &Config) {
    match notice {
        Notice::Observes(is_observer) => {
            metrics.is_observer(is_observer);
            if is_observer {
                tracing::info!("this agent observes endpoints");
            } else {
                tracing::info!("this agent observes no endpoints: other agents of its region do");
            }
        }
        Notice::Abstains(is_abstaining) => metrics.abstains(is_abstaining),
        Notice::CanariesLost => tracing::warn!(
            canaries = ?config.health.canaries,
            "no canary can be reached: this agent abstains from all verdicts"
        ),
        Notice::CanaryReached => {
            tracing::info!("a canary is reached: this agent observes again")
        }
        Notice::DrainChanged(is_draining) => tracing::info!(
            region = %config.region,
            is_draining,
            "the region's drain was changed"
        ),
        Notice::OwnRegionFailed => {
            tracing::warn!(region = %config.region, "this agent reports its own region \
                failed")
        }
        Notice::Observed { region, condition } => metrics.observes(&region, condition),
        Notice::AddressChanged {
            region,
            address,
            before,
            after,
            evidence,
        } => log_address(&region, address, before, after, &evidence),
        Notice::Verdict {
            region,
            before,
            after,
            reason,
        } => {
            metrics.judges(&region, after);
            if let Some(before) = before {
                metrics.changed(&region);
                log_verdict(&region, before, after, &reason);
            }
        }
        Notice::AddressVerdict {
            region,
            address,
            before,
            after: verdict,
            reason,
            is_only,
        } => {
            metrics.judges_address(&region, address, verdict);
            // With a single address the region's verdict is enough.
            if before.is_some() && !is_only {
                tracing::info!(%region, %address, %verdict, reason, "the verdict on an address \
                    changed");
            }
        }
    }
}

fn log_address(
    region: &RegionName,
    address: Option<IpAddr>,
    before: Condition,
    after: Condition,
    evidence: &str,
) {
    let address = address
        .map(|address| address.to_string())
        .unwrap_or_default();

    match after {
        Condition::Failed | Condition::Suspect => {
            tracing::warn!(
                %region,
                address,
                %before,
                %after,
                evidence,
                "endpoint condition worsened"
            );
        }
        _ => {
            tracing::info!(
                %region,
                address,
                %before,
                %after,
                evidence,
                "endpoint condition improved"
            )
        }
    }
}

fn log_verdict(region: &RegionName, before: Condition, after: Condition, reason: &str) {
    match after {
        Condition::Failed | Condition::Suspect => {
            tracing::warn!(%region, %before, %after, reason, "the verdict on a region worsened");
        }
        _ => {
            tracing::info!(%region, %before, %after, reason, "the verdict on a region changed")
        }
    }
}
