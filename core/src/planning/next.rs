//! From one plan to the next.
//!
//! In this order: overrides that expired go; every region's standing follows its verdict and its
//! overrides; as many failed regions leave as may; one gate may open; weights follow from
//! standings, within capacity, and where nothing is the matter from what they cost; the guard sees
//! to it that somebody is left to answer. Applying the result again at the same time changes
//! nothing.

use super::{
    PlanInputs, Strategy,
    standing::{Orders, gate_passed, serve, settle},
    weights,
    yielding::Survival,
};
use crate::recovery::ramp::RampMove;
use regionmesh_protocol::{
    identity::RegionName,
    plan::{
        Absence, CostShift, Override, OverrideKind, Plan, PlannedLoad, RegionPlan, Shortfall,
        Standing, YieldedOrder, weighted_bp,
    },
    register::members::Members,
    status::condition::Condition,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// Longest reason of a plan, bytes: it is read by people and carried by every agent's board entry.
pub(super) const REASON_MAX: usize = 1_000;
/// What a plan says where no region can serve.
const LAST_SHARES: &str = "every region looks down, the last shares stay";

/// The plan that follows from `current`, what is known, and the time; none if `current` may stay as
/// it is.
///
/// Standings:
/// - No plan yet: all that is not known to be down serves. A region that joins later, or is not up
///   yet at the first plan, comes in by the gate and the ramp: it never proved that it serves, and
///   no failure is counted against it.
/// - Suspect: the share is cut to `suspect_percent`, and given back at once with the suspicion; on
///   the ramp, one step back instead; in the gate, the gate begins anew.
/// - Failed: out, and counted as a flap; limited to a suspect region's share where automation has
///   `max_out` regions out already. Draining: out, not counted. Unknown: all stays, nothing
///   advances.
/// - Healthy again: the gate ([`crate::recovery::ramp::RecoveryPolicy::gate_for`]), held shut while
///   the region lacks models or has not loaded them; then the ramp, one region at a time, so that
///   what happens to the others can be laid at its door.
///
/// Guards: [`Draft::grant_exits`], at most `max_out` regions out by automation;
/// [`weights::within_capacity`], nobody is given more than they can take; [`keep_somebody`], the
/// answer is never empty. Orders outrank all of this but survival: see [`Survival::yielded`].
pub fn next_plan(current: Option<&Plan>, inputs: &PlanInputs, now_ms: u64) -> Option<Plan> {
    let draft = Draft::new(current, inputs, now_ms).complete(current);
    draft.finish(current)
}

/// The plan that would be made if these regions were in these conditions; none if the current one
/// would stay. Changes nothing, whoever asks.
pub fn what_if(
    current: Option<&Plan>,
    inputs: &PlanInputs,
    assumed: &BTreeMap<RegionName, Condition>,
    now_ms: u64,
) -> Option<Plan> {
    let mut inputs = inputs.clone();
    for (name, condition) in assumed {
        if let Some(input) = inputs.regions.get_mut(name) {
            (input.condition, input.since_ms, input.reason) =
                (*condition, now_ms, "as assumed".into());
        }
    }

    next_plan(current, &inputs, now_ms)
}

/// The plan that follows from other overrides; one follows always.
pub(super) fn plan_with(
    current: &Plan,
    overrides: Vec<Override>,
    reason: String,
    inputs: &PlanInputs,
    now_ms: u64,
) -> Plan {
    let ordered = Plan {
        overrides,
        ..current.clone()
    };
    let mut draft = Draft::new(Some(&ordered), inputs, now_ms);

    draft.reasons.insert(0, reason);
    draft.complete(Some(current)).into_plan()
}

fn addresses_in_words(name: &RegionName, before: &[IpAddr], after: &[IpAddr]) -> String {
    let only = |these: &[IpAddr], those: &[IpAddr]| {
        these
            .iter()
            .filter(|address| !those.contains(address))
            .map(IpAddr::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };

    match (only(before, after), only(after, before)) {
        (gone, new) if gone.is_empty() && new.is_empty() => format!("{name}: addresses changed"),
        (gone, new) if new.is_empty() => format!("{name}: {gone} is answered no more"),
        (gone, new) if gone.is_empty() => format!("{name}: {new} is answered"),
        (gone, new) => format!("{name}: {new} is answered, {gone} no more"),
    }
}

/// A plan in the making.
struct Draft<'a> {
    inputs: &'a PlanInputs,
    now_ms: u64,
    regions: BTreeMap<RegionName, RegionPlan>,
    overrides: Vec<Override>,
    yielded: Vec<YieldedOrder>,
    load: Option<PlannedLoad>,
    shortfall: Option<Shortfall>,
    members: Members,
    all_failed_ms: Option<u64>,
    cost: CostShift,
    reasons: Vec<String>,
}

impl<'a> Draft<'a> {
    fn new(current: Option<&Plan>, inputs: &'a PlanInputs, now_ms: u64) -> Self {
        let mut reasons = Vec::new();
        let regions = inputs.regions.iter().map(|(name, input)| {
            let out = |absence| RegionPlan {
                standing: Standing::Out { since_ms: now_ms },
                absence: Some(absence),
                ..RegionPlan::default()
            };
            let region = match current {
                None => match input.condition {
                    Condition::Unknown | Condition::Healthy | Condition::Suspect => {
                        RegionPlan::default()
                    }
                    // Not up yet: it did not fail, it was never there.
                    Condition::Failed => out(Absence::Joined),
                    Condition::Draining => out(Absence::Draining),
                },
                Some(plan) => match plan.regions.get(name) {
                    Some(region) => {
                        if region.addresses != input.addresses {
                            reasons.push(addresses_in_words(
                                name,
                                &region.addresses,
                                &input.addresses,
                            ));
                        }

                        region.clone()
                    }
                    None => {
                        reasons.push(format!("{name}: joined the mesh"));
                        out(Absence::Joined)
                    }
                },
            };

            (
                name.clone(),
                RegionPlan {
                    addresses: input.addresses.clone(),
                    ..region
                },
            )
        });

        let regions: BTreeMap<RegionName, RegionPlan> = regions.collect();
        match current {
            None => reasons.push("first plan".into()),
            Some(plan) => reasons.extend(
                plan.regions
                    .keys()
                    .filter(|name| !inputs.regions.contains_key(name))
                    .map(|name| format!("{name}: left the mesh")),
            ),
        }

        let mut overrides = Vec::new();
        for standing in current.iter().flat_map(|plan| &plan.overrides) {
            if standing.is_expired(now_ms) {
                reasons.push(format!("expired: {standing}"));
            } else if standing
                .region
                .as_ref()
                .is_none_or(|region| inputs.regions.contains_key(region))
            {
                overrides.push(standing.clone());
            }
        }

        let is_held = overrides
            .iter()
            .any(|standing| standing.kind == OverrideKind::Hold);
        let load = weights::load(inputs, current.and_then(|plan| plan.load), is_held, now_ms);
        let members = current.map(|plan| plan.members.clone()).unwrap_or_default();
        let known = current
            .map(|plan| plan.yielded.as_slice())
            .unwrap_or_default();
        let yielded = Survival {
            overrides: &overrides,
            regions: &regions,
            inputs,
        }
        .yielded(known, now_ms);

        let all_failed_ms = all_failed(inputs).then(|| {
            current
                .and_then(|plan| plan.all_failed_ms)
                .unwrap_or(now_ms)
        });
        let mut draft = Self {
            inputs,
            now_ms,
            regions,
            overrides,
            yielded,
            load,
            shortfall: None,
            members,
            all_failed_ms,
            cost: current.map(|plan| plan.cost.clone()).unwrap_or_default(),
            reasons,
        };

        draft.say_what_yields(known);
        draft
    }

    /// Says which orders begin to yield, and which take effect again.
    fn say_what_yields(&mut self, known: &[YieldedOrder]) {
        let is_in = |list: &[YieldedOrder], one: &YieldedOrder| {
            list.iter()
                .any(|other| other.order == one.order && other.region == one.region)
        };
        let order = |one: &YieldedOrder| {
            self.overrides
                .iter()
                .find(|standing| standing.region == one.order)
        };

        let begins = self
            .yielded
            .iter()
            .filter(|one| !is_in(known, one))
            .filter_map(|one| {
                let order = order(one)?;
                Some(match order.kind {
                    OverrideKind::Drain => format!("{order} yields: no other region can serve"),
                    OverrideKind::Hold => {
                        format!(
                            "{order} yields for {}, which failed while another is healthy",
                            one.region
                        )
                    }
                    OverrideKind::Promote => format!("{order} yields: {} can't serve", one.region),
                })
            });

        let ends = known
            .iter()
            .filter(|one| !is_in(&self.yielded, one))
            .filter_map(|one| {
                let order = order(one)?;
                let of = if order.region.is_none() {
                    format!(" for {}", one.region)
                } else {
                    String::new()
                };

                Some(format!("{order} takes effect again{of}"))
            });

        let said: Vec<String> = begins.chain(ends).collect();
        self.reasons.extend(said);
    }

    fn complete(mut self, current: Option<&Plan>) -> Self {
        // One region's move may make room for another's: a gate that opens frees a place among
        // those that are out. Every round but the last moves a region, and none moves in a circle;
        // the bound is a matter of principle.
        for _ in 0..=4 * self.regions.len() {
            let before = self.regions.clone();
            self.follow_verdicts();
            self.grant_exits();
            self.open_gates();
            if self.regions == before {
                break;
            }
        }

        let said = self.reasons.len();
        self.say_who_is_limited(current);
        self.share_out(current);
        keep_somebody(&mut self, current, said);
        match (
            current.and_then(|plan| plan.all_failed_ms),
            self.all_failed_ms,
        ) {
            (None, Some(_)) => self.say(LAST_SHARES.into()),
            (Some(_), None) => self.say("no longer is every region failed".into()),
            _ => {}
        }

        self
    }

    fn orders(&self, name: &RegionName) -> Orders<'_> {
        Orders::in_effect(&self.overrides, &self.yielded, name)
    }

    /// The verdict on a region as its overrides let it count.
    fn condition(&self, name: &RegionName) -> Condition {
        self.inputs
            .regions
            .get(name)
            .map_or(Condition::Unknown, |input| {
                self.orders(name).condition(input)
            })
    }

    /// Brings every standing in line with its verdict; gates stay shut.
    fn follow_verdicts(&mut self) {
        for (name, region) in &mut self.regions {
            if let Some(input) = self.inputs.regions.get(name) {
                let orders = Orders::in_effect(&self.overrides, &self.yielded, name);
                settle(
                    name,
                    region,
                    orders,
                    input,
                    self.inputs,
                    self.now_ms,
                    &mut self.reasons,
                );
            }
        }
    }

    /// The guard: takes failed regions out, those first that failed first, while automation has
    /// fewer than `max_out` out. A region that an operator drains is not counted: the place is free
    /// again.
    fn grant_exits(&mut self) {
        let taken_out = self
            .regions
            .values()
            .filter(|region| region.is_taken_out())
            .count();
        let mut failed: Vec<(u64, RegionName)> = Vec::new();

        for (name, region) in &self.regions {
            if let Standing::Limited {
                since_ms,
                healthy_ms: None,
            } = region.standing
                && self.condition(name) == Condition::Failed
            {
                failed.push((since_ms, name.clone()));
            }
        }

        failed.sort();
        for (_, name) in failed
            .into_iter()
            .take(usize::from(self.inputs.max_out).saturating_sub(taken_out))
        {
            if let Some(region) = self.regions.get_mut(&name) {
                region.standing = Standing::Out {
                    since_ms: self.now_ms,
                };
                region.absence = Some(Absence::Failed);
            }
        }
    }

    /// What was not executed is said.
    fn say_who_is_limited(&mut self, current: Option<&Plan>) {
        let was = |name: &RegionName| {
            let region = current.and_then(|plan| plan.regions.get(name));
            region.is_some_and(|region| matches!(region.standing, Standing::Limited { .. }))
        };
        let limited: Vec<&RegionName> = self
            .regions
            .iter()
            .filter(|(name, region)| {
                matches!(region.standing, Standing::Limited { .. }) && !was(name)
            })
            .map(|(name, _)| name)
            .collect();

        let said: Vec<String> = limited
            .into_iter()
            .map(|name| format!("{name}: {}", self.limit_in_words()))
            .collect();

        self.reasons.extend(said);
    }

    fn limit_in_words(&self) -> String {
        let out: Vec<&str> = self
            .regions
            .iter()
            .filter(|(_, region)| region.is_taken_out())
            .map(|(name, _)| name.as_str())
            .collect();
        let percent = self.inputs.suspect_percent;

        limit_in_words(&out, self.inputs.max_out, percent)
    }

    /// Opens the gate of the region that has waited longest, unless another is on the ramp.
    fn open_gates(&mut self) {
        while !self
            .regions
            .values()
            .any(|region| matches!(region.standing, Standing::Ramping { .. }))
        {
            let mut ready: Vec<(u64, RegionName)> = self
                .regions
                .iter()
                .filter_map(|(name, region)| {
                    let input = self.inputs.regions.get(name)?;
                    let condition = self.condition(name);
                    let since_ms =
                        gate_passed(region, condition, input, &self.inputs.recovery, self.now_ms)?;
                    Some((since_ms, name.clone()))
                })
                .collect();

            ready.sort();
            let mut ready = ready.into_iter().map(|(_, name)| name);
            let Some(name) = ready.next() else { return };

            self.enter_ramp(&name, "healthy through its gate");
            let waiting: Vec<String> = ready.map(|name| name.to_string()).collect();
            if !waiting.is_empty() {
                self.reasons.push(format!(
                    "{} must wait: one region ramps at a time",
                    waiting.join(", ")
                ));
            }
        }
    }

    /// Puts a region on the ramp's first step that takes nothing from it, and further if steps are
    /// held for no time.
    fn enter_ramp(&mut self, name: &RegionName, why: &str) {
        let orders = Orders::in_effect(&self.overrides, &self.yielded, name);
        let (Some(region), Some(input)) =
            (self.regions.get_mut(name), self.inputs.regions.get(name))
        else {
            return;
        };
        let has_percent = match region.standing {
            Standing::Limited { .. } => self.inputs.suspect_percent.min(100),
            _ => 0,
        };

        match self.inputs.recovery.enter(has_percent) {
            RampMove::Step(step) => {
                region.standing = Standing::Ramping {
                    step,
                    since_ms: self.now_ms.max(input.judged_ms(self.now_ms)),
                };

                let percent = self.inputs.recovery.percent_at(step);
                self.reasons
                    .push(format!("{name}: {why}; ramps up from {percent} %"));
            }
            RampMove::Full | RampMove::Hold => {
                serve(region);
                self.reasons
                    .push(format!("{name}: {why}; gets its full share"));
            }
        }

        settle(
            name,
            region,
            orders,
            input,
            self.inputs,
            self.now_ms,
            &mut self.reasons,
        );
    }

    /// The region that an operator promoted, if it serves; or, while it is on the ramp, the region
    /// and its step's percentage.
    fn promoted(&self) -> (Option<RegionName>, Option<(RegionName, u8)>) {
        let promoted = self.overrides.iter().find_map(|standing| {
            let name = standing.region.as_ref()?;
            let input = self.inputs.regions.get(name)?;
            let region = self.regions.get(name)?;
            self.orders(name).promotion(input)?;
            (!region.addresses.is_empty()).then_some((name, &region.standing))
        });

        match promoted {
            Some((name, Standing::Serving)) => (Some(name.clone()), None),
            Some((name, Standing::Ramping { step, .. })) => (
                None,
                Some((name.clone(), self.inputs.recovery.percent_at(*step))),
            ),
            _ => (None, None),
        }
    }

    /// Sets the weights that follow from the standings, within capacity.
    fn share_out(&mut self, current: Option<&Plan>) {
        let (promoted, climbing) = self.promoted();
        let mut weights = weights::by_standing(&self.regions, self.inputs, promoted.as_ref());
        if let Some((name, percent)) = &climbing {
            weights::lift(&mut weights, name, *percent);
        }
        self.shortfall = None;
        match (self.load, &promoted) {
            (None, _) => {}
            (Some(load), None) => {
                self.shortfall =
                    weights::within_capacity(&self.regions, self.inputs, &mut weights, load);
            }
            (Some(load), Some(name)) => {
                let capacity = self
                    .inputs
                    .regions
                    .get(name)
                    .and_then(|input| input.capacity_rps);

                if let Some(capacity) = capacity.filter(|capacity| *capacity < load.rps) {
                    let load = load.rps;
                    let below =
                        format!("its capacity of {capacity} requests/s is below the mesh's {load}");
                    self.say(format!("{name}: promoted although {below}"));
                }
            }
        }

        if let Some(short) = self.shortfall
            && current.and_then(|plan| plan.shortfall) != Some(short)
        {
            self.say(shortfall_in_words(&short));
        }

        self.follow_cost();
        for (name, region) in &mut self.regions {
            let weight_bp = weights.get(name).copied().unwrap_or(0);
            region.weight_bp = weighted_bp(weight_bp, self.cost.factor_bp(name));
        }
    }

    /// Moves traffic for money where nothing else decides, else gives it back.
    fn follow_cost(&mut self) {
        let strategy = self.inputs.strategy;
        let has_orders = !self.overrides.is_empty();
        let regions = self
            .regions
            .iter()
            .map(|(name, region)| (region, self.condition(name)));
        let obstacle =
            super::cost::obstacle(strategy, regions, has_orders, self.shortfall.is_some());
        let (factors_bp, reason) = match (obstacle, &self.inputs.cost) {
            (None, None) => return,
            (None, Some(target)) => (target.factors_bp.clone(), target.reason.clone()),
            (Some(why), _) => (
                BTreeMap::new(),
                format!("no traffic is moved for cost any more: {why}"),
            ),
        };

        if let Some(changed) = self.cost.changed(factors_bp, self.now_ms) {
            self.cost = changed;
            self.say(reason);
        }
    }

    /// Adds a reason, once.
    fn say(&mut self, reason: String) {
        if !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }

    /// Whether the region gets traffic and is not known to be down.
    fn is_carried_by(&self, name: &RegionName) -> bool {
        let is_sound = !matches!(
            self.condition(name),
            Condition::Failed | Condition::Draining
        );

        is_sound
            && self
                .regions
                .get(name)
                .is_some_and(|region| region.weight_bp > 0)
    }

    /// How good the region is where nobody else is left; none if it is known to be down, or drained
    /// by an order that does not yield. What is known of a held region counts.
    fn last_resort(&self, name: &RegionName) -> Option<LastResort> {
        let input = self.inputs.regions.get(name)?;
        if self.orders(name).own(OverrideKind::Drain).is_some() {
            return None;
        }

        match input.condition {
            Condition::Healthy if input.is_fit() => Some(LastResort::Fit),
            Condition::Healthy => Some(LastResort::Healthy),
            Condition::Suspect => Some(LastResort::Suspect),
            Condition::Unknown => Some(LastResort::Unknown),
            Condition::Failed | Condition::Draining => self
                .orders(name)
                .hold()
                .is_some()
                .then_some(LastResort::Held),
        }
    }

    fn finish(mut self, current: Option<&Plan>) -> Option<Plan> {
        let is_same = |plan: &Plan| {
            plan.regions == self.regions
                && plan.overrides == self.overrides
                && plan.yielded == self.yielded
                && plan.all_failed_ms == self.all_failed_ms
                && plan.cost == self.cost
        };

        if current.is_some_and(is_same) {
            return None;
        }
        if self.reasons.is_empty() {
            self.reasons.push("the configured shares changed".into());
        }

        Some(self.into_plan())
    }

    fn into_plan(self) -> Plan {
        let mut reason = self.reasons.join("; ");
        if reason.len() > REASON_MAX {
            reason.truncate(reason.floor_char_boundary(REASON_MAX));
            reason.push('…');
        }

        Plan {
            regions: self.regions,
            reason,
            made_ms: self.now_ms,
            overrides: self.overrides,
            shortfall: self.shortfall,
            load: self.load,
            members: self.members,
            yielded: self.yielded,
            all_failed_ms: self.all_failed_ms,
            cost: self.cost,
        }
    }
}

