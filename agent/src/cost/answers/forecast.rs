//! Forecasts by group.

use super::{
    answer::{Answer, AnswerError},
    documents::{self, GroupForecast},
    json::CostForecast,
    series,
    sources::{Sources, names},
};
use crate::cost::questions::Span;
use regionmesh_cost::{Currency, DailyCosts, Group, INCOMPLETE_DAYS, forecast, month_end, report};

/// Limit on the groups forecast in one answer: each takes tens of milliseconds.
const FORECASTS_MAX: usize = 64;

/// Forecasts each group of a span: its month end, and the next `days` days.
pub(super) fn forecasts(span: &Span, days: u16, sources: &Sources) -> Result<Answer, AnswerError> {
    let by: Vec<Group> = span
        .by
        .iter()
        .filter(|group| !group.is_time())
        .cloned()
        .collect();
    let query = sources.query(span).by(by.clone());
    let found = report(&sources.ledger, &query, &names(sources))?;
    let mut warnings: Vec<String> = found.warnings.iter().map(ToString::to_string).collect();
    let series = series::daily_costs(&query, sources)?;

    if series.len() > FORECASTS_MAX {
        warnings.push(format!(
            "{} of {} series are forecast; filter for others",
            FORECASTS_MAX,
            series.len()
        ));
    }

    let one = |((values, _), costs): ((Vec<String>, Currency), DailyCosts)| {
        let month = month_end(&costs, INCOMPLETE_DAYS);
        let days = forecast(&costs, days, INCOMPLETE_DAYS);
        let problem = month
            .as_ref()
            .err()
            .or(days.as_ref().err())
            .map(ToString::to_string);

        GroupForecast {
            values,
            month_end: month.ok(),
            forecast: days.ok(),
            problem,
        }
    };

    let forecasts: Vec<GroupForecast> = series.into_iter().take(FORECASTS_MAX).map(one).collect();
    let document = documents::forecasts(&by, &forecasts, warnings.clone());
    let json = CostForecast {
        by,
        forecasts,
        warnings,
    };

    Answer::new(&json, document)
}
