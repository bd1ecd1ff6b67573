use super::*;
use proptest::prelude::*;

const NOW_MS: u64 = NOTICE_RETENTION_MS + 1_000;

/// Even ones are of budgets.
fn notice(id: u8, since_ms: u64, ended_ms: Option<u64>) -> CostNotice {
    CostNotice {
        kind: if id.is_multiple_of(2) {
            NoticeKind::Budget
        } else {
            NoticeKind::Anomaly
        },
        id: format!("notice:{id}"),
        severity: Severity::Warning,
        subject: "all".into(),
        region: None,
        text: format!("since {since_ms}"),
        since_ms,
        ended_ms,
    }
}

fn merged(notices: &[CostNotice]) -> Notices {
    let mut all = Notices::default();
    for notice in notices {
        all.take(notice, NOW_MS);
    }
    all
}

fn notices() -> impl Strategy<Value = Vec<CostNotice>> {
    // Some are old.
    let one = (0u8..50, 0u64..2_000, prop::option::of(0u64..2_000));
    prop::collection::vec(
        one.prop_map(|(id, since_ms, ended_ms)| notice(id, since_ms, ended_ms)),
        0..60,
    )
}

proptest! {
    #[test]
    fn notices_merge_to_the_same_result_in_any_order(mut known in notices(), by in 0usize..60) {
        let one = merged(&known);
        prop_assert_eq!(&merged(&one.iter().cloned().collect::<Vec<_>>()), &one);
        let length = known.len().max(1);
        known.rotate_left(by % length);
        prop_assert_eq!(merged(&known), one);
    }

    #[test]
    fn known_notices_are_remembered_until_they_expire(known in notices(), later in notices()) {
        let mut all = merged(&known);
        let ids: Vec<String> = all.iter().map(|notice| notice.id.clone()).collect();
        for notice in &later {
            all.take(notice, NOW_MS);
        }
        prop_assert!(ids.iter().all(|id| all.contains(id)));
    }

    #[test]
    fn budgets_are_remembered_until_long_after_their_end(known in notices(), years in 1u64..3) {
        let mut all = merged(&known);
        let (open, over) = all
            .iter()
            .cloned()
            .partition::<Vec<_>, _>(|notice| notice.ended_ms.is_none());
        let later_ms = NOW_MS + years * 365 * 24 * 3_600 * 1_000;

        all.forget(later_ms);
        let is_kept = |notice: &CostNotice| all.contains(&notice.id);
        prop_assert!(
            open.iter()
                .all(|notice| is_kept(notice) == (notice.kind == NoticeKind::Budget))
        );

        prop_assert!(!over.iter().any(is_kept));
        // An agent that starts without a memory takes the same over.
        let mut fresh = Notices::default();
        for notice in open.iter().chain(&over) {
            fresh.take(notice, later_ms);
        }
        prop_assert_eq!(&fresh, &all);

        for notice in &open {
            all.end(&notice.id, later_ms);
        }
        all.forget(later_ms + NOTICE_RETENTION_MS);
        prop_assert_eq!(&fresh.iter().count(), &all.iter().count());
        all.forget(later_ms + NOTICE_RETENTION_MS + 1);
        prop_assert_eq!(all.iter().count(), 0);
    }
}

#[test]
fn a_flood_of_notices_is_bounded_and_displaces_ended_ones_first() {
    let mut all = Notices::default();
    all.take(&notice(0, 1_000, None), NOW_MS);
    for id in 1..=u8::MAX {
        all.take(&notice(id, 2_000 + u64::from(id), Some(5_000)), NOW_MS);
    }
    assert_eq!(all.iter().count(), NOTICES_MAX);
    assert!(all.contains("notice:0") && all.contains("notice:255") && !all.contains("notice:1"));
}
