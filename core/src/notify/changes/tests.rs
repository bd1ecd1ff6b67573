#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::health::verdict::RegionVerdict;
use proptest::prelude::*;
use regionmesh_protocol::{
    event::{Event, Severity},
    plan::{Override, OverrideKind, Plan, RegionPlan, Shortfall, TrafficState, YieldedOrder},
    register::ballot::Stamp,
};

mod problems;
mod table;

fn region(name: &str) -> RegionName {
    name.parse().unwrap()
}

fn agent(name: &str) -> AgentId {
    name.parse().unwrap()
}

fn changes(own: &str) -> ChangeDetector {
    ChangeDetector::new(
        "m.test".parse().unwrap(),
        agent(own),
        RecoveryPolicy::default(),
    )
}

fn verdict(condition: Condition, since_ms: u64) -> RegionVerdict {
    RegionVerdict {
        condition,
        since_ms,
        votes: Vec::new(),
        addresses: Vec::new(),
        reason: "as\x1b seen".into(),
    }
}

fn judge(
    changes: &mut ChangeDetector,
    condition: Condition,
    since_ms: Option<u64>,
    now_ms: u64,
) -> Option<Event> {
    let verdict = verdict(condition, now_ms);
    changes.verdict(
        Judged {
            region: &region("a"),
            verdict: &verdict,
            since_ms,
        },
        now_ms,
    )
}

fn plan(seq: u64, traffic_state: TrafficState) -> CommittedPlan {
    let weight_bp = if matches!(traffic_state, TrafficState::Serving) {
        10_000
    } else {
        0
    };
    let part = RegionPlan {
        weight_bp,
        traffic_state,
        ..RegionPlan::default()
    };

    let regions = [
        (region("a"), part),
        (
            region("b"),
            RegionPlan {
                weight_bp: 10_000,
                ..RegionPlan::default()
            },
        ),
    ];

    let ballot = Ballot {
        number: 3,
        agent: agent("b/x"),
        boot: 255,
    };
    let plan = Plan {
        regions: regions.into(),
        reason: format!("reason {seq}"),
        made_ms: seq,
        ..Plan::default()
    };

    CommittedPlan {
        stamp: Stamp { ballot, seq },
        plan,
        certificate: Default::default(),
    }
}

fn holding(changes: &ChangeDetector) -> Vec<&str> {
    changes
        .alerts()
        .iter()
        .filter(|alert| alert.ended_ms.is_none())
        .map(Alert::name)
        .collect()
}

proptest! {
    /// Agents receive votes in any order, some twice, and have different clocks: they report the
    /// same event.
    #[test]
    fn agents_with_the_same_view_report_the_same_event(
        mut seen in prop::collection::vec((0u8..5, 0u64..1_000), 1..12),
        rotate in 0usize..12,
        late_ms in 0u64..5_000,
    ) {
        let regions: Vec<_> = (0..5).map(|number| region(&format!("o{number}"))).collect();
        let voters = seen
            .iter()
            .map(|(observer, _)| *observer)
            .collect::<BTreeSet<_>>()
            .len();
        let report = |seen: &[(u8, u64)], own, now_ms| {
            let agreeing = seen
                .iter()
                .map(|(observer, since_ms)| (&regions[usize::from(*observer)], *since_ms));
            judge(
                &mut changes(own),
                Condition::Failed,
                agreed_since(agreeing, voters),
                now_ms,
            )
            .unwrap()
        };

        let first = report(&seen, "b/x", 5_000);
        let turn = rotate % seen.len();
        seen.rotate_left(turn);
        seen.push(seen[0]);
        prop_assert_eq!(report(&seen, "c/y", 5_000 + late_ms), first);
    }

    /// A region's failure is reported once, whatever comes between; its alert is active exactly
    /// from failure to recovery.
    #[test]
    fn an_alert_is_active_from_failure_to_recovery(
        conditions in prop::collection::vec(0usize..5, 1..30),
    ) {
        let mut changes = changes("b/x");
        let mut is_failed = false;
        let mut last = None;

        for (now_ms, index) in (1_000u64..).zip(conditions) {
            let condition = Condition::ALL[index];
            let event = judge(&mut changes, condition, Some(now_ms), now_ms);
            is_failed = match condition {
                Condition::Failed => true,
                Condition::Healthy | Condition::Draining => false,
                _ => is_failed,
            };

            prop_assert_eq!(!holding(&changes).is_empty(), is_failed);
            let is_quiet = last == Some(condition)
                || (matches!(last, None | Some(Condition::Unknown))
                    && matches!(condition, Condition::Unknown | Condition::Healthy));
            prop_assert_eq!(event.is_none(), is_quiet);
            last = Some(condition);
        }
    }
}