/// What a region that has no traffic is worth where nobody else is left, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum LastResort {
    /// Healthy, and it lacks nothing that serving needs.
    Fit,
    Healthy,
    Suspect,
    Unknown,
    /// Down by its verdict, which a hold keeps from being acted on.
    Held,
}

impl LastResort {
    const ALL: [Self; 5] = [
        Self::Fit,
        Self::Healthy,
        Self::Suspect,
        Self::Unknown,
        Self::Held,
    ];
}

/// Whether the verdict on every region that could be answered is failed.
fn all_failed(inputs: &PlanInputs) -> bool {
    let mut reachable = inputs
        .regions
        .values()
        .filter(|input| !input.addresses.is_empty())
        .peekable();

    reachable.peek().is_some() && reachable.all(|input| input.condition == Condition::Failed)
}

/// Why a failed region keeps a part of its traffic.
pub(super) fn limit_in_words(out: &[&str], max_out: u16, percent: u8) -> String {
    let out = if out.is_empty() {
        String::new()
    } else {
        format!(" and {} out already", are(out))
    };

    format!(
        "keeps {percent} % of its share, since traffic.max_out is {max_out}{out}; drain it to take \
            it out"
    )
}

fn are(names: &[&str]) -> String {
    format!(
        "{} {}",
        names.join(", "),
        if names.len() == 1 { "is" } else { "are" }
    )
}

