//! What operators order: drain, hold, promote, restore. An order becomes an override in the plan itself, the register's
//! value, so that it survives the leader that took it, and it always ends: each has an expiry.
//!
//! Overrides outrank automation, with two limits: the answer is never empty, and no override keeps users on a failed region
//! while another is healthy (`yielding`).

use super::{MemberOrder, MemberOrderError, Plan, PlanInputs, next};
use crate::{identity::RegionName, text::unprintable, verdict::Condition};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest name of who orders, characters.
pub const BY_MAX: usize = 128;
/// Longest reason of an order, characters.
pub const WHY_MAX: usize = 512;
/// Shortest time that an order may stand, milliseconds.
pub const FOR_MIN_MS: u64 = 1_000;
/// Longest time that an order may stand, milliseconds: 30 days. What is meant for ever belongs into the configuration.
pub const FOR_MAX_MS: u64 = 30 * 24 * 60 * 60 * 1_000;
/// Most overrides that stand at once.
pub const OVERRIDES_MAX: usize = 64;

/// What an override does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OverrideKind {
    /// The region gets no traffic.
    Drain,
    /// Automation changes nothing: for the region, or for the whole mesh.
    Hold,
    /// The region gets all traffic, at once and without gate or ramp, unless it failed or drains.
    Promote,
}

/// A standing order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// The region; none: the whole mesh, which can only be held.
    pub region: Option<RegionName>,
    /// What it does.
    pub kind: OverrideKind,
    /// Who ordered it.
    pub by: String,
    /// Why.
    pub why: String,
    /// When, clock of the leader that took it, Unix milliseconds.
    pub set_ms: u64,
    /// From when it does not count any more, leader's clock, Unix milliseconds.
    pub expires_ms: u64,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrderAction {
    /// Let this override stand.
    Set(OverrideKind),
    /// Let none stand; a drained region comes back by gate and ramp.
    Restore,
    /// Change who the register's members are; see [`super::membership`].
    Member(MemberOrder),
}

/// An operator's order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// What is to be done.
    pub action: OrderAction,
    /// To which region; none: to the whole mesh.
    pub region: Option<RegionName>,
    /// Who orders it, at most [`BY_MAX`] printable characters.
    pub by: String,
    /// Why, at most [`WHY_MAX`] printable characters.
    pub why: String,
    /// For how long, milliseconds, [`FOR_MIN_MS`] to [`FOR_MAX_MS`]; of no meaning but for an override.
    pub for_ms: u64,
}

/// Why an order is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum OrderError {
    /// Before the first plan there is nothing to override.
    #[error("no plan is committed yet, so there is nothing to override")]
    NoPlan,
    /// The mesh has no such region.
    #[error("there is no region {0} in this mesh")]
    UnknownRegion(RegionName),
    /// Only a hold can be for the whole mesh.
    #[error("a {0} needs a region; only a hold can be for the whole mesh")]
    NoRegion(OverrideKind),
    /// A text is empty or too long.
    #[error("`{what}` has {length} characters; 1 to {limit} are possible")]
    Text {
        /// Which text.
        what: String,
        /// Its length, characters.
        length: usize,
        /// The most, characters.
        limit: usize,
    },
    /// Too short or too long.
    #[error("{0} ms is not within {FOR_MIN_MS} ms to {FOR_MAX_MS} ms (30 days)")]
    Duration(u64),
    /// As many as may stand.
    #[error("{OVERRIDES_MAX} overrides stand already; restore some first")]
    TooMany,
    /// Users must not be moved there.
    #[error("{region} can't be promoted, its verdict is {condition}: {reason}")]
    Unfit {
        /// The region.
        region: RegionName,
        /// Its verdict.
        condition: Condition,
        /// Why.
        reason: String,
    },
    /// The register's members can't be changed so.
    #[error(transparent)]
    Member(#[from] MemberOrderError),
    /// Nothing to take back.
    #[error("no override stands for {}", .0.as_ref().map_or("the whole mesh", RegionName::as_str))]
    NothingStands(Option<RegionName>),
    /// A text would forge lines of a log, or rewrite a terminal.
    #[error("`{what}` holds {found:?}; control characters, line breaks and changes of direction are not allowed")]
    Unprintable {
        /// Which text.
        what: String,
        /// The first such character.
        found: char,
    },
}

