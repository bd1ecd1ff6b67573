//! Waiting for conditions, never for time.

use std::time::{Duration, Instant};

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// Looks again and again until `look` finds what it wants; fails with its last objection once
/// `timeout` is over.
pub async fn until<T>(
    what: &str,
    timeout: Duration,
    mut look: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let begin = Instant::now();
    loop {
        let objection = match look().await {
            Ok(found) => return found,
            Err(objection) => objection,
        };

        assert!(
            begin.elapsed() < timeout,
            "{what}: not within {timeout:?}; last: {objection}"
        );

        tokio::time::sleep(PAUSE).await;
    }
}

/// The same for claims: fine if it holds, else what was seen instead.
pub fn claim(holds: bool, seen: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(seen()) }
}

/// Seconds, written short.
pub const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
