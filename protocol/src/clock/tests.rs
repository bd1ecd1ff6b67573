use super::*;
use proptest::prelude::*;

fn time() -> impl Strategy<Value = HybridTime> {
    (0..1u64 << 45, any::<u32>()).prop_map(|(wall_ms, counter)| HybridTime { wall_ms, counter })
}

proptest! {
    #[test]
    fn the_next_stamp_is_later(time in time(), now_ms in 0..1u64 << 45) {
        let next = time.next(now_ms);
        prop_assert!(next > time && next.wall_ms >= now_ms);
    }

    #[test]
    fn observing_never_moves_the_clock_back_or_far_ahead(
        time in time(),
        seen in time(),
        now_ms in 0..1u64 << 45,
    ) {
        let after = time.observe(seen, now_ms);
        prop_assert!(after >= time && after.wall_ms <= time.wall_ms.max(now_ms + MAX_SKEW_MS));
    }

    #[test]
    fn text_sorts_as_time_does(a in time(), b in time()) {
        prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
    }
}
