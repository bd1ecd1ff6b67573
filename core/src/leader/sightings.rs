//! What an agent remembers to judge plans by.

use super::proof::REMEMBERED_MAX;
use crate::{
    now::{Now, millis},
    planning::judging::{Age, ESTIMATE_MS, leavers},
};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{Absence, CommittedPlan, Order, OverrideKind, Plan, TrafficState},
    register::ballot::Stamp,
    wire::MAX_AGE_S,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// What this agent learns within this time by both clocks, it learned as it began, milliseconds.
/// Otherwise it was late, or one of the clocks is wrong.
const PROMPT_MS: u64 = 60_000;
/// What an acceptor accepted, and no agent shows to be committed for so long, never was: its leader
/// failed, and a later one that found nothing of it has a majority.
const OPEN_FOR: Duration = Duration::from_secs(15);
/// For so long an order may be used, milliseconds.
pub(super) const ORDER_MAX_AGE_MS: u64 = MAX_AGE_S * 1_000;

/// What this agent judges by, apart from the present verdicts.
#[derive(Debug, Default)]
pub(super) struct Sightings {
    /// When the verdict on a region was last that it is not healthy.
    pub(super) unwell: BTreeMap<RegionName, Instant>,
    /// When this agent's own probes last said so.
    pub(super) doubted: BTreeMap<RegionName, Instant>,
    /// When it last appeared not to be down.
    pub(super) not_down: BTreeMap<RegionName, Instant>,
    /// When its verdict was last that it drains.
    pub(super) drained: BTreeMap<RegionName, Instant>,
    /// Regions that left their service for no reason that this agent knew, and that the plan does
    /// not count as taken out.
    pub(super) away: BTreeSet<RegionName>,
    /// What the region's acceptor had accepted when it was last asked, and since when.
    accepted: Option<(Stamp, Instant)>,
    /// Orders that committed plans named, by their nonces.
    pub(super) used: BTreeMap<[u8; 16], Used>,
    /// When the orders of the plan were given, if this agent learned of them at that time.
    begun: BTreeMap<[u8; 16], Instant>,
    /// The steps of regions on the ramp, and when each began, if this agent learned of it then.
    steps: BTreeMap<RegionName, (usize, Option<Instant>)>,
}

/// An order that was used.
#[derive(Debug)]
pub(super) struct Used {
    /// The first plan known to name it.
    pub(super) by: Stamp,
    /// Until when it is recent, Unix milliseconds.
    pub(super) until_ms: u64,
}

impl Sightings {
    /// Remembers what begins with a committed plan that follows `before`.
    pub(super) fn learned(&mut self, before: Option<&Plan>, committed: &CommittedPlan, now: Now) {
        if let Some(before) = before {
            self.note_leavers(before, &committed.plan);
        }
        self.use_orders(committed, now.unix_ms);
        self.note_orders(&committed.plan, now);
        self.note_steps(&committed.plan, now);
    }

    /// Remembers since when the region's acceptor holds what it accepted last.
    pub(super) fn note_accepted(&mut self, stamp: Option<&Stamp>, now: Now) {
        let is_known = self.accepted.as_ref().map(|(known, _)| known) == stamp;
        if !is_known {
            self.accepted = stamp.map(|stamp| (stamp.clone(), now.monotonic));
        }
    }

    /// Whether what the acceptor accepted under this stamp may yet turn out to be committed.
    pub(super) fn is_open(&self, stamp: &Stamp, now: Now) -> bool {
        let known = self.accepted.as_ref().filter(|(known, _)| known == stamp);
        known.is_none_or(|(_, since)| now.monotonic.saturating_duration_since(*since) < OPEN_FOR)
    }

