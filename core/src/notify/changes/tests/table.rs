//! Events are as the table documents them.

use super::*;
use regionmesh_protocol::{
    models::{catalogue::Catalogue, digest::Digest, manifest::VersionSummary},
    status::money::{CostNotice, NoticeKind},
};

/// The row that documents an event: the one with the longest matching id.
fn row_of(event: &Event) -> Option<usize> {
    let matching = |row: &EventRow| {
        let beginnings = row.ids.iter().map(|id| {
            let end = id.find(char::is_uppercase).unwrap_or(id.len());
            &id[..end]
        });

        beginnings
            .filter(|begin| event.kind == row.kind && event.id.starts_with(*begin))
            .map(str::len)
            .max()
    };

    let rows = EVENT_ROWS.iter().enumerate();
    rows.filter_map(|(index, row)| Some((matching(row)?, index)))
        .max()
        .map(|(_, index)| index)
}

fn plans(changes: &mut ChangeDetector) -> Vec<Event> {
    let since_ms = 1;
    let mut yielding = plan(4, TrafficState::Ramping { step: 0, since_ms });
    yielding.plan.overrides = vec![Override {
        region: Some(region("a")),
        kind: OverrideKind::Drain,
        by: "ann".into(),
        why: "disks".into(),
        is_immediate: false,
        set_ms: 1,
        expires_ms: 1_000,
    }];
    yielding.plan.yielded = vec![YieldedOrder {
        order: Some(region("a")),
        region: region("a"),
        since_ms,
    }];

    let all = [
        plan(1, TrafficState::Serving),
        plan(2, TrafficState::Out { since_ms }),
        plan(3, TrafficState::Ramping { step: 1, since_ms }),
        yielding,
        plan(5, TrafficState::Serving),
    ];

    all.iter()
        .flat_map(|committed| changes.plan(committed, committed.stamp.seq))
        .collect()
}

fn leaders(changes: &mut ChangeDetector) -> Vec<Event> {
    let ballot = |number| Ballot {
        number,
        agent: agent("b/x"),
        boot: 1,
    };

    [
        changes.leader(Some(&ballot(1)), 0),
        changes.leader(Some(&ballot(2)), 1),
        changes.leader(None, 2),
        changes.leader(None, 60_000),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn zones(changes: &mut ChangeDetector) -> Vec<Event> {
    let state = ZoneState {
        plan: "3@b/x#7".into(),
        fenced: Some("4@c/y#8".into()),
        drift: vec!["A serving".into()],
    };
    changes.zone("route53", &state, 1)
}

fn conflicts(changes: &mut ChangeDetector) -> Vec<Event> {
    let loser = VersionSummary {
        model: "m".parse().unwrap(),
        version: "7+conflict.a".parse().unwrap(),
        content: Digest::of(b"7"),
        size: 1,
        published: regionmesh_protocol::clock::HybridTime {
            wall_ms: 5,
            counter: 0,
        },
        origin: region("a"),
    };
    let catalogue = Catalogue {
        versions: [loser].into_iter().collect(),
        ..Catalogue::default()
    };

    changes.catalogue(&Catalogue::default(), 1);
    changes.catalogue(&catalogue, 2)
}

fn certificates(changes: &mut ChangeDetector) -> Vec<Event> {
    let validity = Validity {
        not_before_s: 0,
        not_after_s: 86_400,
    };
    changes.certificates(&[(agent("a/x"), validity)].into(), 86_000_000)
}

fn problems(changes: &mut ChangeDetector) -> Vec<Event> {
    let problem = Problem {
        kind: ProblemKind::StoreUnavailable,
        subject: "a".into(),
        detail: "down".into(),
        since_ms: 1,
    };
    changes.problems(&[(agent("a/x"), vec![problem])].into(), 1)
}

fn notices(changes: &mut ChangeDetector) -> Vec<Event> {
    let notices = [
        (NoticeKind::Budget, "budget:all:10 USD:2026-11-01:actual:80"),
        (NoticeKind::Anomaly, "anomaly:live:all:USD:1"),
        (NoticeKind::Data, "data:late:aws:2026-11-01"),
    ]
    .map(|(kind, id)| CostNotice {
        kind,
        id: id.into(),
        severity: Severity::Warning,
        subject: "all".into(),
        region: None,
        text: "text".into(),
        since_ms: 7,
        ended_ms: None,
    });

    changes.notices(notices.iter(), 10)
}

#[test]
fn every_event_is_as_documented_and_every_row_happens() {
    let mut changes = changes("b/x");
    judge(&mut changes, Condition::Healthy, Some(1), 1);
    let mut events: Vec<Event> = judge(&mut changes, Condition::Failed, Some(2), 2)
        .into_iter()
        .collect();

    events.extend(plans(&mut changes));
    events.extend(leaders(&mut changes));
    events.extend(zones(&mut changes));
    events.extend(conflicts(&mut changes));
    events.extend(certificates(&mut changes));
    events.extend(problems(&mut changes));
    events.extend(notices(&mut changes));

    let mut seen: BTreeMap<usize, BTreeSet<&str>> = BTreeMap::new();
    for event in &events {
        let index = row_of(event).unwrap_or_else(|| panic!("no row for {event:?}"));
        let row = &EVENT_ROWS[index];
        let is_severity = row.severity.contains(event.severity.as_str());

        assert!(is_severity || row.severity == "as its alert", "{event:?}");
        seen.entry(index).or_default().extend(event.fields.keys());
    }

    for (index, row) in EVENT_ROWS.iter().enumerate() {
        let documented: BTreeSet<&str> = row.fields.iter().copied().collect();
        assert_eq!(seen.get(&index), Some(&documented), "{row:?}");
    }
}
