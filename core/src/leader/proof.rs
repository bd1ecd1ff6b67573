//! Which proofs of orders were used: an order counts once, within a bounded time.

use regionmesh_protocol::wire::{MAX_AGE_S, PeerRefusal};
use std::collections::BTreeMap;

/// Most orders remembered; each needed an operator's token, so nobody else can fill it.
pub const REMEMBERED_MAX: usize = 4_096;

/// The orders that an agent received lately.
#[derive(Debug, Clone, Default)]
pub struct UsedProofs {
    /// Nonces, and until when an order with them would be recent enough to be taken again.
    used: BTreeMap<[u8; 16], u64>,
}

impl UsedProofs {
    /// Takes an order whose proof was checked, unless it is too old or came before.
    pub fn take(&mut self, nonce: [u8; 16], sent_ms: u64, now_ms: u64) -> Result<(), PeerRefusal> {
        let max_age_ms = MAX_AGE_S * 1_000;
        self.used.retain(|_, until_ms| *until_ms >= now_ms);
        if now_ms.abs_diff(sent_ms) > max_age_ms {
            let age_s = i64::try_from(now_ms.abs_diff(sent_ms) / 1_000).unwrap_or(i64::MAX);
            return Err(PeerRefusal::Stale(if sent_ms > now_ms {
                -age_s
            } else {
                age_s
            }));
        }

        if self.used.contains_key(&nonce) || self.used.len() >= REMEMBERED_MAX {
            return Err(PeerRefusal::Replayed);
        }
        self.used.insert(nonce, sent_ms.saturating_add(max_age_ms));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    proptest! {
        #[test]
        fn an_order_is_taken_once_however_the_clock_goes(
            sent_ms in 0..1u64 << 50, times in vec(0..MAX_AGE_S * 4_000, 1..20),
        ) {
            let mut used = UsedProofs::default();
            let begin_ms = sent_ms.saturating_sub(MAX_AGE_S * 2_000);
            let mut times: Vec<u64> = times.iter().map(|after_ms| begin_ms + after_ms).collect();

            times.sort_unstable();
            let taken = times
                .iter()
                .filter(|now_ms| used.take([7; 16], sent_ms, **now_ms).is_ok())
                .count();
            let is_recent = times
                .iter()
                .any(|now_ms| now_ms.abs_diff(sent_ms) <= MAX_AGE_S * 1_000);

            prop_assert_eq!(taken, usize::from(is_recent));
        }
    }

    #[test]
    fn no_more_is_remembered_than_fits_and_what_does_not_fit_is_refused() {
        let mut used = UsedProofs::default();
        let nonce = |number: usize| (number as u128).to_le_bytes();
        for number in 0..REMEMBERED_MAX {
            assert_eq!(used.take(nonce(number), 5_000, 5_000), Ok(()));
        }
        assert_eq!(
            used.take(nonce(REMEMBERED_MAX), 5_000, 5_000),
            Err(PeerRefusal::Replayed)
        );

        let later_ms = 5_001 + MAX_AGE_S * 1_000;
        assert_eq!(used.take(nonce(REMEMBERED_MAX), later_ms, later_ms), Ok(()));
        assert_eq!(
            used.take(nonce(0), 5_000, later_ms),
            Err(PeerRefusal::Stale(
                i64::try_from(MAX_AGE_S).unwrap_or(i64::MAX)
            ))
        );
    }
}
