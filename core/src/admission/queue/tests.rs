use super::*;
use proptest::prelude::*;

fn after(durations: &[u64]) -> QueueEstimate {
    let mut estimate = QueueEstimate::default();
    durations
        .iter()
        .for_each(|took_us| estimate.record(*took_us));
    estimate
}

proptest! {
    #[test]
    fn the_average_stays_between_the_extremes(
        durations in prop::collection::vec(any::<u64>(), 1..100),
    ) {
        let wait_us = after(&durations).wait_us(0, 1);
        prop_assert!(
            wait_us >= *durations.iter().min().unwrap()
                && wait_us <= *durations.iter().max().unwrap()
        );
    }

    #[test]
    fn a_longer_queue_never_waits_less_and_more_places_never_wait_longer(
        durations in prop::collection::vec(any::<u64>(), 0..20),
        ahead in 0usize..10_000,
        places in 1usize..5_000,
    ) {
        let estimate = after(&durations);
        prop_assert!(estimate.wait_us(ahead + 1, places) >= estimate.wait_us(ahead, places));
        prop_assert!(estimate.wait_us(ahead, places + 1) <= estimate.wait_us(ahead, places));
    }

    #[test]
    fn the_average_converges_after_a_change(
        before in 0u64..1_000_000,
        after_us in 0u64..1_000_000,
    ) {
        let mut durations = vec![before; 20];
        durations.extend(vec![after_us; 100]);
        prop_assert!(after(&durations).wait_us(0, 1).abs_diff(after_us) < 8);
    }
}

#[test]
fn nothing_is_refused_without_an_estimate() {
    assert_eq!(QueueEstimate::default().wait_us(usize::MAX, 1), 0);
}

#[test]
fn one_of_four_places_is_free_after_a_quarter_of_the_service_time() {
    assert_eq!(after(&[40_000]).wait_us(0, 4), 10_000);
    assert_eq!(after(&[40_000]).wait_us(15, 4), 160_000);
}
