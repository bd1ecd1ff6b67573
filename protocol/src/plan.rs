//! The plan: which region gets which share of traffic, and why.
//!
//! The contents of plans and orders. The rules that make plans are in `regionmesh-core`.

use crate::{
    identity::RegionName,
    register::{ballot::Stamp, certificate::Certificate, members::Members},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::IpAddr};
use strum::{IntoStaticStr, VariantNames};

mod cost;
mod member_order;
mod order;
mod time;

pub use cost::{COST_FACTOR_MIN_BP, CostShift, weighted_bp};
pub use member_order::{MemberOrder, MemberOrderError};
pub use order::{
    BY_MAX, FOR_MAX_MS, FOR_MIN_MS, OVERRIDES_MAX, Order, OrderAction, OrderError, OrderProof,
    Override, OverrideKind, Replaced, WHY_MAX,
};
pub use time::{PlanAge, PlanTime, SHIFT_MIN_MS, difference, moved};

/// A full share, basis points. Weights are relative; the strategy's weight of a healthy region is
/// at most this.
pub const FULL_WEIGHT_BP: u16 = 10_000;

/// Most orders without an override that a plan keeps: an agent misses fewer plans than that.
pub const ENDED_ORDERS_MAX: usize = 8;

/// A region's traffic state in the plan.
#[derive(
    Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, VariantNames,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum TrafficState {
    /// Gets its share.
    #[default]
    Serving,
    /// Suspect: its share is cut until it answers again.
    Reduced,
    /// Failed, but automation already has as many regions out as it may: keeps the share of a
    /// suspect region.
    Limited {
        /// Since when, Unix milliseconds.
        since_ms: u64,
        /// Since when it is healthy again, Unix milliseconds; none while it is not. Its cool-down
        /// counts from then.
        healthy_ms: Option<u64>,
    },
    /// Failed or draining: gets nothing.
    Out {
        /// Since when, Unix milliseconds.
        since_ms: u64,
    },
    /// Answers again, and must stay healthy until its cool-down ends.
    CoolingDown {
        /// Healthy since, Unix milliseconds.
        since_ms: u64,
    },
    /// Takes traffic back step by step.
    Ramping {
        /// Index into the ramp's steps.
        step: usize,
        /// When this step began, Unix milliseconds.
        since_ms: u64,
    },
}

/// Why a region has no traffic, or not all of its traffic yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Absence {
    /// Automation took its traffic away, since it failed. Only these count against
    /// `max_out`.
    Failed,
    /// It failed while it had no traffic: no users were moved.
    Idle,
    /// Its own agents asked to drain it.
    Draining,
    /// An operator ordered it.
    Ordered,
    /// It joined the mesh and had no traffic yet.
    Joined,
}

/// One region's part of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionPlan {
    /// Share of traffic relative to the other regions, basis points of a full share; 0 is none.
    pub weight_bp: u16,
    pub traffic_state: TrafficState,
    /// What DNS answers for the region; never empty in a committed plan.
    pub addresses: Vec<IpAddr>,
    /// Recent failures; they lengthen its cool-down.
    pub flaps: u32,
    /// When it last failed, leader's clock, Unix milliseconds; 0 if never. Decides when `flaps` is
    /// reset.
    pub failed_ms: u64,
    /// Why it is out, cooling down or on the ramp; none while it serves.
    pub absence: Option<Absence>,
    /// How often the hold of its present ramp step was doubled.
    pub hold_doublings: u8,
}

/// Load that the capacity guard kept from moving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortfall {
    /// The planned load of the whole mesh, requests per second.
    pub load_rps: u32,
    /// How much of it stays in regions that should have lost it, requests per second.
    pub unmoved_rps: u32,
}

/// The load that a plan's weights are based on; kept so that a failure, which hides the load of the
/// failed region, does not make the guard forget it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedLoad {
    /// Of the whole mesh, requests per second.
    pub rps: u32,
    /// When it was measured, leader's clock, Unix milliseconds.
    pub measured_ms: u64,
}

/// An order that has no effect at present: obeying it would keep users on a failed region although
/// another could serve them, or the region that it promotes has failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct YieldedOrder {
    /// The region of the order; none: the whole mesh.
    pub order: Option<RegionName>,
    /// The region that is planned for as if the order did not exist.
    pub region: RegionName,
    /// Since when, leader's clock, Unix milliseconds.
    pub since_ms: u64,
}

/// Which region gets which share of traffic: the value that the register agrees on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Every region of the mesh.
    pub regions: BTreeMap<RegionName, RegionPlan>,
    /// Why this plan differs from the one before, for people.
    pub reason: String,
    /// When it was made, leader's clock, Unix milliseconds. All times in a plan are by that clock;
    /// [`PlanTime`] converts them to another.
    pub made_ms: u64,
    /// Operators' orders that have not expired: at most one per region and one for the whole mesh.
    pub overrides: Vec<Override>,
    /// Load that could not be moved for lack of capacity.
    pub shortfall: Option<Shortfall>,
    /// The planned load, if a region has a declared capacity.
    pub load: Option<PlannedLoad>,
    /// The acceptors that decide about the next plan.
    pub members: Members,
    /// Orders that yield at present.
    #[serde(default)]
    pub yielded: Vec<YieldedOrder>,
    /// Since when the verdict on every region has been failed, leader's clock, Unix milliseconds;
    /// none while one serves. While it is set, the last shares stay.
    #[serde(default)]
    pub all_failed_ms: Option<u64>,
    /// Traffic that is moved to cheaper regions.
    #[serde(default)]
    pub cost: CostShift,
    /// The proven orders that the overrides come from, and the last ones that ended an override or
    /// changed the members: an agent that judges this plan needs them.
    #[serde(default)]
    pub orders: Vec<Order>,
}

