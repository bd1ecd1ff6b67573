use super::*;
use crate::health::gray::GrayConclusion;
use proptest::prelude::*;

const POLICY: EndpointPolicy = EndpointPolicy {
    probes: ProbePolicy::DEFAULT,
    gray: GrayPolicy {
        window: 20,
        error_percent: 30,
        latency_ms: 0,
        quantile_percent: 95,
        clear_percent: 50,
        conclude: GrayConclusion::Suspect,
    },
    minimum: 1,
};

fn success() -> ProbeResult {
    ProbeResult::Success {
        round_trip_us: 900,
        evidence: "200".into(),
    }
}
fn refused() -> ProbeResult {
    ProbeResult::DefiniteFailure("connection refused".into())
}

fn tracker(addresses: u8) -> EndpointTracker {
    let ips: Vec<Option<IpAddr>> = (1..=addresses)
        .map(|last| Some(IpAddr::from([192, 0, 2, last])))
        .collect();
    EndpointTracker::new(&ips, 0)
}

fn result() -> impl Strategy<Value = ProbeResult> {
    prop_oneof![
        3 => Just(success()),
        2 => Just(refused()),
        1 => Just(ProbeResult::Silence("no answer".into())),
    ]
}

proptest! {
    #[test]
    fn gray_failure_never_makes_it_better(results in prop::collection::vec(result(), 0..80)) {
        let mut gray = tracker(1);
        let mut plain = ProbeTracker::new(0);
        for (index, result) in results.into_iter().enumerate() {
            let now_ms = (index as u64 + 1) * 500;
            gray.record(0, result.clone(), false, now_ms, &POLICY);
            plain.record(result, now_ms, &POLICY.probes);
            prop_assert!(gray.condition() >= plain.condition());
        }
    }

    #[test]
    fn the_endpoint_fails_with_its_last_address_alone(
        probes in prop::collection::vec((0usize..3, result()), 0..120),
        minimum in 1usize..4,
    ) {
        let mut tracker = tracker(3);
        let policy = EndpointPolicy { minimum, ..POLICY };
        for (step, (index, result)) in probes.into_iter().enumerate() {
            tracker.record(index, result, false, step as u64 * 200, &policy);
            let alive = tracker
                .observations()
                .iter()
                .filter(|seen| seen.condition != Condition::Failed)
                .count();

            prop_assert_eq!(tracker.condition() == Condition::Failed, alive < minimum);
        }
    }
}

#[test]
fn one_dead_address_of_two_is_reported_without_failing_the_endpoint() {
    let mut tracker = tracker(2);
    for now_ms in [500, 1_000, 1_500] {
        tracker.record(0, success(), false, now_ms, &POLICY);
        tracker.record(1, refused(), false, now_ms, &POLICY);
    }

    assert_eq!(tracker.condition(), Condition::Healthy);
    assert_eq!(tracker.observations()[1].condition, Condition::Failed);
    for now_ms in [2_000, 2_500, 3_000] {
        tracker.record(0, refused(), false, now_ms, &POLICY);
    }
    assert_eq!(
        (tracker.condition(), tracker.since_ms()),
        (Condition::Failed, 3_000)
    );
}

#[test]
fn two_errors_in_five_are_suspect_even_without_three_in_a_row() {
    let mut tracker = tracker(1);
    for index in 0..20u64 {
        let result = if index % 5 > 1 { success() } else { refused() };
        tracker.record(0, result, false, index * 500, &POLICY);
    }

    assert_eq!(tracker.condition(), Condition::Suspect);
    assert!(
        tracker
            .evidence()
            .starts_with("40 % of the last 20 probes failed"),
        "{}",
        tracker.evidence()
    );
}

#[test]
fn confirmations_of_one_failure_do_not_make_an_endpoint_gray() {
    let mut tracker = tracker(1);
    for round in 0..20u64 {
        // One short refusal in every three seconds, seen by a probe and by two of its
        // confirmations.
        for (offset_ms, is_refused) in [(0, true), (100, true), (200, true), (250, false)]
            .into_iter()
            .chain(
                (750..3_000)
                    .step_by(500)
                    .map(|offset_ms| (offset_ms, false)),
            )
        {
            let result = if is_refused { refused() } else { success() };
            tracker.record(0, result, false, round * 3_000 + offset_ms, &POLICY);
        }
    }

    assert_eq!(
        tracker.condition(),
        Condition::Healthy,
        "{}",
        tracker.evidence()
    );
}

#[test]
fn earlier_failures_do_not_delay_a_recovery() {
    let mut tracker = tracker(1);
    for index in 0..40 {
        tracker.record(0, refused(), false, index * 500, &POLICY);
    }
    assert_eq!(tracker.condition(), Condition::Failed);
    for index in 40..43 {
        tracker.record(0, success(), false, index * 500, &POLICY);
    }
    assert_eq!(tracker.condition(), Condition::Healthy);
}

#[test]
fn an_endpoint_that_failed_by_silence_is_suspect_from_its_first_answer_on() {
    let silence = || ProbeResult::Silence("no answer".into());
    let mut tracker = tracker(1);
    let mut now_ms = 0;
    let mut record = |result| {
        now_ms += 1_000;
        tracker.record(0, result, false, now_ms, &POLICY);
        tracker.condition()
    };

    record(success());
    let silent: Vec<Condition> = (0..8).map(|_| record(silence())).collect();
    assert_eq!(silent[6..], [Condition::Suspect, Condition::Failed]);

    // A leader that is elected now must not take the region out.
    assert_eq!(record(success()), Condition::Suspect);
    assert_eq!(record(silence()), Condition::Suspect);
    assert_eq!(record(success()), Condition::Suspect);
    assert_eq!(record(success()), Condition::Suspect);
    assert_eq!(record(success()), Condition::Healthy);

    let silent: Vec<Condition> = (0..8).map(|_| record(silence())).collect();
    assert_eq!(silent[6..], [Condition::Suspect, Condition::Failed]);
}

#[test]
fn an_endpoint_that_refused_stays_failed_until_it_has_recovered() {
    let mut tracker = tracker(1);
    let results = [
        success(),
        refused(),
        refused(),
        refused(),
        success(),
        success(),
    ];
    for (now_ms, result) in (0..).step_by(500).zip(results) {
        tracker.record(0, result, false, now_ms, &POLICY);
    }

    assert_eq!(tracker.condition(), Condition::Failed);
    tracker.record(0, success(), false, 3_000, &POLICY);
    assert_eq!(tracker.condition(), Condition::Healthy);
}
