//! The tasks of the health actor: probes, canaries and the watcher of the board.

use super::{clock::Clock, metrics::HealthMetrics};
use crate::{
    actors::messages::{FinishedProbe, HealthMessage},
    probe::{Prober, Target},
};
use ractor::ActorRef;
use regionmesh_core::{
    gossip::BoardView,
    health::probe::{FailureRun, ProbePolicy, ProbeResult},
};
use regionmesh_protocol::identity::RegionName;
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::Instant};

/// How often the canaries are probed: twice in the time in which silence makes an endpoint suspect.
const CANARY_INTERVAL: Duration = Duration::from_secs(1);
/// Changes of the board within this time are handled together.
const BOARD_PAUSE: Duration = Duration::from_millis(20);

/// The probing of one address of a region's endpoint.
pub(super) struct Probing {
    pub(super) region: RegionName,
    pub(super) index: usize,
    pub(super) target: Target,
    pub(super) inference: Option<Target>,
    /// Run a synthetic inference on every n-th probe.
    pub(super) every: u32,
    pub(super) policy: ProbePolicy,
    pub(super) clock: Clock,
    pub(super) prober: Arc<dyn Prober>,
    pub(super) metrics: HealthMetrics,
    pub(super) health: ActorRef<HealthMessage>,
}

impl Probing {
    /// Probes without end. The regular pause counts from a probe's start, so that silence does not
    /// slow the probes down. The pause before a confirmation counts from the end, so that a slow
    /// endpoint is not probed without a break.
    pub(super) async fn run(self) {
        // Jitter: agents that start together do not probe together.
        tokio::time::sleep(
            Duration::from_millis(self.policy.interval_ms).mul_f64(rand::random::<f64>()),
        )
        .await;

        let mut failures = FailureRun::default();
        // The first probe is an inference. After a failed inference the next probe is one too, or
        // an endpoint that still answers readiness probes would hide the failure.
        let mut until_inference = 0u32;

        loop {
            let started = Instant::now();
            let inference = self.inference.as_ref().filter(|_| until_inference == 0);
            let result = self.prober.probe(inference.unwrap_or(&self.target)).await;
            let is_inference = inference.is_some();
            let has_passed = matches!(result, ProbeResult::Success { .. });

            until_inference = match is_inference {
                true if has_passed => self.every.saturating_sub(1),
                true => 0,
                false => until_inference.saturating_sub(1),
            };

            self.metrics
                .probed(&self.region, &result, started.elapsed());
            if is_inference {
                self.metrics.inferred(&self.region, has_passed);
            }
            if failures.is_confirming(&self.policy) {
                self.metrics.confirmed(&self.region, &result);
            }

            let ended_ms = self.clock.now_ms();
            failures.record(&result, ended_ms);

            let pause = Duration::from_millis(failures.pause_ms(&self.policy));
            let from = if failures.is_confirming(&self.policy) {
                Instant::now()
            } else {
                started
            };
            let probe = FinishedProbe {
                region: self.region.clone(),
                index: self.index,
                is_inference,
                result,
                ended_ms,
            };

            if self
                .health
                .cast(HealthMessage::ProbeFinished(probe))
                .is_err()
            {
                return;
            }

            tokio::time::sleep_until(from + pause).await;
        }
    }
}

pub(super) async fn watch_canaries(
    canaries: Vec<Target>,
    prober: Arc<dyn Prober>,
    health: ActorRef<HealthMessage>,
) {
    loop {
        let results =
            futures::future::join_all(canaries.iter().map(|canary| prober.probe(canary))).await;
        let is_reached = results
            .iter()
            .any(|result| matches!(result, ProbeResult::Success { .. }));

        if health
            .cast(HealthMessage::CanariesChecked(is_reached))
            .is_err()
        {
            return;
        }

        tokio::time::sleep(CANARY_INTERVAL).await;
    }
}

pub(super) async fn watch_board(
    mut board: watch::Receiver<Arc<BoardView>>,
    health: ActorRef<HealthMessage>,
) {
    while board.changed().await.is_ok() && health.cast(HealthMessage::BoardChanged).is_ok() {
        tokio::time::sleep(BOARD_PAUSE).await;
    }
}
