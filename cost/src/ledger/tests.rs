#![allow(clippy::unwrap_used)]

use super::*;
use crate::{CellKey, CellsBuilder, ChargeKind, Currency, PricingClass, Sums};
use proptest::prelude::*;

const PERIOD: Period = Period {
    year: 2026,
    month: time::Month::September,
};
/// 1 September 2026.
const FIRST: i32 = 20_697;

fn key<'a>(day: i32) -> CellKey<'a> {
    CellKey {
        day: day_of(day).unwrap(),
        kind: ChargeKind::Usage,
        pricing: PricingClass::OnDemand,
        currency: Currency::USD,
        texts: ["AWS", "1", "us-west-2", "", "EC2", "Compute"],
        tags: &[],
    }
}

fn cells(charges: &[(i32, i128)]) -> Cells {
    let mut builder = CellsBuilder::new(Vec::new());
    for (day, units) in charges {
        let place = builder.place(&key(*day));
        builder.add(
            place,
            Sums {
                effective: Amount(*units),
                rows: 1,
                ..Sums::default()
            },
        );
    }

    builder.finish()
}

fn part(source: &str, imported_ms: u64, charges: &[(i32, i128)]) -> Arc<StoredPart> {
    Arc::new(
        StoredPart::new(
            source.into(),
            PERIOD,
            imported_ms,
            "agent-1".into(),
            cells(charges),
        )
        .unwrap(),
    )
}

/// Source, time of the import, amount: few of each, so parts meet.
fn ledgers() -> impl Strategy<Value = Vec<Ledger>> {
    let parts = prop::collection::vec((0..3u8, 0..3u64, 0..3i128), 0..6);
    let ledger = parts.prop_map(|parts| {
        let mut ledger = Ledger::default();
        for (source, imported_ms, units) in parts {
            ledger.insert(part(
                &format!("AWS {source}"),
                imported_ms,
                &[(FIRST, units)],
            ));
        }

        ledger
    });

    prop::collection::vec(ledger, 3)
}

fn merged(a: &Ledger, b: &Ledger) -> Ledger {
    let mut merged = a.clone();
    merged.merge(b);
    merged
}

proptest! {
    #[test]
    fn the_order_of_merges_does_not_matter(ledgers in ledgers()) {
        let [a, b, c] = ledgers.as_slice() else {
            unreachable!()
        };
        prop_assert_eq!(merged(a, b), merged(b, a));
        prop_assert_eq!(merged(&merged(a, b), c), merged(a, &merged(b, c)));
        prop_assert_eq!(&merged(a, a), a);
        prop_assert_eq!(&merged(&merged(a, b), b), &merged(a, b));
    }

    #[test]
    fn a_stored_ledger_reads_back(
        imported_ms: u64,
        charges in prop::collection::vec((FIRST..FIRST + 30, any::<i64>()), 0..20),
    ) {
        let charges: Vec<(i32, i128)> = charges
            .into_iter()
            .map(|(day, units)| (day, units.into()))
            .collect();
        let part = part("AWS 1", imported_ms, &charges);
        let bytes = part.encode().unwrap();

        prop_assert_eq!(&StoredPart::decode(&bytes).unwrap(), &*part);
        prop_assert_eq!(Digest::of(&bytes), part.digest());
        prop_assert_eq!(part.rows(), charges.len() as u64);
    }

    #[test]
    fn arbitrary_and_damaged_bytes_never_panic(at: usize, to: u8, cut: usize, garbage: Vec<u8>) {
        let mut bytes = part("AWS 1", 5, &[(FIRST, 7), (FIRST + 3, 8)])
            .encode()
            .unwrap();
        let at = at % bytes.len();

        bytes[at] = to;
        let cut = bytes[..cut % bytes.len()].to_vec();
        for bytes in [bytes, cut, garbage] {
            if let Ok(part) = StoredPart::decode(&bytes) {
                let _ = (part.complete_day(), part.lacks(Metric::List), part.digest());
            }
        }
    }
}

