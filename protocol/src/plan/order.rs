//! What operators order: drain, hold, promote, restore. An order becomes an override in the plan
//! itself, the register's value, so that it survives the leader that took it, and it always ends:
//! each has an expiry.
//!
//! An order that would end another operator's, or drain the last region that can serve, is refused
//! unless it is forced; whoever reads the answer or the plan's reason sees what it replaced.
//!
//! Overrides outrank automation, with two limits: the answer is never empty, and no override keeps
//! users on a failed region while another is healthy (`yielding`).

use super::{
    MemberOrder, MemberOrderError, Plan, PlanInputs, RegionPlan, Standing, next, standing::Orders,
};
use crate::{identity::RegionName, text::unprintable, verdict::Condition};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest name of who orders, characters.
pub const BY_MAX: usize = 128;
/// Longest reason of an order, characters.
pub const WHY_MAX: usize = 512;
/// Shortest time that an order may stand, milliseconds.
pub const FOR_MIN_MS: u64 = 1_000;
/// Longest time that an order may stand, milliseconds: 30 days. What is meant for ever belongs into
/// the configuration.
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
    /// The region gets all traffic, unless it failed or drains. One that is out comes back by
    /// cool-down and ramp first, unless the order is immediate.
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
    /// Whether a promoted region skips cool-down and ramp.
    #[serde(default)]
    pub is_immediate: bool,
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
    /// For how long, milliseconds, [`FOR_MIN_MS`] to [`FOR_MAX_MS`]; of no meaning but for an
    /// override.
    pub for_ms: u64,
    /// Whether it may replace another operator's order and drain the last region that can serve.
    pub is_forced: bool,
    /// Whether a region that it promotes skips cool-down and ramp.
    pub is_immediate: bool,
}

/// A standing order that another one ends, and how long it would have stood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// The order.
    pub standing: Override,
    /// Time left, milliseconds.
    pub left_ms: u64,
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
    /// It would end what another operator ordered.
    #[error("this {order} would replace {}", in_words(.replaced))]
    WouldReplace {
        /// What was ordered.
        order: OverrideKind,
        /// What it would end.
        replaced: Vec<Replaced>,
    },
    /// Nobody would be left to take the region's traffic.
    #[error("{}", last_serving(.region, .carrier))]
    LastServing {
        /// The region.
        region: RegionName,
        /// The drained region that would have the traffic.
        carrier: RegionName,
    },
    /// Nothing to take back.
    #[error("no override stands for {}", .0.as_ref().map_or("the whole mesh", RegionName::as_str))]
    NothingStands(Option<RegionName>),
    /// A text would forge lines of a log, or rewrite a terminal.
    #[error(
        "`{what}` holds {found:?}; control characters, line breaks and changes of direction are \
            not allowed"
    )]
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
        let of = self
            .region
            .as_ref()
            .map_or("the whole mesh", RegionName::as_str);
        write!(f, "{} of {of} by {} ({})", self.kind, self.by, self.why)
    }
}

impl fmt::Display for Replaced {
    /// `the drain of eu-west-1 by ann (maintenance), 1 h 30 min left`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the {}, {} left",
            self.standing,
            duration_in_words(self.left_ms)
        )
    }
}

fn last_serving(region: &RegionName, carrier: &RegionName) -> String {
    let head =
        format!("{region} is the last region that can serve: it would be drained in name only");
    if region == carrier {
        format!("{head} and keep its traffic")
    } else {
        format!("{head}, or its traffic would go to {carrier}, which is drained as well")
    }
}

fn in_words(replaced: &[Replaced]) -> String {
    replaced
        .iter()
        .map(Replaced::to_string)
        .collect::<Vec<_>>()
        .join(" and ")
}

