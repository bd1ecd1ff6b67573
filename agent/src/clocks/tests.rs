#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn a_peer_an_hour_ahead_is_detected_and_latency_is_not_mistaken_for_skew() {
    let clocks = Clocks::default();
    let peer: AgentId = "a/x".parse().unwrap();
    let answered = Instant::now();
    let asked = answered.checked_sub(Duration::from_millis(200)).unwrap();
    let reading = ClockReading {
        unix_ms: unix_ms() + 3_600_000 - 100,
        plan: None,
    };

    clocks.compared(&peer, &reading, (asked, answered));
    let (of, ahead_ms) = clocks.evaluate(|_| true).own.furthest.unwrap();
    assert!(
        of == peer && (3_599_900..3_600_200).contains(&ahead_ms),
        "{ahead_ms}"
    );

    assert_eq!(clocks.evaluate(|_| true).set_by_ms, None);
}
