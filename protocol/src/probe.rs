//! What one observer concludes about one endpoint, from a row of single probes.
//!
//! Two speeds. *Positive evidence* (refused, reset, an answer that is no good) is trusted quickly, since a network that
//! merely loses packets does not forge it. *Silence* looks the same whether the endpoint is dead or a burst of loss
//! passes, so it first makes an endpoint suspect, which one success undoes, and only much later failed.
//!
//! Time is handed in and must come from a clock that the observer's own clock steps do not disturb.

use crate::verdict::Condition;

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
    /// Successes in a row until a failed endpoint is healthy again. At least 1.
    pub successes: u32,
    /// No success for this long: suspect, milliseconds.
    pub suspect_ms: u64,
    /// No success for this long: failed, milliseconds.
    pub silent_ms: u64,
    /// The longest time between two results that counts as silence, milliseconds; a little more than a probe and the
    /// pause after it take. An observer that was itself stopped for a minute must not conclude from that minute.
    pub gap_ms: u64,
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
    positives: u32,
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
            positives: 0,
            successes: 0,
            silent_for_ms: 0,
            last_ms: now_ms,
        }
    }

    /// Takes in one result; returns the condition before, if it changed.
    pub fn record(&mut self, result: ProbeResult, now_ms: u64, policy: &ProbePolicy) -> Option<Condition> {
        let gap_ms = now_ms.saturating_sub(self.last_ms).min(policy.gap_ms);
        self.last_ms = self.last_ms.max(now_ms);
        match result {
            ProbeResult::Success { round_trip_us, evidence } => {
                self.evidence = evidence;
                self.round_trip_us = Some(round_trip_us);
                self.has_succeeded = true;
                self.positives = 0;
                self.silent_for_ms = 0;
                self.successes = self.successes.saturating_add(1);
            }
            // Silence between two refusals says nothing against them, so it leaves the count of positives alone; and
            // a refusal is no success, so it adds to the silence.
            ProbeResult::Positive(evidence) => {
                self.evidence = evidence;
                self.positives = self.positives.saturating_add(1);
                self.successes = 0;
                self.silent_for_ms = self.silent_for_ms.saturating_add(gap_ms);
            }
            ProbeResult::Silence(evidence) => {
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
        let failures = policy.failures.max(1);
        self.is_definite = self.condition == Condition::Failed && (was_definite || self.positives >= failures);
        if !is_bad {
            self.cause = None;
        } else if before != self.condition || self.is_definite != was_definite {
            self.cause = Some(match self.is_definite {
                true if failures == 1 => self.evidence.clone(),
                true => format!("{} {failures} times in a row", self.evidence),
                false => format!("no success for {} s, {}", self.silent_for_ms / 1_000, self.evidence),
            });
        }
        let is_returning = self.condition == Condition::Failed && self.successes > 0;
        self.returning = is_returning.then_some((self.successes, policy.successes));
    }

    fn conclude(&self, policy: &ProbePolicy) -> Condition {
        if self.condition == Condition::Failed && self.successes < policy.successes {
            return Condition::Failed;
        }
        if self.positives >= policy.failures.max(1) || self.silent_for_ms >= policy.silent_ms {
            Condition::Failed
        } else if self.silent_for_ms >= policy.suspect_ms {
            Condition::Suspect
        } else if self.successes > 0 {
            Condition::Healthy
        } else {
            self.condition
        }
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

    /// Why the conclusion is what it is: a bad one by what brought it about, whatever the last probe saw.
    pub fn reason(&self) -> String {
        let Some(cause) = &self.cause else { return self.evidence.clone() };
        match self.returning {
            Some((successes, needed)) => format!("{cause}; the last probe succeeded ({successes} of {needed} needed)"),
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POLICY: ProbePolicy =
        ProbePolicy { failures: 3, successes: 3, suspect_ms: 2_000, silent_ms: 8_000, gap_ms: 1_750 };

    fn success() -> ProbeResult {
        ProbeResult::Success { round_trip_us: 900, evidence: "200".into() }
    }
    fn refused() -> ProbeResult {
        ProbeResult::Positive("connection refused".into())
    }
    fn silence() -> ProbeResult {
        ProbeResult::Silence("no answer in 1 s".into())
    }

    fn result() -> impl Strategy<Value = ProbeResult> {
        prop_oneof![3 => Just(success()), 2 => Just(refused()), 2 => Just(silence())]
    }

    /// A tracker after `results`, one each `pause_ms`.
    fn after(results: &[ProbeResult], pause_ms: u64) -> ProbeTracker {
        let mut tracker = ProbeTracker::new(0);
        for (index, result) in results.iter().enumerate() {
            tracker.record(result.clone(), (index as u64 + 1) * pause_ms, &POLICY);
        }
        tracker
    }

    proptest! {
        #[test]
        fn a_success_never_makes_it_worse(results in prop::collection::vec(result(), 0..40), pause_ms in 100u64..3_000) {
            let mut tracker = after(&results, pause_ms);
            let before = tracker.condition();
            tracker.record(success(), 1_000_000, &POLICY);
            let after = tracker.condition();
            prop_assert!(after == Condition::Healthy || (before == Condition::Failed && after == Condition::Failed));
        }

        #[test]
        fn evidence_against_never_makes_it_better(results in prop::collection::vec(result(), 0..40), refuse: bool) {
            let mut tracker = after(&results, 500);
            let before = tracker.condition();
            tracker.record(if refuse { refused() } else { silence() }, 1_000_000, &POLICY);
            prop_assert!(tracker.condition() >= before);
        }

        #[test]
        fn failed_is_left_only_by_successes_in_a_row(results in prop::collection::vec(result(), 3..60), pause_ms in 100u64..3_000) {
            let mut tracker = ProbeTracker::new(0);
            for (index, result) in results.iter().enumerate() {
                if let Some(Condition::Failed) = tracker.record(result.clone(), (index as u64 + 1) * pause_ms, &POLICY) {
                    prop_assert_eq!(tracker.condition(), Condition::Healthy);
                    prop_assert!(index >= 2 && results[index - 2..=index].iter().all(|result| *result == success()));
                }
            }
        }

        #[test]
        fn failed_needs_three_refusals_or_long_silence_since_the_last_success(
            results in prop::collection::vec(result(), 0..60), pause_ms in 100u64..1_700,
        ) {
            let mut tracker = ProbeTracker::new(0);
            for (index, result) in results.iter().enumerate() {
                let now_ms = (index as u64 + 1) * pause_ms;
                if tracker.record(result.clone(), now_ms, &POLICY).is_some() && tracker.condition() == Condition::Failed {
                    let last_success = results[..=index].iter().rposition(|result| *result == success());
                    let since = &results[last_success.map_or(0, |at| at + 1)..=index];
                    let refusals = since.iter().filter(|result| **result == refused()).count();
                    let silent_ms = now_ms - last_success.map_or(0, |at| (at as u64 + 1) * pause_ms);
                    prop_assert!(refusals >= 3 || silent_ms >= POLICY.silent_ms);
                }
            }
        }

        #[test]
        fn the_clock_may_jump_either_way(times in prop::collection::vec((result(), any::<u64>()), 0..40)) {
            let mut tracker = ProbeTracker::new(5);
            for (result, now_ms) in times {
                tracker.record(result, now_ms, &POLICY);
            }
        }
    }

    #[test]
    fn three_refusals_in_a_row_fail_an_endpoint_within_a_second_and_a_half() {
        let mut tracker = after(&[success()], 500);
        assert_eq!(tracker.record(refused(), 1_000, &POLICY), None);
        assert_eq!(tracker.record(refused(), 1_500, &POLICY), None);
        assert_eq!(tracker.record(refused(), 2_000, &POLICY), Some(Condition::Healthy));
        assert_eq!((tracker.condition(), tracker.since_ms()), (Condition::Failed, 2_000));
    }

    #[test]
    fn silence_between_refusals_does_not_reset_their_count_and_a_success_does() {
        assert_eq!(after(&[success(), refused(), silence(), refused(), refused()], 300).condition(), Condition::Failed);
        let flapping = [success(), refused(), refused(), success(), refused(), refused()];
        assert_eq!(after(&flapping, 300).condition(), Condition::Healthy);
    }

    #[test]
    fn silence_is_suspect_at_two_seconds_and_failed_at_eight() {
        let mut tracker = after(&[success()], 500);
        let mut changes = Vec::new();
        for now_ms in (1_500..=9_500).step_by(1_000) {
            if tracker.record(silence(), now_ms, &POLICY).is_some() {
                changes.push((now_ms - 500, tracker.condition()));
            }
        }
        assert_eq!(changes, [(2_000, Condition::Suspect), (8_000, Condition::Failed)]);
    }

    #[test]
    fn one_success_lifts_suspicion_and_three_a_failure() {
        let mut tracker = after(&[success(), silence(), silence()], 1_500);
        assert_eq!(tracker.condition(), Condition::Suspect);
        assert_eq!(tracker.record(success(), 5_000, &POLICY), Some(Condition::Suspect));
        let mut tracker = after(&[refused(), refused(), refused(), success(), success()], 500);
        assert_eq!(tracker.condition(), Condition::Failed);
        assert_eq!(tracker.record(success(), 3_000, &POLICY), Some(Condition::Failed));
        assert_eq!(tracker.condition(), Condition::Healthy);
    }

    #[test]
    fn a_failure_is_explained_by_what_caused_it_and_by_how_far_it_is_on_its_way_back() {
        let mut tracker = after(&[success(), refused(), refused(), refused()], 500);
        assert_eq!((tracker.reason().as_str(), tracker.is_definite()), ("connection refused 3 times in a row", true));
        tracker.record(success(), 3_000, &POLICY);
        let said = "connection refused 3 times in a row; the last probe succeeded (1 of 3 needed)";
        assert_eq!((tracker.reason().as_str(), tracker.evidence()), (said, "200"));
        tracker.record(silence(), 3_500, &POLICY);
        assert_eq!(tracker.reason(), "connection refused 3 times in a row");
        for now_ms in [4_000, 4_500, 5_000] {
            tracker.record(success(), now_ms, &POLICY);
        }
        assert_eq!((tracker.reason().as_str(), tracker.is_definite()), ("200", false));
    }

    #[test]
    fn silence_is_no_definite_failure_until_it_is_refused() {
        let mut tracker = after(&[success()], 500);
        (1..=9).for_each(|second| drop(tracker.record(silence(), 500 + second * 1_000, &POLICY)));
        assert_eq!((tracker.condition(), tracker.is_definite()), (Condition::Failed, false));
        assert!(tracker.reason().starts_with("no success for 8 s, no answer in 1 s"), "{}", tracker.reason());
        (10..13).for_each(|second| drop(tracker.record(refused(), 500 + second * 1_000, &POLICY)));
        assert_eq!((tracker.reason().as_str(), tracker.is_definite()), ("connection refused 3 times in a row", true));
    }

    #[test]
    fn nothing_is_concluded_from_the_first_bad_answer() {
        assert_eq!(after(&[refused(), refused()], 500).condition(), Condition::Unknown);
        assert_eq!(after(&[silence()], 1_000).condition(), Condition::Unknown);
    }

    #[test]
    fn an_observer_that_was_itself_stopped_does_not_conclude_from_that_time() {
        let mut tracker = after(&[success()], 500);
        assert_eq!(tracker.record(silence(), 60_000, &POLICY), None);
        assert_eq!(tracker.condition(), Condition::Healthy);
    }
}
