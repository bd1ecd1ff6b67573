//! Questions about money, as the API's queries and the command line ask them. Both are parsed here,
//! so that they mean the same.

use regionmesh_cost::{BaselineName, Filter, Group, Interval, Metric, parse_date};
use regionmesh_protocol::models::manifest::TEXT_MAX;
use std::{collections::BTreeMap, str::FromStr};
use time::{Date, Duration};

/// Most groups, and most filters, of one question.
pub const LISTED_MAX: usize = 8;
/// Longest time to look ahead, days.
pub const DAYS_MAX: u16 = 366;
/// Longest time to an answer that may be asked for, milliseconds.
pub const LATENCY_MAX_MS: u16 = 60_000;
/// What trends put side by side.
pub const INTERVALS: [(&str, Interval); 2] = [("week", Interval::Week), ("month", Interval::Month)];

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
    /// What they are compared with.
    pub baseline: Option<BaselineName>,
    /// Longest time to an answer, milliseconds.
    pub latency_ms: Option<f64>,
    /// How many regions may be lost.
    pub survive: Option<u8>,
}

/// Why a question can't be answered as it is asked: what, where, and what is possible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    /// A parameter that is not known or can't be read.
    #[error("{parameter}: {why}")]
    Parameter {
        /// The parameter.
        parameter: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The days are the wrong way round.
    #[error("start: {start} is after the end, {end}: swap them")]
    Order {
        /// First day.
        start: Date,
        /// Last day.
        end: Date,
    },
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
    /// Reads a question of one of [`KINDS`]; parameters that it does not know are refused. `format`
    /// is the caller's.
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
                format!("{unknown:?} is none of {}", known.join(", ")),
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
            _ => Self::Recommendations(asked.wishes()?),
        };

        question.in_order()
    }

    /// Refuses days that are the wrong way round. What can't be read at all is named before.
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

/// A value as it stands in a list, where `\\,` is a comma that separates nothing.
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
        let wrong = || wrong(name, "is no day: write it as 2026-09-18");
        self.get(name)
            .map(|text| parse_date(text).ok_or_else(wrong))
            .transpose()
    }

    /// The days asked for; by default the last `days` up to today.
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
                words => format!("is none of {}", words.join(", ")),
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

    /// How many days to look ahead.
    fn days(&self) -> Result<u16, QuestionError> {
        let wrong = || wrong("days", format!("is no number of days from 1 to {DAYS_MAX}"));
        let days = self
            .get("days")
            .map_or(Ok(30), |text| text.parse().map_err(|_| wrong()))?;

        if (1..=DAYS_MAX).contains(&days) {
            Ok(days)
        } else {
            Err(wrong())
        }
    }

    fn wishes(&self) -> Result<Wishes, QuestionError> {
        let baseline = self.one_of(
            "baseline",
            &BaselineName::ALL.map(|name| (name.as_str(), name)),
        )?;
        let latency_ms: Option<f64> = match self.get("latency_ms").map(str::parse).transpose() {
            Ok(latency_ms) => latency_ms,
            Err(_) => return Err(wrong("latency_ms", "is no number of milliseconds")),
        };

        if latency_ms.is_some_and(|ms| !(ms > 0.0 && ms <= LATENCY_MAX_MS.into())) {
            return Err(wrong(
                "latency_ms",
                format!("is not within 0 and {LATENCY_MAX_MS}"),
            ));
        }

        Ok(Wishes {
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
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use time::macros::date;

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
    fn what_is_wrong_is_named() {
        for (kind, name, value, part) in [
            ("report", "start", "yesterday", "start: is no day"),
            ("report", "start", "2026-13-01", "start: is no day"),
            (
                "report",
                "start",
                "2026-09-21",
                "start: 2026-09-21 is after the end",
            ),
            (
                "report",
                "by",
                "colour",
                "by: \"colour\" is nothing to group by",
            ),
            ("report", "metric", "net", "metric: is none of"),
            ("report", "colour", "red", "query: \"colour\" is none of"),
            ("trends", "interval", "day", "interval: is neither"),
            ("forecast", "days", "0", "days: is no number"),
            (
                "budgets",
                "start",
                "2026-09-01",
                "query: \"start\" is none of format",
            ),
            (
                "recommendations",
                "baseline",
                "best",
                "baseline: is none of",
            ),
            (
                "recommendations",
                "latency_ms",
                "NaN",
                "latency_ms: is not within",
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
        fn values_come_back_from_a_list_as_they_were(
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
}
