//! Predictions of savings, compared with the bill.

use super::{DAY, REGIONS, START_MS, imported, sources};
use crate::cost::{
    advice::Advice,
    answers::{Format, Sources, answer, recommendations, verifications::verifications},
    questions::{Question, RecommendationOptions},
};
use regionmesh_cost::{
    Ledger, NodeChange, NodeCounts, Proposal, Recommendation, Recommendations, Verdict, date_at,
};
use std::sync::Arc;
use time::{Date, Duration};

/// A bill of us-west-2 with one daily amount before `change`, and another one from then on.
fn bill(first: Date, days: i64, change: Date, amounts: (&str, &str)) -> Ledger {
    let mut text = String::new();
    for day in (0..days).map(|day| first + Duration::days(day)) {
        let amount = if day < change { amounts.0 } else { amounts.1 };
        let month = day.replace_day(1).unwrap();
        text += &format!(
            "{month},{day}T05:00:00Z,AWS,1,us-west-2,EC2,Compute,Usage,USD,{amount},{amount},\
                {amount}\n"
        );
    }

    imported(&text, 1)
}

#[test]
fn predictions_for_the_same_regions_are_compared_with_the_bill_as_one() {
    // Observed long enough that there is load at the end, too.
    let mut sources = sources(60);
    sources.today = date_at(START_MS + 20 * DAY).unwrap();

    let made_on = sources.today;
    let found = recommendations(&RecommendationOptions::default(), &sources).unwrap();
    let advice = Advice::default().with(&found, made_on).unwrap();

    assert_eq!(Advice::decode(&advice.encode().unwrap()).unwrap(), advice);
    sources.advice = Arc::new(advice);

    let daily = |made: &Recommendation| made.saving.expected.to_f64() * 24.0 / 730.0;
    let all: f64 = found.recommendations.iter().map(daily).sum();
    let least = found.recommendations.iter().map(daily).fold(all, f64::min);

    assert!(
        found.recommendations.len() > 1 && least < all / 4.0,
        "{:?}",
        found.recommendations
    );

    let verify_after = found
        .recommendations
        .iter()
        .map(|made| made.verify_after)
        .max()
        .unwrap();

    let first = made_on - Duration::days(30);
    let until = |last: Date, saved: f64| {
        bill(
            first,
            (last - first).whole_days() + 1,
            made_on,
            ("100", &format!("{:.2}", 100.0 - saved)),
        )
    };

    sources.today = verify_after + Duration::days(10);
    sources.ledger = until(verify_after + Duration::days(1), all);
    assert!(
        verifications(&sources).is_empty(),
        "the bill's last two days may still grow"
    );

    sources.ledger = until(verify_after + Duration::days(2), all);
    assert_verdicts(&sources, &found, Verdict::Confirmed);
    sources.ledger = until(verify_after + Duration::days(2), all / 2.0);
    assert_verdicts(&sources, &found, Verdict::Partly);
    sources.ledger = until(verify_after + Duration::days(2), least / 2.0);
    assert_verdicts(&sources, &found, Verdict::NotSeen);

    let answer = answer(
        &Question::Recommendations(RecommendationOptions::default()),
        &sources,
    )
    .unwrap();
    assert!(
        answer
            .render(Format::Table)
            .contains("What came of earlier ones")
    );

    assert_eq!(answer.json["verifications"][0]["verdict"], "not-seen");
}

/// All recommendations are judged as one, with this verdict.
fn assert_verdicts(sources: &Sources, found: &Recommendations, expected: Verdict) {
    let verified = verifications(sources);
    assert_eq!(verified.len(), found.recommendations.len());
    for one in verified {
        assert_eq!(one.outcome.verdict, expected, "{}", one.outcome.why);
        assert_eq!(one.together_with.len() + 1, found.recommendations.len());
        assert!(
            one.outcome.why.contains("judged together with"),
            "{}",
            one.outcome.why
        );
    }
}

/// Like `found`, with these ids and regions, made `on` a day.
fn made(found: &Recommendations, ids: &[(&str, usize)], on: Date) -> Recommendations {
    let recommendation = |(id, region): &(&str, usize)| {
        let change = NodeChange {
            region: REGIONS[*region].parse().unwrap(),
            from: NodeCounts::default(),
            to: NodeCounts::default(),
        };
        let proposal = Proposal::Fleet {
            nodes: vec![change],
            weights: Vec::new(),
        };

        Recommendation {
            id: (*id).to_owned(),
            proposal,
            verify_after: on + Duration::days(17),
            ..found.recommendations[0].clone()
        }
    };

    Recommendations {
        recommendations: ids.iter().map(recommendation).collect(),
        ..found.clone()
    }
}

#[test]
fn a_prediction_for_another_region_or_time_is_judged_separately() {
    let mut sources = sources(60);
    let found = recommendations(&RecommendationOptions::default(), &sources).unwrap();
    let day = |days: i64| date_at(START_MS).unwrap() + Duration::days(days);
    let add =
        |advice: Advice, ids: &[(&str, usize)], on: Date| advice.with(&made(&found, ids, on), on);

    let advice = add(
        Advice::default(),
        &[("scale", 0), ("spot", 0), ("other", 1)],
        day(20),
    )
    .unwrap();

    assert_eq!(
        add(advice.clone(), &[("scale", 0)], day(36)),
        None,
        "it counts from the first time"
    );

    let advice = add(advice, &[("scale", 0)], day(37)).unwrap();
    sources.advice = Arc::new(advice);
    sources.today = day(80);
    sources.ledger = bill(day(0), 70, day(20), ("100", "90"));

    let verified = verifications(&sources);
    let together: Vec<_> = verified
        .iter()
        .map(|one| {
            (
                one.id.as_str(),
                one.together_with.join(" "),
                one.made_on.clone(),
            )
        })
        .collect();

    let expected = [
        ("scale", "spot", 20),
        ("spot", "scale", 20),
        ("other", "", 20),
        ("scale", "", 37),
    ];

    assert_eq!(
        together,
        expected.map(|(id, with, on)| (id, with.to_owned(), day(on).to_string()))
    );
}
