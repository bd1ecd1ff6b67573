use super::*;
use crate::gossip::skew::ClockReading;
use std::time::Duration;

#[test]
fn a_peer_an_hour_ahead_is_detected_and_latency_is_not_mistaken_for_skew() {
    let answered = Instant::now();
    let asked = answered.checked_sub(Duration::from_millis(200)).unwrap();
    let now = Now {
        monotonic: answered,
        unix_ms: 1_789_992_000_000,
    };
    let mut clocks = Clocks::new(PlanClock::new(now.monotonic), now);
    let peer: AgentId = "a/x".parse().unwrap();
    let reading = ClockReading {
        unix_ms: now.unix_ms + 3_600_000 - 100,
        plan: None,
    };

    let heard = PeerClock {
        reading,
        received: answered,
        asked: Some((peer.clone(), asked)),
    };
    clocks.heard(&heard, now);
    assert_eq!(clocks.evaluate(|_| true, now), None);

    let (of, ahead_ms) = clocks.own.furthest.clone().unwrap();
    assert!(
        of == peer && (3_599_900..3_600_200).contains(&ahead_ms),
        "{ahead_ms}"
    );
}

#[test]
fn a_clock_that_is_set_is_noticed_once_and_earlier_measurements_no_longer_count() {
    let now = Now {
        monotonic: Instant::now(),
        unix_ms: 1_789_992_000_000,
    };
    let mut clocks = Clocks::new(PlanClock::new(now.monotonic), now);
    let heard = PeerClock {
        reading: ClockReading {
            unix_ms: now.unix_ms,
            plan: None,
        },
        received: now.monotonic,
        asked: Some(("a/x".parse().unwrap(), now.monotonic)),
    };
    clocks.heard(&heard, now);

    let later = Now {
        monotonic: now.monotonic + Duration::from_millis(100),
        unix_ms: now.unix_ms + 100 - 60_000,
    };
    assert_eq!(clocks.evaluate(|_| true, later), Some(-60_000));
    assert_eq!(clocks.own.known, 1);
    assert_eq!(clocks.evaluate(|_| true, later), None);
}
