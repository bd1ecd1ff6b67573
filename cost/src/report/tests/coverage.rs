use super::*;

fn kinds(ledger: &Ledger, query: &Query) -> Vec<(WarningKind, String)> {
    let warnings = report(ledger, query, &unmapped).unwrap().warnings;
    warnings
        .into_iter()
        .map(|warning| (warning.kind, warning.message))
        .collect()
}

#[track_caller]
fn assert_warns((kind, message): &(WarningKind, String), expected: WarningKind, begins: &str) {
    assert_eq!(kind, &expected);
    assert!(message.starts_with(begins), "{message}");
}

fn september() -> Query {
    Query::new(date!(2026 - 09 - 01), date!(2026 - 09 - 30))
}

fn every_day(source: &'static str, first: Date, last: Date) -> Vec<Charge> {
    let days = day_number(first)..=day_number(last);
    days.map(|day| Charge {
        source,
        day: day_of(day).unwrap(),
        ..Charge::default()
    })
    .collect()
}

#[test]
fn a_whole_month_has_no_warnings() {
    let ledger = ledger(&every_day(
        "AWS 1",
        date!(2026 - 09 - 01),
        date!(2026 - 09 - 30),
    ));

    assert_eq!(kinds(&ledger, &september().by([Group::Model])), []);
}

#[test]
fn missing_data_are_listed() {
    let mut charges = every_day("AWS 1", date!(2026 - 07 - 01), date!(2026 - 07 - 31));
    charges.extend(every_day(
        "AWS 1",
        date!(2026 - 09 - 01),
        date!(2026 - 09 - 30),
    ));

    charges.retain(|charge| charge.day != date!(2026 - 09 - 14));
    charges.extend(every_day(
        "Oracle 2",
        date!(2026 - 09 - 01),
        date!(2026 - 09 - 20),
    ));

    charges.retain(|charge| charge.day != date!(2026 - 09 - 14));
    let ledger = ledger(&charges);

    let query = Query {
        start: date!(2026 - 06 - 01),
        ..september()
    };
    let found = kinds(&ledger, &query);

    assert_eq!(
        found[0],
        (
            WarningKind::PeriodMissing,
            "AWS 1: no bill of 2026-08; import it".into()
        )
    );

    assert_eq!(found[1].0, WarningKind::DaysMissing);
    assert!(
        found[1].1.starts_with("no charge at all on 2026-08-01, ")
            && found[1].1.contains("and 22 more"),
        "{}",
        found[1].1
    );

    assert_warns(
        &found[2],
        WarningKind::SourceStopped,
        "Oracle 2: charges end on 2026-09-20",
    );

    assert_warns(
        &found[3],
        WarningKind::Incomplete,
        "days after 2026-09-20 are incomplete: not all sources",
    );

    assert_eq!(found.len(), 4);

    let none = kinds(
        &ledger,
        &Query::new(date!(2020 - 01 - 01), date!(2020 - 01 - 31)),
    );

    assert_eq!(none[0].0, WarningKind::NoData);
    assert_eq!(none.len(), 1);
}

#[test]
fn the_last_two_days_of_a_running_month_are_incomplete() {
    let charges = every_day("AWS 1", date!(2026 - 09 - 01), date!(2026 - 09 - 20));
    let ledger = imported(&charges, date!(2026 - 09 - 20));
    let found = kinds(&ledger, &september());

    assert_warns(
        &found[0],
        WarningKind::Incomplete,
        "days after 2026-09-18 are incomplete",
    );

    assert_eq!(
        kinds(
            &ledger,
            &Query {
                end: date!(2026 - 09 - 18),
                ..september()
            }
        ),
        []
    );

    let stopped = kinds(&imported(&charges, date!(2026 - 10 - 20)), &september());
    assert!(
        stopped[0].1.starts_with("no charge after 2026-09-20"),
        "{}",
        stopped[0].1
    );
}

#[test]
fn tags_metrics_filters_and_currencies_that_mislead_are_named() {
    let mut charges = every_day("AWS 1", date!(2026 - 09 - 01), date!(2026 - 09 - 30));
    charges[0].currency = "EUR";

    let mut query = september().by([Group::Tag("team".into())]);
    query.filters = vec![
        "service=EC2".parse().unwrap(),
        "service=EC3".parse().unwrap(),
    ];

    let found = kinds(&ledger(&charges), &query);
    let order = [
        WarningKind::SeveralCurrencies,
        WarningKind::TagNotChosen,
        WarningKind::NoSuchValue,
    ];

    assert_eq!(
        found.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(),
        order
    );

    assert!(
        found[1]
            .1
            .contains("the tag team was not chosen when AWS 1 (2026-09) was imported"),
        "{}",
        found[1].1
    );

    assert!(found[2].1.contains("service=EC3"), "{}", found[2].1);
}

#[test]
fn a_cost_that_a_bill_does_not_have_is_named() {
    let mut builder = CellsBuilder::new(Vec::new());
    let place = builder.place(&CellKey {
        day: date!(2026 - 09 - 01),
        kind: ChargeKind::Usage,
        pricing: PricingClass::Other,
        currency: Currency::USD,
        texts: [""; 6],
        tags: &[],
    });

    builder.add(
        place,
        Sums {
            effective: Amount(1),
            billed: Amount(1),
            list: Amount::ZERO,
            rows: 1,
        },
    );

    let mut ledger = Ledger::default();
    let period = "2026-09".parse().unwrap();
    let imported_ms = day_number(date!(2030 - 01 - 01)) as u64 * 86_400_000;
    let part = StoredPart::new(
        "AWS 1".into(),
        period,
        imported_ms,
        "test".into(),
        builder.finish(),
    )
    .unwrap();

    ledger.insert(Arc::new(part));

    let query = Query::new(date!(2026 - 09 - 01), date!(2026 - 09 - 01));
    assert_eq!(kinds(&ledger, &query), []);

    let found = kinds(
        &ledger,
        &Query {
            metric: Metric::List,
            ..query
        },
    );

    assert_warns(
        &found[0],
        WarningKind::MetricMissing,
        "ListCost of all usage is zero or missing",
    );
}
