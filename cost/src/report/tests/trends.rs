use super::*;

fn months() -> Vec<Charge> {
    let charge = |day, model, units| Charge {
        day,
        model,
        units,
        ..Charge::default()
    };

    vec![
        charge(date!(2026 - 06 - 30), "bert", 7),
        charge(date!(2026 - 07 - 01), "bert", 100),
        charge(date!(2026 - 07 - 31), "resnet", 40),
        charge(date!(2026 - 08 - 02), "bert", 150),
        charge(date!(2026 - 08 - 10), "resnet", 10),
        charge(date!(2026 - 08 - 30), "new", 5),
        charge(date!(2026 - 09 - 01), "bert", 60),
        charge(date!(2026 - 09 - 12), "resnet", 2),
        charge(date!(2026 - 09 - 14), "resnet", 1),
    ]
}

fn monthly(query: &Query) -> Trends {
    let ledger = imported(&months(), date!(2026 - 09 - 14));
    trends(&ledger, query, Interval::Month, &unmapped).unwrap()
}

proptest! {
    #[test]
    fn series_sum_to_the_report_of_the_same_days(
        charges in charges(),
        start in 0..40i64,
        length in 0..70i64,
        is_weekly: bool,
    ) {
        let ledger = ledger(&charges);
        let start = date!(2026 - 08 - 15) + time::Duration::days(start);
        let query = Query::new(start, start + time::Duration::days(length))
            .by([Group::Service, Group::Model]);
        let interval = if is_weekly {
            Interval::Week
        } else {
            Interval::Month
        };
        let trends = trends(&ledger, &query, interval, &mesh).unwrap();
        let plain = report(&ledger, &query, &mesh).unwrap();

        for row in &plain.rows {
            let series = trends
                .series
                .iter()
                .find(|s| s.values == row.values && s.currency == row.currency)
                .unwrap();

            prop_assert_eq!(
                series
                    .points
                    .iter()
                    .map(|point| point.amount)
                    .sum::<Amount>(),
                row.amount
            );
        }

        for total in &trends.totals {
            let sum: Amount = total.points.iter().map(|point| point.amount).sum();
            prop_assert_eq!(sum, plain.totals.of(total.currency));
        }

        prop_assert!(
            trends
                .periods
                .windows(2)
                .all(|pair| pair[0].end.next_day() == Some(pair[1].start))
        );

        prop_assert!(
            trends.periods.first().unwrap().start <= query.start
                && query.end <= trends.periods.last().unwrap().end
        );
    }
}

#[test]
fn months_are_listed_side_by_side_and_partial_ones_are_not_compared() {
    let query = Query::new(date!(2026 - 06 - 01), date!(2026 - 09 - 30)).by([Group::Model]);
    let trends = monthly(&query);

    let partial: Vec<bool> = trends
        .periods
        .iter()
        .map(|period| period.is_partial)
        .collect();

    assert_eq!(partial, [true, false, false, true]);
    let bert = trends
        .series
        .iter()
        .find(|series| series.values == ["bert"])
        .unwrap();
    let amounts: Vec<i128> = bert.points.iter().map(|point| point.amount.0).collect();

    assert_eq!(amounts, [7, 100, 150, 60]);
    let changes: Vec<Option<(i128, Option<i64>)>> = bert
        .points
        .iter()
        .map(|point| {
            point
                .change
                .map(|change| (change.amount.0, change.ratio_bp))
        })
        .collect();

    assert_eq!(changes, [None, None, Some((50, Some(5_000))), None]);

    let movers: Vec<(&str, i128, Option<i64>)> = trends
        .movers
        .iter()
        .map(|mover| {
            (
                mover.values[0].as_str(),
                mover.compared.change.amount.0,
                mover.compared.change.ratio_bp,
            )
        })
        .collect();

    assert_eq!(
        movers,
        [
            ("bert", 50, Some(5_000)),
            ("resnet", -30, Some(-7_500)),
            ("new", 5, None)
        ]
    );
}

#[test]
fn the_month_to_date_is_compared_with_the_same_days() {
    let query = Query::new(date!(2026 - 09 - 01), date!(2026 - 09 - 30)).by([Group::Model]);
    let trends = monthly(&query);

    let days = trends.to_date.unwrap();
    assert_eq!(
        (days.start, days.end),
        (date!(2026 - 09 - 01), date!(2026 - 09 - 12))
    );

    assert_eq!(
        (days.start_before, days.end_before),
        (date!(2026 - 08 - 01), date!(2026 - 08 - 12))
    );

    let to_date: Vec<(&str, i128, i128)> = trends
        .series
        .iter()
        .map(|series| {
            (
                series.values[0].as_str(),
                series.to_date.unwrap().before.0,
                series.to_date.unwrap().now.0,
            )
        })
        .collect();

    assert_eq!(to_date, [("bert", 150, 60), ("resnet", 10, 2)]);
    assert_eq!(
        trends.totals[0].to_date.unwrap().change.amount,
        Amount(62 - 160)
    );

    assert_eq!(trends.movers[0].values, ["bert"]);
}

#[test]
fn a_month_that_a_source_lacks_days_of_is_partial() {
    let mut charges = months();
    let charge = |day| Charge {
        source: "Google 2",
        day,
        ..Charge::default()
    };

    charges.extend((0..=50).map(|day| charge(date!(2026 - 07 - 01) + time::Duration::days(day))));
    let through = |end| {
        let query = Query::new(date!(2026 - 07 - 01), end);
        let trends = trends(&ledger(&charges), &query, Interval::Month, &unmapped).unwrap();
        (trends.periods[1].is_partial, trends.to_date.unwrap().end)
    };

    assert_eq!(
        through(date!(2026 - 09 - 30)),
        (true, date!(2026 - 08 - 20))
    );

    // By then it has ended.
    assert_eq!(
        through(date!(2026 - 10 - 20)),
        (false, date!(2026 - 09 - 14))
    );
}

#[test]
fn a_finished_month_is_compared_with_the_whole_one_before_and_a_shorter_one_ends_early() {
    let charges = [
        date!(2026 - 01 - 31),
        date!(2026 - 02 - 28),
        date!(2026 - 03 - 30),
    ];
    let ledger = ledger(&charges.map(|day| Charge {
        day,
        ..Charge::default()
    }));

    let before = |end: Date| {
        let query = Query::new(date!(2026 - 01 - 01), end);
        trends(&ledger, &query, Interval::Month, &unmapped)
            .unwrap()
            .to_date
            .unwrap()
            .end_before
    };

    assert_eq!(before(date!(2026 - 02 - 28)), date!(2026 - 01 - 31));
    assert_eq!(before(date!(2026 - 02 - 27)), date!(2026 - 01 - 27));
    assert_eq!(before(date!(2026 - 03 - 30)), date!(2026 - 02 - 28));
}

#[test]
fn weeks_begin_on_monday_and_trends_cannot_group_by_time() {
    let query = Query::new(date!(2026 - 09 - 01), date!(2026 - 09 - 15));
    let found = trends(&ledger(&months()), &query, Interval::Week, &unmapped).unwrap();
    let starts: Vec<Date> = found.periods.iter().map(|period| period.start).collect();

    assert_eq!(
        starts,
        [
            date!(2026 - 08 - 31),
            date!(2026 - 09 - 07),
            date!(2026 - 09 - 14)
        ]
    );

    let refused = trends(
        &ledger(&months()),
        &query.by([Group::Day]),
        Interval::Week,
        &unmapped,
    );

    assert_eq!(refused, Err(QueryError::Time(Group::Day)));
}
