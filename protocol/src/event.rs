//! Events: what happened in a mesh, in a form that every agent agrees on.
//!
//! Agents don't send events to each other: each derives them from what all of them hold (verdicts,
//! committed plans, who leads). An event therefore has the same [`Event::id`] at every agent, so
//! that receivers can drop duplicates. An event that only one agent can know of, such as being
//! fenced off, names that agent as its witness.

use crate::identity::{AgentId, RegionName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// Kinds of events.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// The verdict on a region changed.
    Verdict,
    /// A plan was committed.
    Plan,
    /// Another agent leads, or none does.
    Leader,
    /// A recovering region moved on its ramp, forward or back.
    Ramp,
    /// An agent was kept from writing a zone that already has a later plan.
    FenceLost,
    /// Records of the mesh in a zone were changed from outside.
    Drift,
    /// Two regions published different content under one name.
    Conflict,
    /// An agent's certificate expires soon.
    Certificate,
    /// An agent's problem began or ended.
    Problem,
    /// A budget's threshold was crossed.
    Budget,
    /// Spending left its usual range.
    CostAnomaly,
    /// Billing data are late or could not be read, or arrived.
    CostData,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::Verdict,
        Self::Plan,
        Self::Leader,
        Self::Ramp,
        Self::FenceLost,
        Self::Drift,
        Self::Conflict,
        Self::Certificate,
        Self::Problem,
        Self::Budget,
        Self::CostAnomaly,
        Self::CostData,
    ];

    /// The word for it, as in JSON, configuration and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verdict => "verdict",
            Self::Plan => "plan",
            Self::Leader => "leader",
            Self::Ramp => "ramp",
            Self::FenceLost => "fence-lost",
            Self::Drift => "drift",
            Self::Conflict => "conflict",
            Self::Certificate => "certificate",
            Self::Problem => "problem",
            Self::Budget => "budget",
            Self::CostAnomaly => "cost-anomaly",
            Self::CostData => "cost-data",
        }
    }
}

/// A word that is not one of the possible ones.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is none of {}", .possible.join(", "))]
pub struct UnknownWord {
    found: String,
    possible: Vec<&'static str>,
}

impl FromStr for EventKind {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let unknown = || UnknownWord {
            found: text.into(),
            possible: Self::ALL.map(Self::as_str).to_vec(),
        };

        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(unknown)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How urgent it is.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Good to know afterwards.
    #[default]
    Info,
    /// To be looked at during working hours.
    Warning,
    /// Users are or will be affected.
    Critical,
}

impl Severity {
    /// Every severity, mildest first.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl FromStr for Severity {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let unknown = || UnknownWord {
            found: text.into(),
            possible: Self::ALL.map(Self::as_str).to_vec(),
        };

        Self::ALL
            .into_iter()
            .find(|severity| severity.as_str() == text)
            .ok_or_else(unknown)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Unique to the event, and equal at every agent that noticed it.
    pub id: String,
    pub kind: EventKind,
    /// How urgent it is.
    pub severity: Severity,
    /// When it happened, Unix milliseconds, by the clock of its origin if that is known.
    pub time_ms: u64,
    /// The region that it is about, if any.
    pub region: Option<RegionName>,
    /// Details for programs.
    pub fields: BTreeMap<&'static str, String>,
    /// What happened, for people; one sentence without a full stop.
    pub text: String,
    /// The only agent that can know of it; none if every agent can.
    pub reported_by: Option<AgentId>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
