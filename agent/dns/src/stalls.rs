//! Watches for stalls of the process.

use crate::{pulse::BEAT, shared::Shared};
use std::{sync::Arc, time::Instant};
use tokio::sync::watch;

/// Beats the pulse. After a stall it marks the plan as not current, so that nothing is answered
/// until the plan is received again.
pub(super) async fn run(
    shared: Arc<Shared>,
    resumed: watch::Sender<Option<Instant>>,
    is_current: watch::Sender<bool>,
) {
    loop {
        if let Some(gap) = shared.pulse.beat() {
            tracing::warn!(
                ?gap,
                "the process was stalled: DNS answers again once another region sends its plan"
            );

            shared.metrics.stalls.inc();
            resumed.send_replace(Some(Instant::now()));
            is_current.send_replace(false);
        }

        tokio::time::sleep(BEAT).await;
    }
}
