//! What must hold at every step, and what it takes to check that.

use super::{
    fault::OrderKind,
    models::told::ModelLaws,
    shape::{Profile, Shape},
    sometimes::{Reached, Sometimes},
};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{CommittedPlan, OverrideKind, Plan, TrafficState},
    register::{ballot::Stamp, members::Incarnation},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// A law that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which law.
    pub law: &'static str,
    /// What happened.
    pub what: String,
    /// When, virtual time.
    pub(crate) at_ms: u64,
}

/// An operator's order, from when it is given to its end.
#[derive(Debug, Clone)]
pub(crate) struct GivenOrder {
    pub(crate) kind: OrderKind,
    /// Unique: the `by` of its override.
    pub(crate) by: String,
    pub(crate) given_ms: u64,
    pub(crate) for_ms: u64,
    /// The plan that it was acknowledged with.
    pub(crate) acknowledged: Option<Stamp>,
    /// Whether its outcome is known. If not, it may still be carried out.
    pub(crate) is_settled: bool,
    /// Whether another order may have ended it.
    pub(crate) is_superseded: bool,
}

/// Only so many of the latest proposals can be repeated by a new leader.
const REPEATED_MAX: usize = 32;

/// Regions that a proposed plan takes out although they work.
#[derive(Debug)]
pub(crate) struct WrongExits {
    pub(crate) plan: Arc<Plan>,
    pub(crate) count: u64,
}

/// What was observed so far.
#[derive(Debug, Default)]
pub(crate) struct Laws {
    /// Every value that is durable in some acceptor, and in which.
    pub(crate) accepted: BTreeMap<Stamp, (Arc<Plan>, BTreeSet<Incarnation>)>,
    /// Every value that some leader asked acceptors for.
    pub(crate) proposed: BTreeMap<Stamp, Arc<Plan>>,
    /// Every value that some leader called committed.
    pub(crate) committed: BTreeMap<Stamp, Arc<Plan>>,
    pub(crate) first_plan_ms: Option<u64>,
    pub(crate) orders: Vec<GivenOrder>,
    pub(crate) elections: u64,
    pub(crate) models: ModelLaws,
    /// Whether an honest agent has served a plan whose times a thief made up.
    pub(crate) is_time_forged: bool,
    /// Of proposed plans that are not committed yet.
    pub(crate) wrong_exits: Vec<WrongExits>,
    /// Regions that committed plans took out although they worked.
    pub(crate) wrong_failovers: u64,
    /// No majority of the acceptors kept its state.
    pub(crate) is_stuck: bool,
    /// A leader, DNS and votes were right at the same time after healing.
    pub(crate) has_healed: bool,
    /// The first law that was broken.
    pub(crate) broken: Option<Violation>,
}

impl Laws {
    /// The latest value called committed.
    pub(crate) fn latest(&self) -> Option<(&Stamp, &Arc<Plan>)> {
        self.committed.last_key_value()
    }

    pub(crate) fn break_law(&mut self, law: &'static str, at_ms: u64, what: String) {
        self.broken.get_or_insert(Violation { law, what, at_ms });
    }

    /// Whether a plan is one that was proposed before, under another stamp.
    pub(crate) fn is_proposed_lately(&self, plan: &Plan) -> bool {
        let mut latest = self.proposed.values().rev().take(REPEATED_MAX);
        latest.any(|proposed| **proposed == *plan)
    }

    /// A plan is committed: its wrong exits count once. Where nothing but packets is lost, there
    /// may be none.
    pub(crate) fn count_wrong_failovers(&mut self, plan: &Plan, profile: Profile, at_ms: u64) {
        let committed = self
            .wrong_exits
            .extract_if(.., |wrong| *wrong.plan == *plan);
        let count = committed.map(|wrong| wrong.count).sum::<u64>();
        self.wrong_failovers += count;

        if count > 0 && profile != Profile::Swarm {
            let law = "no region that works is taken out";
            self.break_law(law, at_ms, plan.reason.clone());
        }
    }

    /// A slot became the newest of its store: the acceptor of `incarnation` has accepted this.
    pub(crate) fn accepted(
        &mut self,
        incarnation: Incarnation,
        accepted: Option<&(Stamp, Plan)>,
        at_ms: u64,
    ) {
        let Some((stamp, plan)) = accepted else {
            return;
        };
        if let Some((first, votes)) = self.accepted.get_mut(stamp) {
            votes.insert(incarnation);
            if **first != *plan {
                let what = format!("{stamp} carries {:?} and {:?}", first.reason, plan.reason);
                self.break_law("one value per stamp", at_ms, what);
            }
            return;
        }

        let votes = BTreeSet::from([incarnation]);
        self.accepted
            .insert(stamp.clone(), (Arc::new(plan.clone()), votes));
    }

    /// Whether a majority has accepted this value: of the members that it names, or of those that
    /// the value before it names.
    fn has_majority(&self, stamp: &Stamp) -> bool {
        let Some((plan, votes)) = self.accepted.get(stamp) else {
            return false;
        };
        let before = self.before(stamp).map(|(_, before)| &before.members);

        plan.members.has_majority(votes)
            || before.is_some_and(|members| members.has_majority(votes))
    }

