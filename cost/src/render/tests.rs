#![allow(clippy::unwrap_used)]

use super::*;
use crate::{
    Allocation, Change, Currency, Group, Interval, Metric, ModelCost, RegionCost, Report,
    ReportRow, Totals, TrendPeriod, TrendPoint, TrendSeries, Trends,
    money::{Money, ONE},
};
use proptest::prelude::*;
use regionmesh_protocol::text::is_unprintable;
use time::macros::date;

/// A report by one group, its shares left out.
fn report(by: Group, rows: &[(&str, &str, i128)]) -> Report {
    let mut totals = Totals::default();
    let mut made = Vec::new();
    for (name, currency, units) in rows {
        let currency: Currency = currency.parse().unwrap();
        let amount = Amount(*units);
        totals.add(Money { amount, currency });
        made.push(ReportRow {
            values: vec![(*name).to_owned()],
            currency,
            amount,
            share_bp: Some(2_500),
            rows: 3,
        });
    }

    let start = date!(2026 - 09 - 01);
    let end = date!(2026 - 09 - 30);
    let rows_summed = 3 * rows.len() as u64;

    Report {
        start,
        end,
        by: vec![by],
        metric: Metric::Effective,
        rows: made,
        totals,
        rows_summed,
        warnings: Vec::new(),
    }
}

/// What an attacker may call a service.
const HOSTILE: [&str; 8] = [
    "</td><script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "]]>--><svg/onload=alert(1)>",
    "\u{1b}[2J\u{1b}]0;owned\u{7}",
    "a\r\nb\u{202e}c",
    "=HYPERLINK(\"http://x\";\"y\")",
    "&lt;b&gt;",
    "'; DROP TABLE",
];

/// Reads RFC 4180, as strictly as it is written.
fn records(csv: &str) -> Vec<Vec<String>> {
    let mut records = Vec::new();
    let mut record = Vec::new();
    let mut field = String::new();
    let mut is_quoted = false;
    let mut chars = csv.chars().peekable();

    while let Some(c) = chars.next() {
        match (c, is_quoted) {
            ('"', true) if chars.peek() == Some(&'"') => field.push(chars.next().unwrap()),
            ('"', _) => is_quoted = !is_quoted,
            (',', false) => record.push(std::mem::take(&mut field)),
            ('\r', false) => {
                assert_eq!(chars.next(), Some('\n'));
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            (c, _) => field.push(c),
        }
    }

    assert!(record.is_empty() && field.is_empty() && !is_quoted);
    records
}

/// Whether all elements are closed in order, all text is escaped, and only our elements occur.
fn check_markup(html: &str) {
    let known = [
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "main",
        "h1",
        "section",
        "ul",
        "li",
        "figure",
        "figcaption",
        "svg",
        "desc",
        "rect",
        "line",
        "text",
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
    ];

    let mut open: Vec<&str> = Vec::new();
    for piece in html.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').unwrap();
        assert!(
            !text.contains('>') || open.last() == Some(&"style"),
            "{text}"
        );

        let name = tag
            .trim_start_matches('/')
            .split([' ', '/'])
            .next()
            .unwrap();

        if name.starts_with('!') {
            continue;
        }
        assert!(known.contains(&name), "<{tag}>");
        assert!(tag.split(' ').all(|word| !word.starts_with("on")
            && !word.starts_with("src")
            && !word.starts_with("href")));

        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "</{name}>");
        } else if !tag.ends_with('/') && name != "meta" {
            open.push(name);
        }
    }

    assert!(open.is_empty(), "{open:?}");
}

