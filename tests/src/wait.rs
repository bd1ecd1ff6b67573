//! Waiting for conditions, never for time.

use std::time::{Duration, Instant};

/// Pause between two checks.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Repeats `check` until it succeeds; fails with its last error once `timeout` is over.
pub async fn until<T>(
    what: &str,
    timeout: Duration,
    mut check: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let begin = Instant::now();
    loop {
        let objection = match check().await {
            Ok(found) => return found,
            Err(objection) => objection,
        };

        assert!(
            begin.elapsed() < timeout,
            "{what}: not within {timeout:?}; last: {objection}"
        );

        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// The same for claims: Ok if it holds, else what was seen instead.
pub fn claim(holds: bool, seen: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(seen()) }
}

/// Seconds, written short.
pub const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
