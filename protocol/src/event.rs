//! Events: what happened in a mesh, in a form that every agent agrees on.
//!
//! Agents don't send events to each other: each derives them from what all of them hold (verdicts,
//! committed plans, who leads). An event therefore has the same [`Event::id`] at every agent, so
//! that receivers can drop duplicates. An event that only one agent can know of, such as being
//! fenced off, names that agent as its witness.

use crate::identity::{AgentId, RegionName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use strum::{Display, EnumString, IntoStaticStr, VariantArray, VariantNames};

/// Kinds of events.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
#[derive(Display, EnumString, IntoStaticStr, VariantArray, VariantNames)]
#[strum(serialize_all = "kebab-case")]
#[strum(parse_err_ty = UnknownValue, parse_err_fn = UnknownValue::of::<Self>)]
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
    pub const ALL: &'static [Self] = <Self as VariantArray>::VARIANTS;

    /// The word for it, as in JSON, configuration and metric labels.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A text that is not one of the possible values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown value {found:?}, expected one of: {}", .possible.join(", "))]
pub struct UnknownValue {
    found: String,
    possible: &'static [&'static str],
}

impl UnknownValue {
    fn of<T: VariantNames>(text: &str) -> Self {
        Self {
            found: text.into(),
            possible: T::VARIANTS,
        }
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
#[derive(Display, EnumString, IntoStaticStr, VariantArray, VariantNames)]
#[strum(serialize_all = "kebab-case")]
#[strum(parse_err_ty = UnknownValue, parse_err_fn = UnknownValue::of::<Self>)]
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
    pub const ALL: &'static [Self] = <Self as VariantArray>::VARIANTS;

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        self.into()
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
