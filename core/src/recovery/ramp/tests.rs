use super::*;
use proptest::prelude::*;

fn policy() -> impl Strategy<Value = RecoveryPolicy> {
    let steps = prop::collection::vec((any::<u8>(), 0u64..100_000), 0..8);
    (0u64..1 << 40, 0u64..1 << 40, steps).prop_map(|(cool_down_ms, cool_down_max_ms, steps)| {
        RecoveryPolicy {
            cool_down_ms,
            cool_down_max_ms,
            forget_flaps_ms: 0,
            steps: steps
                .into_iter()
                .map(|(percent, hold_ms)| RampStep { percent, hold_ms })
                .collect(),
            ..RecoveryPolicy::default()
        }
    })
}

/// A number for each place on the ramp, in order.
fn place(at: RampMove) -> usize {
    match at {
        RampMove::Hold => 0,
        RampMove::Step(step) => step,
        RampMove::Full => usize::MAX,
    }
}

proptest! {
    #[test]
    fn a_cool_down_grows_with_failures_up_to_its_cap(policy in policy(), flaps in 0u32..200) {
        prop_assert!(policy.cool_down_for(flaps) <= policy.cool_down_for(flaps + 1));
        prop_assert!(policy.cool_down_for(flaps) <= policy.cool_down_max_ms);
    }

    #[test]
    fn every_step_is_passed_in_order_and_held(
        policy in policy(),
        tick_ms in 1u64..200_000,
        ttl_ms in 0u64..60_000,
    ) {
        let mut now_ms = 0;
        let mut since_ms = 0;
        let mut passed = Vec::new();
        let mut at = policy.enter(0);

        while let RampMove::Step(step) = at {
            passed.push(step);
            now_ms += tick_ms;
            match policy.advance(step, now_ms - since_ms, policy.hold_for(step, 0, ttl_ms)) {
                RampMove::Hold => {
                    passed.pop();
                }
                next => {
                    prop_assert!(now_ms - since_ms >= policy.steps[step].hold_ms);
                    prop_assert!(now_ms - since_ms >= 5 * ttl_ms);
                    since_ms = now_ms;
                    at = next;
                }
            }
            let most = policy.furthest(policy.enter(0), now_ms, ttl_ms);
            prop_assert!(place(at) <= place(most), "{at:?} after {now_ms} ms, not {most:?}");
        }

        prop_assert_eq!(passed, (0..policy.steps.len()).collect::<Vec<_>>());
    }

    #[test]
    fn a_hold_doubles_up_to_its_cap(
        policy in policy(),
        step in 0usize..10,
        doublings in 0u8..DOUBLINGS_MAX,
        ttl_ms in 0u64..60_000,
    ) {
        let hold_ms = policy.hold_for(step, doublings, ttl_ms);
        prop_assert_eq!(
            policy.hold_for(step, policy.doubled(doublings), ttl_ms),
            hold_ms * 2
        );

        prop_assert_eq!(policy.doubled(DOUBLINGS_MAX), DOUBLINGS_MAX);
    }

    #[test]
    fn entering_the_ramp_never_reduces_a_share(
        mut policy in policy(),
        percent in 0u8..=100,
    ) {
        policy.steps.sort_by_key(|step| step.percent);
        match policy.enter(percent) {
            RampMove::Step(step) => prop_assert!(policy.steps[step].percent >= percent),
            other => prop_assert_eq!(other, RampMove::Full),
        }
    }

    #[test]
    fn every_step_has_a_share(
        policy in policy(),
        step: usize,
        held_ms: u64,
        doublings: u8,
        ttl_ms: u64,
    ) {
        prop_assert!((1..=100).contains(&policy.percent_at(step)));
        prop_assert!(policy.back(step) <= step && policy.back(step) <= policy.steps.len());
        if let RampMove::Step(next) =
            policy.advance(step, held_ms, policy.hold_for(step, doublings, ttl_ms))
        {
            prop_assert!(next == step + 1 && next < policy.steps.len());
        }
    }
}

#[test]
fn the_default_cool_down_is_five_minutes_doubled_up_to_an_hour() {
    let cool_downs: Vec<u64> = (0..7)
        .map(|flaps| RecoveryPolicy::default().cool_down_for(flaps) / 60_000)
        .collect();
    assert_eq!(cool_downs, [5, 5, 10, 20, 40, 60, 60]);
}

#[test]
fn the_default_ramp_takes_thirty_five_minutes() {
    let policy = RecoveryPolicy::default();
    assert_eq!(
        policy.steps.iter().map(|step| step.hold_ms).sum::<u64>(),
        35 * 60_000
    );

    assert!(
        (0..policy.steps.len())
            .map(|step| policy.percent_at(step))
            .is_sorted()
    );
}
