//! Judges the plans that leaders propose to our region's acceptor, by what this agent knows.

use super::{
    notice::RegisterNotice,
    sightings::ORDER_MAX_AGE_MS,
    state::{Leader, Seen},
    turn::Turn,
    types::Effect,
};
use crate::{
    now::{Now, millis},
    planning::judging::{Grounds, Objection, Sight, Times, judge, judge_orders},
    slots::Proposal,
    ticket::Ticket,
};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{ENDED_ORDERS_MAX, OVERRIDES_MAX, Order, Plan},
    status::condition::Condition,
};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    mem,
    net::IpAddr,
    time::{Duration, Instant},
};

/// Most orders that a plan may name: those in effect, and some that have ended.
const ORDERS_MAX: usize = 2 * OVERRIDES_MAX;
/// What an agent has seen for less than this may not be what others see.
const SETTLED: Duration = Duration::from_secs(10);
/// Until then a measure of the load is too young.
const LOAD_MEASURED: Duration = Duration::from_secs(60);

/// The last plan known to be committed, by our own clock, and how well its times are known.
type Known<'a> = (Cow<'a, Plan>, Times);

impl Leader {
    /// A leader asks our region's acceptor to accept a plan.
    pub(super) fn proposed(&mut self, proposal: &Proposal, ticket: Ticket, turn: &mut Turn<'_>) {
        let accepted = proposal.accepted.as_ref().map(|(stamp, _)| stamp);
        self.judging.note_accepted(accepted, turn.now);
        let judged = self.judge(proposal, turn.now);
        if let Err(objection) = &judged {
            let stamp = &proposal.stamp;
            let now_ms = self.now_ms(turn.now);
            self.election.asked(&stamp.ballot, now_ms);
            // Perhaps this agent has not heard of the latest plans.
            self.trust.is_due = true;
            turn.notice(RegisterNotice::Objected {
                stamp: Box::new(stamp.clone()),
                objection: objection.clone(),
            });
        }
        turn.emit(Effect::Judged(ticket, judged));
    }

    /// Judges a plan by the last one that is known to be committed. What the acceptor accepted
    /// after that may be committed already: the orders in it are kept, for a while.
    pub(super) fn judge(&self, proposal: &Proposal, now: Now) -> Result<(), Objection> {
        let Proposal { plan, accepted, .. } = proposal;
        if plan.orders.len() > ORDERS_MAX {
            return Err(Objection::TooManyOrders(plan.orders.len()));
        }

        let raw = self.plan.as_deref();
        let known = self.known_by_own_clock(now);
        let accepted = accepted.as_ref().filter(|(stamp, accepted)| {
            let is_same_register = accepted.members.register == plan.members.register;
            let is_later = raw.is_none_or(|raw| raw.stamp < *stamp);
            let is_open = is_same_register && is_later && self.judging.is_open(stamp, now);
            is_open && self.is_ordered(accepted, proposal, known.as_ref(), now)
        });
        let is_known = raw.is_some_and(|raw| raw.plan == *plan);
        if is_known && accepted.is_none() {
            return Ok(());
        }

        let mut grounds = self.grounds(plan, proposal, known.as_ref(), now);
        if let Some((_, accepted)) = accepted {
            let times = mem::replace(&mut grounds.times, Times::Foreign);
            judge_orders(Some(accepted), plan, &grounds)?;
            grounds.times = times;
        }
        if is_known {
            return Ok(());
        }

        // An agent that has just started knows what its region's acceptor knows.
        let accepted = accepted.map(|(_, accepted)| accepted);
        let base = known.as_ref().map(|(base, _)| &**base).or(accepted);
        judge(base, plan, &grounds)
    }

    /// Whether operators ordered the overrides and members of what the acceptor accepted. Its store
    /// may have been forged.
    fn is_ordered(
        &self,
        accepted: &Plan,
        proposal: &Proposal,
        known: Option<&Known<'_>>,
        now: Now,
    ) -> bool {
        let grounds = self.grounds(accepted, proposal, known, now);
        judge_orders(known.map(|(base, _)| &**base), accepted, &grounds).is_ok()
    }

