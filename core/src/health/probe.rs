//! What one observer concludes about one endpoint from its probes.
//!
//! Two speeds. A *definite failure* (refused, reset, a wrong answer) counts quickly, since a
//! network that merely loses packets does not cause it. *Silence* looks the same whether the
//! endpoint is dead or a burst of loss passes, so it first makes an endpoint suspect, which one
//! success undoes, and only much later failed.
//!
//! A first definite failure is confirmed at a quicker pace ([`FailureRun`]). The run must also span
//! [`ProbePolicy::evidence_ms`]: otherwise an endpoint that restarts within that time would be out
//! of service for the length of a whole ramp.
//!
//! Callers pass in the time, from a monotonic clock.

use regionmesh_protocol::status::condition::Condition;

/// How one probe ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeResult {
    /// A correct answer.
    Success {
        /// How long the answer took, microseconds.
        round_trip_us: u64,
        /// The answer in words: `200`.
        evidence: String,
    },
    /// A definite failure of the endpoint or its host: refused, reset, closed early, a wrong
    /// status, garbage.
    DefiniteFailure(String),
    /// No answer, or the host can't be reached.
    Silence(String),
}

/// When probes add up to a conclusion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbePolicy {
    /// Definite failures in a row until the endpoint has failed. At least 1.
    pub failures: u32,
    /// The definite failures must span at least this long, milliseconds.
    pub evidence_ms: u64,
    /// Regular pause between two probes, milliseconds.
    pub interval_ms: u64,
    /// Pause before a definite failure is confirmed, milliseconds; never longer than `interval_ms`.
    pub confirm_interval_ms: u64,
    /// Successes in a row until a failed endpoint is healthy again. At least 1.
    pub successes: u32,
    /// No success for this long: suspect, milliseconds.
    pub suspect_ms: u64,
    /// No success for this long: failed, milliseconds.
    pub silent_ms: u64,
    /// The longest time between two results that counts as silence, milliseconds; a little more
    /// than a probe and the pause after it take. An observer that was itself suspended for a minute
    /// must not count that minute.
    pub gap_ms: u64,
}

impl ProbePolicy {
    /// That of the defaults of `[health]`.
    pub const DEFAULT: Self = Self {
        failures: 3,
        evidence_ms: 300,
        interval_ms: 500,
        confirm_interval_ms: 100,
        successes: 3,
        suspect_ms: 2_000,
        silent_ms: 8_000,
        gap_ms: 1_750,
    };
}

/// A run of definite failures without a success: whether it suffices, and when to probe next.
///
/// Silence in between neither adds to the run nor ends it, and does not quicken the pace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FailureRun {
    count: u32,
    first_ms: u64,
    last_ms: u64,
    /// Whether the last probe belongs to the run, rather than being silent.
    is_current: bool,
}

impl FailureRun {
    /// Takes in one result.
    pub(crate) fn record(&mut self, result: &ProbeResult, now_ms: u64) {
        match result {
            ProbeResult::Success { .. } => *self = Self::default(),
            ProbeResult::DefiniteFailure(_) => {
                if self.count == 0 {
                    self.first_ms = now_ms;
                }
                self.count = self.count.saturating_add(1);
                self.last_ms = self.last_ms.max(now_ms);
                self.is_current = true;
            }
            ProbeResult::Silence(_) => self.is_current = false,
        }
    }

    /// Whether the run is long enough, in number and time.
    pub(crate) fn is_conclusive(&self, policy: &ProbePolicy) -> bool {
        let spans_ms = self.last_ms.saturating_sub(self.first_ms);
        self.count >= policy.failures.max(1) && spans_ms >= policy.evidence_ms
    }

    /// Whether the next probe confirms a failure that was just seen.
    pub(crate) fn is_confirming(&self, policy: &ProbePolicy) -> bool {
        self.is_current && !self.is_conclusive(policy)
    }

    /// The pause before the next probe, milliseconds.
    pub(crate) fn pause_ms(&self, policy: &ProbePolicy) -> u64 {
        if self.is_confirming(policy) {
            policy.confirm_interval_ms.min(policy.interval_ms)
        } else {
            policy.interval_ms
        }
    }
}

/// An observer's conclusion about one endpoint, and the evidence for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeTracker {
    condition: Condition,
    evidence: String,
    /// The cause of a bad conclusion.
    cause: Option<String>,
    /// Whether enough definite failures in a row were seen since it was healthy last.
    is_definite: bool,
    /// A failed endpoint's successes in a row, and how many it needs.
    returning: Option<(u32, u32)>,
    round_trip_us: Option<u64>,
    has_succeeded: bool,
    failures: FailureRun,
    successes: u32,
    silent_for_ms: u64,
    last_ms: u64,
}

