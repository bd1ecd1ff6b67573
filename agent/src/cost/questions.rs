//! Questions about cost, from the API's queries and the command line; both are parsed here, so that
//! they mean the same.

use regionmesh_cost::{BaselineName, Filter, Group, Interval, Metric, parse_date};
use regionmesh_protocol::models::manifest::TEXT_MAX;
use std::{collections::BTreeMap, str::FromStr};
use time::{Date, Duration};

/// Limit on the groups, and on the filters, of one question.
pub const LISTED_MAX: usize = 8;
/// Longest forecast, days.
pub const DAYS_MAX: u16 = 366;
/// Highest value of `latency_ms`, milliseconds.
pub const LATENCY_MAX_MS: u16 = 60_000;
/// The intervals that trends compare.
pub const INTERVALS: [(&str, Interval); 2] = [("week", Interval::Week), ("month", Interval::Month)];

/// A question about cost.
#[derive(Debug, Clone, PartialEq)]
pub enum Question {
    /// The cost of a span.
    Report(Span),
    /// Changes from week to week or month to month.
    Trends(Span, Interval),
    /// The cost of each model.
    Models(Span),
    /// The cost of egress.
    Egress(Span),
    /// Forecast of the month, and of the next days.
    Forecast(Span, u16),
    /// Open and recent anomalies.
    Anomalies,
    /// Progress of the budgets.
    Budgets,
    /// The prices of a day.
    Prices(Date),
    /// The sources of bills.
    Sources,
    /// Changes that would save money.
    Recommendations(RecommendationOptions),
}

/// A range of days, and how to report it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// First day.
    pub start: Date,
    /// Last day, included.
    pub end: Date,
    /// Groups of the rows.
    pub by: Vec<Group>,
    /// The kind of cost.
    pub metric: Metric,
    /// The charges to include.
    pub filters: Vec<Filter>,
}

/// Limits of recommendations; none: as configured.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RecommendationOptions {
    /// The baseline to compare with.
    pub baseline: Option<BaselineName>,
    /// Highest latency, milliseconds.
    pub latency_ms: Option<f64>,
    /// Number of regions that may fail.
    pub survive: Option<u8>,
}

/// Why a question is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    /// An unknown or invalid parameter.
    #[error("{parameter}: {why}")]
    Parameter {
        parameter: &'static str,
        /// What is wrong with the value.
        why: String,
    },
    /// The start is after the end.
    #[error("start: {start} is after the end, {end}: swap them")]
    Order {
        /// First day.
        start: Date,
        /// Last day.
        end: Date,
    },
}

/// The parameters of a query.
pub type Parameters = BTreeMap<String, String>;

impl Question {
    /// Parses a question. `kind` is the last part of its path in the API. Unknown parameters are
    /// refused; `format` is left to the caller.
    pub fn parse(kind: &str, parameters: &Parameters, today: Date) -> Result<Self, QuestionError> {
        let asked = Asked { parameters, today };
        let span = ["start", "end", "by", "metric", "filter", "format"];
        let known: &[&str] = match kind {
            "report" | "models" | "egress" => &span,
            "trends" => &[
                "start", "end", "by", "metric", "filter", "format", "interval",
            ],
            "forecast" => &["start", "end", "by", "metric", "filter", "format", "days"],
            "prices" => &["day", "format"],
            "recommendations" => &["baseline", "latency_ms", "survive", "format"],
            _ => &["format"],
        };

        if let Some(unknown) = parameters
            .keys()
            .find(|name| !known.contains(&name.as_str()))
        {
            let unknown: String = unknown.chars().take(40).collect();
            return Err(wrong(
                "query",
                format!("{unknown:?} is not one of {}", known.join(", ")),
            ));
        }

        let question = match kind {
            "report" => Self::Report(asked.span(30)?),
            "trends" => Self::Trends(
                asked.span(180)?,
                asked
                    .one_of("interval", &INTERVALS)?
                    .unwrap_or(Interval::Month),
            ),
            "models" => Self::Models(asked.span(30)?),
            "egress" => Self::Egress(asked.span(30)?),
            "forecast" => Self::Forecast(asked.span(300)?, asked.days()?),
            "anomalies" => Self::Anomalies,
            "budgets" => Self::Budgets,
            "prices" => Self::Prices(asked.day("day")?.unwrap_or(today)),
            "sources" => Self::Sources,
            _ => Self::Recommendations(asked.recommendation_options()?),
        };

        question.in_order()
    }

    /// Refuses a start after the end. Parse errors are reported first.
    fn in_order(self) -> Result<Self, QuestionError> {
        match &self {
            Self::Report(span)
            | Self::Trends(span, _)
            | Self::Models(span)
            | Self::Egress(span)
            | Self::Forecast(span, _)
                if span.start > span.end =>
            {
                Err(QuestionError::Order {
                    start: span.start,
                    end: span.end,
                })
            }
            _ => Ok(self),
        }
    }
}

