//! A token bucket: requests per second, with a small burst. Pure; the time is passed in.

use std::time::{Duration, Instant};

/// Limits the rate of requests.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    /// Tokens refilled per second, and the capacity.
    per_second: f64,
    /// Below 0: reserved by waiting requests.
    tokens: f64,
    /// When `tokens` was last updated.
    at: Instant,
}

impl TokenBucket {
    /// A full bucket.
    pub(crate) fn new(per_second: u32, now: Instant) -> Self {
        let per_second = f64::from(per_second.max(1));
        Self {
            per_second,
            tokens: per_second,
            at: now,
        }
    }

    /// Takes one token and returns how long to wait before using it. Requests pass in order.
    pub(crate) fn take(&mut self, now: Instant) -> Duration {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + elapsed * self.per_second).min(self.per_second) - 1.0;
        self.at = self.at.max(now);
        Duration::from_secs_f64((-self.tokens).max(0.0) / self.per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_second_exceeds_twice_the_rate_and_the_average_is_the_rate(
            per_second in 1..20u32,
            pauses_ms in prop::collection::vec(0..400u64, 1..200),
        ) {
            let begin = Instant::now();
            let mut bucket = TokenBucket::new(per_second, begin);
            let mut now = begin;
            let mut sent = Vec::new();

            for pause_ms in pauses_ms {
                now += Duration::from_millis(pause_ms);
                now += bucket.take(now);
                sent.push(now);
            }

            for (index, first) in sent.iter().enumerate() {
                let within = sent[index..]
                    .iter()
                    .take_while(|at| **at - *first < Duration::from_millis(999))
                    .count();

                prop_assert!(
                    within <= 2 * per_second as usize,
                    "{within} requests in a second"
                );
            }

            let most =
                (now - begin).as_secs_f64() * f64::from(per_second) + f64::from(per_second) + 1.0;
            prop_assert!(sent.len() as f64 <= most);
        }
    }

    #[test]
    fn a_burst_passes_immediately_and_the_next_request_waits() {
        let now = Instant::now();
        let mut bucket = TokenBucket::new(5, now);
        assert!((0..5).all(|_| bucket.take(now).is_zero()));
        assert_eq!(bucket.take(now), Duration::from_millis(200));
        assert_eq!(bucket.take(now), Duration::from_millis(400));
        assert!(bucket.take(now + Duration::from_secs(60)).is_zero());
    }
}