/// What the capacity guard kept back.
pub(super) fn shortfall_in_words(short: &Shortfall) -> String {
    format!(
        "{} of the mesh's {} requests/s stay where they are: the other regions' declared capacity has no headroom of \
         1.1 times as much",
        short.unmoved_rps, short.load_rps
    )
}

/// The guard: sees to it that the answer is never empty. Where nobody who is not known to be down
/// would be left:
/// 1. regions that wait outside are let in without their gate, the healthiest kind only; they still
///    climb the ramp, so that they give way gently to others that return;
/// 2. failing that, the last shares stay: all look down, and then it is likelier that the observers
///    are at fault, and in any case there is nowhere better to go. A region that merely drains
///    outranks one that failed. In an active-passive mesh the region with the largest share keeps
///    all: its users are answered one region.
///
/// `said` is how many reasons there were before those of the guards, which don't hold where the
/// last shares stay.
fn keep_somebody(draft: &mut Draft<'_>, current: Option<&Plan>, said: usize) {
    if draft.regions.keys().any(|name| draft.is_carried_by(name))
        || draft
            .regions
            .values()
            .all(|region| region.addresses.is_empty())
    {
        return;
    }

    let carried: Vec<(&RegionName, &RegionPlan)> = current
        .iter()
        .flat_map(|plan| plan.carrying())
        .filter(|(name, _)| {
            draft
                .regions
                .get(*name)
                .is_some_and(|region| !region.addresses.is_empty())
        })
        .collect();

    let raw = |name: &RegionName| draft.inputs.regions.get(name).map(|input| input.condition);
    let draining: BTreeSet<RegionName> = draft
        .regions
        .keys()
        .filter(|name| raw(name) == Some(Condition::Draining))
        .cloned()
        .collect();
    let merely_drains = carried.iter().any(|(name, _)| draining.contains(*name));

    let lowest = if merely_drains {
        LastResort::Suspect
    } else {
        LastResort::Held
    };

    for kind in LastResort::ALL.into_iter().filter(|kind| *kind <= lowest) {
        let waiting: Vec<RegionName> = draft
            .regions
            .iter()
            .filter(|(name, region)| {
                draft.last_resort(name) == Some(kind) && !region.addresses.is_empty()
            })
            .map(|(name, _)| name.clone())
            .collect();

        if !waiting.is_empty() {
            for name in waiting {
                draft.enter_ramp(&name, "nobody else is left, so its gate opens early");
            }

            // Who was let in is not out any more: there is room for one that failed.
            draft.grant_exits();
            draft.share_out(current);
            return;
        }
    }

    let mut kept: Vec<(&RegionName, &RegionPlan)> = carried
        .into_iter()
        .filter(|(name, _)| !merely_drains || draining.contains(*name))
        .collect();

    if draft.inputs.strategy == Strategy::ActivePassive {
        // The first of those with the largest share.
        kept.sort_by_key(|(_, region)| std::cmp::Reverse(region.weight_bp));
        kept.truncate(1);
    }

    let kept: BTreeSet<&RegionName> = kept.into_iter().map(|(name, _)| name).collect();
    if !merely_drains {
        draft.reasons.truncate(said);
    }
    draft.say(LAST_SHARES.into());
    if kept.is_empty() {
        // No last shares either: a first plan, or the one region that carried has left the mesh.
        let has_address = |region: &RegionPlan| !region.addresses.is_empty();
        let drains: BTreeSet<RegionName> = draft
            .regions
            .iter()
            .filter(|(name, region)| draining.contains(*name) && has_address(region))
            .map(|(name, _)| name.clone())
            .collect();
        let is_chosen = |name: &RegionName| drains.is_empty() || drains.contains(name);
        let before = draft.regions.clone();

        draft
            .regions
            .iter_mut()
            .filter(|(name, _)| is_chosen(name))
            .for_each(|(_, region)| serve(region));

        draft.share_out(current);
        for ((name, region), before) in draft.regions.iter_mut().zip(before.into_values()) {
            if !is_chosen(name) || region.weight_bp == 0 {
                *region = RegionPlan {
                    weight_bp: 0,
                    ..before
                };
            }
        }

        return;
    }

    // Nothing of what was about to be moved is; but a failed region makes room for one that merely
    // drains.
    draft.shortfall = current.and_then(|plan| plan.shortfall);
    for (name, region) in &mut draft.regions {
        let last = current.and_then(|plan| plan.regions.get(name));
        let is_kept = kept.contains(name);
        if let Some(last) = last.filter(|_| is_kept || !merely_drains) {
            *region = RegionPlan {
                addresses: std::mem::take(&mut region.addresses),
                ..last.clone()
            };
        }

        if !is_kept {
            region.weight_bp = 0;
        }
    }
}
