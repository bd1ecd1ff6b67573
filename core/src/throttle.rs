//! A rate limit for log lines.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// A rate limit for each key: the first line is written immediately.
#[derive(Debug)]
pub struct KeyedThrottle<K> {
    every: Duration,
    last_lines: BTreeMap<K, (Instant, u64)>,
}

impl<K: Ord + Clone> KeyedThrottle<K> {
    /// One line per key in each `every`.
    pub fn new(every: Duration) -> Self {
        Self {
            every,
            last_lines: BTreeMap::new(),
        }
    }

    /// The number of this key's lines left out since the last one, if the line is to be written
    /// now.
    pub fn admit(&mut self, key: &K, now: Instant) -> Option<u64> {
        match self.last_lines.get_mut(key) {
            Some((at, left_out)) if now.saturating_duration_since(*at) < self.every => {
                *left_out += 1;
                None
            }
            Some((at, left_out)) => {
                *at = now;
                Some(std::mem::take(left_out))
            }
            None => {
                self.last_lines.insert(key.clone(), (now, 0));
                Some(0)
            }
        }
    }

    /// Removes the other keys.
    pub fn retain(&mut self, is_current: impl Fn(&K) -> bool) {
        self.last_lines.retain(|key, _| is_current(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_throttled_separately_until_removed() {
        let mut throttle = KeyedThrottle::new(Duration::from_secs(60));
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);

        assert_eq!(
            [0, 3, 59, 60, 61].map(|s| throttle.admit(&"a", after(s))),
            [Some(0), None, None, Some(2), None]
        );

        assert_eq!(throttle.admit(&"b", after(61)), Some(0));
        throttle.retain(|thing| *thing != "a");
        assert_eq!(
            [
                throttle.admit(&"a", after(62)),
                throttle.admit(&"b", after(62))
            ],
            [Some(0), None]
        );
    }
}