/// A value as an item of a list, where `\\,` is a literal comma.
pub fn listed_value(value: &str) -> String {
    value.replace('\\', r"\\").replace(',', r"\,")
}

/// The values of a list.
fn listed(text: &str) -> Vec<String> {
    let mut values = Vec::new();
    let mut value = String::new();
    let mut letters = text.chars().peekable();

    while let Some(letter) = letters.next() {
        match letter {
            '\\' => value.push(
                letters
                    .next_if(|next| matches!(next, ',' | '\\'))
                    .unwrap_or('\\'),
            ),
            ',' => values.push(std::mem::take(&mut value)),
            letter => value.push(letter),
        }
    }

    values.push(value);
    values
}

struct Asked<'a> {
    parameters: &'a Parameters,
    today: Date,
}

impl Asked<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    fn day(&self, name: &'static str) -> Result<Option<Date>, QuestionError> {
        let wrong = || wrong(name, "is not a date: write it as 2026-09-18");
        self.get(name)
            .map(|text| parse_date(text).ok_or_else(wrong))
            .transpose()
    }

    /// The requested span; by default the last `days` up to today.
    fn span(&self, days: i64) -> Result<Span, QuestionError> {
        let end = self.day("end")?.unwrap_or(self.today);
        let first = end.checked_sub(Duration::days(days - 1)).unwrap_or(end);
        let start = self.day("start")?.unwrap_or(first);
        let metric = self
            .one_of(
                "metric",
                &Metric::ALL.map(|metric| (metric.as_str(), metric)),
            )?
            .unwrap_or_default();

        let by = self.list("by")?;
        let filters = self.list("filter")?;
        Ok(Span {
            start,
            end,
            by,
            metric,
            filters,
        })
    }

    /// One of some words.
    fn one_of<T: Clone>(
        &self,
        name: &'static str,
        choices: &[(&str, T)],
    ) -> Result<Option<T>, QuestionError> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == text) {
            return Ok(Some(choice.clone()));
        }

        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        Err(wrong(
            name,
            match &words[..] {
                [one, other] => format!("is neither {one} nor {other}"),
                words => format!("is not one of {}", words.join(", ")),
            },
        ))
    }

    fn list<T: FromStr<Err: std::fmt::Display>>(
        &self,
        name: &'static str,
    ) -> Result<Vec<T>, QuestionError> {
        let Some(text) = self.get(name).filter(|text| !text.is_empty()) else {
            return Ok(Vec::new());
        };
        let parts = listed(text);

        if text.chars().count() > TEXT_MAX || parts.len() > LISTED_MAX {
            return Err(wrong(
                name,
                format!("at most {LISTED_MAX} values are possible"),
            ));
        }

        let parts = parts.iter().map(|part| part.trim_matches(' ').parse());
        parts
            .map(|part| part.map_err(|error: T::Err| wrong(name, error.to_string())))
            .collect()
    }

    /// The number of days to forecast.
    fn days(&self) -> Result<u16, QuestionError> {
        let wrong = || {
            wrong(
                "days",
                format!("is not a number of days from 1 to {DAYS_MAX}"),
            )
        };
        let days = self
            .get("days")
            .map_or(Ok(30), |text| text.parse().map_err(|_| wrong()))?;

        if (1..=DAYS_MAX).contains(&days) {
            Ok(days)
        } else {
            Err(wrong())
        }
    }

    fn recommendation_options(&self) -> Result<RecommendationOptions, QuestionError> {
        let baseline = self.one_of(
            "baseline",
            &BaselineName::ALL.map(|name| (name.as_str(), name)),
        )?;
        let latency_ms: Option<f64> = match self.get("latency_ms").map(str::parse).transpose() {
            Ok(latency_ms) => latency_ms,
            Err(_) => return Err(wrong("latency_ms", "is not a number of milliseconds")),
        };

        if latency_ms.is_some_and(|ms| !(ms > 0.0 && ms <= LATENCY_MAX_MS.into())) {
            return Err(wrong(
                "latency_ms",
                format!("is not between 0 and {LATENCY_MAX_MS}"),
            ));
        }

        Ok(RecommendationOptions {
            baseline,
            latency_ms,
            survive: self.one_of("survive", &[("0", 0), ("1", 1)])?,
        })
    }
}

fn wrong(parameter: &'static str, why: impl Into<String>) -> QuestionError {
    QuestionError::Parameter {
        parameter,
        why: why.into(),
    }
}

#[cfg(test)]
mod tests;