impl ProbeTracker {
    /// A tracker that knows nothing yet; probing begins at `now_ms`.
    pub fn new(now_ms: u64) -> Self {
        Self {
            condition: Condition::Unknown,
            evidence: "not probed yet".into(),
            cause: None,
            is_definite: false,
            returning: None,
            round_trip_us: None,
            has_succeeded: false,
            failures: FailureRun::default(),
            successes: 0,
            silent_for_ms: 0,
            last_ms: now_ms,
        }
    }

    /// Takes in one result; returns the condition before, if it changed.
    pub fn record(
        &mut self,
        result: ProbeResult,
        now_ms: u64,
        policy: &ProbePolicy,
    ) -> Option<Condition> {
        let gap_ms = now_ms.saturating_sub(self.last_ms).min(policy.gap_ms);
        self.last_ms = self.last_ms.max(now_ms);
        self.failures.record(&result, now_ms);
        match result {
            ProbeResult::Success {
                round_trip_us,
                evidence,
            } => {
                self.evidence = evidence;
                self.round_trip_us = Some(round_trip_us);
                self.has_succeeded = true;
                self.silent_for_ms = 0;
                self.successes = self.successes.saturating_add(1);
            }
            // Silence between two refusals does not contradict them, so it leaves their count
            // alone; a refusal is not a success, so it adds to the silence.
            ProbeResult::DefiniteFailure(evidence) | ProbeResult::Silence(evidence) => {
                self.evidence = evidence;
                self.successes = 0;
                self.silent_for_ms = self.silent_for_ms.saturating_add(gap_ms);
            }
        }

        let next = self.conclude(policy);
        let before = std::mem::replace(&mut self.condition, next);
        self.explain(before, policy);
        (before != next).then_some(before)
    }

    /// Keeps the cause of the conclusion: later probes must not replace it.
    fn explain(&mut self, before: Condition, policy: &ProbePolicy) {
        let is_bad = matches!(self.condition, Condition::Suspect | Condition::Failed);
        let was_definite = self.is_definite;
        self.is_definite = self.condition == Condition::Failed
            && (was_definite || self.failures.is_conclusive(policy));
        if !is_bad {
            self.cause = None;
        } else if before != self.condition || self.is_definite != was_definite {
            self.cause = Some(match self.is_definite {
                true if self.failures.count == 1 => self.evidence.clone(),
                true => format!("{} {} times in a row", self.evidence, self.failures.count),
                false => format!(
                    "no success for {} s, {}",
                    self.silent_for_ms / 1_000,
                    self.evidence
                ),
            });
        }

        let is_returning = self.condition == Condition::Failed && self.successes > 0;
        self.returning = is_returning.then_some((self.successes, policy.successes));
    }

    fn conclude(&self, policy: &ProbePolicy) -> Condition {
        if self.condition == Condition::Failed && self.successes < policy.successes {
            return Condition::Failed;
        }

        if self.failures.is_conclusive(policy) || self.silent_for_ms >= policy.silent_ms {
            Condition::Failed
        } else if self.silent_for_ms >= policy.suspect_ms {
            Condition::Suspect
        } else if self.successes > 0 {
            Condition::Healthy
        } else {
            self.condition
        }
    }

    /// Whether it failed by silence alone and has answered since, if not often enough in a row: it
    /// is reached again, and may never have failed.
    pub(crate) fn is_reached_again(&self, policy: &ProbePolicy) -> bool {
        let is_silent = self.silent_for_ms >= policy.silent_ms;
        self.condition == Condition::Failed && !self.is_definite && !is_silent
    }

    /// Whether the next probe confirms a failure that was just seen, at a quicker pace.
    pub(crate) fn is_confirming(&self, policy: &ProbePolicy) -> bool {
        self.condition != Condition::Failed && self.failures.is_confirming(policy)
    }

    /// The conclusion: `Unknown`, `Healthy`, `Suspect` or `Failed`.
    pub fn condition(&self) -> Condition {
        self.condition
    }

    /// The last probe's outcome in words.
    pub fn evidence(&self) -> &str {
        &self.evidence
    }

    /// The reason for the conclusion: the cause of a bad one, and the last probe if it differs.
    pub(crate) fn reason(&self) -> String {
        let Some(cause) = &self.cause else {
            return self.evidence.clone();
        };
        match self.returning {
            Some((successes, needed)) => {
                format!("{cause}; the last probe succeeded ({successes} of {needed} needed)")
            }
            None if self.successes == 0 && !cause.contains(&self.evidence) => {
                format!("{cause}; the last probe failed: {}", self.evidence)
            }
            None => cause.clone(),
        }
    }

    /// Whether it failed by definite failures, not by silence alone.
    pub(crate) fn is_definite(&self) -> bool {
        self.is_definite
    }

    /// Time of the last successful probe, microseconds.
    pub(crate) fn round_trip_us(&self) -> Option<u64> {
        self.round_trip_us
    }

    /// Whether any probe ever succeeded.
    pub(crate) fn has_succeeded(&self) -> bool {
        self.has_succeeded
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