/// `2 h 5 min`, `45 s`: the two largest units.
pub(super) fn duration_in_words(ms: u64) -> String {
    let s = ms.div_ceil(1_000);
    let d = s / 86_400;
    let h = s / 3_600 % 24;
    let min = s / 60 % 60;

    match (d, h, min) {
        (0, 0, 0) => format!("{s} s"),
        (0, 0, _) if s.is_multiple_of(60) => format!("{min} min"),
        (0, 0, _) => format!("{min} min {} s", s % 60),
        (0, _, 0) => format!("{h} h"),
        (0, ..) => format!("{h} h {min} min"),
        (_, 0, _) => format!("{d} d"),
        _ => format!("{d} d {h} h"),
    }
}

/// The plan that follows from an order; one follows always, since who ordered what is part of it.
pub fn plan_order(
    current: Option<&Plan>,
    order: &Order,
    inputs: &PlanInputs,
    now_ms: u64,
) -> Result<Plan, OrderError> {
    let current = current.ok_or(OrderError::NoPlan)?;
    let (overrides, reason) = apply(&current.overrides, order, inputs, now_ms)?;
    let mut plan = next::plan_with(current, overrides, reason, inputs, now_ms);

    let Some(region) = &order.region else {
        return Ok(plan);
    };
    let note = match order.action {
        OrderAction::Set(OverrideKind::Drain) => match carrier_of_a_drain(current, &plan, region) {
            Some(carrier) if !order.is_forced => {
                return Err(OrderError::LastServing {
                    region: region.clone(),
                    carrier: carrier.clone(),
                });
            }
            Some(carrier) if carrier == region => Some(format!(
                "{region} is drained in name only and keeps its traffic: no other \
                    region can serve"
            )),
            Some(carrier) => Some(format!(
                "{carrier} takes the traffic although it is drained: no other region \
                    can serve"
            )),
            None => None,
        },
        OrderAction::Set(OverrideKind::Promote) => plan
            .regions
            .get(region)
            .filter(|part| !is_in_service(part))
            .map(|_| {
                format!(
                    "{region} comes back by cool-down and ramp first; an immediate \
                promotion skips them"
                )
            }),
        OrderAction::Restore => held_at_nothing(&plan, region, now_ms),
        OrderAction::Set(OverrideKind::Hold) | OrderAction::Member(_) => None,
    };

    if let Some(note) = note {
        add_reason(&mut plan, &note);
    }
    Ok(plan)
}

/// The drained region that has traffic only because `drained` is to have none, or `drained` itself
/// if it keeps its own.
fn carrier_of_a_drain<'a>(
    current: &Plan,
    plan: &'a Plan,
    drained: &RegionName,
) -> Option<&'a RegionName> {
    let is_drained = |name: &RegionName| {
        plan.override_of(Some(name))
            .is_some_and(|standing| standing.kind == OverrideKind::Drain)
    };
    let had_nothing = |name: &RegionName| {
        current
            .regions
            .get(name)
            .is_none_or(|part| part.weight_bp == 0)
    };

    let carrying = plan
        .regions
        .iter()
        .filter(|(name, part)| part.weight_bp > 0 && is_drained(name));
    let mut carrying = carrying
        .map(|(name, _)| name)
        .filter(|name| *name == drained || had_nothing(name));

    carrying.next()
}

/// Why a region whose order was taken back still gets nothing, if a hold is the reason.
fn held_at_nothing(plan: &Plan, region: &RegionName, now_ms: u64) -> Option<String> {
    let hold = Orders::of(&plan.overrides, region).hold()?;
    let part = plan
        .regions
        .get(region)
        .filter(|part| part.weight_bp == 0)?;
    let at = if is_in_service(part) {
        "stays as it is"
    } else {
        "stays at 0 %"
    };
    let left = duration_in_words(hold.expires_ms.saturating_sub(now_ms));

    Some(format!(
        "{region} {at} while the {hold} stands, {left} left"
    ))
}

fn add_reason(plan: &mut Plan, reason: &str) {
    plan.reason = format!("{}; {reason}", plan.reason);
    if plan.reason.len() > next::REASON_MAX {
        plan.reason
            .truncate(plan.reason.floor_char_boundary(next::REASON_MAX));
        plan.reason.push('…');
    }
}

