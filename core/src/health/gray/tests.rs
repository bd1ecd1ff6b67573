use super::*;
use proptest::prelude::*;

const POLICY: GrayPolicy = GrayPolicy {
    window: 20,
    error_percent: 30,
    latency_ms: 100,
    quantile_percent: 95,
    clear_percent: 50,
    conclude: GrayConclusion::Suspect,
};

fn after(probes: &[Option<u64>]) -> GrayWindow {
    let mut window = GrayWindow::default();
    probes
        .iter()
        .for_each(|probe| window.record(*probe, &POLICY));
    window
}

fn probes() -> impl Strategy<Value = Vec<Option<u64>>> {
    prop::collection::vec(prop::option::weighted(0.7, 0u64..300_000), 0..80)
}

proptest! {
    #[test]
    fn any_probes_and_any_policy_give_a_condition(
        probes in probes(),
        window: u16,
        error_percent: u8,
        latency_ms: u64,
        quantile_percent: u8,
        clear_percent: u8,
    ) {
        let policy = GrayPolicy {
            window,
            error_percent,
            latency_ms,
            quantile_percent,
            clear_percent,
            ..POLICY
        };
        let mut gray = GrayWindow::default();

        for probe in probes {
            gray.record(probe, &policy);
            prop_assert_eq!(
                gray.reason(&policy).is_some(),
                gray.condition(&policy) != Condition::Healthy
            );
        }
    }

    #[test]
    fn a_window_of_good_probes_clears_it_and_a_window_of_bad_ones_raises_it(probes in probes()) {
        let mut gray = after(&probes);
        (0..20).for_each(|_| gray.record(Some(1_000), &POLICY));
        prop_assert_eq!(gray.condition(&POLICY), Condition::Healthy);
        (0..20).for_each(|_| gray.record(None, &POLICY));
        prop_assert_eq!(gray.condition(&POLICY), Condition::Suspect);
    }

    #[test]
    fn a_full_window_does_not_flap(probes in prop::collection::vec(any::<bool>(), 20..120)) {
        // Between both thresholds lie 3 of 20 probes: no two changes are nearer.
        let policy = GrayPolicy {
            latency_ms: 0,
            ..POLICY
        };
        let mut gray = GrayWindow::default();
        let mut changed = None;
        let mut condition = Condition::Healthy;

        for (index, is_good) in probes.into_iter().enumerate() {
            gray.record(is_good.then_some(1), &policy);
            if gray.condition(&policy) != condition {
                condition = gray.condition(&policy);
                prop_assert!(index < 20 || changed.is_none_or(|at| index - at >= 3));
                changed = Some(index);
            }
        }
    }

    #[test]
    fn nothing_is_concluded_from_less_than_half_a_window(
        probes in prop::collection::vec(Just(None), 0..10),
    ) {
        prop_assert_eq!(after(&probes).condition(&POLICY), Condition::Healthy);
    }
}

#[test]
fn two_errors_in_five_are_gray_even_without_three_in_a_row() {
    let probes: Vec<Option<u64>> = (0..20)
        .map(|index| (index % 5 > 1).then_some(900))
        .collect();
    let gray = after(&probes);

    assert_eq!(gray.condition(&POLICY), Condition::Suspect);
    assert_eq!(
        gray.reason(&POLICY).unwrap(),
        "40 % of the last 20 probes failed, the limit is 30 %"
    );
}

#[test]
fn a_slow_tail_is_gray_and_one_slow_probe_is_not() {
    let mut probes = vec![Some(900); 19];
    probes.push(Some(800_000));
    assert_eq!(after(&probes).condition(&POLICY), Condition::Healthy);
    probes.extend([Some(800_000)]);

    let gray = after(&probes);
    assert_eq!(
        gray.reason(&POLICY).unwrap(),
        "95 % of probes take up to 800 ms, the limit is 100 ms"
    );
}

#[test]
fn a_threshold_of_zero_disables_the_check() {
    let policy = GrayPolicy {
        error_percent: 0,
        latency_ms: 0,
        ..POLICY
    };
    let mut gray = GrayWindow::default();

    (0..40).for_each(|index| gray.record((index % 2 == 0).then_some(9_000_000), &policy));
    assert_eq!(gray.condition(&policy), Condition::Healthy);
}
