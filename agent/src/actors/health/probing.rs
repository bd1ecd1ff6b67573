//! Probes of endpoints and canaries.

use super::metrics::HealthMetrics;
use crate::probe::{Prober, Target};
use futures::future::join_all;
use regionmesh_core::health::{FinishedProbe, Input, Probe, probe::ProbeResult};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// One probe.
pub(super) struct Probing {
    pub(super) probe: Probe,
    pub(super) target: Target,
    pub(super) prober: Arc<dyn Prober>,
    pub(super) metrics: HealthMetrics,
}

impl Probing {
    /// Waits until the probe is due, and performs it.
    pub(super) async fn run(self) -> Input {
        tokio::time::sleep_until(self.probe.at.into()).await;

        let started = tokio::time::Instant::now();
        let result = self.prober.probe(&self.target).await;
        let ended = tokio::time::Instant::now();
        self.count(&result, ended - started);

        Input::ProbeFinished(FinishedProbe {
            region: self.probe.region,
            index: self.probe.index,
            is_inference: self.probe.is_inference,
            result,
            started: started.into_std(),
            ended: ended.into_std(),
        })
    }

    fn count(&self, result: &ProbeResult, took: Duration) {
        let region = &self.probe.region;
        self.metrics.probed(region, result, took);

        if self.probe.is_inference {
            let has_passed = matches!(result, ProbeResult::Success { .. });
            self.metrics.inferred(region, has_passed);
        }
        if self.probe.is_confirmation {
            self.metrics.confirmed(region, result);
        }
    }
}

/// Probes all canaries at this time.
pub(super) async fn check_canaries(
    at: Instant,
    canaries: Vec<Target>,
    prober: Arc<dyn Prober>,
) -> Input {
    tokio::time::sleep_until(at.into()).await;

    let results = join_all(canaries.iter().map(|canary| prober.probe(canary))).await;
    let is_reached = results
        .iter()
        .any(|result| matches!(result, ProbeResult::Success { .. }));
    Input::CanariesChecked(is_reached)
}