/// Whether a region is in full service, or only cut for a suspicion.
fn is_in_service(part: &RegionPlan) -> bool {
    matches!(part.standing, Standing::Serving | Standing::Reduced)
}

/// Who and why must be said, and not at any length.
pub(super) fn check_texts(order: &Order) -> Result<(), OrderError> {
    for (what, text, limit) in [("by", &order.by, BY_MAX), ("why", &order.why, WHY_MAX)] {
        let length = text.chars().count();
        if length == 0 || length > limit {
            return Err(OrderError::Text {
                what: what.into(),
                length,
                limit,
            });
        }

        if let Some(found) = unprintable(text) {
            return Err(OrderError::Unprintable {
                what: what.into(),
                found,
            });
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
    if let Some(region) = order
        .region
        .as_ref()
        .filter(|region| !inputs.regions.contains_key(*region))
    {
        return Err(OrderError::UnknownRegion(region.clone()));
    }

    check_texts(order)?;
    let is_promotion = order.action == OrderAction::Set(OverrideKind::Promote);

    // Two regions can't both get all.
    let ends = |other: &Override| {
        other.region == order.region || (is_promotion && other.kind == OverrideKind::Promote)
    };
    let (ended, mut kept): (Vec<Override>, Vec<Override>) =
        standing.iter().cloned().partition(ends);
    let with_time_left = |standing: Override| {
        let left_ms = standing.expires_ms.saturating_sub(now_ms);
        Replaced { standing, left_ms }
    };

    let replaced: Vec<Replaced> = ended
        .into_iter()
        .map(with_time_left)
        .filter(|replaced| replaced.left_ms > 0)
        .collect();
    let kind = match &order.action {
        OrderAction::Member(_) => return Err(MemberOrderError::NoOverride.into()),
        OrderAction::Restore => {
            if replaced.is_empty() {
                return Err(OrderError::NothingStands(order.region.clone()));
            }

            let of = order
                .region
                .as_ref()
                .map_or("the whole mesh", RegionName::as_str);
            let ended = in_words(&replaced);
            let reason = format!(
                "{of}: restored by {} ({}), which ends {ended}",
                order.by, order.why
            );

            return Ok((kept, reason));
        }
        OrderAction::Set(kind) => *kind,
    };

    if !(FOR_MIN_MS..=FOR_MAX_MS).contains(&order.for_ms) {
        return Err(OrderError::Duration(order.for_ms));
    }
    if kind != OverrideKind::Hold && order.region.is_none() {
        return Err(OrderError::NoRegion(kind));
    }

    if is_promotion {
        let input = order
            .region
            .as_ref()
            .and_then(|region| Some((region, inputs.regions.get(region)?)));

        if let Some((region, input)) = input
            && matches!(input.condition, Condition::Failed | Condition::Draining)
        {
            let condition = input.condition;
            let reason = input.reason.clone();
            return Err(OrderError::Unfit {
                region: region.clone(),
                condition,
                reason,
            });
        }
    }

    let of_others: Vec<Replaced> = replaced
        .iter()
        .filter(|replaced| replaced.standing.by != order.by)
        .cloned()
        .collect();

    if !order.is_forced && !of_others.is_empty() {
        return Err(OrderError::WouldReplace {
            order: kind,
            replaced: of_others,
        });
    }

    if kept.len() >= OVERRIDES_MAX {
        return Err(OrderError::TooMany);
    }

    let set = Override {
        region: order.region.clone(),
        kind,
        by: order.by.clone(),
        why: order.why.clone(),
        is_immediate: is_promotion && order.is_immediate,
        set_ms: now_ms,
        expires_ms: now_ms.saturating_add(order.for_ms),
    };

    let mut reason = format!("ordered: {set}");
    if !replaced.is_empty() {
        reason += &format!(", which replaces {}", in_words(&replaced));
    }
    kept.push(set);
    Ok((kept, reason))
}
