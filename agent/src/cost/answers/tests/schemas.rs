//! Answers against the schemas that the API describes them with.

use super::{DAY, START_MS, imported, sources};
use crate::{
    api::conformance::assert_answers,
    cost::{
        advice::Advice,
        answers::{Sources, answer, recommendations},
        questions::{Parameters, Question, RecommendationOptions},
    },
};
use regionmesh_cost::{date_at, end_of_day_ms};
use std::sync::Arc;
use time::{Date, Duration};

/// A mesh with bills, a budget, a jump in spending, and recommendations that can be verified.
fn eventful() -> Sources {
    let mut sources = sources(60);
    let made_on = date_at(START_MS + 20 * DAY).unwrap();
    sources.today = made_on;

    let found = recommendations(&RecommendationOptions::default(), &sources).unwrap();
    let advice = Advice::default().with(&found, made_on).unwrap();
    sources.advice = Arc::new(advice);

    let verify_after = found.recommendations.iter().map(|one| one.verify_after);
    let last = verify_after.max().unwrap() + Duration::days(2);
    let rows: String = (0..90)
        .map(|age| rows(last - Duration::days(age), (5..9).contains(&age)))
        .collect();

    let live = sources.live.regions(START_MS + 60 * DAY, sources.pricing());
    sources.live_regions = live;
    sources.today = last + Duration::days(1);
    sources.ledger = imported(&rows, end_of_day_ms(last));
    sources.cost.budgets = vec![toml::from_str("name = \"all\"\namount = \"1000 USD\"").unwrap()];
    sources
}

/// A day's rows of a bill.
fn rows(day: Date, is_dear: bool) -> String {
    let month = day.replace_day(1).unwrap();
    let amount = if is_dear { 900 } else { 100 };
    let row = |service: &str| {
        format!(
            "{month},{day}T05:00:00Z,AWS,1,us-west-2,{service},Compute,Usage,USD,{amount},\
                {amount},{amount}\n"
        )
    };

    row("EC2") + &row("Lambda")
}

#[test]
fn every_answer_conforms_to_its_schema() {
    let sources = eventful();
    for (kind, parts) in [
        ("report", &["rows"][..]),
        ("trends", &["periods", "series", "totals"]),
        ("models", &["regions"]),
        ("egress", &[]),
        ("forecast", &["forecasts"]),
        ("anomalies", &[]),
        ("budgets", &["budgets"]),
        ("prices", &["prices"]),
        ("sources", &["live"]),
        (
            "recommendations",
            &["recommendations", "comparisons", "verifications"],
        ),
    ] {
        let question = Question::parse(kind, &Parameters::new(), sources.today).unwrap();
        let json = answer(&question, &sources).unwrap().json;
        for part in parts {
            let is_filled = json[part].as_array().is_some_and(|items| !items.is_empty());
            assert!(is_filled, "{kind} without {part} shows little: {json}");
        }

        assert_answers("get", &format!("/v1/cost/{kind}"), "200", &json);
    }
}
