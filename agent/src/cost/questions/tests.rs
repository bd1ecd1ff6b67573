#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use proptest::prelude::*;
use time::macros::date;

/// All kinds of questions.
const KINDS: [&str; 10] = [
    "report",
    "trends",
    "models",
    "egress",
    "forecast",
    "anomalies",
    "budgets",
    "prices",
    "sources",
    "recommendations",
];
const TODAY: Date = date!(2026 - 09 - 20);

fn asked(kind: &str, parameters: &[(&str, &str)]) -> Result<Question, QuestionError> {
    let parameters = parameters
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Question::parse(kind, &parameters, TODAY)
}

#[test]
fn a_question_without_parameters_is_about_the_last_days() {
    let Question::Report(span) = asked("report", &[]).unwrap() else {
        panic!("another question")
    };
    assert_eq!(
        (span.start, span.end, span.metric),
        (date!(2026 - 08 - 22), TODAY, Metric::Effective)
    );

    let given = [
        ("start", "2026-09-01"),
        ("by", "region, tag:team"),
        ("filter", "region=eu"),
        ("metric", "list"),
    ];
    let Question::Report(span) = asked("report", &given).unwrap() else {
        panic!("another question")
    };

    assert_eq!(span.by, [Group::Region, Group::Tag("team".into())]);
    let Question::Report(other) =
        asked("report", &[("filter", r"service=A\, B,region=a\b")]).unwrap()
    else {
        panic!()
    };

    assert_eq!(
        other
            .filters
            .iter()
            .map(|filter| filter.value.as_str())
            .collect::<Vec<_>>(),
        ["A, B", r"a\b"]
    );

    assert_eq!(
        (span.start, span.metric, span.filters[0].value.as_str()),
        (date!(2026 - 09 - 01), Metric::List, "eu")
    );
}

#[test]
fn errors_name_the_invalid_parameter() {
    for (kind, name, value, part) in [
        ("report", "start", "yesterday", "start: is not a date"),
        ("report", "start", "2026-13-01", "start: is not a date"),
        (
            "report",
            "start",
            "2026-09-21",
            "start: 2026-09-21 is after the end",
        ),
        ("report", "by", "colour", "by: \"colour\" is not a group"),
        ("report", "metric", "net", "metric: is not one of"),
        ("report", "colour", "red", "query: \"colour\" is not one of"),
        ("trends", "interval", "day", "interval: is neither"),
        ("forecast", "days", "0", "days: is not a number"),
        (
            "budgets",
            "start",
            "2026-09-01",
            "query: \"start\" is not one of format",
        ),
        (
            "recommendations",
            "baseline",
            "best",
            "baseline: is not one of",
        ),
        (
            "recommendations",
            "latency_ms",
            "NaN",
            "latency_ms: is not between",
        ),
        ("recommendations", "survive", "2", "survive: is neither"),
    ] {
        let error = asked(kind, &[(name, value)]).unwrap_err().to_string();
        assert!(error.starts_with(part), "{error}");
    }

    let both = [("start", "2026-09-21"), ("days", "")];
    assert!(matches!(
        asked("forecast", &both),
        Err(QuestionError::Parameter {
            parameter: "days",
            ..
        })
    ));
}

proptest! {
    #[test]
    fn list_values_round_trip(
        values in proptest::collection::vec("[a\\\\, ]{0,6}", 1..5),
    ) {
        let list: Vec<String> = values.iter().map(|value| listed_value(value)).collect();
        prop_assert_eq!(listed(&list.join(",")), values);
    }

    #[test]
    fn arbitrary_parameters_never_panic(
        kind in 0usize..10,
        parameters: BTreeMap<String, String>,
        value: String,
    ) {
        let _ = Question::parse(KINDS[kind], &parameters, TODAY);
        for name in ["start", "by", "filter", "days", "latency_ms", "day"] {
            let _ = asked(KINDS[kind], &[(name, &value)]);
        }
    }
}
