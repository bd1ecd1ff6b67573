//! When an object store counts as unavailable, judged by the outcome of every operation.
//!
//! Outcomes are kept apart by area (the first folder of the path) and by access: a full disk still
//! reads, and a policy may forbid one folder alone. An area fails once it failed at least twice,
//! over [`FAILING_MS`], without a success in between.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An area that failed again and again over this long is unavailable, milliseconds.
pub(crate) const FAILING_MS: u64 = 2_500;
/// An area that succeeds is available again after this long without a failure, milliseconds.
pub(crate) const RECOVERED_MS: u64 = 3_000;
/// An area that nothing was asked of for this long is judged by the other areas of its access,
/// milliseconds.
pub(crate) const IDLE_MS: u64 = 6_000;
/// The area of probes, which are not repeated: what they say is plainer than that others got no
/// answer in time.
pub const PROBE_AREA: &str = "probe";
/// Most areas that are tracked separately; the rest counts as one.
pub(crate) const AREAS_MAX: usize = 16;

/// The kind of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Access {
    /// Reading or listing.
    Read,
    /// Writing, copying or deleting.
    Write,
}

impl Access {
    /// The word for it, as in metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// The first failure, milliseconds of the caller's clock.
    pub since_ms: u64,
    /// What fails.
    pub access: Access,
    /// The last failure in words.
    pub why: String,
}

#[derive(Debug, Clone, Default)]
struct Area {
    /// The first failure of the current run of failures.
    failing_since_ms: Option<u64>,
    failures: u64,
    last_failure_ms: u64,
    why: String,
    /// The first success after the last failure.
    recovering_since_ms: Option<u64>,
}

impl Area {
    fn is_out(&self) -> bool {
        self.failures >= 2
            && self
                .failing_since_ms
                .is_some_and(|since| self.last_failure_ms >= since + FAILING_MS)
    }

    fn succeeded(&mut self, now_ms: u64) {
        if self.is_out() {
            self.recovering_since_ms.get_or_insert(now_ms);
        } else {
            *self = Self::default();
        }
    }

    fn failed(&mut self, why: String, now_ms: u64) {
        self.failing_since_ms.get_or_insert(now_ms);
        self.failures = self.failures.saturating_add(1);
        self.last_failure_ms = self.last_failure_ms.max(now_ms);
        self.why = why;
        self.recovering_since_ms = None;
    }
}

/// Tracks one store.
#[derive(Debug, Clone, Default)]
pub struct StoreJudge {
    areas: BTreeMap<(Access, String), Area>,
    /// The last success of each access.
    succeeded_ms: BTreeMap<Access, u64>,
}

impl StoreJudge {
    /// An operation ended; `Err` is the failure in words. "Not found" and "exists already" are
    /// successes.
    pub fn observe(
        &mut self,
        access: Access,
        area: &str,
        outcome: Result<(), String>,
        now_ms: u64,
    ) {
        let mut key = (access, area.to_owned());
        if !self.areas.contains_key(&key) && self.areas.len() >= AREAS_MAX {
            key.1 = String::new();
        }

        match outcome {
            Ok(()) => {
                self.succeeded_ms.insert(access, now_ms);
                if let Some(known) = self.areas.get_mut(&key) {
                    known.succeeded(now_ms);
                }
            }
            Err(why) => self.areas.entry(key).or_default().failed(why, now_ms),
        }
    }

    /// Whether, and since when, the store is unavailable.
    pub fn outage(&mut self, now_ms: u64) -> Option<Outage> {
        let succeeded_ms = self.succeeded_ms.clone();
        self.areas.retain(|(access, _), area| {
            let is_recovered = area
                .recovering_since_ms
                .is_some_and(|since| now_ms >= since + RECOVERED_MS);
            let is_outlived = succeeded_ms
                .get(access)
                .is_some_and(|at| *at > area.last_failure_ms)
                && now_ms >= area.last_failure_ms + IDLE_MS;

            area.failing_since_ms.is_some() && !is_recovered && !is_outlived
        });

        let out = || self.areas.iter().filter(|(_, area)| area.is_out());
        let since_ms = out().filter_map(|(_, area)| area.failing_since_ms).min()?;
        let ((access, _), area) =
            out().min_by_key(|((_, name), area)| (name != PROBE_AREA, area.failing_since_ms))?;

        Some(Outage {
            since_ms,
            access: *access,
            why: area.why.clone(),
        })
    }

    /// The last success of any kind.
    pub fn succeeded_ms(&self) -> Option<u64> {
        self.succeeded_ms.values().max().copied()
    }

    /// The last success of one access.
    pub fn succeeded_by_ms(&self, access: Access) -> Option<u64> {
        self.succeeded_ms.get(&access).copied()
    }

    /// Whether an operation of this access failed and none has succeeded since.
    pub fn is_in_doubt(&self, access: Access) -> bool {
        self.areas.keys().any(|(known, _)| *known == access)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
