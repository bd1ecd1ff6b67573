use super::*;

fn changes() -> ChangeDetector {
    ChangeDetector::new(
        "m".parse().unwrap(),
        "a/0".parse().unwrap(),
        crate::recovery::ramp::RecoveryPolicy::default(),
    )
}

#[test]
fn a_notice_is_one_event_and_one_alert_however_many_agents_publish_it() {
    let mut changes = changes();
    let notice = CostNotice {
        kind: NoticeKind::Budget,
        id: "budget:all:2026-11:actual:80".into(),
        severity: Severity::Warning,
        subject: "all".into(),
        region: None,
        text: "80 % of budget all are spent".into(),
        since_ms: 7,
        ended_ms: None,
    };

    let events = changes.notices([&notice, &notice].into_iter(), 10);
    assert_eq!(
        events.iter().map(|event| &*event.id).collect::<Vec<_>>(),
        ["budget:all:2026-11:actual:80"]
    );

    assert_eq!((events[0].kind, events[0].time_ms), (EventKind::Budget, 7));
    // No agent publishes it for a while, and then another leader does.
    assert!(changes.notices([].into_iter(), 20).is_empty());
    assert!(changes.notices([&notice].into_iter(), 30).is_empty());
    assert!(
        changes
            .alerts()
            .holds("RegionMeshBudgetCrossed", "notice", &notice.id)
    );

    let over = CostNotice {
        ended_ms: Some(40),
        ..notice.clone()
    };
    let events = changes.notices([&over, &notice].into_iter(), 50);

    assert_eq!(
        events.iter().map(|event| &*event.id).collect::<Vec<_>>(),
        ["budget:all:2026-11:actual:80:ended"]
    );

    assert!(
        !changes
            .alerts()
            .holds("RegionMeshBudgetCrossed", "notice", &notice.id)
    );
}
