//! Questions about money, as the API's queries and the command line ask them. Both are parsed here, so that they mean the same.

use regionmesh_cost::{Filter, Group, Interval, Metric};
use std::{collections::BTreeMap, str::FromStr};
use time::{Date, Duration, format_description::BorrowedFormatItem, macros::format_description};

/// How days are written.
const DAY: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");
/// Most groups, and most filters, of one question.
const LISTED_MAX: usize = 8;
/// Longest list in a parameter, characters.
const LIST_MAX: usize = 2_000;

/// A question.
#[derive(Debug, Clone, PartialEq)]
pub enum Question {
    /// What was spent within some days.
    Report(Span),
    /// How it changed from week to week or month to month.
    Trends(Span, Interval),
    /// What each model cost.
    Models(Span),
    /// What bytes cost that left a region.
    Egress(Span),
    /// What the month, and each day after it so far, is heading for.
    Forecast(Span, u16),
    /// What is not as it was.
    Anomalies,
    /// How far budgets are used up.
    Budgets,
    /// The prices of a day.
    Prices(Date),
    /// Whose bills are there.
    Sources,
    /// What would cost less.
    Recommendations(Wishes),
}

/// Days, and what of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// First day.
    pub start: Date,
    /// Last day, included.
    pub end: Date,
    /// What rows are kept apart by.
    pub by: Vec<Group>,
    /// Which cost.
    pub metric: Metric,
    /// Which charges count.
    pub filters: Vec<Filter>,
}

/// What recommendations are to keep to; none: as configured.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wishes {
    /// What they are compared with: `current`, `peak`, `autoscaled` or `standby`.
    pub baseline: Option<String>,
    /// Longest time to an answer, milliseconds.
    pub latency_ms: Option<f64>,
    /// How many regions may be lost.
    pub survive: Option<u8>,
}

/// Why a question can't be understood: what, where, and what is possible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{parameter}: {why}")]
pub struct QuestionError {
    /// The parameter.
    pub parameter: &'static str,
    /// What is wrong with it.
    pub why: String,
}

/// What a client asks, by parameter.
pub type Parameters = BTreeMap<String, String>;

/// The kinds of questions, as the last part of the API's paths.
pub const KINDS: [&str; 10] = [
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

impl Question {
    /// Reads a question of one of [`KINDS`]; parameters that it does not know are refused. `format` is the caller's.
    pub fn parse(kind: &str, parameters: &Parameters, today: Date) -> Result<Self, QuestionError> {
        let asked = Asked { parameters, today };
        let span = ["start", "end", "by", "metric", "filter", "format"];
        let known: &[&str] = match kind {
            "report" | "models" | "egress" => &span,
            "trends" => &["start", "end", "by", "metric", "filter", "format", "interval"],
            "forecast" => &["start", "end", "by", "metric", "filter", "format", "days"],
            "prices" => &["day", "format"],
            "recommendations" => &["baseline", "latency_ms", "survive", "format"],
            _ => &["format"],
        };
        if let Some(unknown) = parameters.keys().find(|name| !known.contains(&name.as_str())) {
            let unknown: String = unknown.chars().take(40).collect();
            return Err(QuestionError {
                parameter: "query",
                why: format!("{unknown:?} is none of {}", known.join(", ")),
            });
        }
        Ok(match kind {
            "report" => Self::Report(asked.span(30)?),
            "trends" => Self::Trends(asked.span(180)?, asked.interval()?),
            "models" => Self::Models(asked.span(30)?),
            "egress" => Self::Egress(asked.span(30)?),
            "forecast" => Self::Forecast(asked.span(300)?, asked.days()?),
            "anomalies" => Self::Anomalies,
            "budgets" => Self::Budgets,
            "prices" => Self::Prices(asked.day("day")?.unwrap_or(today)),
            "sources" => Self::Sources,
            _ => Self::Recommendations(asked.wishes()?),
        })
    }
}

struct Asked<'a> {
    parameters: &'a Parameters,
    today: Date,
}

