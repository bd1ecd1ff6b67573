//! A plan in the making.

use crate::planning::{
    PlanInputs, RegionInput,
    overrides::Orders,
    weights,
    words::{address_change, join_reasons},
    yielding::Survival,
};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{
        Absence, CostShift, Order, Override, OverrideKind, Plan, PlannedLoad, RegionPlan,
        Shortfall, TrafficState, YieldedOrder,
    },
    register::members::Members,
    status::condition::Condition,
};
use std::collections::BTreeMap;

/// A plan in the making, and why it differs from the last.
pub(super) struct Draft<'a> {
    pub(super) inputs: &'a PlanInputs,
    pub(super) now_ms: u64,
    pub(super) regions: BTreeMap<RegionName, RegionPlan>,
    pub(super) overrides: Vec<Override>,
    pub(super) yielded: Vec<YieldedOrder>,
    pub(super) load: Option<PlannedLoad>,
    pub(super) shortfall: Option<Shortfall>,
    members: Members,
    pub(super) all_failed_ms: Option<u64>,
    pub(super) cost: CostShift,
    orders: Vec<Order>,
    pub(super) reasons: Vec<String>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(current: Option<&Plan>, inputs: &'a PlanInputs, now_ms: u64) -> Self {
        let mut reasons = Vec::new();
        let regions = first_regions(current, inputs, now_ms, &mut reasons);
        let overrides = remaining_overrides(current, inputs, now_ms, &mut reasons);

        let is_held = overrides
            .iter()
            .any(|existing| existing.kind == OverrideKind::Hold);
        let load = weights::load(inputs, current.and_then(|plan| plan.load), is_held, now_ms);

        let known = current
            .map(|plan| plan.yielded.as_slice())
            .unwrap_or_default();
        let survival = Survival {
            overrides: &overrides,
            regions: &regions,
            inputs,
        };
        let yielded = survival.yielded(known, now_ms);

        let failed_before_ms = current.and_then(|plan| plan.all_failed_ms);
        let mut draft = Self {
            inputs,
            now_ms,
            regions,
            overrides,
            yielded,
            load,
            shortfall: None,
            members: current.map(|plan| plan.members.clone()).unwrap_or_default(),
            all_failed_ms: all_failed(inputs).then(|| failed_before_ms.unwrap_or(now_ms)),
            cost: current.map(|plan| plan.cost.clone()).unwrap_or_default(),
            orders: current.map(|plan| plan.orders.clone()).unwrap_or_default(),
            reasons,
        };

        draft.report_yielding(known);
        draft
    }

    /// Adds reasons for orders that begin to yield or take effect again.
    fn report_yielding(&mut self, known: &[YieldedOrder]) {
        let is_in = |list: &[YieldedOrder], one: &YieldedOrder| {
            list.iter()
                .any(|other| other.order == one.order && other.region == one.region)
        };
        let order_of = |one: &YieldedOrder| {
            self.overrides
                .iter()
                .find(|existing| existing.region == one.order)
        };

        let begins = self
            .yielded
            .iter()
            .filter(|one| !is_in(known, one))
            .filter_map(|one| Some(begins_to_yield(order_of(one)?, &one.region)));
        let ends = known
            .iter()
            .filter(|one| !is_in(&self.yielded, one))
            .filter_map(|one| Some(takes_effect_again(order_of(one)?, &one.region)));

        let reasons: Vec<String> = begins.chain(ends).collect();
        self.reasons.extend(reasons);
    }

    /// Adds a reason, once.
    pub(super) fn add_reason(&mut self, reason: String) {
        if !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }

    pub(super) fn orders(&self, name: &RegionName) -> Orders<'_> {
        Orders::in_effect(&self.overrides, &self.yielded, name)
    }

    /// The verdict on a region as its overrides let it count.
    pub(super) fn condition(&self, name: &RegionName) -> Condition {
        let input = self.inputs.regions.get(name);
        input.map_or(Condition::Unknown, |input| {
            self.orders(name).condition(input)
        })
    }

    /// Whether `plan` decides what this draft decides; their reasons and loads may differ.
    pub(super) fn is_equal_to(&self, plan: &Plan) -> bool {
        plan.regions == self.regions
            && plan.overrides == self.overrides
            && plan.yielded == self.yielded
            && plan.all_failed_ms == self.all_failed_ms
            && plan.cost == self.cost
    }

    pub(super) fn into_plan(self) -> Plan {
        Plan {
            regions: self.regions,
            reason: join_reasons(&self.reasons),
            made_ms: self.now_ms,
            overrides: self.overrides,
            shortfall: self.shortfall,
            load: self.load,
            members: self.members,
            yielded: self.yielded,
            all_failed_ms: self.all_failed_ms,
            cost: self.cost,
            orders: self.orders,
        }
    }
}

