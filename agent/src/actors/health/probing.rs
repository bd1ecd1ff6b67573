//! The tasks of the health actor: probes, canaries and the watcher of the board.

use super::metrics::HealthMetrics;
use crate::{
    actors::messages::HealthMessage,
    probe::{Prober, Target},
};
use ractor::ActorRef;
use regionmesh_core::{
    agent::intervals::HEALTH_BOARD_PAUSE,
    gossip::BoardView,
    health::{FinishedProbe, Probe, probe::ProbeResult},
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::Instant};

/// How often the canaries are probed: twice in the time in which silence makes an endpoint suspect.
const CANARY_INTERVAL: Duration = Duration::from_secs(1);

/// What one address of an endpoint is asked.
pub(super) struct EndpointTargets {
    pub(super) regular: Target,
    /// The synthetic inference, where one is configured.
    pub(super) inference: Option<Target>,
}

impl EndpointTargets {
    pub(super) fn of(&self, probe: &Probe) -> &Target {
        let inference = self.inference.as_ref().filter(|_| probe.is_inference);
        inference.unwrap_or(&self.regular)
    }
}

/// One probe.
pub(super) struct Probing {
    pub(super) probe: Probe,
    pub(super) target: Target,
    pub(super) prober: Arc<dyn Prober>,
    pub(super) metrics: HealthMetrics,
    pub(super) health: ActorRef<HealthMessage>,
}

impl Probing {
    /// Waits until the probe is due, performs it and reports the result.
    pub(super) async fn run(self) {
        tokio::time::sleep_until(Instant::from_std(self.probe.at)).await;

        let started = Instant::now();
        let result = self.prober.probe(&self.target).await;
        let ended = Instant::now();
        self.count(&result, ended - started);

        let finished = FinishedProbe {
            region: self.probe.region,
            index: self.probe.index,
            is_inference: self.probe.is_inference,
            result,
            started: started.into_std(),
            ended: ended.into_std(),
        };
        // The actor may have stopped.
        let _ = self.health.cast(HealthMessage::ProbeFinished(finished));
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
        tokio::time::sleep(HEALTH_BOARD_PAUSE).await;
    }
}