impl Asked<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn day(&self, name: &'static str) -> Result<Option<Date>, QuestionError> {
        let wrong = |_| QuestionError { parameter: name, why: "is no day: write it as 2026-09-18".into() };
        self.get(name).map(|text| Date::parse(text, DAY).map_err(wrong)).transpose()
    }

    /// The days asked for; by default the last `days` up to today.
    fn span(&self, days: i64) -> Result<Span, QuestionError> {
        let end = self.day("end")?.unwrap_or(self.today);
        let first = end.checked_sub(Duration::days(days - 1)).unwrap_or(end);
        let start = self.day("start")?.unwrap_or(first);
        if start > end {
            return Err(QuestionError {
                parameter: "start",
                why: format!("{start} is after the end, {end}: swap them"),
            });
        }
        let metric = match self.get("metric") {
            None | Some("effective") => Metric::Effective,
            Some("billed") => Metric::Billed,
            Some("list") => Metric::List,
            Some(_) => {
                return Err(QuestionError { parameter: "metric", why: "is none of effective, billed, list".into() });
            }
        };
        Ok(Span { start, end, by: self.list("by")?, metric, filters: self.list("filter")? })
    }

    fn list<T: FromStr<Err: std::fmt::Display>>(&self, name: &'static str) -> Result<Vec<T>, QuestionError> {
        let Some(text) = self.get(name) else { return Ok(Vec::new()) };
        let wrong = |why: String| QuestionError { parameter: name, why };
        if text.chars().count() > LIST_MAX || text.split(',').count() > LISTED_MAX {
            return Err(wrong(format!("at most {LISTED_MAX} values are possible")));
        }
        text.split(',').map(|part| part.trim().parse().map_err(|error: T::Err| wrong(error.to_string()))).collect()
    }

    fn interval(&self) -> Result<Interval, QuestionError> {
        match self.get("interval") {
            None | Some("month") => Ok(Interval::Month),
            Some("week") => Ok(Interval::Week),
            Some(_) => Err(QuestionError { parameter: "interval", why: "is neither week nor month".into() }),
        }
    }

    /// How many days to look ahead.
    fn days(&self) -> Result<u16, QuestionError> {
        let wrong = || QuestionError { parameter: "days", why: "is no number of days from 1 to 366".into() };
        let days = self.get("days").map_or(Ok(30), |text| text.parse().map_err(|_| wrong()))?;
        if (1..=366).contains(&days) { Ok(days) } else { Err(wrong()) }
    }

    fn wishes(&self) -> Result<Wishes, QuestionError> {
        let baseline = self.get("baseline").map(str::to_owned);
        if baseline.as_ref().is_some_and(|name| !["current", "peak", "autoscaled", "standby"].contains(&name.as_str()))
        {
            let why = "is none of current, peak, autoscaled, standby".into();
            return Err(QuestionError { parameter: "baseline", why });
        }
        let latency_ms: Option<f64> = match self.get("latency_ms").map(str::parse).transpose() {
            Ok(latency_ms) => latency_ms,
            Err(_) => {
                return Err(QuestionError { parameter: "latency_ms", why: "is no number of milliseconds".into() });
            }
        };
        if latency_ms.is_some_and(|ms| !(ms > 0.0 && ms <= 60_000.0)) {
            return Err(QuestionError { parameter: "latency_ms", why: "is not within 0 and 60000".into() });
        }
        let survive = match self.get("survive") {
            None => None,
            Some("0") => Some(0),
            Some("1") => Some(1),
            Some(_) => return Err(QuestionError { parameter: "survive", why: "is neither 0 nor 1".into() }),
        };
        Ok(Wishes { baseline, latency_ms, survive })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use time::macros::date;

    const TODAY: Date = date!(2026 - 09 - 20);

    fn asked(kind: &str, parameters: &[(&str, &str)]) -> Result<Question, QuestionError> {
        let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Question::parse(kind, &parameters, TODAY)
    }

    #[test]
    fn a_question_without_parameters_is_about_the_last_days() {
        let Question::Report(span) = asked("report", &[]).unwrap() else { panic!("another question") };
        assert_eq!((span.start, span.end, span.metric), (date!(2026 - 08 - 22), TODAY, Metric::Effective));
        let given = [("start", "2026-09-01"), ("by", "region, tag:team"), ("filter", "region=eu"), ("metric", "list")];
        let Question::Report(span) = asked("report", &given).unwrap() else { panic!("another question") };
        assert_eq!(span.by, [Group::Region, Group::Tag("team".into())]);
        assert_eq!(
            (span.start, span.metric, span.filters[0].value.as_str()),
            (date!(2026 - 09 - 01), Metric::List, "eu")
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (kind, name, value, part) in [
            ("report", "start", "yesterday", "start: is no day"),
            ("report", "start", "2026-13-01", "start: is no day"),
            ("report", "start", "2026-09-21", "start: 2026-09-21 is after the end"),
            ("report", "by", "colour", "by: \"colour\" is nothing to group by"),
            ("report", "metric", "net", "metric: is none of"),
            ("report", "colour", "red", "query: \"colour\" is none of"),
            ("trends", "interval", "day", "interval: is neither"),
            ("forecast", "days", "0", "days: is no number"),
            ("budgets", "start", "2026-09-01", "query: \"start\" is none of format"),
            ("recommendations", "baseline", "best", "baseline: is none of"),
            ("recommendations", "latency_ms", "NaN", "latency_ms: is not within"),
            ("recommendations", "survive", "2", "survive: is neither"),
        ] {
            let error = asked(kind, &[(name, value)]).unwrap_err().to_string();
            assert!(error.starts_with(part), "{error}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_parameters_never_panic(kind in 0usize..10, parameters: BTreeMap<String, String>, value: String) {
            let _ = Question::parse(KINDS[kind], &parameters, TODAY);
            for name in ["start", "by", "filter", "days", "latency_ms", "day"] {
                let _ = asked(KINDS[kind], &[(name, &value)]);
            }
        }
    }
}
