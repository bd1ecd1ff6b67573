//! Judges the plans that leaders propose to our region's acceptor, by what this agent knows.

use super::{
    notice::RegisterNotice,
    sightings::{USED_MAX, Used},
    state::Leader,
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
    plan::{CommittedPlan, OVERRIDES_MAX, Order, Override, Plan},
    status::condition::Condition,
    wire::MAX_AGE_S,
};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

/// Most orders that a plan may name: those in effect, and some that have ended.
const ORDERS_MAX: usize = 2 * OVERRIDES_MAX;
/// What an agent has seen for less than this may not be what others see.
const SETTLED: Duration = Duration::from_secs(10);

impl Leader {
    /// A leader asks our region's acceptor to accept a plan.
    pub(super) fn proposed(&mut self, proposal: &Proposal, ticket: Ticket, turn: &mut Turn<'_>) {
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
    /// after that may be committed already: the orders in it are kept.
    fn judge(&self, proposal: &Proposal, now: Now) -> Result<(), Objection> {
        let Proposal { plan, accepted, .. } = proposal;
        if plan.orders.len() > ORDERS_MAX {
            return Err(Objection::TooManyOrders(plan.orders.len()));
        }

        let known = self.plan.as_deref();
        let accepted = accepted.as_ref().filter(|(stamp, accepted)| {
            let is_same_register = accepted.members.register == plan.members.register;
            let is_later = known.is_none_or(|known| known.stamp < *stamp);
            is_same_register && is_later && self.is_ordered(accepted, proposal, now)
        });
        if let Some((_, accepted)) = accepted {
            let grounds = self.grounds(accepted, Times::Foreign, proposal, now);
            judge_orders(Some(accepted), plan, &grounds)?;
        }
        if known.is_some_and(|known| known.plan == *plan) {
            return Ok(());
        }

        // An agent that has just started knows what its region's acceptor knows.
        let accepted = accepted.map(|(_, accepted)| (Cow::Borrowed(accepted), Times::Foreign));
        match self.known_by_own_clock(now).or(accepted) {
            Some((base, times)) => {
                let grounds = self.grounds(&base, times, proposal, now);
                judge(Some(&base), plan, &grounds)
            }
            None => {
                let grounds = self.grounds(plan, Times::Foreign, proposal, now);
                judge(None, plan, &grounds)
            }
        }
    }

    /// Whether operators ordered the overrides and members of what the acceptor accepted. Its store
    /// may have been forged.
    fn is_ordered(&self, accepted: &Plan, proposal: &Proposal, now: Now) -> bool {
        let before = self.known_by_own_clock(now);
        let (base, times) = match &before {
            Some((base, times)) => (Some(&**base), *times),
            None => (None, Times::Foreign),
        };
        let proposed = Proposal {
            plan: accepted.clone(),
            accepted: None,
            ..proposal.clone()
        };

        let grounds = self.grounds(base.unwrap_or(accepted), times, &proposed, now);
        judge_orders(base, accepted, &grounds).is_ok()
    }

    /// Overrides of the known plan that have expired.
    fn expired(&self, now: Now) -> Vec<Override> {
        let Some((known, _)) = self.known_by_own_clock(now) else {
            return Vec::new();
        };
        let overrides = known.overrides.iter();
        overrides
            .filter(|existing| existing.is_expired(now.unix_ms))
            .cloned()
            .collect()
    }

    fn known_by_own_clock(&self, now: Now) -> Option<(Cow<'_, Plan>, Times)> {
        let known = self.plan.as_deref()?;
        let times = match self.clocks.plan.age(now) {
            Some(_) => Times::Measured,
            None => Times::Estimated,
        };
        Some((self.clocks.plan.by_own_clock(&known.plan, now), times))
    }

    fn grounds<'a>(
        &'a self,
        base: &Plan,
        times: Times,
        proposal: &'a Proposal,
        now: Now,
    ) -> Grounds<'a> {
        let Proposal { stamp, plan, .. } = proposal;
        let regions: BTreeSet<&RegionName> =
            plan.regions.keys().chain(base.regions.keys()).collect();
        let sight = |name: &&RegionName| ((*name).clone(), self.sight(name, now.monotonic));
        let unwell = self.judging.unwell.iter();
        let well_ms = unwell.map(|(name, at)| {
            let since = now.monotonic.saturating_duration_since(*at);
            (name.clone(), millis(since))
        });

        Grounds {
            settings: &self.settings.plan,
            configured: &self.settings.configured,
            sights: regions.iter().map(sight).collect(),
            draining: self.draining(),
            doubtful: self.doubtful(),
            orders: self.unused_orders(plan, now.unix_ms),
            expired: self.expired(now),
            proposer: &stamp.ballot.agent.region,
            well_ms: well_ms.collect(),
            own: (self.own_region(), proposal.incarnation),
            times,
            now_ms: now.unix_ms,
        }
    }

    /// The orders of a plan that are proven and count now: recent, and in no plan up to the one
    /// known to be committed.
    fn unused_orders<'a>(&self, plan: &'a Plan, now_ms: u64) -> Vec<&'a Order> {
        let known = self.plan.as_ref().map(|known| &known.stamp);
        let is_used = |nonce: &[u8; 16]| {
            let used = self.judging.used.get(nonce);
            used.is_some_and(|used| Some(&used.by) <= known)
        };
        let counts = |order: &&Order| {
            order.proof.as_ref().is_some_and(|proof| {
                now_ms.abs_diff(proof.given_ms) <= MAX_AGE_S * 1_000 && !is_used(&proof.nonce)
            })
        };
        let is_proven = |order: &&Order| {
            self.verifier
                .check_order(&self.settings.mesh, order)
                .is_ok()
        };

        plan.orders
            .iter()
            .filter(counts)
            .filter(is_proven)
            .collect()
    }

    /// Remembers the orders of a committed plan: none of them counts for a later one.
    pub(super) fn use_orders(&mut self, committed: &CommittedPlan, now_ms: u64) {
        let used = &mut self.judging.used;
        used.retain(|_, used| used.until_ms >= now_ms);
        let orders = &committed.plan.orders;
        for proof in orders.iter().filter_map(|order| order.proof.as_ref()) {
            // An order that is in effect for longer is in the plan.
            let until_ms = proof.given_ms.saturating_add(2 * MAX_AGE_S * 1_000);
            if used.len() < USED_MAX && until_ms >= now_ms {
                let by = committed.stamp.clone();
                used.entry(proof.nonce).or_insert(Used { by, until_ms });
            }
        }
    }

    /// Remembers what is seen at present. Call it before and after that changes.
    pub(super) fn note_sights(&mut self, now: Instant) {
        let verdicts = self.seen.verdicts.clone();
        for name in verdicts.keys() {
            let condition = self.verdict(name);
            if is_unwell(condition) {
                self.judging.unwell.insert(name.clone(), now);
            }
            if is_unwell(self.own_view(name)) {
                self.judging.doubted.insert(name.clone(), now);
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

    fn draining(&self) -> BTreeSet<RegionName> {
        let verdicts = self.seen.verdicts.iter();
        verdicts
            .filter(|(_, verdict)| verdict.condition == Condition::Draining)
            .map(|(name, _)| name.clone())
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
