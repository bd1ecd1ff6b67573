use super::*;
use proptest::prelude::*;

fn alert(region: &str, starts_ms: u64) -> Alert {
    Alert {
        labels: [("alertname", "Failed".into()), ("region", region.into())].into(),
        kind: EventKind::Verdict,
        severity: Severity::Critical,
        summary: format!("{region} failed"),
        description: format!("as seen at {starts_ms}"),
        starts_ms,
        ended_ms: None,
        reported_by: None,
    }
}

#[test]
fn an_alert_begins_once_ends_once_and_may_begin_again() {
    let mut book = AlertBook::default();
    book.raise(alert("a", 10));
    book.raise(alert("a", 20));

    let known = book.iter().next().unwrap().clone();
    assert_eq!(
        (known.starts_ms, &*known.description, book.iter().count()),
        (10, "as seen at 20", 1)
    );

    book.end("Failed", 30, |labels| labels["region"] == "b");
    assert!(book.holds("Failed", "region", "a"));
    book.end("Failed", 30, |labels| labels["region"] == "a");
    book.end("Failed", 40, |_| true);
    assert_eq!(book.iter().next().unwrap().ended_ms, Some(30));
    book.raise(alert("a", 50));
    assert_eq!(book.iter().next().unwrap(), &alert("a", 50));
}

fn named(name: &str, severity: Severity, number: usize) -> Alert {
    let mut alert = alert(&number.to_string(), number as u64);
    alert.labels.insert("alertname", name.into());
    Alert { severity, ..alert }
}

fn count(book: &AlertBook, name: &str) -> usize {
    book.iter().filter(|alert| alert.name() == name).count()
}

#[test]
fn a_full_book_prefers_rarer_then_more_severe_alerts() {
    let mut book = AlertBook::default();
    let raise = |book: &mut AlertBook, name: &str, severity, numbers: usize| {
        (0..numbers).for_each(|number| book.raise(named(name, severity, number)));
    };

    raise(&mut book, "Unservable", Severity::Critical, 300);
    assert_eq!(
        (count(&book, "Unservable"), book.left_out()),
        (ALERTS_MAX, 300 - ALERTS_MAX as u64)
    );

    raise(&mut book, "Failed", Severity::Critical, 3);
    raise(&mut book, "Short", Severity::Warning, 1);
    assert_eq!((count(&book, "Failed"), count(&book, "Short")), (3, 1));

    // The oldest stay, and those that gave way do not come back in place of others.
    raise(&mut book, "Unservable", Severity::Critical, 300);
    assert_eq!(
        (count(&book, "Unservable"), count(&book, "Failed")),
        (ALERTS_MAX - 4, 3)
    );

    assert!(book.holds("Unservable", "region", "0") && !book.holds("Unservable", "region", "255"));

    let mut book = AlertBook::default();
    raise(&mut book, "Warning", Severity::Warning, ALERTS_MAX / 2);
    raise(&mut book, "Critical", Severity::Critical, ALERTS_MAX);
    assert_eq!(count(&book, "Critical"), ALERTS_MAX / 2);
    book.raise(named("Other", Severity::Critical, 0));
    assert_eq!(
        (count(&book, "Warning"), count(&book, "Critical")),
        (ALERTS_MAX / 2 - 1, ALERTS_MAX / 2)
    );

    raise(&mut book, "Warning", Severity::Warning, ALERTS_MAX);
    assert_eq!(count(&book, "Critical"), ALERTS_MAX / 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn every_alert_name_keeps_its_share_of_a_full_book(
        steps in prop::collection::vec((0usize..8, 0usize..ALERTS_MAX), 0..2_000),
    ) {
        let severities = [Severity::Info, Severity::Warning, Severity::Critical];
        let mut book = AlertBook::default();
        let mut raised = std::collections::BTreeSet::new();

        for (name, number) in steps {
            book.raise(named(&name.to_string(), severities[name % 3], number));
            raised.insert((name, number));
            prop_assert!(book.iter().count() <= ALERTS_MAX);
        }

        for name in 0..8 {
            let of_name = raised.iter().filter(|(other, _)| *other == name).count();
            prop_assert!(count(&book, &name.to_string()) >= of_name.min(ALERTS_MAX / 8 - 1));
        }
    }

    #[test]
    fn a_book_is_bounded_and_never_forgets_an_active_alert(
        steps in prop::collection::vec((0u32..600, any::<bool>(), 0u64..1_000_000), 0..800),
    ) {
        let mut book = AlertBook::default();
        for (region, is_raised, now_ms) in steps {
            let region = region.to_string();
            if is_raised {
                book.raise(alert(&region, now_ms))
            } else {
                book.end("Failed", now_ms, |labels| labels["region"] == region);
            }

            let holding: Vec<Alert> = book
                .iter()
                .filter(|alert| alert.ended_ms.is_none())
                .cloned()
                .collect();

            book.forget(now_ms);
            prop_assert!(book.iter().count() <= ALERTS_MAX);
            prop_assert!(
                holding
                    .iter()
                    .all(|alert| book.alerts.get(&alert.labels) == Some(alert))
            );

            let ends_late = |alert: &Alert| {
                let ended_ms = alert.ended_ms;
                ended_ms.is_none_or(|ended_ms| ended_ms >= alert.starts_ms)
            };
            prop_assert!(book.iter().all(ends_late));
        }
    }
}
