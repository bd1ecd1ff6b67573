//! What a report is asked for.

use super::{Filter, Group};
use crate::{cells::Metric, ledger::day_range};
use time::Date;

/// The mesh's name of a provider's region, from the provider and its region id as the bill has
/// them; `None` if no region of the mesh is there.
pub type RegionNames<'a> = &'a dyn Fn(&str, &str) -> Option<String>;

/// Most days that a report spans: ten years.
const REPORT_DAYS_MAX: i32 = 3_660;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The first day, UTC.
    pub start: Date,
    /// The last day, UTC; included.
    pub end: Date,
    /// What rows are kept apart by; none for the totals alone.
    pub by: Vec<Group>,
    /// Which cost.
    pub metric: Metric,
    /// Which charges count: all of them where this is empty. Filters of the same group are
    /// alternatives, different groups must all match.
    pub filters: Vec<Filter>,
    /// The tag whose values are names of models ([`Group::Model`]).
    pub model_tag: String,
}

/// The tag that names a charge's model, unless the configuration says otherwise.
const MODEL_TAG: &str = "model";

/// Why a query can't be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The days are the wrong way round.
    #[error("the report ends on {end}, before it starts on {start}; swap the dates")]
    Order {
        /// First day.
        start: Date,
        /// Last day.
        end: Date,
    },
    /// Too many days.
    #[error("{days} days requested; a report covers at most {REPORT_DAYS_MAX}")]
    TooLong {
        /// Days asked for.
        days: i32,
    },
    /// A group is there twice.
    #[error("{0} is grouped by twice; name it once")]
    Twice(Group),
    /// A time among the groups of trends.
    #[error("trends are already by week or month; remove {0} from the groups")]
    Time(Group),
}

impl Query {
    /// Everything spent from `start` to `end`, both included, in one row per currency.
    pub fn new(start: Date, end: Date) -> Self {
        let by = Vec::new();
        let filters = Vec::new();
        Self {
            start,
            end,
            by,
            metric: Metric::default(),
            filters,
            model_tag: MODEL_TAG.to_owned(),
        }
    }

    /// The same, grouped by these.
    #[must_use]
    pub fn by(self, by: impl IntoIterator<Item = Group>) -> Self {
        Self {
            by: by.into_iter().collect(),
            ..self
        }
    }

    /// The same query for charts over time: by day up to about two months, by month beyond, and
    /// then as before.
    #[must_use]
    pub fn over_time(&self) -> Self {
        let days = day_range(self.start, self.end).count();
        let interval = if days <= 62 { Group::Day } else { Group::Month };
        let groups = self.by.iter().filter(|group| !group.is_time()).cloned();

        Self {
            by: std::iter::once(interval).chain(groups).collect(),
            ..self.clone()
        }
    }

    /// The tag that a group reads; `None` if it reads no tag.
    pub(super) fn tag<'a>(&'a self, group: &'a Group) -> Option<&'a str> {
        match group {
            Group::Tag(key) => Some(key),
            Group::Model => Some(&self.model_tag),
            _ => None,
        }
    }

    pub(super) fn check(&self) -> Result<(), QueryError> {
        let start = self.start;
        let end = self.end;
        let days = end.to_julian_day() - start.to_julian_day() + 1;

        if days < 1 {
            return Err(QueryError::Order { start, end });
        }
        if days > REPORT_DAYS_MAX {
            return Err(QueryError::TooLong { days });
        }

        let twice = self
            .by
            .iter()
            .enumerate()
            .find(|(index, group)| self.by[..*index].contains(group));

        twice.map_or(Ok(()), |(_, group)| Err(QueryError::Twice(group.clone())))
    }
}