#[test]
fn a_later_import_replaces_the_month_whole_and_an_earlier_one_does_nothing() {
    let mut ledger = Ledger::default();
    assert!(ledger.insert(part("AWS 1", 10, &[(FIRST, 7), (FIRST + 1, 8)])));
    assert!(ledger.insert(part("AWS 1", 11, &[(FIRST + 2, 1)])));
    assert!(!ledger.insert(part("AWS 1", 10, &[(FIRST, 9)])));

    let held: Vec<i32> = ledger
        .parts()
        .flat_map(|part| part.days().to_vec())
        .collect();

    assert_eq!(held, [FIRST + 2]);
}

#[test]
fn a_slow_clock_still_replaces_and_an_empty_part_removes_a_month() {
    let mut ledger = Ledger::default();
    ledger.insert(part("AWS 1", 1_000, &[(FIRST, 7)]));
    assert_eq!(ledger.import_time("AWS 1", PERIOD, 900), 1_001);
    assert_eq!(ledger.import_time("AWS 1", PERIOD.next(), 900), 900);

    assert!(ledger.insert(part("AWS 1", 1_001, &[])));
    assert!(ledger.sources().is_empty());
    assert_eq!(ledger.final_day(day_of(FIRST).unwrap()), None);
}

#[test]
fn a_day_is_complete_two_days_after_it_and_only_if_there_is_a_charge_up_to_it() {
    let day_ms = |day: i32| day as u64 * DAY_MS;
    for (imported, complete) in [
        (FIRST + 10, Some(FIRST + 8)),
        (FIRST + 9, Some(FIRST + 7)),
        (FIRST + 60, Some(FIRST + 9)),
        (FIRST + 2, Some(FIRST)),
        (FIRST + 1, None),
    ] {
        let part = part("AWS 1", day_ms(imported), &[(FIRST, 1), (FIRST + 9, 1)]);
        assert_eq!(part.complete_day(), complete, "imported on {imported}");
    }
}

#[test]
fn the_state_of_a_source_describes_its_imports() {
    let mut ledger = Ledger::default();
    ledger.insert(part(
        "AWS 1",
        (FIRST + 9) as u64 * DAY_MS,
        &[(FIRST, 7), (FIRST + 8, 8)],
    ));

    ledger.insert(part("Microsoft 2", 5, &[(FIRST + 1, 8)]));
    let sources = ledger.sources();
    let json = serde_json::to_value(&sources).unwrap();

    assert_eq!(json["AWS 1"]["periods"], serde_json::json!(["2026-09"]));
    assert_eq!(json["AWS 1"]["first_day"], "2026-09-01");
    assert_eq!(json["AWS 1"]["complete_day"], "2026-09-08");
    assert_eq!(json["Microsoft 2"]["complete_day"], serde_json::Value::Null);
    assert_eq!(sources["AWS 1"].rows, 2);

    // The newer one has no complete day; it began after the first.
    assert_eq!(ledger.final_day(day_of(FIRST + 9).unwrap()), day_of(FIRST));
}

#[test]
fn days_are_final_once_no_active_source_adds_to_them() {
    let imported_ms = (FIRST + 29) as u64 * DAY_MS;
    let daily = |last: i32| (0..=last).map(|day| (FIRST + day, 7)).collect::<Vec<_>>();
    let mut ledger = Ledger::default();

    ledger.insert(part("AWS current", imported_ms, &daily(29)));
    let final_days = |ledger: &Ledger, end| ledger.final_day(day_of(FIRST + end).unwrap());
    assert_eq!(final_days(&ledger, 29), day_of(FIRST + 27));

    // A monthly fee does not delay the days in between.
    ledger.insert(part("SaaS", imported_ms, &[(FIRST - 31, 7), (FIRST, 7)]));
    assert_eq!(final_days(&ledger, 29), day_of(FIRST + 27));
    assert_eq!(
        ledger
            .ends(day_of(FIRST + 29).unwrap())
            .of(["AWS current", "SaaS"]),
        Some(FIRST + 29)
    );

    ledger.insert(part("AWS late", imported_ms, &daily(4)));
    assert_eq!(final_days(&ledger, 29), day_of(FIRST + 4));
    assert_eq!(final_days(&ledger, 4 + ENDED_DAYS), day_of(FIRST + 4));
    assert_eq!(
        final_days(&ledger, 5 + ENDED_DAYS),
        day_of(FIRST + 27),
        "the late one has ended"
    );

    assert_eq!(final_days(&ledger, 500), day_of(FIRST + 27), "both have");
}

