//! A log of a store's trouble: one message a minute, and one when it is over.

use super::error::SlotError;
use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// Interval between two messages about a store that keeps failing or is slow.
const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// A store that failed counts as recovered after this long without a failure.
const RECOVERED_AFTER: Duration = Duration::from_secs(10);
/// A request that takes longer is logged: elections and commits wait for it.
const SLOW: Duration = Duration::from_secs(1);

/// What was logged of a store's trouble.
#[derive(Debug, Default)]
pub(super) struct TroubleLog(pub(super) Mutex<Trouble>);

#[derive(Debug, Default)]
pub(super) struct Trouble {
    pub(super) failing_since: Option<Instant>,
    failed: Option<Instant>,
    logged: Option<Instant>,
    /// Failures and slow requests since the last message.
    pub(super) unlogged: u64,
}

impl TroubleLog {
    /// Takes in the outcome of one request.
    pub(super) fn record(
        &self,
        acceptor: &'static str,
        error: Option<&SlotError>,
        duration: Duration,
    ) {
        let mut trouble = self.0.lock();
        if error.is_none() && duration < SLOW {
            // A full store still answers reads: it has recovered if nothing failed for a while.
            let is_recovered = trouble
                .failed
                .is_some_and(|failed| failed.elapsed() >= RECOVERED_AFTER);
            if let Some(since) = trouble.failing_since.take_if(|_| is_recovered) {
                tracing::info!(
                    acceptor,
                    after = ?since.elapsed(),
                    "the register's store answers again"
                );
                *trouble = Trouble::default();
            }

            return;
        }

        if error.is_some() {
            trouble.failing_since.get_or_insert_with(Instant::now);
            trouble.failed = Some(Instant::now());
        }

        if trouble
            .logged
            .is_some_and(|logged| logged.elapsed() < LOG_INTERVAL)
        {
            trouble.unlogged += 1;
            return;
        }

        let unlogged = std::mem::take(&mut trouble.unlogged);
        let failing = trouble.failing_since.map(|since| since.elapsed());
        trouble.logged = Some(Instant::now());
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
