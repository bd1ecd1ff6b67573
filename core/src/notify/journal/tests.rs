#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use proptest::prelude::*;
use regionmesh_protocol::{
    plan::{Override, OverrideKind, RegionPlan, Shortfall, YieldedOrder},
    register::ballot::Stamp,
    status::problem::ProblemKind,
};

fn region(name: &str) -> RegionName {
    name.parse().unwrap()
}

fn agent(name: &str) -> AgentId {
    name.parse().unwrap()
}

fn journal(own: &str) -> Journal {
    Journal::new(
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
    journal: &mut Journal,
    condition: Condition,
    since_ms: Option<u64>,
    now_ms: u64,
) -> Option<Event> {
    let verdict = verdict(condition, now_ms);
    journal.verdict(
        Judged {
            region: &region("a"),
            verdict: &verdict,
            since_ms,
        },
        now_ms,
    )
}

fn plan(seq: u64, standing: Standing) -> CommittedPlan {
    let weight_bp = if matches!(standing, Standing::Serving) {
        10_000
    } else {
        0
    };
    let part = RegionPlan {
        weight_bp,
        standing,
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
    }
}

fn holding(journal: &Journal) -> Vec<&str> {
    journal
        .alerts()
        .iter()
        .filter(|alert| alert.ended_ms.is_none())
        .map(Alert::name)
        .collect()
}

proptest! {
    /// Agents hear of votes in any order, hear some twice, and have other clocks: what they tell is
    /// the same event.
    #[test]
    fn agents_that_see_the_same_tell_the_same(
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
        let tell = |seen: &[(u8, u64)], own, now_ms| {
            let agreeing = seen
                .iter()
                .map(|(observer, since_ms)| (&regions[usize::from(*observer)], *since_ms));
            judge(
                &mut journal(own),
                Condition::Failed,
                agreed_since(agreeing, voters),
                now_ms,
            )
            .unwrap()
        };

        let first = tell(&seen, "b/x", 5_000);
        let turn = rotate % seen.len();
        seen.rotate_left(turn);
        seen.push(seen[0]);
        prop_assert_eq!(tell(&seen, "c/y", 5_000 + late_ms), first);
    }

    /// A region's failure is told once, whatever comes between; its alert holds exactly from
    /// failure to recovery.
    #[test]
    fn an_alert_holds_from_failure_to_recovery(
        conditions in prop::collection::vec(0usize..5, 1..30),
    ) {
        let mut journal = journal("b/x");
        let mut is_failed = false;
        let mut last = None;

        for (now_ms, index) in (1_000u64..).zip(conditions) {
            let condition = Condition::ALL[index];
            let event = judge(&mut journal, condition, Some(now_ms), now_ms);
            is_failed = match condition {
                Condition::Failed => true,
                Condition::Healthy | Condition::Draining => false,
                _ => is_failed,
            };

            prop_assert_eq!(!holding(&journal).is_empty(), is_failed);
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
fn a_verdict_tells_what_was_and_is_without_control_characters() {
    let mut journal = journal("b/x");
    assert_eq!(judge(&mut journal, Condition::Healthy, Some(1), 2), None);

    let event = judge(&mut journal, Condition::Failed, Some(77), 90).unwrap();
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

    let alert = journal.alerts().iter().next().unwrap().clone();
    assert_eq!(
        (
            alert.starts_ms,
            alert.labels["region"].as_str(),
            alert.labels["mesh"].as_str()
        ),
        (77, "a", "m.test")
    );

    assert_eq!(judge(&mut journal, Condition::Failed, Some(77), 91), None);
}

#[test]
fn a_plan_is_told_once_and_worse_if_somebody_loses_traffic() {
    let mut journal = journal("c/y");
    let first = journal.plan(&plan(1, Standing::Serving), 10);
    assert_eq!(
        (first.len(), first[0].severity, first[0].id.as_str()),
        (1, Severity::Info, "plan:3@b/x.ff#1")
    );

    assert_eq!(journal.plan(&plan(1, Standing::Serving), 11), []);
    let second = journal.plan(&plan(2, Standing::Out { since_ms: 2 }), 12);
    assert_eq!(
        (second[0].severity, second[0].fields["shares"].as_str()),
        (Severity::Warning, "a 0.0 %, b 100.0 %")
    );

    assert_eq!(journal.plan(&plan(1, Standing::Serving), 13), []);
    let mut short = plan(3, Standing::Out { since_ms: 2 });
    short.plan.shortfall = Some(Shortfall {
        load_rps: 100,
        unmoved_rps: 30,
    });

    journal.plan(&short, 14);
    assert_eq!(holding(&journal), ["RegionMeshCapacityShort"]);
    journal.plan(&plan(4, Standing::Out { since_ms: 2 }), 15);
    assert_eq!(holding(&journal), [""; 0]);
}

#[test]
fn steps_of_the_ramp_are_told_and_a_step_back_is_an_alert_until_the_next_forward() {
    let mut journal = journal("c/y");
    let ramping = |step, since_ms| Standing::Ramping { step, since_ms };
    let mut seq = 0;
    let mut tell = |journal: &mut Journal, standing| {
        seq += 1;
        let events = journal.plan(&plan(seq, standing), seq);
        let ramp = events.iter().find(|event| event.kind == EventKind::Ramp);

        (
            ramp.map(|event| {
                (
                    event.fields["move"].clone(),
                    event.fields["percent"].clone(),
                )
            }),
            holding(journal).len(),
        )
    };

    let moved = |to: &str, percent: &str| Some((to.to_owned(), percent.to_owned()));
    for (standing, expected) in [
        (Standing::Gated { since_ms: 0 }, (None, 0)),
        (ramping(0, 1), (moved("forward", "1"), 0)),
        (ramping(0, 1), (None, 0)),
        (ramping(1, 2), (moved("forward", "5"), 0)),
        (ramping(0, 3), (moved("back", "1"), 1)),
        (ramping(0, 4), (moved("back", "1"), 1)),
        (ramping(1, 5), (moved("forward", "5"), 0)),
        (Standing::Out { since_ms: 6 }, (moved("back", "0"), 1)),
        (Standing::Gated { since_ms: 7 }, (None, 1)),
        (ramping(0, 8), (moved("forward", "1"), 0)),
        (Standing::Serving, (moved("done", "100"), 0)),
    ] {
        assert_eq!(
            tell(&mut journal, standing.clone()),
            expected,
            "{standing:?}"
        );
    }
}

#[test]
fn an_order_that_yields_and_a_mesh_that_failed_are_alerts_until_they_are_over() {
    let mut journal = journal("c/y");
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
        let mut committed = plan(seq, Standing::Serving);
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

    assert_eq!(journal.plan(&ordered(1, false, None), 1).len(), 1);
    let events = journal.plan(&ordered(2, true, None), 2);
    assert_eq!(
        (events[1].id.as_str(), events[1].severity),
        ("order-yields:drain:a:3@b/x.ff#2", Severity::Warning)
    );

    assert_eq!(holding(&journal), ["RegionMeshOrderYielded"]);
    assert_eq!(journal.alerts().iter().next().unwrap().starts_ms, 7);
    assert_eq!(journal.plan(&ordered(3, true, Some(3)), 3).len(), 1);
    assert_eq!(
        holding(&journal),
        ["RegionMeshAllRegionsFailed", "RegionMeshOrderYielded"]
    );

    let events = journal.plan(&ordered(4, false, None), 4);
    assert_eq!(
        (events[1].severity, events[1].fields["move"].as_str()),
        (Severity::Info, "stands")
    );

    assert_eq!(holding(&journal), [""; 0]);
}

#[test]
fn an_election_is_no_lack_of_a_leader_until_it_takes_too_long() {
    let mut journal = journal("c/y");
    let ballot = |number| Ballot {
        number,
        agent: agent("b/x"),
        boot: 1,
    };

    assert_eq!(journal.leader(None, 0), None);
    assert_eq!(
        journal.leader(Some(&ballot(1)), 5_000).unwrap().id,
        "leader:1@b/x.1"
    );

    assert_eq!(journal.leader(Some(&ballot(1)), 6_000), None);
    assert_eq!(journal.leader(None, 20_000), None);
    assert_eq!(journal.leader(None, 29_999), None);

    let event = journal.leader(None, 30_000).unwrap();
    assert_eq!(
        (event.time_ms, event.severity, holding(&journal).len()),
        (20_000, Severity::Critical, 1)
    );

    assert_eq!(journal.leader(None, 31_000), None);
    assert_eq!(
        journal.leader(Some(&ballot(2)), 32_000).unwrap().fields["before"],
        "b/x"
    );

    assert_eq!(holding(&journal), [""; 0]);
}

#[test]
fn what_befalls_a_zone_is_told_by_its_witness_and_ends_when_it_is_well() {
    let mut journal = journal("b/x");
    let state = |fenced: bool, drift: &[&str]| ZoneState {
        plan: "3@b/x#7".into(),
        fenced: fenced.then(|| "4@c/y#8 stands there".into()),
        drift: drift.iter().map(ToString::to_string).collect(),
    };

    assert_eq!(journal.zone("route53", &state(false, &[]), 1), []);
    let lost = journal.zone("route53", &state(true, &[]), 2);
    assert_eq!(
        (lost.len(), lost[0].kind, lost[0].witness.clone()),
        (1, EventKind::FenceLost, Some(agent("b/x")))
    );

    assert_eq!(journal.zone("route53", &state(true, &[]), 3), []);
    let drift = journal.zone("route53", &state(false, &["A serving"]), 4);
    assert_eq!(
        (drift[0].kind, holding(&journal)),
        (EventKind::Drift, vec!["RegionMeshZoneDrift"])
    );

    assert!(
        journal
            .alerts()
            .iter()
            .all(|alert| alert.labels["agent"] == "b/x" && alert.witness.is_some())
    );

    let more = journal.zone("route53", &state(false, &["A serving", "TXT"]), 5);
    assert!(more.len() == 1 && more[0].id != drift[0].id);
    assert_eq!(journal.zone("route53", &ZoneState::default(), 6), []);
    assert_eq!(holding(&journal), [""; 0]);
}

#[test]
fn a_certificate_is_told_of_once_when_a_fifth_of_its_life_is_left() {
    let mut journal = journal("b/x");
    let mut at = |not_after_s, now_s: u64| {
        let all = [(
            agent("a/x"),
            Validity {
                not_before_s: 0,
                not_after_s,
            },
        )]
        .into();
        let events = journal.certificates(&all, now_s * 1_000);

        (events.len(), holding(&journal).len())
    };

    // A life of a day: its last fifth.
    assert_eq!(
        [at(86_400, 60_000), at(86_400, 70_000), at(86_400, 71_000)],
        [(0, 0), (1, 1), (0, 1)]
    );

    assert_eq!(at(2 * 86_400, 71_001), (0, 0));
    // A life of years: its last week, then its last two days.
    let year = 365 * 86_400;
    assert_eq!(
        [at(year, 300 * 86_400), at(year, 359 * 86_400)],
        [(0, 0), (1, 1)]
    );

    assert_eq!(
        [at(year, 363 * 86_400 + 1), at(year, 364 * 86_400)],
        [(1, 2), (0, 2)]
    );

    assert_eq!(at(2 * year, 364 * 86_400), (0, 0));
    // A pod's certificate, which lives for three days and is renewed a day before its end, is in
    // neither stage until then.
    let pod = 3 * 86_400;
    assert_eq!(
        [at(pod, 86_400), at(pod, 2 * 86_400), at(pod, 208_800)],
        [(0, 0), (0, 0), (1, 1)]
    );
}

#[test]
fn a_conflict_found_at_the_start_is_the_case_and_no_news() {
    let loser = |version: &str| regionmesh_protocol::models::manifest::VersionSummary {
        model: "m".parse().unwrap(),
        version: version.parse().unwrap(),
        content: regionmesh_protocol::models::digest::Digest::of(version.as_bytes()),
        size: 1,
        published: regionmesh_protocol::clock::HybridTime {
            wall_ms: 5,
            counter: 0,
        },
        origin: region("a"),
    };

    let catalogue = |names: &[&str]| Catalogue {
        versions: names.iter().map(|name| loser(name)).collect(),
        ..Catalogue::default()
    };
    let mut journal = journal("b/x");

    assert_eq!(
        journal.catalogue(&catalogue(&["7", "7+conflict.a"]), 10),
        []
    );

    assert_eq!(holding(&journal), ["RegionMeshModelConflict"]);
    let events = journal.catalogue(&catalogue(&["7", "7+conflict.a", "8+conflict.a"]), 11);
    assert_eq!(
        (
            events.len(),
            events[0].fields["version"].as_str(),
            holding(&journal).len()
        ),
        (1, "8+conflict.a", 2)
    );

    journal.catalogue(&catalogue(&["7"]), 12);
    assert_eq!(holding(&journal), [""; 0]);
}

proptest! {
    /// Whatever agents publish, and in whatever order: each problem begins once and ends once, and
    /// its alert holds exactly while a living agent publishes it.
    #[test]
    fn a_problem_alerts_while_it_is_published(
        steps in prop::collection::vec(prop::collection::btree_set((0u8..2, 0usize..3, 0u8..2), 0..6), 1..12),
    ) {
        let mut journal = journal("b/x");
        let mut active = BTreeSet::new();
        for (now_ms, step) in (1_000u64..).zip(steps) {
            let mut published: BTreeMap<AgentId, Vec<Problem>> = BTreeMap::new();
            for (owner, kind, subject) in &step {
                let kind = ProblemKind::ALL[*kind];
                let subject = format!("subject-{subject}");
                let problem = Problem {
                    kind,
                    subject,
                    detail: "as\x1b seen".into(),
                    since_ms: now_ms,
                };

                published
                    .entry(agent(&format!("a/{owner}")))
                    .or_default()
                    .push(problem);
            }

            let events = journal.problems(&published, now_ms);
            let ended = events
                .iter()
                .filter(|event| event.id.ends_with(":ended"))
                .count();

            prop_assert_eq!(ended, active.difference(&step).count());
            prop_assert_eq!(events.len() - ended, step.difference(&active).count());
            prop_assert!(events.iter().all(|event| !event.text.contains('\x1b')));
            prop_assert_eq!(holding(&journal).len(), step.len());
            active = step;
        }
    }
}