    /// A leader calls a value committed.
    pub(crate) fn committed(&mut self, stamp: &Stamp, plan: &Arc<Plan>, shape: &Shape, at_ms: u64) {
        if let Some(first) = self.committed.get(stamp) {
            if first != plan {
                let what = format!("{stamp}: {:?} and {:?}", first.reason, plan.reason);
                self.break_law("one committed value per stamp", at_ms, what);
            }
            return;
        }

        let is_accepted = self
            .accepted
            .get(stamp)
            .is_some_and(|(accepted, _)| accepted == plan);
        if !is_accepted || !self.has_majority(stamp) {
            let what = format!("{stamp} ({}) was not accepted by a majority", plan.reason);
            self.break_law("committed means accepted by a majority", at_ms, what);
        }

        if shape.liar.is_none() {
            self.check_place(stamp, at_ms);
        }
        let before = self.before(stamp).map(|(_, before)| before.clone());
        let is_exit = before.is_some_and(|before| takes_out(&before, plan));
        let out = plan.taken_out().count();
        if is_exit && out > usize::from(shape.max_out) {
            let what = format!("{stamp}: automation has {out} regions out");
            self.break_law("at most max_out regions are taken out", at_ms, what);
        }
        if plan.carrying().next().is_none() {
            let what = format!("{stamp} ({})", plan.reason);
            self.break_law("no plan without an answer", at_ms, what);
        }

        self.first_plan_ms.get_or_insert(at_ms);
        self.committed.insert(stamp.clone(), plan.clone());
    }

    fn before(&self, stamp: &Stamp) -> Option<(&Stamp, &Arc<Plan>)> {
        self.committed.range(..stamp).next_back()
    }

    /// A leader that missed a committed plan would use its number, or a lower one, again. If an
    /// acceptor lies, a leader may miss one that it has not heard of; the orders in it hold.
    fn check_place(&mut self, stamp: &Stamp, at_ms: u64) {
        let before = self.before(stamp).map(|(before, _)| before);
        let after = self.committed.range(stamp..).next().map(|(after, _)| after);
        let is_ordered = before.is_none_or(|before| before.seq < stamp.seq)
            && after.is_none_or(|after| after.seq > stamp.seq);

        if !is_ordered {
            let what = format!("{stamp} is committed between {before:?} and {after:?}");
            self.break_law("no committed plan is lost", at_ms, what);
        }
    }

    /// A plan that is served must be one that was committed.
    pub(crate) fn served(&mut self, plan: &CommittedPlan, before: Option<&Stamp>, at_ms: u64) {
        let is_committed = self
            .committed
            .get(&plan.stamp)
            .is_some_and(|committed| **committed == plan.plan);
        if !is_committed {
            let what = format!("{} ({}) is served", plan.stamp, plan.plan.reason);
            self.break_law("only committed plans are served", at_ms, what);
        }

        if let Some(before) = before.filter(|before| **before > plan.stamp) {
            let what = format!("{} follows {before}", plan.stamp);
            self.break_law("plans only advance at a DNS server", at_ms, what);
        }
    }

    /// Counts what is interesting about a newly committed plan.
    pub(crate) fn count(&self, stamp: &Stamp, reached: &mut Reached) {
        let Some(plan) = self.committed.get(stamp) else {
            return;
        };
        let before = self.before(stamp);
        let words = |plan: &Plan, word: &str| {
            plan.regions
                .values()
                .any(|part| part.traffic_state.as_str() == word)
        };

        if words(plan, "limited") {
            reached.count(Sometimes::Limited);
        }
        if plan.all_failed_ms.is_some() {
            reached.count(Sometimes::AllFailed);
        }
        if !plan.yielded.is_empty() {
            reached.count(Sometimes::OrderYielded);
        }
        if plan.regions.keys().all(|name| is_drained(plan, name)) {
            reached.count(Sometimes::AllDrained);
        }
        if plan.taken_out().next().is_some() {
            reached.count(Sometimes::RegionOut);
        }

        let Some((before_stamp, before)) = before else {
            return;
        };
        if before.members != plan.members {
            reached.count(Sometimes::MembersChanged);
        }
        if before_stamp.ballot != stamp.ballot && !plan.overrides.is_empty() {
            reached.count(Sometimes::OrderOutlivedLeader);
        }

        let is_back = plan.regions.iter().any(|(name, part)| {
            let was_ramping = before
                .regions
                .get(name)
                .is_some_and(|part| part.traffic_state.as_str() == "ramping");
            was_ramping && part.traffic_state.as_str() == "serving"
        });
        if is_back {
            reached.count(Sometimes::RegionBack);
        }
    }
}

/// Whether a plan takes a region out that served. One that fails on the ramp loses what it had been
/// given back in any case.
fn takes_out(before: &Plan, plan: &Plan) -> bool {
    let served = |name: &RegionName| {
        before.regions.get(name).is_some_and(|part| {
            matches!(
                part.traffic_state,
                TrafficState::Serving | TrafficState::Reduced | TrafficState::Limited { .. }
            )
        })
    };
    plan.taken_out().any(served)
}

/// Whether an operator has drained the region, even if the order yields.
pub(crate) fn is_drained(plan: &Plan, name: &RegionName) -> bool {
    plan.override_of(Some(name))
        .is_some_and(|order| order.kind == OverrideKind::Drain)
}
