use super::*;
use proptest::prelude::*;
use regionmesh_protocol::status::served::LATENCY_BUCKETS;

fn served(latency: [u64; LATENCY_BUCKETS]) -> Served {
    Served {
        latency,
        ..Served::default()
    }
}

proptest! {
    #[test]
    fn any_counters_are_estimated_without_panic(
        places: u32,
        latency in prop::array::uniform16(any::<u64>()),
    ) {
        estimate_rps(places, &served(latency));
    }

    #[test]
    fn slower_answers_never_raise_the_estimate(
        places in 1u32..64,
        bucket in 0usize..15,
        count in 100u64..100_000,
    ) {
        let at = |bucket: usize| {
            let mut latency = [0; LATENCY_BUCKETS];
            latency[bucket] = count;
            estimate_rps(places, &served(latency)).unwrap()
        };

        prop_assert!(at(bucket + 1) <= at(bucket));
    }

    #[test]
    fn load_within_the_estimate_keeps_fewer_than_half_of_the_places_busy(
        places in 1u32..64,
        bucket in 0usize..15,
        count in 100u64..100_000,
    ) {
        let mut latency = [0; LATENCY_BUCKETS];
        latency[bucket] = count;
        let rps = estimate_rps(places, &served(latency)).unwrap();
        let busy = f64::from(rps) * LATENCY_BOUNDS_MS[bucket] as f64 / 1_000.0;
        prop_assert!(rps == 1 || busy <= f64::from(places) / 2.0 + 1e-9);
    }

    #[test]
    fn a_wavering_estimate_is_not_changed(was in 1u32..1_000_000, off in 0u32..30) {
        let is = u64::from(was) + u64::from(was) * u64::from(off) / 100;
        prop_assert_eq!(
            steady(Some(was), Some(u32::try_from(is).unwrap())),
            Some(was)
        );
    }
}

#[test]
fn two_places_and_answers_within_eight_milliseconds_are_125_a_second() {
    let mut latency = [0; LATENCY_BUCKETS];
    latency[3] = 1_000;
    assert_eq!(estimate_rps(2, &served(latency)), Some(125));
    latency[3] = 99;
    assert_eq!(estimate_rps(2, &served(latency)), None);
}