/// A plan that a majority of the acceptors accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommittedPlan {
    /// Its place in the order of plans; a later stamp outranks an earlier one.
    pub stamp: Stamp,
    pub plan: Plan,
    /// Who accepted it. Empty if this agent learned of the plan from the acceptors themselves, and
    /// in the history.
    #[serde(default)]
    pub certificate: Certificate,
}

impl Plan {
    /// Sum of all weights, basis points.
    pub fn total_weight_bp(&self) -> u32 {
        self.regions
            .values()
            .map(|region| u32::from(region.weight_bp))
            .sum()
    }

    /// Each region's fraction of the traffic, 0 to 1; they add up to 1 unless every weight is 0.
    pub fn shares(&self) -> BTreeMap<RegionName, f64> {
        let total = f64::from(self.total_weight_bp().max(1));
        self.regions
            .iter()
            .map(|(name, region)| (name.clone(), f64::from(region.weight_bp) / total))
            .collect()
    }

    /// The override for `region`, or, with none, for the whole mesh.
    pub fn override_of(&self, region: Option<&RegionName>) -> Option<&Override> {
        self.overrides
            .iter()
            .find(|existing| existing.region.as_ref() == region)
    }

    /// Whether it equals `other` except for its regions' addresses and its description.
    pub fn differs_in_addresses_only(&self, other: &Self) -> bool {
        let same = |((name, region), (other_name, other)): (
            (&RegionName, &RegionPlan),
            (&RegionName, &RegionPlan),
        )| {
            let region = RegionPlan {
                addresses: other.addresses.clone(),
                ..region.clone()
            };
            name == other_name && region == *other
        };

        let is_new = self.regions != other.regions;
        is_new
            && self.regions.len() == other.regions.len()
            && self.regions.iter().zip(&other.regions).all(same)
            && self.overrides == other.overrides
            && self.yielded == other.yielded
            && self.all_failed_ms == other.all_failed_ms
            && self.cost == other.cost
    }

    /// The regions that automation took out and has not let back in.
    pub fn taken_out(&self) -> impl Iterator<Item = &RegionName> {
        self.regions
            .iter()
            .filter(|(_, region)| region.is_taken_out())
            .map(|(name, _)| name)
    }

    /// The regions that get traffic now, with their weights and addresses.
    pub fn carrying(&self) -> impl Iterator<Item = (&RegionName, &RegionPlan)> {
        self.regions
            .iter()
            .filter(|(_, region)| region.weight_bp > 0 && !region.addresses.is_empty())
    }
}

impl Plan {
    /// Whether it has nothing that operators ordered and `other` has not. Times differ by leaders'
    /// clocks.
    pub fn adds_no_order_to(&self, other: &Self) -> bool {
        let is_in_other = |existing: &Override| {
            let mut overrides = other.overrides.iter();
            overrides.any(|known| existing.is_same(known))
        };

        self.overrides.iter().all(is_in_other)
            && self.orders.iter().all(|order| other.orders.contains(order))
            && self.members == other.members
    }

    /// The orders of no override in effect, the first first.
    pub fn ended_orders(&self) -> impl Iterator<Item = &Order> {
        self.orders.iter().filter(|order| {
            let mut overrides = self.overrides.iter();
            !overrides.any(|existing| order.sets(existing))
        })
    }

    /// The last order that sets this override.
    pub fn order_of(&self, existing: &Override) -> Option<&Order> {
        self.orders.iter().rev().find(|order| order.sets(existing))
    }

    /// Adds the order that led to this plan, and forgets old ones without an override.
    pub fn add_order(&mut self, order: Order) {
        self.orders.push(order);

        let overrides = &self.overrides;
        let is_set = |order: &Order| overrides.iter().any(|existing| order.sets(existing));
        let ended = self.ended_orders().count();
        let mut surplus = ended.saturating_sub(ENDED_ORDERS_MAX);

        self.orders.retain(|order| {
            let is_surplus = surplus > 0 && !is_set(order);
            surplus -= usize::from(is_surplus);
            !is_surplus
        });
    }
}

impl TrafficState {
    /// Every word that [`Self::as_str`] returns.
    pub const WORDS: &'static [&'static str] = Self::VARIANTS;

    /// The word for it, as in JSON, metrics and commands.
    pub fn as_str(&self) -> &'static str {
        self.into()
    }

    /// When this state, or the present step of the ramp, began, Unix milliseconds; none if the plan
    /// does not record it: at full share, and while suspect.
    pub fn since_ms(&self) -> Option<u64> {
        match self {
            Self::Serving | Self::Reduced => None,
            Self::Limited { since_ms, .. }
            | Self::Out { since_ms }
            | Self::CoolingDown { since_ms }
            | Self::Ramping { since_ms, .. } => Some(*since_ms),
        }
    }
}

impl RegionPlan {
    /// Whether it is neither out nor on its way back.
    pub fn is_in_service(&self) -> bool {
        matches!(
            self.traffic_state,
            TrafficState::Serving | TrafficState::Reduced | TrafficState::Limited { .. }
        )
    }

    /// Whether it is out, and not on the ramp either.
    pub fn is_out(&self) -> bool {
        matches!(
            self.traffic_state,
            TrafficState::Out { .. } | TrafficState::CoolingDown { .. }
        )
    }

    /// Whether automation took it out and has not let it back in.
    pub fn is_taken_out(&self) -> bool {
        self.absence == Some(Absence::Failed) && self.is_out()
    }
}
