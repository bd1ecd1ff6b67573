//! Whether a plan that a leader proposes has a reason that this agent knows: external validity, as
//! in Cachin, Kursawe, Petzold and Shoup (2001). Votes of acceptors alone say that a value was
//! agreed on, not that it is good; an elected thief would have any value agreed on. So an agent
//! asks its region's acceptor to accept a value, and signs that, only if [`judge`] finds nothing
//! against it (Castro and Liskov 1999: correct replicas accept only what they could have proposed).
//!
//! The plan is compared with the last one that is proven to be committed:
//!
//! - A region loses traffic only by an order of an operator, by its own wish, or if this agent does
//!   not see it clearly healthy. It gets traffic only step by step, and not while this agent sees it
//!   clearly down, unless no other region is left. At most `max_out` are taken out.
//! - Weights follow from the traffic states: an agent computes them again.
//! - An override begins or ends only by an order whose proof is valid and not used before, or by
//!   its expiry. So do members, except that an acceptor may lose its vote or get it back.
//!
//! Why honest leaders are not stopped. Whatever a leader bases a plan on reaches the other agents
//! within moments: verdicts follow from the same signed observations, and orders travel with the
//! plan. Where honest agents can differ, the benefit of the doubt is the leader's ([`Sight`]): a
//! verdict that changed a moment ago, or is unknown, objects to nothing. An objection is an answer,
//! not a failure: the leader asks again, and makes another plan if a majority keeps objecting.
//!
//! Why a thief moves nothing. A plan needs the signatures of a majority of regions. With the key of
//! one region at most, at least one honest agent has found a reason for each change. What a thief
//! can still do is bounded by what an honest agent would believe; see `docs/explanation/security.md`.

mod members;
mod moves;
mod orders;
mod shares;

use super::PlanSettings;
use regionmesh_protocol::{
    identity::RegionName,
    plan::{Order, Plan},
};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};
use strum::IntoStaticStr;
use thiserror::Error;

/// Times of honest agents differ by no more than this, milliseconds.
const TOLERANCE_MS: u64 = 5_000;

/// What one agent sees of a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// The verdict is healthy, the agent's own probes do not contradict, and that is not new.
    Healthy,
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
    /// The region of the proposer.
    pub proposer: &'a RegionName,
    /// Whether the age of the last plan was measured: else its times prove nothing.
    pub knows_age: bool,
    /// Unix milliseconds.
    pub now_ms: u64,
}

impl Grounds<'_> {
    fn sight(&self, region: &RegionName) -> Sight {
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
    #[error("{0} would not be answered with an address that works")]
    DropsAddress(RegionName),
    #[error("the weights don't follow from the traffic states and this agent's configuration")]
    Weights,
    #[error("traffic would move for cost, which this agent's configuration does not allow")]
    Cost,
    #[error("no region would be answered")]
    Empty,
    #[error("no proven order sets the {0}")]
    UnprovenOrder(String),
    #[error("nothing ends the {0}")]
    EndsOrder(String),
    #[error("the members change without a reason: {0}")]
    Members(String),
}

impl Objection {
    /// The word for it, as in metric labels.
    pub fn reason(&self) -> &'static str {
        self.into()
    }
}

/// Judges the plan `next`. `base`: the last plan known to be committed, by this agent's clock.
pub fn judge(base: Option<&Plan>, next: &Plan, grounds: &Grounds<'_>) -> Result<(), Objection> {
    let renamed = members::check(base, next, grounds)?;
    let base = base.map(|base| match renamed {
        Some((old, new)) => {
            let mut base = base.clone();
            super::membership::rename(&mut base, &old, &new);
            Cow::Owned(base)
        }
        None => Cow::Borrowed(base),
    });
    let base = base.as_deref();

    orders::check(base, next, grounds)?;
    moves::check(base, next, grounds)?;
    shares::check(base, next, grounds)
}
