use super::*;
use proptest::{collection::vec, prelude::*};

proptest! {
    #[test]
    fn an_order_is_accepted_once_whatever_the_clock_does(
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
fn a_full_memory_refuses_further_orders() {
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
