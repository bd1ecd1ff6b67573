//! Reacts to stalls of the process.

use crate::{shared::Shared, stall_detector::TICK};
use std::{sync::Arc, time::Instant};
use tokio::sync::watch;

/// Ticks the stall detector. After a stall it marks the plan as not current, so that nothing is
/// answered until the plan is received again.
pub(super) async fn run(
    shared: Arc<Shared>,
    resumed: watch::Sender<Option<Instant>>,
    is_current: watch::Sender<bool>,
) {
    loop {
        if let Some(gap) = shared.stall_detector.tick() {
            tracing::warn!(
                ?gap,
                "the process was stalled: DNS answers again once another region sends its plan"
            );

            shared.metrics.stalls.inc();
            // In this order: the core confirms the plan after `resumed`, and sets it to true.
            is_current.send_replace(false);
            resumed.send_replace(Some(Instant::now()));
        }

        tokio::time::sleep(TICK).await;
    }
}