#[test]
fn the_majority_is_complete_with_the_vote_that_completes_it() {
    let a = region("a");
    let b = region("b");
    let c = region("c");
    let since = |votes: &[(&RegionName, u64)], voters| {
        agreed_since(votes.iter().map(|(r, ms)| (*r, *ms)), voters)
    };

    assert_eq!(since(&[(&a, 5), (&b, 9)], 2), Some(9));
    assert_eq!(since(&[(&c, 1), (&a, 5), (&b, 9)], 3), Some(5));
    assert_eq!(since(&[(&a, 5), (&a, 3)], 1), Some(3));
    assert_eq!(since(&[(&a, 5)], 4), Some(5));
    assert_eq!(since(&[], 2), None);
}

#[test]
fn a_verdict_event_names_both_conditions_without_control_characters() {
    let mut changes = changes("b/x");
    assert_eq!(judge(&mut changes, Condition::Healthy, Some(1), 2), None);

    let event = judge(&mut changes, Condition::Failed, Some(77), 90).unwrap();
    assert_eq!(
        (event.id.as_str(), event.time_ms, event.severity),
        ("verdict:a:failed:77", 77, Severity::Critical)
    );

    assert_eq!(event.text, "a is failed: as  seen");
    assert_eq!(
        (
            event.fields["before"].as_str(),
            event.fields["condition"].as_str()
        ),
        ("healthy", "failed")
    );

    let alert = changes.alerts().iter().next().unwrap().clone();
    assert_eq!(
        (
            alert.starts_ms,
            alert.labels["region"].as_str(),
            alert.labels["mesh"].as_str()
        ),
        (77, "a", "m.test")
    );

    assert_eq!(judge(&mut changes, Condition::Failed, Some(77), 91), None);
}

#[test]
fn a_plan_is_reported_once_and_more_severe_if_a_region_loses_traffic() {
    let mut changes = changes("c/y");
    let first = changes.plan(&plan(1, TrafficState::Serving), 10);
    assert_eq!(
        (first.len(), first[0].severity, first[0].id.as_str()),
        (1, Severity::Info, "plan:3@b/x.ff#1")
    );

    assert_eq!(changes.plan(&plan(1, TrafficState::Serving), 11), []);
    let second = changes.plan(&plan(2, TrafficState::Out { since_ms: 2 }), 12);
    assert_eq!(
        (second[0].severity, second[0].fields["shares"].as_str()),
        (Severity::Warning, "a 0.0 %, b 100.0 %")
    );

    assert_eq!(changes.plan(&plan(1, TrafficState::Serving), 13), []);
    let mut short = plan(3, TrafficState::Out { since_ms: 2 });
    short.plan.shortfall = Some(Shortfall {
        load_rps: 100,
        unmoved_rps: 30,
    });

    changes.plan(&short, 14);
    assert_eq!(holding(&changes), ["RegionMeshCapacityShort"]);
    changes.plan(&plan(4, TrafficState::Out { since_ms: 2 }), 15);
    assert_eq!(holding(&changes), [""; 0]);
}