/// The regions of the inputs as `current` has them, with the addresses of the inputs.
fn first_regions(
    current: Option<&Plan>,
    inputs: &PlanInputs,
    now_ms: u64,
    reasons: &mut Vec<String>,
) -> BTreeMap<RegionName, RegionPlan> {
    let mut regions = BTreeMap::new();
    for (name, input) in &inputs.regions {
        let known = current.map(|plan| plan.regions.get(name));
        let region = match known {
            None => unplanned(input, now_ms),
            Some(Some(region)) => {
                if region.addresses != input.addresses {
                    reasons.push(address_change(name, &region.addresses, &input.addresses));
                }
                region.clone()
            }
            Some(None) => {
                reasons.push(format!("{name}: joined the mesh"));
                out(Absence::Joined, now_ms)
            }
        };

        let addresses = input.addresses.clone();
        regions.insert(
            name.clone(),
            RegionPlan {
                addresses,
                ..region
            },
        );
    }

    match current {
        None => reasons.push("first plan".into()),
        Some(plan) => reasons.extend(
            plan.regions
                .keys()
                .filter(|name| !inputs.regions.contains_key(name))
                .map(|name| format!("{name}: left the mesh")),
        ),
    }

    regions
}

/// A region's part of the first plan.
fn unplanned(input: &RegionInput, now_ms: u64) -> RegionPlan {
    match input.condition {
        Condition::Unknown | Condition::Healthy | Condition::Suspect => RegionPlan::default(),
        // Not up yet: it did not fail, it was never there.
        Condition::Failed => out(Absence::Joined, now_ms),
        Condition::Draining => out(Absence::Draining, now_ms),
    }
}

fn out(absence: Absence, now_ms: u64) -> RegionPlan {
    RegionPlan {
        traffic_state: TrafficState::Out { since_ms: now_ms },
        absence: Some(absence),
        ..RegionPlan::default()
    }
}

/// The overrides of `current` that have not expired and whose region is still in the mesh.
fn remaining_overrides(
    current: Option<&Plan>,
    inputs: &PlanInputs,
    now_ms: u64,
    reasons: &mut Vec<String>,
) -> Vec<Override> {
    let has_region = |existing: &Override| {
        let region = existing.region.as_ref();
        region.is_none_or(|region| inputs.regions.contains_key(region))
    };

    let mut overrides = Vec::new();
    for existing in current.iter().flat_map(|plan| &plan.overrides) {
        if existing.is_expired(now_ms) {
            reasons.push(format!("expired: {existing}"));
        } else if has_region(existing) {
            overrides.push(existing.clone());
        }
    }

    overrides
}

fn begins_to_yield(order: &Override, region: &RegionName) -> String {
    match order.kind {
        OverrideKind::Drain => format!("{order} yields: no other region can serve"),
        OverrideKind::Hold => {
            format!("{order} yields for {region}, which failed while another is healthy")
        }
        OverrideKind::Promote => format!("{order} yields: {region} can't serve"),
    }
}

fn takes_effect_again(order: &Override, region: &RegionName) -> String {
    if order.region.is_none() {
        format!("{order} takes effect again for {region}")
    } else {
        format!("{order} takes effect again")
    }
}

/// Whether the verdict on every region that has an address is failed.
fn all_failed(inputs: &PlanInputs) -> bool {
    let mut reachable = inputs
        .regions
        .values()
        .filter(|input| !input.addresses.is_empty())
        .peekable();

    reachable.peek().is_some() && reachable.all(|input| input.condition == Condition::Failed)
}