proptest! {
    #[test]
    fn any_name_is_escaped_in_every_format(
        name: String,
        hostile in 0..HOSTILE.len(),
        units in any::<i64>(),
        top in 0..3usize,
    ) {
        let names = [name.as_str(), HOSTILE[hostile], "plain"];
        let rows: Vec<(&str, &str, i128)> = names
            .iter()
            .map(|name| (*name, "USD", units.into()))
            .collect();
        let by_name = report(Group::Service, &rows);
        let mut over_time = report(Group::Day, &rows);

        over_time.by.push(Group::Service);
        for row in &mut over_time.rows {
            row.values.insert(0, "2026-09-01".to_owned());
        }

        let mut document = report_document(&by_name, Some(&over_time), Some(top));
        document.warnings.push(name.clone());

        let printed = text(&document);
        prop_assert!(!printed.chars().any(|c| is_unprintable(c) && c != '\n'));
        check_markup(&html(&document));

        let full = report_document(&by_name, None, None);
        let records = records(&csv(&full));
        prop_assert_eq!(records.len(), 1 + rows.len());
        for (record, name) in records[1..].iter().zip(names) {
            prop_assert!(!record[0].starts_with(['=', '+', '-', '@', '\t', '\r']));
            let shown = visible(name);
            let is_shown = *record[0] == *shown || record[0].strip_prefix('\'') == Some(&shown);
            prop_assert!(is_shown, "{record:?}");
            prop_assert_eq!(record[2].parse::<Amount>().unwrap(), Amount(units.into()));
        }
    }

    #[test]
    fn rows_folded_into_other_sum_to_the_total(
        amounts in prop::collection::vec(any::<i32>(), 0..20),
        top in 0..10usize,
    ) {
        let names: Vec<String> = (0..amounts.len()).map(|index| index.to_string()).collect();
        let rows: Vec<(&str, &str, i128)> = amounts
            .iter()
            .zip(&names)
            .map(|(units, name)| {
                (
                    name.as_str(),
                    if units % 2 == 0 { "USD" } else { "EUR" },
                    (*units).into(),
                )
            })
            .collect();

        let mut report = report(Group::Service, &rows);
        report
            .rows
            .sort_by_key(|row| (row.currency, std::cmp::Reverse(row.amount)));

        let document = report_document(&report, None, Some(top));
        for (currency, total) in &report.totals.0 {
            let is_of =
                |row: &&Row| !row.is_total && row.values[1] == Value::Text(currency.to_string());
            let shown: Vec<&Row> = document.tables[0].rows.iter().filter(is_of).collect();
            let sum: Amount = shown
                .iter()
                .map(|row| match row.values[2] {
                    Value::Amount(amount) => amount,
                    _ => Amount::ZERO,
                })
                .sum();

            prop_assert_eq!(sum, *total);
            prop_assert!(shown.len() <= top + 1);
        }
    }
}

#[test]
fn a_table_for_the_terminal_is_aligned() {
    let rows = [
        ("us-west-2", "USD", 1_234 * ONE + ONE / 2),
        ("", "USD", -5 * ONE),
        ("eu-west-1", "EUR", ONE),
    ];
    let mut report = report(Group::Region, &rows);

    report.rows[1].share_bp = None;
    let mut document = report_document(&report, None, None);
    document
        .warnings
        .push("no charge at all on 2026-09-14".to_owned());

    let expected = "\
Effective cost from 2026-09-01 to 2026-09-30

region     currency   amount   share  bill rows
---------  --------  -------  ------  ---------
us-west-2  USD       1234.50  25.0 %          3
(none)     USD         -5.00                  3
eu-west-1  EUR          1.00  25.0 %          3
---------  --------  -------  ------  ---------
total      EUR          1.00                  3
total      USD       1229.50                  6

warning: no charge at all on 2026-09-14
";

    assert_eq!(text(&document), expected);
}

#[test]
fn small_amounts_have_four_decimals() {
    let document = report_document(
        &report(Group::Region, &[("a", "USD", ONE / 1_000)]),
        None,
        None,
    );

    assert!(text(&document).contains("0.0010"));
}

#[test]
fn csv_has_every_digit_and_neither_formulas_nor_totals() {
    let rows = [
        ("-2+3", "USD", ONE / 3),
        ("a \"b\", c", "USD", -1),
        (" @x", "USD", 0),
    ];
    let document = report_document(&report(Group::Service, &rows), None, None);
    let expected = "service,currency,amount,share,bill \
    rows\r\n'-2+3,USD,0.333333333333333,0.25,3\r\n\
                    \"a \"\"b\"\", c\",USD,-0.000000000000001,0.25,3\r\n\"' @x\",USD,0,0.25,3\r\n";

    assert_eq!(csv(&document), expected);
}

#[test]
fn html_is_self_contained_and_names_its_charts() {
    let rows = [("a", "USD", 3 * ONE), ("b", "USD", -ONE), ("c", "EUR", ONE)];
    let by_time = report(
        Group::Day,
        &[("2026-09-01", "USD", ONE), ("2026-09-02", "USD", -ONE)],
    );
    let page = html(&report_document(
        &report(Group::Service, &rows),
        Some(&by_time),
        None,
    ));

    check_markup(&page);
    for part in ["http:", "https:", "//", "url(", "@import", "<script"] {
        assert!(!page.contains(part), "{part}");
    }
    assert_eq!(page.matches("role=\"img\"").count(), 3);
    for index in 0..3 {
        assert_eq!(
            page.matches(&format!("id=\"chart-{index}-title\"")).count(),
            1
        );

        assert!(page.contains(&format!(
            "aria-labelledby=\"chart-{index}-title chart-{index}-desc\""
        )));
    }

    assert!(page.contains("prefers-color-scheme: dark") && page.contains("@media print"));
    assert!(!page.contains("NaN") && !page.contains("inf"));
}

