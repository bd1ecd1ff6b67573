//! Bills that are late or incomplete.

use super::{DAY, REGIONS, START_MS, imported, sources};
use crate::{
    config::CostConfig,
    cost::{
        answers::{Format, Sources, answer, billed, figures, reconciliation::reconciliation},
        questions::{Question, Span},
    },
};
use regionmesh_cost::{Currency, Group, Totals, end_of_day_ms};
use serde_json::Value;
use time::{Date, Duration, macros::date};

/// Rows of 120 days of usage up to a day of August, about 300 USD each.
fn usage_until(provider: &str, last: u8) -> String {
    let last = date!(2026 - 08 - 01).replace_day(last).unwrap();
    let row = |age: i64| {
        let day = last - Duration::days(age);
        let month = day.replace_day(1).unwrap();
        let amount = 296 + age * 5 % 9;

        format!(
            "{month},{day}T05:00:00Z,{provider},1,east,VM,Compute,Usage,USD,{amount},{amount},\
                {amount}\n"
        )
    };

    (0..120).map(row).collect()
}

#[test]
fn a_late_bill_is_not_a_drop_and_does_not_lower_the_forecast() {
    let month_ends = |rows: &str, by: &[Group]| {
        let sources = Sources::of_files(
            imported(rows, 1),
            CostConfig::default(),
            date!(2026 - 09 - 10),
        );

        assert_eq!(billed(&sources.ledger, sources.today), []);
        let start = date!(2026 - 01 - 01);
        let end = sources.today;
        let span = Span {
            start,
            end,
            by: by.to_vec(),
            metric: Default::default(),
            filters: Vec::new(),
        };

        let answer = answer(&Question::Forecast(span, 10), &sources).unwrap();
        assert!(
            answer
                .render(Format::Html)
                .contains("The days to come (USD)")
        );

        let figures = figures(&sources);
        let mesh = figures
            .month_ends
            .iter()
            .find(|(name, _)| name.is_empty())
            .unwrap();
        let total = |found: &Value| {
            found["month_end"]["total"]["expected"]
                .as_str()
                .unwrap()
                .parse::<f64>()
                .unwrap()
        };

        let found: Vec<f64> = answer.json["forecasts"]
            .as_array()
            .unwrap()
            .iter()
            .map(total)
            .collect();

        assert!(!by.is_empty() || (mesh.1.total.expected.to_f64() - found[0]).abs() < 0.01);
        found
    };

    let near = |found: &[f64], wanted: &[f64]| {
        let is_near = |(found, wanted): (&f64, &f64)| (found / wanted - 1.0).abs() < 0.02;
        assert!(
            found.len() == wanted.len() && found.iter().zip(wanted).all(is_near),
            "{found:?}"
        );
    };
    let aws = usage_until("AWS", 31);
    let both = format!("{aws}{}", usage_until("Microsoft", 25));

    near(&month_ends(&both, &[Group::Provider]), &[9_300.0, 9_300.0]);
    near(&month_ends(&both, &[]), &[18_600.0]);

    let dated_ahead = "2026-09-01,2026-09-10T05:00:00Z,AWS,1,east,VM,Compute,Purchase,USD,0,0,0\n";
    near(&month_ends(&format!("{aws}{dated_ahead}"), &[]), &[9_300.0]);
}

#[test]
fn days_that_a_bill_still_adds_to_are_not_compared_with_live_cost() {
    let mut sources = sources(5);
    let costs = sources.live.whole_days(sources.pricing());
    let last = costs.keys().map(|(_, day)| *day).max().unwrap();
    let row = |((region, day), cost): (&(String, Date), &Totals)| {
        let cost = cost.of(Currency::USD);
        // The bill has only a fifth of its last day.
        let billed = if *day == last {
            cost.share(1, 5).unwrap()
        } else {
            cost
        };

        (region == REGIONS[0]).then(|| {
            format!(
                "2026-09-01,{day}T05:00:00Z,AWS,1,{region},EC2,Compute,Usage,USD,{billed},\
                    {billed},{billed}\n"
            )
        })
    };

    let rows: String = costs.iter().filter_map(row).collect();
    for (days_before, compared) in [(0, 3), (1, 2)] {
        sources.ledger = imported(&rows, end_of_day_ms(last) - days_before * DAY);

        let found = reconciliation(&sources);
        assert_eq!(
            (found.len(), found[0].days, found[0].ratio),
            (1, compared, Some(1.0)),
            "{found:?}"
        );
    }

    sources.ledger = imported(&rows, START_MS);
    assert_eq!(reconciliation(&sources), [], "no day is complete yet");
}
