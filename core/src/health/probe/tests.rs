use super::*;
use proptest::prelude::*;

const POLICY: ProbePolicy = ProbePolicy::DEFAULT;

fn success() -> ProbeResult {
    ProbeResult::Success {
        round_trip_us: 900,
        evidence: "200".into(),
    }
}
fn refused() -> ProbeResult {
    ProbeResult::DefiniteFailure("connection refused".into())
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

/// An endpoint that refuses from 0 on for `outage_ms`, probed as the run of failures paces it,
/// each probe taking `probe_ms`, the first `phase_ms` after the outage began: what was
/// concluded when, and when the probes were.
fn outage(phase_ms: u64, outage_ms: u64, probe_ms: u64) -> (Vec<(u64, Condition)>, Vec<u64>) {
    let mut run = FailureRun::default();
    let mut tracker = ProbeTracker::new(0);
    let mut conditions = Vec::new();
    let mut probes = Vec::new();
    let mut begin_ms = phase_ms;

    while begin_ms < outage_ms + 2_000 {
        let result = if begin_ms < outage_ms {
            refused()
        } else {
            success()
        };
        let end_ms = begin_ms + if result == success() { probe_ms } else { 0 };

        run.record(&result, end_ms);
        tracker.record(result, end_ms, &POLICY);
        probes.push(begin_ms);
        conditions.push((end_ms, tracker.condition()));
        begin_ms = end_ms + run.pause_ms(&POLICY);
    }

    (conditions, probes)
}

proptest! {
    #[test]
    fn a_success_never_makes_it_worse(
        results in prop::collection::vec(result(), 0..40),
        pause_ms in 100u64..3_000,
    ) {
        let mut tracker = after(&results, pause_ms);
        let before = tracker.condition();
        tracker.record(success(), 1_000_000, &POLICY);

        let after = tracker.condition();
        prop_assert!(
            after == Condition::Healthy
                || (before == Condition::Failed && after == Condition::Failed)
        );
    }

    #[test]
    fn evidence_against_never_makes_it_better(
        results in prop::collection::vec(result(), 0..40),
        refuse: bool,
    ) {
        let mut tracker = after(&results, 500);
        let before = tracker.condition();
        tracker.record(
            if refuse { refused() } else { silence() },
            1_000_000,
            &POLICY,
        );

        prop_assert!(tracker.condition() >= before);
    }

    #[test]
    fn only_consecutive_successes_end_a_failure(
        results in prop::collection::vec(result(), 3..60),
        pause_ms in 100u64..3_000,
    ) {
        let mut tracker = ProbeTracker::new(0);
        for (index, result) in results.iter().enumerate() {
            if let Some(Condition::Failed) =
                tracker.record(result.clone(), (index as u64 + 1) * pause_ms, &POLICY)
            {
                prop_assert_eq!(tracker.condition(), Condition::Healthy);
                prop_assert!(
                    index >= 2
                        && results[index - 2..=index]
                            .iter()
                            .all(|result| *result == success())
                );
            }
        }
    }

    #[test]
    fn failure_needs_three_refusals_over_the_evidence_time_or_a_long_silence(
        results in prop::collection::vec(result(), 0..60),
        pause_ms in 20u64..1_700,
    ) {
        let mut tracker = ProbeTracker::new(0);
        for (index, result) in results.iter().enumerate() {
            let now_ms = (index as u64 + 1) * pause_ms;
            if tracker.record(result.clone(), now_ms, &POLICY).is_some()
                && tracker.condition() == Condition::Failed
            {
                let last_success = results[..=index]
                    .iter()
                    .rposition(|result| *result == success());
                let since = &results[last_success.map_or(0, |at| at + 1)..=index];
                let refusals = since.iter().filter(|result| **result == refused()).count();
                let first = since
                    .iter()
                    .position(|result| *result == refused())
                    .unwrap_or(since.len());
                let spans_ms = (since.len() - first).saturating_sub(1) as u64 * pause_ms;
                let silent_ms =
                    now_ms - last_success.map_or(0, |at| (at as u64 + 1) * pause_ms);
                let is_refused = refusals >= 3 && spans_ms >= POLICY.evidence_ms;

                prop_assert!(is_refused || silent_ms >= POLICY.silent_ms);
            }
        }
    }

    #[test]
    fn an_endpoint_that_returns_within_the_evidence_time_never_fails(
        outage_ms in 0u64..300,
        phase_ms in 0u64..500,
        probe_ms in 0u64..40,
    ) {
        let (conditions, _) = outage(phase_ms, outage_ms, probe_ms);
        prop_assert!(
            conditions
                .iter()
                .all(|(_, condition)| *condition != Condition::Failed),
            "{conditions:?}"
        );
    }

    #[test]
    fn a_refusing_endpoint_fails_within_a_probe_interval_plus_the_evidence_time(
        phase_ms in 0u64..500,
        probe_ms in 0u64..40,
    ) {
        let (conditions, probes) = outage(phase_ms, 5_000, probe_ms);
        let failed_ms = conditions
            .iter()
            .find(|(_, condition)| *condition == Condition::Failed)
            .map(|(at, _)| *at);
        let most_ms = 500 + 300 + 5 * probe_ms;

        prop_assert!(
            failed_ms.is_some_and(|at| at <= most_ms),
            "{failed_ms:?} of {most_ms}"
        );

        // The quicker pace ends with the conclusion: a dead endpoint is not probed more often
        // than a healthy one.
        let later = probes
            .iter()
            .filter(|at| **at > most_ms && **at <= 5_000)
            .count();

        prop_assert!(later <= 10, "{later} probes in 4 s of known failure");
    }

    #[test]
    fn the_probers_run_and_the_observers_tracker_agree(
        results in prop::collection::vec((result(), 1u64..700), 0..60),
    ) {
        let mut run = FailureRun::default();
        let mut tracker = ProbeTracker::new(0);
        let mut now_ms = 0;

        for (result, pause_ms) in results {
            now_ms += pause_ms;
            run.record(&result, now_ms);
            tracker.record(result, now_ms, &POLICY);
            prop_assert!(
                !run.is_conclusive(&POLICY) || tracker.condition() == Condition::Failed
            );
            prop_assert!(
                !tracker.is_confirming(&POLICY)
                    || run.pause_ms(&POLICY) == POLICY.confirm_interval_ms
            );
        }
    }

    #[test]
    fn silence_never_triggers_the_quicker_pace(
        results in prop::collection::vec(result(), 0..40),
    ) {
        let mut run = FailureRun::default();
        for (index, result) in results.iter().enumerate() {
            run.record(result, (index as u64 + 1) * 100);
            if *result == silence() {
                prop_assert_eq!(run.pause_ms(&POLICY), POLICY.interval_ms);
            }
        }
    }

    #[test]
    fn the_clock_may_jump_in_either_direction(
        times in prop::collection::vec((result(), any::<u64>()), 0..40),
    ) {
        let mut tracker = ProbeTracker::new(5);
        for (result, now_ms) in times {
            tracker.record(result, now_ms, &POLICY);
        }
    }
}

#[test]
fn quick_refusals_fail_an_endpoint_once_they_span_the_evidence_time() {
    let mut tracker = after(&[success()], 500);
    for now_ms in [1_000, 1_100, 1_200] {
        assert_eq!(tracker.record(refused(), now_ms, &POLICY), None);
        assert!(tracker.is_confirming(&POLICY));
    }

    assert_eq!(
        tracker.record(refused(), 1_300, &POLICY),
        Some(Condition::Healthy)
    );

    assert_eq!(tracker.condition(), Condition::Failed);
    assert!(!tracker.is_confirming(&POLICY));
}

#[test]
fn at_the_regular_pace_the_failure_count_suffices() {
    let policy = ProbePolicy {
        confirm_interval_ms: 500,
        ..POLICY
    };
    let mut tracker = ProbeTracker::new(0);
    let failed = [500, 1_000, 1_500].map(|now_ms| {
        tracker.record(refused(), now_ms, &policy);
        tracker.condition() == Condition::Failed
    });

    assert_eq!(failed, [false, false, true]);
}

#[test]
fn silence_between_refusals_does_not_reset_their_count_and_a_success_does() {
    assert_eq!(
        after(
            &[success(), refused(), silence(), refused(), refused()],
            300
        )
        .condition(),
        Condition::Failed
    );

    let flapping = [
        success(),
        refused(),
        refused(),
        success(),
        refused(),
        refused(),
    ];

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

    assert_eq!(
        changes,
        [(2_000, Condition::Suspect), (8_000, Condition::Failed)]
    );
}

#[test]
fn one_success_ends_suspicion_and_three_end_a_failure() {
    let mut tracker = after(&[success(), silence(), silence()], 1_500);
    assert_eq!(tracker.condition(), Condition::Suspect);
    assert_eq!(
        tracker.record(success(), 5_000, &POLICY),
        Some(Condition::Suspect)
    );

    let mut tracker = after(
        &[refused(), refused(), refused(), success(), success()],
        500,
    );

    assert_eq!(tracker.condition(), Condition::Failed);
    assert_eq!(
        tracker.record(success(), 3_000, &POLICY),
        Some(Condition::Failed)
    );

    assert_eq!(tracker.condition(), Condition::Healthy);
}

#[test]
fn a_failure_is_explained_by_its_cause_and_its_recovery_progress() {
    let mut tracker = after(&[success(), refused(), refused(), refused()], 500);
    assert_eq!(
        (tracker.reason().as_str(), tracker.is_definite()),
        ("connection refused 3 times in a row", true)
    );

    tracker.record(success(), 3_000, &POLICY);
    let reason = "connection refused 3 times in a row; the last probe succeeded (1 of 3 needed)";
    assert_eq!(
        (tracker.reason().as_str(), tracker.evidence()),
        (reason, "200")
    );

    tracker.record(silence(), 3_500, &POLICY);
    assert_eq!(
        tracker.reason(),
        "connection refused 3 times in a row; the last probe failed: no answer in 1 s"
    );

    for now_ms in [4_000, 4_500, 5_000] {
        tracker.record(success(), now_ms, &POLICY);
    }
    assert_eq!(
        (tracker.reason().as_str(), tracker.is_definite()),
        ("200", false)
    );
}

#[test]
fn silence_is_not_a_definite_failure() {
    let mut tracker = after(&[success()], 500);
    (1..=9).for_each(|second| _ = tracker.record(silence(), 500 + second * 1_000, &POLICY));
    assert_eq!(
        (tracker.condition(), tracker.is_definite()),
        (Condition::Failed, false)
    );

    assert!(
        tracker
            .reason()
            .starts_with("no success for 8 s, no answer in 1 s"),
        "{}",
        tracker.reason()
    );

    (10..13).for_each(|second| _ = tracker.record(refused(), 500 + second * 1_000, &POLICY));
    assert_eq!(
        (tracker.reason().as_str(), tracker.is_definite()),
        ("connection refused 3 times in a row", true)
    );
}

#[test]
fn nothing_is_concluded_from_the_first_bad_answer() {
    assert_eq!(
        after(&[refused(), refused()], 500).condition(),
        Condition::Unknown
    );
    assert_eq!(after(&[silence()], 1_000).condition(), Condition::Unknown);
}

#[test]
fn an_observer_that_was_itself_stopped_does_not_conclude_from_that_time() {
    let mut tracker = after(&[success()], 500);
    assert_eq!(tracker.record(silence(), 60_000, &POLICY), None);
    assert_eq!(tracker.condition(), Condition::Healthy);
}
