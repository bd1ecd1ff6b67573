//! What one observer concludes about one endpoint, from a row of single probes.
//!
//! Two speeds. *Positive evidence* (refused, reset, an answer that is no good) is trusted quickly,
//! since a network that merely loses packets does not forge it. *Silence* looks the same whether
//! the endpoint is dead or a burst of loss passes, so it first makes an endpoint suspect, which one
//! success undoes, and only much later failed.
//!
//! A first definite failure is confirmed at a quicker pace ([`FailureRun`]). Enough of them in a
//! row are not enough by themselves: they must also span [`ProbePolicy::evidence_ms`], or else an
//! endpoint that restarts within that time would be taken out of service for the length of a whole
//! ramp.
//!
//! Time is handed in and must come from a clock that the observer's own clock steps do not disturb.

use regionmesh_protocol::status::condition::Condition;

/// How one probe ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeResult {
    /// Answered as it should.
    Success {
        /// How long the answer took, microseconds.
        round_trip_us: u64,
        /// The answer in words: `200`.
        evidence: String,
    },
    /// The endpoint, or its host, said no: refused, reset, closed early, a wrong status, garbage.
    Positive(String),
    /// No answer, or the host can't be reached.
    Silence(String),
}

/// When probes add up to a conclusion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbePolicy {
    /// Positive evidence this many times in a row: failed. At least 1.
    pub failures: u32,
    /// Failed only once the row of positive evidence spans this long, milliseconds.
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
    /// than a probe and the pause after it take. An observer that was itself stopped for a minute
    /// must not conclude from that minute.
    pub gap_ms: u64,
}

/// Definite failures in a row, with no success between them: whether they suffice, and when to
/// probe next.
///
/// Silence in between neither adds to the row nor ends it, and is not followed up at the quicker
/// pace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FailureRun {
    count: u32,
    first_ms: u64,
    last_ms: u64,
    /// Whether the last probe of all was one of the row, and not silent.
    is_current: bool,
}

impl FailureRun {
    /// Takes in one result.
    pub fn record(&mut self, result: &ProbeResult, now_ms: u64) {
        match result {
            ProbeResult::Success { .. } => *self = Self::default(),
            ProbeResult::Positive(_) => {
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

    /// Whether the endpoint has failed: often enough, and for long enough.
    pub fn is_conclusive(&self, policy: &ProbePolicy) -> bool {
        let spans_ms = self.last_ms.saturating_sub(self.first_ms);
        self.count >= policy.failures.max(1) && spans_ms >= policy.evidence_ms
    }

    /// Whether the next probe confirms a failure that was just seen.
    pub fn is_confirming(&self, policy: &ProbePolicy) -> bool {
        self.is_current && !self.is_conclusive(policy)
    }

    /// The pause before the next probe, milliseconds.
    pub fn pause_ms(&self, policy: &ProbePolicy) -> u64 {
        if self.is_confirming(policy) {
            policy.confirm_interval_ms.min(policy.interval_ms)
        } else {
            policy.interval_ms
        }
    }
}

/// An observer's conclusion about one endpoint, and what it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeTracker {
    condition: Condition,
    since_ms: u64,
    evidence: String,
    /// What brought a bad conclusion about.
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
    /// Nothing known yet; probing begins at `now_ms`.
    pub fn new(now_ms: u64) -> Self {
        Self {
            condition: Condition::Unknown,
            since_ms: now_ms,
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
            // Silence between two refusals says nothing against them, so it leaves their count
            // alone; and a refusal is no success, so it adds to the silence.
            ProbeResult::Positive(evidence) | ProbeResult::Silence(evidence) => {
                self.evidence = evidence;
                self.successes = 0;
                self.silent_for_ms = self.silent_for_ms.saturating_add(gap_ms);
            }
        }

        let next = self.conclude(policy);
        let before = std::mem::replace(&mut self.condition, next);
        self.explain(before, policy);
        (before != next).then(|| {
            self.since_ms = now_ms;
            before
        })
    }

    /// Keeps what brought the conclusion about: later probes must not stand in for it.
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

    /// Whether the next probe confirms a failure that was just seen, at a quicker pace.
    pub fn is_confirming(&self, policy: &ProbePolicy) -> bool {
        self.condition != Condition::Failed && self.failures.is_confirming(policy)
    }

    /// The conclusion: `Unknown`, `Healthy`, `Suspect` or `Failed`.
    pub fn condition(&self) -> Condition {
        self.condition
    }

    /// When the conclusion was reached, milliseconds of the clock handed in.
    pub fn since_ms(&self) -> u64 {
        self.since_ms
    }

    /// The last probe's outcome in words.
    pub fn evidence(&self) -> &str {
        &self.evidence
    }

    /// Why the conclusion is what it is: a bad one by what brought it about, and by what the last
    /// probe saw where that differs.
    pub fn reason(&self) -> String {
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
    pub fn is_definite(&self) -> bool {
        self.is_definite
    }

    /// Time of the last successful probe, microseconds.
    pub fn round_trip_us(&self) -> Option<u64> {
        self.round_trip_us
    }

    /// Whether any probe ever succeeded.
    pub fn has_succeeded(&self) -> bool {
        self.has_succeeded
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