#[test]
fn series_are_limited_to_the_available_colours() {
    let names: Vec<String> = (0..20).map(|index| format!("service {index}")).collect();
    let mut report = report(Group::Day, &vec![("2026-09-01", "USD", ONE); 20]);
    report.by.push(Group::Service);
    for (row, name) in report.rows.iter_mut().zip(&names) {
        row.values.push(name.clone());
    }

    let document = report_document(&report, None, None);
    let series = &document.charts[0].series;
    assert_eq!((series.len(), series[7].name.as_str()), (8, "(other)"));
    assert_eq!(
        series
            .iter()
            .map(|series| series.amounts[0])
            .sum::<Amount>(),
        Amount(20 * ONE)
    );
}

fn two_group_trends() -> Trends {
    let point = |units, change: Option<i128>| TrendPoint {
        amount: Amount(units * ONE),
        change: change.map(|units| Change {
            amount: Amount(units * ONE),
            ratio_bp: Some(1_000),
        }),
    };

    let series = |values| TrendSeries {
        values,
        currency: Currency::USD,
        points: vec![point(1, None), point(10, None), point(11, Some(1))],
        to_date: None,
    };

    let period = |start, end, is_partial| TrendPeriod {
        start,
        end,
        is_partial,
    };
    Trends {
        interval: Interval::Month,
        by: vec![Group::Region, Group::Service],
        metric: Metric::Billed,
        periods: vec![
            period(date!(2026 - 07 - 01), date!(2026 - 07 - 31), true),
            period(date!(2026 - 08 - 01), date!(2026 - 08 - 31), false),
            period(date!(2026 - 09 - 01), date!(2026 - 09 - 30), false),
        ],
        to_date: None,
        series: vec![series(vec!["eu-west-1".to_owned(), HOSTILE[0].to_owned()])],
        totals: vec![series(Vec::new())],
        movers: Vec::new(),
        warnings: Vec::new(),
    }
}

fn one_model_allocation() -> Allocation {
    let start = date!(2026 - 09 - 01);
    let end = date!(2026 - 09 - 30);
    let model = ModelCost {
        model: HOSTILE[1].to_owned(),
        region: Some("eu-west-1".to_owned()),
        currency: Currency::USD,
        tagged: Amount::ZERO,
        shared: Amount(ONE),
        cost: Amount(ONE),
        share_bp: Some(5_000),
        requests: 2_000,
        busy_ms: 5_400_000,
        per_1000: Some(Amount(ONE / 2)),
    };

    let region = RegionCost {
        region: "eu-west-1".to_owned(),
        currency: Currency::USD,
        models: Amount(ONE),
        idle: Amount(ONE),
        unallocated: Amount::ZERO,
        total: Amount(2 * ONE),
        idle_bp: Some(5_000),
    };

    let totals = Totals([(Currency::USD, Amount(2 * ONE))].into());
    let models = vec![ModelCost {
        region: None,
        ..model.clone()
    }];
    let by_region = vec![model];
    Allocation {
        start,
        end,
        models,
        by_region,
        regions: vec![region],
        totals,
        warnings: Vec::new(),
    }
}

#[test]
fn trends_and_allocations_have_a_value_for_each_column() {
    let trends = two_group_trends();
    let allocation = one_model_allocation();

    for document in [
        trends_document(&trends, 3),
        allocation_document(&allocation),
    ] {
        for table in &document.tables {
            assert!(
                table
                    .rows
                    .iter()
                    .all(|row| row.values.len() == table.columns.len()),
                "{table:?}"
            );
        }

        check_markup(&html(&document));
        assert!(!text(&document).contains('\u{1b}'));
    }

    let printed = text(&trends_document(&trends, 3));
    assert!(
        printed.contains("2026-07 (partial)  2026-08  2026-09  change  change %"),
        "{printed}"
    );

    let records = records(&csv(&allocation_document(&allocation)));
    let costs: Amount = records[1..]
        .iter()
        .map(|record| record[3].parse::<Amount>().unwrap())
        .sum();

    assert_eq!(costs, Amount(2 * ONE));
}
