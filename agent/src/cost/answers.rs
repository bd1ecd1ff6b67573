//! Answers to questions about cost, in every format. The data is an argument: the mesh's bills and
//! live plane, or files alone.

mod anomalies;
mod answer;
mod documents;
mod figures;
mod forecast;
mod holdings;
mod json;
mod recommend;
mod reconciliation;
mod series;
mod sources;
mod usage;
mod verifications;

pub(crate) use super::budgets::{BudgetBasis, BudgetProgress};
pub(crate) use anomalies::billed;
pub use answer::{Answer, AnswerError, Format};
pub(crate) use figures::{Figures, figures};
pub(crate) use json::{
    CostAnomalies, CostBudgets, CostEgress, CostForecast, CostPrices, CostRecommendations,
    CostSources,
};
pub(crate) use recommend::recommendations;
pub use sources::Sources;

use super::questions::{Question, RecommendationOptions, Span};
use reconciliation::reconciliation;
use regionmesh_cost::{
    EgressReport, Group, Price, allocate, egress_report,
    render::{allocation_document, report_document, trends_document},
    report, trends,
};
use sources::names;
use std::cmp::Reverse;
use verifications::verifications;

/// Rows of a table for people; the rest are summed.
const TOP: usize = 50;
/// Number of movers shown with trends.
const MOVERS: usize = 10;

/// Answers a question. Takes time proportional to the size of the bills: run it on a blocking
/// thread.
pub fn answer(question: &Question, sources: &Sources) -> Result<Answer, AnswerError> {
    match question {
        Question::Report(span) => spent(span, sources),
        Question::Trends(span, interval) => {
            let found = trends(
                &sources.ledger,
                &sources.query(span),
                *interval,
                &names(sources),
            )?;

            Answer::new(&found, trends_document(&found, MOVERS))
        }
        Question::Models(span) => {
            let (usage, capacity) = usage::usage(sources, span.start, span.end);
            let query = sources.query(span);
            let found = allocate(&sources.ledger, &query, &usage, &capacity, &names(sources))?;
            Answer::new(&found, allocation_document(&found))
        }
        Question::Egress(span) => egress(span, sources),
        Question::Forecast(span, days) => forecast::forecasts(span, *days, sources),
        Question::Anomalies => anomalies(sources),
        Question::Budgets => budgets(sources),
        Question::Prices(day) => {
            let prices: Vec<Price> = sources.prices.on(*day).into_iter().cloned().collect();
            let document = documents::prices(*day, &prices);
            let json = CostPrices {
                day: day.to_string(),
                prices: prices.iter().map(Into::into).collect(),
            };

            Answer::new(&json, document)
        }
        Question::Sources => data_sources(sources),
        Question::Recommendations(options) => recommended(options, sources),
    }
}

fn spent(span: &Span, sources: &Sources) -> Result<Answer, AnswerError> {
    let query = sources.query(span);
    let found = report(&sources.ledger, &query, &names(sources))?;
    let has_time = query.by.first().is_some_and(Group::is_time);
    let over_time = match has_time {
        true => None,
        false => Some(report(
            &sources.ledger,
            &query.over_time(),
            &names(sources),
        )?),
    };

    Answer::new(
        &found,
        report_document(&found, over_time.as_ref(), Some(TOP)),
    )
}

fn egress(span: &Span, sources: &Sources) -> Result<Answer, AnswerError> {
    if sources.config.is_none() {
        return Err(AnswerError::NeedsMesh(
            "causes of egress are counted by agents, and",
        ));
    }

    let first = span.start.replace_day(1).unwrap_or(span.start);
    let sent = usage::egress(sources, first, span.end);
    let found: EgressReport = egress_report(
        &sent,
        (span.start, span.end),
        &sources.prices,
        &sources.regions,
    );
    let document = documents::egress(span, &found);
    let json = CostEgress {
        start: span.start.to_string(),
        end: span.end.to_string(),
        lines: found.lines,
        totals: found.totals,
        missing: found.missing.iter().map(ToString::to_string).collect(),
    };

    Answer::new(&json, document)
}

fn anomalies(sources: &Sources) -> Result<Answer, AnswerError> {
    let mut found = sources.live_anomalies.clone();
    found.extend(billed(&sources.ledger, sources.today));
    found.sort_by_key(|anomaly| (anomaly.until.is_some(), Reverse(anomaly.since)));
    let document = documents::anomalies(&found);
    Answer::new(&CostAnomalies { anomalies: found }, document)
}

fn budgets(sources: &Sources) -> Result<Answer, AnswerError> {
    if sources.config.is_none() {
        return Err(AnswerError::NeedsMesh(
            "budgets stand in the agents' configuration, and",
        ));
    }

    let mut found = Vec::new();
    for budget in &sources.cost.budgets {
        found.push(sources.progress(budget, &mut sources.budget_basis(budget)?));
    }

    let budgets = found.iter().map(Into::into).collect();
    Answer::new(&CostBudgets { budgets }, documents::budgets(&found))
}

fn data_sources(sources: &Sources) -> Result<Answer, AnswerError> {
    let held = sources.ledger.sources();
    let reconciled = reconciliation(sources);
    let document = documents::sources(&held, &sources.live_regions, &reconciled);
    let held = held
        .into_iter()
        .map(|(name, state)| (name.to_owned(), state));
    let json = CostSources {
        sources: held.collect(),
        live: sources.live_regions.iter().map(Into::into).collect(),
        reconciliation: reconciled,
    };

    Answer::new(&json, document)
}

fn recommended(options: &RecommendationOptions, sources: &Sources) -> Result<Answer, AnswerError> {
    let found = recommendations(options, sources)?;
    let verifications = verifications(sources);
    let document = documents::recommendations(&found, &verifications);
    let json = CostRecommendations {
        found,
        verifications,
    };

    Answer::new(&json, document)
}

#[cfg(test)]
mod tests;
