use super::*;
use proptest::prelude::*;
use regionmesh_protocol::status::served::LATENCY_BUCKETS;

fn served(answered: u64, errors: u64, ms: f64) -> Served {
    let mut latency = [0; LATENCY_BUCKETS];
    latency[Served::bucket(ms)] = answered;
    Served {
        answered,
        errors,
        probes: 0,
        latency,
    }
}

fn comparison(own: Served, control: Served) -> CanaryComparison {
    CanaryComparison {
        step: 0,
        since_ms: 0,
        own,
        control: Some(control),
    }
}

proptest! {
    #[test]
    fn a_region_that_matches_the_others_is_not_a_regression(
        requests in 1u64..1_000_000,
        errors in 0u64..1_000,
        ms in 0.0f64..30_000.0,
    ) {
        let all = served(requests, errors, ms);
        prop_assert_eq!(comparison(all, all).regression(10, true), None);
    }

    #[test]
    fn more_errors_never_improve_the_comparison(
        requests in 1u64..5_000,
        errors in 0u64..50,
        control in 0u64..50,
    ) {
        let regression = |errors| {
            comparison(served(requests, errors, 1.0), served(10_000, control, 1.0))
                .regression(10, true)
                .is_some()
        };

        prop_assert!(!regression(errors) || regression(errors + 1));
    }

    #[test]
    fn any_counters_are_judged_without_panic(
        own: (u64, u64, u64),
        other: (u64, u64, u64),
        floor: u16,
        is_end: bool,
    ) {
        let of = |(answered, errors, probes)| Served {
            answered,
            errors,
            probes,
            latency: [answered; LATENCY_BUCKETS],
        };
        let comparison = comparison(of(own), of(other));
        let _ = (
            comparison.regression(floor, is_end),
            comparison.is_enough(own.0, own.1, other.0),
            of(own).since(&of(other)),
            of(own).plus(&of(other)),
        );
    }

    #[test]
    fn histogram_entries_are_found_where_they_were_added(
        before in 0u64..1_000_000,
        added in 0u64..1_000_000,
    ) {
        let one = served(before, 1, 5.0);
        let two = served(added, 2, 50.0);
        prop_assert_eq!(one.plus(&two).since(&one), two);
    }
}

#[test]
fn two_percent_of_errors_are_detected_in_five_hundred_requests_and_a_tenth_is_not() {
    let control = served(50_000, 0, 5.0);
    assert!(
        comparison(served(490, 10, 5.0), control)
            .regression(10, false)
            .is_some()
    );

    assert!(
        comparison(served(497, 3, 5.0), control)
            .regression(10, true)
            .is_some()
    );

    assert_eq!(
        comparison(served(497, 3, 5.0), control).regression(10, false),
        None,
        "too early to say"
    );

    assert_eq!(
        comparison(served(499, 1, 5.0), control).regression(10, true),
        None
    );
}

#[test]
fn a_region_twice_as_slow_is_detected_and_one_bucket_more_is_not() {
    let control = served(10_000, 0, 7.0);
    let reason = comparison(served(500, 0, 30.0), control)
        .regression(10, false)
        .unwrap();

    assert_eq!(
        reason,
        "99 % of its answers take up to 32 ms, 8 ms in the regions that serve"
    );

    assert_eq!(
        comparison(served(500, 0, 15.0), control).regression(10, true),
        None
    );
    assert_eq!(
        comparison(served(50, 0, 3_000.0), control).regression(10, true),
        None,
        "too few to say"
    );
}

#[test]
fn probes_count_without_users_and_with_few_after_four_holds() {
    let seen = |requests, probes| {
        comparison(
            Served {
                probes,
                ..served(requests, 0, 5.0)
            },
            served(10_000, 0, 5.0),
        )
    };

    assert!(seen(500, 0).is_enough(500, 0, 100));
    assert!(seen(0, 500).is_enough(500, 0, 100));
    assert!(!seen(1, 9_999).is_enough(500, 399, 100));
    assert!(seen(1, 499).is_enough(500, 400, 100));
    assert!(!seen(1, 498).is_enough(500, 400, 100));
}

#[test]
fn without_a_control_group_nothing_is_a_regression() {
    let own = served(10, 1_000, 20_000.0);
    assert_eq!(
        comparison(own, Served::default()).regression(10, true),
        None
    );
    assert_eq!(
        CanaryComparison {
            control: None,
            ..comparison(own, own)
        }
        .regression(10, true),
        None
    );
}

#[test]
fn the_poisson_tail_matches_published_tables() {
    // Poisson with mean 0.5: P(X >= 3) = 0.01439; mean 10: P(X >= 15) = 0.08346.
    assert!((poisson_tail(3, 0.5) - 0.01439).abs() < 1e-4);
    assert!((poisson_tail(15, 10.0) - 0.08346).abs() < 1e-4);
}
