use super::*;
use proptest::prelude::*;

fn agent(index: usize) -> AgentId {
    format!("r{index}/a").parse().unwrap()
}

/// What each of several agents finds, whose clocks are off by this much.
fn judged(offs: &[i64]) -> Vec<OwnClock> {
    let found = |own: usize| {
        let mut clocks = PeerClocks::default();
        for (peer, off_ms) in offs.iter().enumerate().filter(|(peer, _)| *peer != own) {
            clocks.measured(&agent(peer), off_ms - offs[own], 20, 0);
        }
        clocks.judge(|_| true, 1_000)
    };

    (0..offs.len()).map(found).collect()
}

proptest! {
    /// However clocks are off, some agent may lead; and if most agree, exactly the others may not
    /// and know it.
    #[test]
    fn some_agent_may_always_lead_and_a_skewed_minority_detects_itself(
        good in prop::collection::vec(-400i64..400, 0..6),
        bad in prop::collection::vec(
            prop_oneof![20_000i64..7_200_000, -7_200_000i64..-20_000],
            0..6,
        ),
    ) {
        prop_assume!(!good.is_empty() || !bad.is_empty());
        let offs: Vec<i64> = good.iter().chain(&bad).copied().collect();
        let judged = judged(&offs);

        prop_assert!(judged.iter().any(|own| !own.is_off), "{:?}", judged);
        if good.len() > bad.len() {
            for (index, own) in judged.iter().enumerate() {
                let is_bad = index >= good.len();
                prop_assert_eq!(
                    (own.is_off, own.is_doubtful()),
                    (is_bad, is_bad),
                    "{}: {:?}",
                    index,
                    own
                );

                prop_assert!((own.ahead_ms - offs[index]).abs() < 1_000 || !is_bad);
            }
        }
    }
}

#[test]
fn two_differing_clocks_both_report_doubt_and_both_may_lead() {
    for own in judged(&[0, 3_600_000]) {
        assert_eq!(
            (own.is_doubtful(), own.is_off, own.ahead_ms),
            (true, false, 0),
            "{own:?}"
        );

        assert_eq!(own.furthest.unwrap().1.abs(), 3_600_000);
    }

    assert!(judged(&[0, 1_900]).iter().all(|own| !own.is_doubtful()));
    assert!(!judged(&[0])[0].is_doubtful());
}

#[test]
fn the_shortest_recent_round_trip_counts() {
    let mut clocks = PeerClocks::default();
    clocks.measured(&agent(1), 900, 1_900, 0);
    clocks.measured(&agent(1), 5, 10, 0);
    clocks.measured(&agent(1), 400, 800, 100);
    clocks.measured(&agent(1), 90_000, ROUND_TRIP_MAX_MS + 1, 200);
    assert_eq!(clocks.judge(|_| true, 300).furthest, Some((agent(1), 5)));
    assert_eq!(clocks.judge(|_| true, FRESH_MS + 200).known, 1);

    // An error of a second is possible over a round trip of two: no alarm.
    clocks.measured(&agent(1), 2_900, 1_900, FRESH_MS);
    assert!(!clocks.judge(|_| true, FRESH_MS).is_doubtful());
    clocks.own_clock_set();
    assert_eq!(clocks.judge(|_| true, FRESH_MS).known, 1);
}
