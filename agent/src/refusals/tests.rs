#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn a_refusal_is_a_problem_of_that_peer_until_refusals_stop() {
    let problems = Problems::default();
    let refusals = Refusals::new(
        RefusalMetrics::new(&Registry::new()).unwrap(),
        problems.clone(),
    );
    for _ in 0..3 {
        refusals.refuse("a/0", reason::BALLOT_TOO_FAR, "ballot 18446744073709551615");
    }

    let active = problems.active();
    assert_eq!((active.len(), active[0].subject.as_str()), (1, "a/0"));
    assert!(
        active[0].detail.contains("ballot 18446744073709551615"),
        "{active:?}"
    );

    assert_eq!(
        [reason::BALLOT_TOO_FAR, reason::MALFORMED].map(|reason| refusals.count(reason)),
        [3, 0]
    );

    refusals.expire(Instant::now());
    assert_eq!(problems.active().len(), 1);
    refusals.expire(Instant::now() + OVER_AFTER);
    assert_eq!(problems.active(), []);
}