#[test]
fn hostile_names_and_sums_and_other_files_are_refused() {
    for name in ["", "a\nb", "\u{1b}[2J", &"x".repeat(NAME_MAX + 1)] {
        let made = StoredPart::new(name.into(), PERIOD, 0, "agent-1".into(), Cells::default());
        assert!(
            matches!(made, Err(PartError::Name { what: "source", .. })),
            "{name:?}"
        );

        let made = StoredPart::new("AWS 1".into(), PERIOD, 0, name.into(), Cells::default());
        assert!(
            matches!(
                made,
                Err(PartError::Name {
                    what: "importer",
                    ..
                })
            ),
            "{name:?}"
        );
    }

    let large = cells(&[(FIRST, i128::MAX)]);
    let made = StoredPart::new("AWS 1".into(), PERIOD, 0, "agent-1".into(), large);
    assert_eq!(made, Err(PartError::TooLarge { index: 0 }));
    assert_eq!(StoredPart::decode(b"rmcost2\n..."), Err(PartError::Layout));
}

#[test]
fn too_many_cells_are_refused_with_advice() {
    // Long tags fill the limit with few cells.
    let tag = |number: usize| format!("{number}{}", "x".repeat(1 << 20));
    let mut builder = CellsBuilder::new(vec!["team".into()]);
    for number in 0..33 {
        let tag = tag(number);
        let key = CellKey {
            tags: &[&tag],
            ..key(FIRST)
        };

        builder.place(&key);
    }

    let made = StoredPart::new(
        "AWS 1".into(),
        PERIOD,
        0,
        "agent-1".into(),
        builder.finish(),
    );
    let error = made.unwrap_err().to_string();

    assert!(
        error.contains("AWS 1 in 2026-09") && error.contains("choose fewer tags"),
        "{error}"
    );
}

#[test]
fn a_series_ends_with_its_earliest_active_source() {
    let bill = |source: &str, last: i32| {
        let mut builder = CellsBuilder::new(Vec::new());
        for (day, kind) in [
            (last, ChargeKind::Usage),
            (last + 20, ChargeKind::Purchase),
            (last + 300, ChargeKind::Usage),
        ] {
            let place = builder.place(&CellKey { kind, ..key(day) });
            builder.add(
                place,
                Sums {
                    effective: Amount(1),
                    rows: 1,
                    ..Sums::default()
                },
            );
        }

        let imported_ms = (last as u64 + 4) * crate::date::DAY_MS;
        let part = StoredPart::new(
            source.into(),
            PERIOD,
            imported_ms,
            "agent-1".into(),
            builder.finish(),
        )
        .unwrap();

        let mut ledger = Ledger::default();
        ledger.insert(Arc::new(part));
        ledger
    };

    let mut ledger = bill("AWS 1", FIRST + 60);
    for (source, last) in [("AWS 2", FIRST + 15), ("Microsoft 3", FIRST + 14)] {
        ledger.merge(&bill(source, last));
    }

    let today = day_of(FIRST + 62).unwrap();
    let ends = ledger.ends(today);
    assert_eq!(ends.of(["AWS 1"]), Some(FIRST + 60));
    assert_eq!(ends.of(["AWS 1", "AWS 2"]), Some(FIRST + 15));
    assert_eq!(
        ends.of(["AWS 1", "Microsoft 3"]),
        Some(FIRST + 60),
        "46 days behind: it has ended"
    );

    assert_eq!(
        ends.of(["Microsoft 3"]),
        Some(FIRST + 15),
        "its later days cost nothing"
    );

    assert_eq!(Ledger::default().ends(today).of(["AWS 1"]), None);
    assert_eq!(
        ledger
            .by_source()
            .values()
            .map(|own| own.sources().len())
            .collect::<Vec<_>>(),
        [1, 1, 1]
    );
}