    fn known_by_own_clock(&self, now: Now) -> Option<Known<'_>> {
        let known = self.plan.as_deref()?;
        let times = match self.clocks.plan.age(now) {
            Some(_) => Times::Measured,
            None => Times::Estimated,
        };
        Some((self.clocks.plan.by_own_clock(&known.plan, now), times))
    }

    /// What this agent judges `plan` by: the one proposed, or what the acceptor accepted before.
    fn grounds<'a>(
        &'a self,
        plan: &'a Plan,
        proposal: &'a Proposal,
        known: Option<&Known<'_>>,
        now: Now,
    ) -> Grounds<'a> {
        let sight = |name: &RegionName| (name.clone(), self.sight(name, now.monotonic));
        let unwell = self.judging.unwell.iter();
        let well_ms = unwell.map(|(name, at)| {
            let since = now.monotonic.saturating_duration_since(*at);
            (name.clone(), millis(since))
        });
        let overrides = known.into_iter().flat_map(|(known, _)| &known.overrides);
        let expired = overrides.filter(|existing| existing.is_expired(now.unix_ms));
        let known_orders = known.into_iter().flat_map(|(known, _)| &known.orders);
        let is_clock_right = !self.clocks.own.is_doubtful();
        let all_orders = plan.orders.iter().chain(known_orders);
        let (orders, stale) = self.proven_orders(plan, proposal, now);
        let order_ages = self.judging.order_ages(all_orders, is_clock_right, now);

        Grounds {
            settings: &self.settings.plan,
            configured: &self.settings.configured,
            sights: plan.regions.keys().map(sight).collect(),
            draining: self.draining(now.monotonic),
            doubtful: self.doubtful(),
            orders,
            stale,
            order_ages,
            steps: self.judging.step_ages(now),
            away: self.judging.away.clone(),
            expired: expired.cloned().collect(),
            proposer: &proposal.stamp.ballot.agent.region,
            well_ms: well_ms.collect(),
            own: (self.own_region(), proposal.incarnation),
            times: known.map_or(Times::Foreign, |(_, times)| *times),
            load_rps: self.measured_load(now.monotonic),
            now_ms: now.unix_ms,
        }
    }

    /// The orders of a plan that are proven: those that count now, as they are recent and in no
    /// plan up to the one known to be committed; and the others.
    fn proven_orders<'a>(
        &self,
        plan: &'a Plan,
        proposal: &Proposal,
        now: Now,
    ) -> (Vec<&'a Order>, Vec<&'a Order>) {
        let known = self.plan.as_ref().map(|known| &known.stamp);
        let is_used = |nonce: &[u8; 16]| {
            let used = self.judging.used.get(nonce);
            used.is_some_and(|used| Some(&used.by) <= known)
        };
        let accepted = proposal.accepted.as_ref().map(|(_, accepted)| accepted);
        let last = self.plan.as_ref().map(|known| &known.plan).or(accepted);
        let forgotten_ms = last.and_then(|last| self.forgotten_ms(last, now));
        let counts = |order: &&Order| {
            order.proof.as_ref().is_some_and(|proof| {
                now.unix_ms.abs_diff(proof.given_ms) <= ORDER_MAX_AGE_MS
                    && forgotten_ms.is_none_or(|until_ms| proof.given_ms >= until_ms)
                    && !is_used(&proof.nonce)
            })
        };
        let is_proven = |order: &&Order| {
            self.order_verifier
                .check_order(&self.settings.mesh, order)
                .is_ok()
        };

        plan.orders.iter().filter(is_proven).partition(counts)
    }

    /// An order given before this may have been used although neither this agent, which has not run
    /// for so long, nor the last plan remembers it. None if they remember all.
    fn forgotten_ms(&self, last: &Plan, now: Now) -> Option<u64> {
        let ended: Vec<u64> = last
            .ended_orders()
            .filter_map(|order| Some(order.proof.as_ref()?.given_ms))
            .collect();
        if ended.len() < ENDED_ORDERS_MAX {
            return None;
        }

        let runs_ms = millis(now.monotonic.saturating_duration_since(self.started));
        let started_ms = now.unix_ms.saturating_sub(runs_ms);
        ended
            .into_iter()
            .min()
            .map(|oldest_ms| oldest_ms.min(started_ms))
    }

    /// The load of the whole mesh, if this agent has measured that of each region for a while.
    fn measured_load(&self, now: Instant) -> Option<u32> {
        let inputs = self.published.inputs.as_ref()?;
        let is_young = now.saturating_duration_since(self.started) < LOAD_MEASURED;
        if is_young || inputs.regions.is_empty() {
            return None;
        }
        let loads = inputs.regions.values().map(|input| input.load_rps);
        loads.sum()
    }

    /// Takes in what is seen now, and remembers what was seen until now.
    pub(super) fn see(&mut self, change: impl FnOnce(&mut Seen), now: Now) {
        self.note_sights(now.monotonic);
        change(&mut self.seen);
        self.note_sights(now.monotonic);
    }

    fn note_sights(&mut self, now: Instant) {
        let verdicts = self.seen.verdicts.clone();
        for name in verdicts.keys() {
            let condition = self.verdict(name);
            if is_unwell(condition) {
                self.judging.unwell.insert(name.clone(), now);
            }
            if is_unwell(self.own_view(name)) {
                self.judging.doubted.insert(name.clone(), now);
            }
            if condition == Condition::Draining {
                self.judging.drained.insert(name.clone(), now);
            }
            if !is_down(condition) {
                self.judging.not_down.insert(name.clone(), now);
            }
        }
    }

    fn verdict(&self, region: &RegionName) -> Condition {
        let verdict = self.seen.verdicts.get(region);
        verdict.map_or(Condition::Unknown, |verdict| verdict.condition)
    }

    fn own_view(&self, region: &RegionName) -> Condition {
        let view = self.seen.own_view.get(region);
        view.map_or(Condition::Unknown, |view| view.condition)
    }

    fn sight(&self, region: &RegionName, now: Instant) -> Sight {
        let is_recent = |at: &Instant| now.saturating_duration_since(*at) < SETTLED;
        let was_recently =
            |seen: &BTreeMap<RegionName, Instant>| seen.get(region).is_some_and(is_recent);
        let verdict = self.verdict(region);
        let is_doubted = is_unwell(self.own_view(region)) || was_recently(&self.judging.doubted);
        let was_unwell = was_recently(&self.judging.unwell);

        match verdict {
            Condition::Healthy if !is_doubted && !was_unwell => Sight::Healthy,
            Condition::Healthy if !was_unwell => Sight::Doubted,
            Condition::Unknown if !is_doubted && !was_unwell && is_recent(&self.started) => {
                Sight::TooEarly
            }
            _ if is_down(verdict)
                && !was_recently(&self.judging.not_down)
                && !is_recent(&self.started) =>
            {
                Sight::Down
            }
            _ => Sight::Unsure,
        }
    }

    /// Regions that drain, or did a moment ago.
    fn draining(&self, now: Instant) -> BTreeSet<RegionName> {
        let names = self.seen.verdicts.keys();
        let was_drained = |name: &&RegionName| {
            let at = self.judging.drained.get(*name);
            at.is_some_and(|at| now.saturating_duration_since(*at) < SETTLED)
        };
        let drains = |name: &&RegionName| self.verdict(name) == Condition::Draining;
        names
            .filter(|name| drains(name) || was_drained(name))
            .cloned()
            .collect()
    }

    /// Addresses that are not judged healthy.
    fn doubtful(&self) -> BTreeSet<IpAddr> {
        let addresses = self
            .seen
            .verdicts
            .values()
            .flat_map(|verdict| &verdict.addresses);
        addresses
            .filter(|judged| judged.condition != Condition::Healthy)
            .map(|judged| judged.address)
            .collect()
    }
}

fn is_unwell(condition: Condition) -> bool {
    !matches!(condition, Condition::Healthy | Condition::Unknown)
}

fn is_down(condition: Condition) -> bool {
    matches!(condition, Condition::Failed | Condition::Draining)
}