    fn note_leavers(&mut self, before: &Plan, plan: &Plan) {
        let is_excused = |name: &RegionName, absence: Option<Absence>| match absence {
            Some(Absence::Draining) => self.drained.contains_key(name),
            Some(Absence::Ordered) => plan
                .override_of(Some(name))
                .is_some_and(|order| order.kind == OverrideKind::Drain),
            _ => false,
        };
        let left = leavers(before, plan)
            .filter(|(name, after)| !after.is_taken_out() && !is_excused(name, after.absence))
            .map(|(name, _)| name.clone());
        let left: BTreeSet<RegionName> = left.collect();

        self.away.extend(left);
        self.away.retain(|name| {
            let part = plan.regions.get(name);
            part.is_some_and(|part| !part.is_in_service() && !part.is_taken_out())
        });
    }

    /// Remembers the orders of a committed plan: none of them counts for a later one.
    fn use_orders(&mut self, committed: &CommittedPlan, now_ms: u64) {
        self.used.retain(|_, used| used.until_ms >= now_ms);
        let orders = &committed.plan.orders;
        for proof in orders.iter().filter_map(|order| order.proof.as_ref()) {
            // An order that is in effect for longer is in the plan.
            let until_ms = proof.given_ms.saturating_add(2 * ORDER_MAX_AGE_MS);
            if self.used.len() < REMEMBERED_MAX && until_ms >= now_ms {
                let by = committed.stamp.clone();
                let used = Used { by, until_ms };
                self.used.entry(proof.nonce).or_insert(used);
            }
        }
    }

    fn note_orders(&mut self, plan: &Plan, now: Now) {
        let proofs = || plan.orders.iter().filter_map(|order| order.proof.as_ref());
        let present: BTreeSet<[u8; 16]> = proofs().map(|proof| proof.nonce).collect();
        self.begun.retain(|nonce, _| present.contains(nonce));

        let prompt = proofs().filter(|proof| now.unix_ms.abs_diff(proof.given_ms) <= PROMPT_MS);
        for proof in prompt {
            self.begun.entry(proof.nonce).or_insert(now.monotonic);
        }
    }

    fn note_steps(&mut self, plan: &Plan, now: Now) {
        let is_prompt = now.unix_ms.abs_diff(plan.made_ms) <= PROMPT_MS;
        for (name, part) in &plan.regions {
            let TrafficState::Ramping { step, .. } = part.traffic_state else {
                self.steps.remove(name);
                continue;
            };
            let known = self.steps.get(name).map(|(known, _)| *known);
            if known != Some(step) {
                let begun = is_prompt.then_some(now.monotonic);
                self.steps.insert(name.clone(), (step, begun));
            }
        }
    }

    /// How long ago these orders were given: as measured, or by their own times if this agent's
    /// clock can be trusted.
    pub(super) fn order_ages<'a>(
        &self,
        orders: impl Iterator<Item = &'a Order>,
        is_clock_right: bool,
        now: Now,
    ) -> BTreeMap<[u8; 16], Age> {
        let age = |order: &Order| {
            let proof = order.proof.as_ref()?;
            let measured = self.begun.get(&proof.nonce).map(|at| measured(*at, now));
            let estimated = Age {
                ms: now.unix_ms.saturating_sub(proof.given_ms),
                error_ms: ORDER_MAX_AGE_MS,
                is_measured: false,
            };
            let age = measured.or(is_clock_right.then_some(estimated))?;
            Some((proof.nonce, age))
        };
        orders.filter_map(age).collect()
    }

    /// The steps that this agent saw begin.
    pub(super) fn step_ages(&self, now: Now) -> BTreeMap<RegionName, (usize, Age)> {
        let seen = self.steps.iter().filter_map(|(name, (step, begun))| {
            let age = measured((*begun)?, now);
            Some((name.clone(), (*step, age)))
        });
        seen.collect()
    }
}

fn measured(since: Instant, now: Now) -> Age {
    Age {
        ms: millis(now.monotonic.saturating_duration_since(since)),
        error_ms: ESTIMATE_MS,
        is_measured: true,
    }
}