#[test]
fn ramp_steps_are_events_and_a_rollback_is_an_alert_until_the_next_step_forward() {
    let mut changes = changes("c/y");
    let ramping = |step, since_ms| TrafficState::Ramping { step, since_ms };
    let mut seq = 0;
    let mut report = |changes: &mut ChangeDetector, traffic_state| {
        seq += 1;
        let events = changes.plan(&plan(seq, traffic_state), seq);
        let ramp = events.iter().find(|event| event.kind == EventKind::Ramp);

        (
            ramp.map(|event| {
                (
                    event.fields["move"].clone(),
                    event.fields["percent"].clone(),
                )
            }),
            holding(changes).len(),
        )
    };

    let moved = |to: &str, percent: &str| Some((to.to_owned(), percent.to_owned()));
    for (traffic_state, expected) in [
        (TrafficState::CoolingDown { since_ms: 0 }, (None, 0)),
        (ramping(0, 1), (moved("forward", "1"), 0)),
        (ramping(0, 1), (None, 0)),
        (ramping(1, 2), (moved("forward", "5"), 0)),
        (ramping(0, 3), (moved("back", "1"), 1)),
        (ramping(0, 4), (moved("back", "1"), 1)),
        (ramping(1, 5), (moved("forward", "5"), 0)),
        (TrafficState::Out { since_ms: 6 }, (moved("back", "0"), 1)),
        (TrafficState::CoolingDown { since_ms: 7 }, (None, 1)),
        (ramping(0, 8), (moved("forward", "1"), 0)),
        (TrafficState::Serving, (moved("done", "100"), 0)),
    ] {
        assert_eq!(
            report(&mut changes, traffic_state.clone()),
            expected,
            "{traffic_state:?}"
        );
    }
}

#[test]
fn a_yielding_order_and_a_failed_mesh_are_alerts_until_they_end() {
    let mut changes = changes("c/y");
    let drain = Override {
        region: Some(region("a")),
        kind: OverrideKind::Drain,
        by: "ann".into(),
        why: "disks".into(),
        is_immediate: false,
        set_ms: 1,
        expires_ms: 1_000,
    };

    let ordered = |seq, yields: bool, all_failed_ms| {
        let mut committed = plan(seq, TrafficState::Serving);
        committed.plan.overrides = vec![drain.clone()];

        let yielded = YieldedOrder {
            order: Some(region("a")),
            region: region("a"),
            since_ms: 7,
        };

        committed.plan.yielded = yields.then_some(yielded).into_iter().collect();
        committed.plan.all_failed_ms = all_failed_ms;
        committed
    };

    assert_eq!(changes.plan(&ordered(1, false, None), 1).len(), 1);
    let events = changes.plan(&ordered(2, true, None), 2);
    assert_eq!(
        (events[1].id.as_str(), events[1].severity),
        ("order-yields:drain:a:3@b/x.ff#2", Severity::Warning)
    );

    assert_eq!(holding(&changes), ["RegionMeshOrderYielded"]);
    assert_eq!(changes.alerts().iter().next().unwrap().starts_ms, 7);
    assert_eq!(changes.plan(&ordered(3, true, Some(3)), 3).len(), 1);
    assert_eq!(
        holding(&changes),
        ["RegionMeshAllRegionsFailed", "RegionMeshOrderYielded"]
    );

    let events = changes.plan(&ordered(4, false, None), 4);
    assert_eq!(
        (events[1].severity, events[1].fields["move"].as_str()),
        (Severity::Info, "stands")
    );

    assert_eq!(holding(&changes), [""; 0]);
}

#[test]
fn an_election_raises_no_alert_until_it_takes_too_long() {
    let mut changes = changes("c/y");
    let ballot = |number| Ballot {
        number,
        agent: agent("b/x"),
        boot: 1,
    };

    assert_eq!(changes.leader(None, 0), None);
    assert_eq!(
        changes.leader(Some(&ballot(1)), 5_000).unwrap().id,
        "leader:1@b/x.1"
    );

    assert_eq!(changes.leader(Some(&ballot(1)), 6_000), None);
    assert_eq!(changes.leader(None, 20_000), None);
    assert_eq!(changes.leader(None, 29_999), None);

    let event = changes.leader(None, 30_000).unwrap();
    assert_eq!(
        (event.time_ms, event.severity, holding(&changes).len()),
        (20_000, Severity::Critical, 1)
    );

    assert_eq!(changes.leader(None, 31_000), None);
    assert_eq!(
        changes.leader(Some(&ballot(2)), 32_000).unwrap().fields["before"],
        "b/x"
    );

    assert_eq!(holding(&changes), [""; 0]);
}