impl OverrideKind {
    /// The word for it, as in JSON, paths and commands.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Hold => "hold",
            Self::Promote => "promote",
        }
    }
}

impl fmt::Display for OverrideKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Override {
    /// Whether it does not count any more.
    pub fn is_expired(&self, now_ms: u64) -> bool {
        now_ms >= self.expires_ms
    }
}

impl fmt::Display for Override {
    /// `drain of eu-west-1 by ann (maintenance)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = self.region.as_ref().map_or("the whole mesh", RegionName::as_str);
        write!(f, "{} of {of} by {} ({})", self.kind, self.by, self.why)
    }
}

/// The plan that follows from an order; one follows always, since who ordered what is part of it.
pub fn plan_order(current: Option<&Plan>, order: &Order, inputs: &PlanInputs, now_ms: u64) -> Result<Plan, OrderError> {
    let current = current.ok_or(OrderError::NoPlan)?;
    let (overrides, reason) = apply(&current.overrides, order, inputs, now_ms)?;
    Ok(next::plan_with(current, overrides, reason, inputs, now_ms))
}

/// Who and why must be said, and not at any length.
pub(super) fn check_texts(order: &Order) -> Result<(), OrderError> {
    for (what, text, limit) in [("by", &order.by, BY_MAX), ("why", &order.why, WHY_MAX)] {
        let length = text.chars().count();
        if length == 0 || length > limit {
            return Err(OrderError::Text { what: what.into(), length, limit });
        }
        if let Some(found) = unprintable(text) {
            return Err(OrderError::Unprintable { what: what.into(), found });
        }
    }
    Ok(())
}

/// The overrides after an order, and what is said of it.
fn apply(
    standing: &[Override],
    order: &Order,
    inputs: &PlanInputs,
    now_ms: u64,
) -> Result<(Vec<Override>, String), OrderError> {
    if let Some(region) = order.region.as_ref().filter(|region| !inputs.regions.contains_key(*region)) {
        return Err(OrderError::UnknownRegion(region.clone()));
    }
    check_texts(order)?;
    let is_same = |other: &Override| other.region == order.region;
    let mut kept: Vec<Override> = standing.iter().filter(|other| !is_same(other)).cloned().collect();
    let kind = match &order.action {
        OrderAction::Member(_) => return Err(MemberOrderError::NoOverride.into()),
        OrderAction::Restore => {
            if kept.len() == standing.len() {
                return Err(OrderError::NothingStands(order.region.clone()));
            }
            let of = order.region.as_ref().map_or("the whole mesh", RegionName::as_str);
            return Ok((kept, format!("{of}: restored by {} ({})", order.by, order.why)));
        }
        OrderAction::Set(kind) => *kind,
    };
    if !(FOR_MIN_MS..=FOR_MAX_MS).contains(&order.for_ms) {
        return Err(OrderError::Duration(order.for_ms));
    }
    if kind != OverrideKind::Hold && order.region.is_none() {
        return Err(OrderError::NoRegion(kind));
    }
    if kind == OverrideKind::Promote {
        // Two regions can't both get all.
        kept.retain(|other| other.kind != OverrideKind::Promote);
        let input = order.region.as_ref().and_then(|region| Some((region, inputs.regions.get(region)?)));
        if let Some((region, input)) = input
            && matches!(input.condition, Condition::Failed | Condition::Draining)
        {
            let (condition, reason) = (input.condition, input.reason.clone());
            return Err(OrderError::Unfit { region: region.clone(), condition, reason });
        }
    }
    if kept.len() >= OVERRIDES_MAX {
        return Err(OrderError::TooMany);
    }
    let set = Override {
        region: order.region.clone(),
        kind,
        by: order.by.clone(),
        why: order.why.clone(),
        set_ms: now_ms,
        expires_ms: now_ms.saturating_add(order.for_ms),
    };
    let reason = format!("ordered: {set}");
    kept.push(set);
    Ok((kept, reason))
}
