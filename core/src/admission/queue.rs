//! How long a request that joins a queue will wait, judged by how long the ones before it took.
//!
//! A server that knows this refuses at once what it would answer too late, and says when to come
//! again. A bound on the *number* of waiting requests can't do that: sixteen are nothing for a
//! model of a millisecond and a minute for one of four seconds.

/// Part of a new duration in the average: an eighth, as in TCP's estimate of a round trip (RFC
/// 6298).
const GAIN_SHIFT: u32 = 3;

/// A moving average of how long one place is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueEstimate {
    service_us: Option<u64>,
}

impl QueueEstimate {
    /// A place was taken for so long, microseconds.
    pub fn record(&mut self, took_us: u64) {
        self.service_us = Some(match self.service_us {
            None => took_us,
            Some(average) if took_us >= average => {
                average.saturating_add((took_us - average) >> GAIN_SHIFT)
            }
            Some(average) => average - ((average - took_us) >> GAIN_SHIFT),
        });
    }

    /// How long a request waits that comes behind `ahead` others for one of `places`, all taken,
    /// microseconds. 0 as long as nothing was recorded: who knows nothing refuses nobody.
    pub fn wait_us(&self, ahead: usize, places: usize) -> u64 {
        let service_us = u128::from(self.service_us.unwrap_or(0));
        let wait_us = service_us * (ahead as u128 + 1) / places.max(1) as u128;
        u64::try_from(wait_us).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
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
        fn more_before_me_never_shortens_the_wait_and_more_places_never_lengthen_it(
            durations in prop::collection::vec(any::<u64>(), 0..20),
            ahead in 0usize..10_000,
            places in 1usize..5_000,
        ) {
            let estimate = after(&durations);
            prop_assert!(estimate.wait_us(ahead + 1, places) >= estimate.wait_us(ahead, places));
            prop_assert!(estimate.wait_us(ahead, places + 1) <= estimate.wait_us(ahead, places));
        }

        #[test]
        fn the_average_follows_a_change(before in 0u64..1_000_000, after_us in 0u64..1_000_000) {
            let mut durations = vec![before; 20];
            durations.extend(vec![after_us; 100]);
            prop_assert!(after(&durations).wait_us(0, 1).abs_diff(after_us) < 8);
        }
    }

    #[test]
    fn nobody_is_refused_before_anything_is_known() {
        assert_eq!(QueueEstimate::default().wait_us(usize::MAX, 1), 0);
    }

    #[test]
    fn a_place_among_four_is_free_after_a_quarter_of_the_service_time() {
        assert_eq!(after(&[40_000]).wait_us(0, 4), 10_000);
        assert_eq!(after(&[40_000]).wait_us(15, 4), 160_000);
    }
}
