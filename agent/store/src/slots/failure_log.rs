//! Rate-limited log of a store's failures: one message a minute, and one on recovery.

use super::error::SlotError;
use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// Interval between messages about a store that is failing or slow.
const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// A store that failed counts as recovered after this long without a failure.
const RECOVERED_AFTER: Duration = Duration::from_secs(10);
/// A request that takes longer is logged: elections and commits wait for it.
const SLOW: Duration = Duration::from_secs(1);

/// The failures of a store, and when they were logged.
#[derive(Debug, Default)]
pub(super) struct FailureLog(pub(super) Mutex<FailureState>);

#[derive(Debug, Default)]
pub(super) struct FailureState {
    pub(super) failing_since: Option<Instant>,
    failed: Option<Instant>,
    logged: Option<Instant>,
    /// Failures and slow requests since the last message.
    pub(super) unlogged: u64,
}

impl FailureLog {
    /// Records the outcome of one request.
    pub(super) fn record(
        &self,
        acceptor: &'static str,
        error: Option<&SlotError>,
        duration: Duration,
    ) {
        let mut state = self.0.lock();
        if error.is_none() && duration < SLOW {
            // A full store still answers reads: it has recovered if nothing failed for a while.
            let is_recovered = state
                .failed
                .is_some_and(|failed| failed.elapsed() >= RECOVERED_AFTER);
            if let Some(since) = state.failing_since.take_if(|_| is_recovered) {
                tracing::info!(
                    acceptor,
                    after = ?since.elapsed(),
                    "the register's store answers again"
                );
                *state = FailureState::default();
            }

            return;
        }

        if error.is_some() {
            state.failing_since.get_or_insert_with(Instant::now);
            state.failed = Some(Instant::now());
        }

        if state
            .logged
            .is_some_and(|logged| logged.elapsed() < LOG_INTERVAL)
        {
            state.unlogged += 1;
            return;
        }

        let unlogged = std::mem::take(&mut state.unlogged);
        let failing = state.failing_since.map(|since| since.elapsed());
        state.logged = Some(Instant::now());
        match error {
            Some(error) => tracing::warn!(
                acceptor,
                %error,
                unlogged,
                for_ = ?failing.unwrap_or_default(),
                "the register's store fails: this acceptor has no vote until it recovers, and a \
                    majority must do without it"
            ),
            None => tracing::warn!(
                acceptor,
                ?duration,
                unlogged,
                "the register's store is slow: elections and commits wait for it, or do without it \
                    after 2 s"
            ),
        }
    }
}
