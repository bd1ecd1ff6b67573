//! Zones, certificates, conflicts, and the problems of single agents.

use super::*;
use regionmesh_protocol::models::catalogue::Catalogue;

#[test]
fn zone_alerts_come_from_the_writing_agent_and_end_with_the_cause() {
    let mut changes = changes("b/x");
    let state = |fenced: bool, drift: &[&str]| ZoneState {
        plan: "3@b/x#7".into(),
        fenced: fenced.then(|| "the zone has 4@c/y#8".into()),
        drift: drift.iter().map(ToString::to_string).collect(),
    };

    assert_eq!(changes.zone("route53", &state(false, &[]), 1), []);
    let lost = changes.zone("route53", &state(true, &[]), 2);
    assert_eq!(
        (lost.len(), lost[0].kind, lost[0].reported_by.clone()),
        (1, EventKind::FenceLost, Some(agent("b/x")))
    );

    assert_eq!(changes.zone("route53", &state(true, &[]), 3), []);
    let drift = changes.zone("route53", &state(false, &["A serving"]), 4);
    assert_eq!(
        (drift[0].kind, holding(&changes)),
        (EventKind::Drift, vec!["RegionMeshZoneDrift"])
    );

    assert!(
        changes
            .alerts()
            .iter()
            .all(|alert| alert.labels["agent"] == "b/x" && alert.reported_by.is_some())
    );

    let more = changes.zone("route53", &state(false, &["A serving", "TXT"]), 5);
    assert!(more.len() == 1 && more[0].id != drift[0].id);
    assert_eq!(changes.zone("route53", &ZoneState::default(), 6), []);
    assert_eq!(holding(&changes), [""; 0]);
}

#[test]
fn an_expiring_certificate_is_reported_once_in_its_last_fifth() {
    let mut changes = changes("b/x");
    let mut at = |not_after_s, now_s: u64| {
        let all = [(
            agent("a/x"),
            Validity {
                not_before_s: 0,
                not_after_s,
            },
        )]
        .into();
        let events = changes.certificates(&all, now_s * 1_000);

        (events.len(), holding(&changes).len())
    };

    // A lifetime of a day: its last fifth.
    assert_eq!(
        [at(86_400, 60_000), at(86_400, 70_000), at(86_400, 71_000)],
        [(0, 0), (1, 1), (0, 1)]
    );

    assert_eq!(at(2 * 86_400, 71_001), (0, 0));
    // A lifetime of years: its last week, then its last two days.
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
    // A pod's certificate, which is valid for three days and renewed a day before its end, is in
    // neither stage until then.
    let pod = 3 * 86_400;
    assert_eq!(
        [at(pod, 86_400), at(pod, 2 * 86_400), at(pod, 208_800)],
        [(0, 0), (0, 0), (1, 1)]
    );
}

#[test]
fn a_conflict_found_at_the_start_is_an_alert_without_an_event() {
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
    let mut changes = changes("b/x");

    assert_eq!(
        changes.catalogue(&catalogue(&["7", "7+conflict.a"]), 10),
        []
    );

    assert_eq!(holding(&changes), ["RegionMeshModelConflict"]);
    let events = changes.catalogue(&catalogue(&["7", "7+conflict.a", "8+conflict.a"]), 11);
    assert_eq!(
        (
            events.len(),
            events[0].fields["version"].as_str(),
            holding(&changes).len()
        ),
        (1, "8+conflict.a", 2)
    );

    changes.catalogue(&catalogue(&["7"]), 12);
    assert_eq!(holding(&changes), [""; 0]);
}

proptest! {
    /// Whatever agents publish, and in whatever order: each problem begins once and ends once, and
    /// its alert holds exactly while a living agent publishes it.
    #[test]
    fn a_problem_alerts_while_it_is_published(
        steps in prop::collection::vec(
            prop::collection::btree_set((0u8..2, 0usize..3, 0u8..2), 0..6),
            1..12,
        ),
    ) {
        let mut changes = changes("b/x");
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

            let events = changes.problems(&published, now_ms);
            let ended = events
                .iter()
                .filter(|event| event.id.ends_with(":ended"))
                .count();

            prop_assert_eq!(ended, active.difference(&step).count());
            prop_assert_eq!(events.len() - ended, step.difference(&active).count());
            prop_assert!(events.iter().all(|event| !event.text.contains('\x1b')));
            prop_assert_eq!(holding(&changes).len(), step.len());
            active = step;
        }
    }
}
