//! Many runs, on all cores.

use super::{
    outcome::{Outcome, run},
    shape::{Options, Profile},
    sometimes::Reached,
};
use std::{
    num::NonZero,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

/// A batch of at least this many runs must reach every interesting state.
const MANY: u64 = 300;

/// What a batch of runs showed.
#[derive(Debug, Default)]
pub struct Batch {
    pub runs: u64,
    pub(crate) events: u64,
    pub(crate) region_ms: u64,
    pub(crate) committed: usize,
    pub(crate) elections: u64,
    pub wrong_failovers: u64,
    pub stuck: u64,
    /// The failed run with the lowest seed, if any failed.
    pub failed: Option<Box<Outcome>>,
    /// Real time.
    pub(crate) duration: Duration,
    pub(crate) reached: Reached,
}

impl From<Outcome> for Batch {
    /// A batch of one run.
    fn from(outcome: Outcome) -> Self {
        Self {
            runs: 1,
            events: outcome.events,
            region_ms: outcome.region_ms,
            committed: outcome.committed,
            elections: outcome.elections,
            wrong_failovers: outcome.wrong_failovers,
            stuck: u64::from(outcome.is_stuck),
            reached: outcome.reached.clone(),
            failed: outcome.violation.is_some().then(|| Box::new(outcome)),
            duration: Duration::ZERO,
        }
    }
}

impl Batch {
    fn merge(&mut self, other: Self) {
        self.runs += other.runs;
        self.events += other.events;
        self.region_ms += other.region_ms;
        self.committed += other.committed;
        self.elections += other.elections;
        self.wrong_failovers += other.wrong_failovers;
        self.stuck += other.stuck;
        self.reached.add(&other.reached);

        if let Some(failed) = other.failed
            && self
                .failed
                .as_deref()
                .is_none_or(|first| failed.seed < first.seed)
        {
            self.failed = Some(failed);
        }
    }

    /// States that so many runs should have reached and did not.
    pub(crate) fn missing(&self, options: &Options) -> Vec<&'static str> {
        if self.runs < MANY || options.profile != Profile::Swarm {
            return Vec::new();
        }

        let missing = self
            .reached
            .all()
            .filter(|(state, count)| *count == 0 && (options.with_liar || !state.needs_liar()));
        missing.map(|(state, _)| state.into()).collect()
    }

    /// Virtual region-hours per minute of real time.
    pub(crate) fn region_hours_per_minute(&self) -> f64 {
        let region_hours = self.region_ms as f64 / 3.6e6;
        region_hours / (self.duration.as_secs_f64() / 60.0).max(1e-9)
    }
}

/// Plays the runs with `runs` seeds from `first` on, until one fails.
pub fn run_batch(first: u64, runs: u64, options: &Options) -> Batch {
    let started = Instant::now();
    let next = AtomicU64::new(first);
    let has_failed = AtomicBool::new(false);
    let threads = thread::available_parallelism().map_or(2, NonZero::get);

    let work = || {
        let mut batch = Batch::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first.saturating_add(runs) || has_failed.load(Ordering::Relaxed) {
                return batch;
            }

            let outcome = run(seed, options);
            if outcome.violation.is_some() {
                has_failed.store(true, Ordering::Relaxed);
            }
            batch.merge(outcome.into());
        }
    };

    let mut all = Batch::default();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            match worker.join() {
                Ok(batch) => all.merge(batch),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });

    all.duration = started.elapsed();
    all
}
