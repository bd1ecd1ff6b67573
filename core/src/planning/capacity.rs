//! What a region could serve at most, estimated from what its model servers tell of themselves.
//!
//! Little's law the other way round: so many inferences may run at once, each takes so long, so at
//! most so many are answered in a second. The estimate errs on the low side: times count by the
//! upper bounds of their histogram's buckets and hold the wait for a place, an agent counts no more
//! places than it has processors, and of the result half is believed. It says nothing of memory,
//! accelerators or what is shared with other programs: where a number is known, declare it.

use regionmesh_protocol::status::served::{LATENCY_BOUNDS_MS, Served};

/// Fewer answers in a minute than this tell nothing.
const ANSWERS_MIN: u64 = 100;
/// What of the estimate is believed, percent.
const BELIEVED_PERCENT: u64 = 50;
/// Within this of the estimate that stands a new one is no news, percent: plans must not follow
/// noise.
const BAND_PERCENT: u64 = 30;

/// The most that `places` inferences at once can serve at the latencies of `served`, requests per
/// second; none where too little was served to tell.
pub fn estimate_rps(places: u32, served: &Served) -> Option<u32> {
    let bound_ms = |bucket: usize| {
        LATENCY_BOUNDS_MS
            .get(bucket)
            .copied()
            .unwrap_or(2 * LATENCY_BOUNDS_MS[LATENCY_BOUNDS_MS.len() - 1])
    };

    let answers = served
        .latency
        .iter()
        .fold(0u64, |sum, count| sum.saturating_add(*count));

    if places == 0 || answers < ANSWERS_MIN {
        return None;
    }

    let busy_ms = served
        .latency
        .iter()
        .enumerate()
        .fold(0u128, |sum, (bucket, count)| {
            sum.saturating_add(u128::from(*count) * u128::from(bound_ms(bucket)))
        });
    let rps = u128::from(places) * u128::from(answers) * 1_000 * u128::from(BELIEVED_PERCENT)
        / (busy_ms.max(1) * 100);

    Some(u32::try_from(rps).unwrap_or(u32::MAX).max(1))
}

/// The estimate to go on with: the one that `stands` until a new one is clearly another. A region
/// that serves too little to tell keeps what was known.
pub fn steady(stands: Option<u32>, estimate: Option<u32>) -> Option<u32> {
    let (Some(was), Some(is)) = (stands, estimate) else {
        return estimate.or(stands);
    };
    let band = u64::from(was) * BAND_PERCENT / 100;

    if u64::from(was).abs_diff(u64::from(is)) <= band {
        Some(was)
    } else {
        Some(is)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
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
        fn slower_answers_never_make_it_more(
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
        fn what_is_served_within_the_estimate_keeps_fewer_than_half_of_the_places_busy(
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
        fn an_estimate_that_wavers_stays(was in 1u32..1_000_000, off in 0u32..30) {
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
}
