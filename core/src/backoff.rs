//! Pauses between attempts, each twice as long as the previous one.

use std::time::Duration;

/// The pauses after failures in a row: `first`, then twice as long each time, `longest` at most.
/// Callers add jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            failures: 0,
        }
    }

    /// The pause after one more failure.
    pub fn next_pause(&mut self) -> Duration {
        let pause = self.after(self.failures);
        self.failures = self.failures.saturating_add(1);
        pause
    }

    /// Begins with the first pause again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// The pause after a failure that `earlier` failures in a row preceded.
    pub fn after(self, earlier: u32) -> Duration {
        let factor = 1_u32.checked_shl(earlier).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_again() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(100), ms(700));
        let pauses: Vec<Duration> = (0..5).map(|_| backoff.next_pause()).collect();
        assert_eq!(pauses, [100, 200, 400, 700, 700].map(ms));
        assert_eq!(backoff.after(u32::MAX), ms(700));

        backoff.reset();
        assert_eq!(backoff.next_pause(), ms(100));
    }
}
