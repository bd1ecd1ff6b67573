//! What an agent judges by, and what it may object.

use crate::planning::PlanSettings;
use regionmesh_protocol::{
    identity::RegionName,
    plan::{Order, Override},
    register::members::Incarnation,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};
use strum::IntoStaticStr;
use thiserror::Error;

/// Measured times of honest agents differ by no more than this, milliseconds.
pub(super) const TOLERANCE_MS: u64 = 5_000;
/// Estimated ones, by wall clocks, differ by no more than this, milliseconds.
pub(crate) const ESTIMATE_MS: u64 = 120_000;

/// How long ago something began, as this agent knows it, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age {
    pub ms: u64,
    /// By how much that may be wrong.
    pub error_ms: u64,
    /// Whether it is by the monotonic clock.
    pub is_measured: bool,
}

impl Age {
    /// The longest that it can be.
    pub(super) fn most_ms(self) -> u64 {
        self.ms.saturating_add(self.error_ms)
    }
}

/// How well this agent knows the times of the last plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// It has measured the plan's age.
    Measured,
    /// It goes by its wall clock.
    Estimated,
    /// They are of another agent's clock.
    Foreign,
}

/// What one agent sees of a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// The verdict is healthy, the agent's own probes do not contradict, and that is not new.
    Healthy,
    /// The same, but the agent's own probes contradict, or did a moment ago.
    Doubted,
    /// Nothing clear.
    Unsure,
    /// The verdict is failed or draining, and that is not new.
    Down,
    /// The agent has just started and knows no verdict yet.
    TooEarly,
}

/// What an agent knows when it judges a plan.
#[derive(Debug, Clone)]
pub struct Grounds<'a> {
    pub settings: &'a PlanSettings,
    /// The configured acceptors.
    pub configured: &'a BTreeSet<RegionName>,
    pub sights: BTreeMap<RegionName, Sight>,
    /// Regions that report that they drain.
    pub draining: BTreeSet<RegionName>,
    /// Addresses that are not judged healthy.
    pub doubtful: BTreeSet<IpAddr>,
    /// Orders of the plan with a valid proof that was not used before.
    pub orders: Vec<&'a Order>,
    /// Those with a valid proof that do not count any more.
    pub stale: Vec<&'a Order>,
    /// How long ago orders were given, by their nonces, as far as this agent knows.
    pub order_ages: BTreeMap<[u8; 16], Age>,
    /// The steps of the ramp on which this agent saw regions begin, and how long ago.
    pub steps: BTreeMap<RegionName, (usize, Age)>,
    /// Regions that left their service for no reason that this agent knew, and that the last plan
    /// does not count as taken out.
    pub away: BTreeSet<RegionName>,
    /// Overrides of the last plan that have expired.
    pub expired: Vec<Override>,
    /// The region of the proposer.
    pub proposer: &'a RegionName,
    /// How long each region's verdict has not been unwell, milliseconds; none: it never was.
    pub well_ms: BTreeMap<RegionName, u64>,
    /// This agent's region, and the incarnation of its acceptor.
    pub own: (&'a RegionName, Incarnation),
    pub times: Times,
    /// The mesh's load, requests per second, if this agent has measured all of it.
    pub load_rps: Option<u32>,
    /// Unix milliseconds.
    pub now_ms: u64,
}

impl Grounds<'_> {
    /// By how much the times of the last plan may be wrong, milliseconds; none: by anything.
    pub(super) fn error_ms(&self) -> Option<u64> {
        match self.times {
            Times::Measured => Some(TOLERANCE_MS),
            Times::Estimated => Some(ESTIMATE_MS),
            Times::Foreign => None,
        }
    }

    /// The longest that it can be since a time of the last plan, milliseconds.
    pub(super) fn at_most_ms(&self, since_ms: u64) -> u64 {
        let elapsed_ms = self.now_ms.saturating_sub(since_ms);
        let error_ms = self.error_ms();
        error_ms.map_or(u64::MAX, |error_ms| elapsed_ms.saturating_add(error_ms))
    }

    pub(super) fn age_of(&self, order: &Order) -> Option<Age> {
        let proof = order.proof.as_ref()?;
        self.order_ages.get(&proof.nonce).copied()
    }

    pub(super) fn sight(&self, region: &RegionName) -> Sight {
        let sight = self.sights.get(region);
        sight.copied().unwrap_or(Sight::Unsure)
    }
}

/// What an agent has against a plan.
#[derive(Debug, Clone, PartialEq, Eq, Error, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Objection {
    #[error("{0} would lose traffic, and is healthy as seen from here")]
    TakesTraffic(RegionName),
    #[error("{0} would get traffic, and is down as seen from here")]
    GivesTraffic(RegionName),
    #[error("{0} would get more traffic than cool-down and ramp allow")]
    TooFast(RegionName),
    #[error("{out} regions would be taken out, at most {max_out} may be")]
    TooManyOut { out: usize, max_out: u16 },
    #[error("{0} would be out for a reason that it has not")]
    FalseAbsence(RegionName),
    #[error("{0} would not be answered with an address that works")]
    DropsAddress(RegionName),
    #[error("the weights don't follow from the traffic states and this agent's configuration")]
    Weights,
    #[error("traffic would move for cost, which this agent's configuration does not allow")]
    Cost,
    #[error("no region would be answered")]
    Empty,
    #[error("it names {0} orders, more than a plan can need")]
    TooManyOrders(usize),
    #[error("no operator gave the {0}")]
    ForgedOrder(String),
    #[error("an order no longer counts, or was never known here: the {0}")]
    UnprovenOrder(String),
    #[error("nothing ends the {0}")]
    EndsOrder(String),
    #[error("the {0} would not end when it was ordered to")]
    OrderTime(String),
    #[error("the order by {0} would be forgotten")]
    DropsOrder(String),
    #[error("the load is planned as {planned} requests/s, and is {measured} as seen from here")]
    Load { planned: u32, measured: u32 },
    #[error("the members change without a reason: {0}")]
    Members(String),
}

impl Objection {
    /// Whether it holds at any time, so that an honest agent never accepted the plan. An order with
    /// a valid proof may have counted once.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::ForgedOrder(_))
    }

    /// The word for it, as in metric labels.
    pub fn reason(&self) -> &'static str {
        self.into()
    }
}
