//! Which orders yield. An order outranks automation, but not survival: if obeying it would keep
//! users on a failed region although another could serve them, the plan is made as if the order did
//! not exist, and says so.
//!
//! - A hold yields for a region whose verdict is failed while another region is healthy.
//! - A drain yields while no region without a drain can serve; of the drained regions, those yield
//!   that serve already. It takes effect again as soon as another region can serve.
//! - A promotion yields while its region is failed or drains on its own.
//!
//! The decision depends on verdicts and on which regions are in service; made again on its own
//! result, it is the same.

use super::{PlanInputs, RegionInput, Strategy, overrides::Orders};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{Override, OverrideKind, RegionPlan, TrafficState, YieldedOrder},
    status::condition::Condition,
};
use std::{cmp::Reverse, collections::BTreeMap};

/// What the decision rests on.
pub(super) struct Survival<'a> {
    pub(super) overrides: &'a [Override],
    /// The regions as they are before this plan.
    pub(super) regions: &'a BTreeMap<RegionName, RegionPlan>,
    pub(super) inputs: &'a PlanInputs,
}

impl Survival<'_> {
    /// The orders that yield, and for which region. Those in `known` keep their start time.
    pub(super) fn yielded(&self, known: &[YieldedOrder], now_ms: u64) -> Vec<YieldedOrder> {
        let mut yielded = Vec::new();
        let mut add = |order: &Override, region: &RegionName| {
            let is_same =
                |known: &&YieldedOrder| known.order == order.region && known.region == *region;
            let since_ms = known
                .iter()
                .find(is_same)
                .map_or(now_ms, |known| known.since_ms);

            yielded.push(YieldedOrder {
                order: order.region.clone(),
                region: region.clone(),
                since_ms,
            });
        };

        for (name, input) in &self.inputs.regions {
            let orders = Orders::of(self.overrides, name);
            if self.hold_yields(name, input) {
                orders
                    .own(OverrideKind::Hold)
                    .into_iter()
                    .chain(orders.mesh)
                    .for_each(|hold| add(hold, name));
            }

            if let Some(promotion) = orders.own(OverrideKind::Promote)
                && matches!(
                    self.in_effect(name, input),
                    Condition::Failed | Condition::Draining
                )
            {
                add(promotion, name);
            }
        }

        for name in self.drains_that_yield(known) {
            Orders::of(self.overrides, name)
                .own(OverrideKind::Drain)
                .into_iter()
                .for_each(|drain| add(drain, name));
        }

        yielded
    }

    /// Whether a hold, if there is one, would keep users on this region while another is healthy.
    fn hold_yields(&self, name: &RegionName, input: &RegionInput) -> bool {
        let is_healthy = |other: &RegionInput| {
            other.condition == Condition::Healthy && !other.addresses.is_empty()
        };
        let mut others = self
            .inputs
            .regions
            .iter()
            .filter(|(other, _)| *other != name);

        input.condition == Condition::Failed && others.any(|(_, other)| is_healthy(other))
    }

    /// The verdict that automation acts on if no drain is ordered: unknown under a hold that
    /// does not yield.
    fn in_effect(&self, name: &RegionName, input: &RegionInput) -> Condition {
        let orders = Orders::of(self.overrides, name);
        if orders.hold().is_some() && !self.hold_yields(name, input) {
            Condition::Unknown
        } else {
            input.condition
        }
    }

    /// The drained regions that must serve anyway: the best of them, if no other region can.
    fn drains_that_yield(&self, known: &[YieldedOrder]) -> Vec<&RegionName> {
        let reachable = self
            .inputs
            .regions
            .iter()
            .filter(|(_, input)| !input.addresses.is_empty());
        let (drained, free): (Vec<_>, Vec<_>) = reachable.partition(|(name, _)| {
            Orders::of(self.overrides, name)
                .own(OverrideKind::Drain)
                .is_some()
        });

        if free.iter().any(|(name, input)| self.can_serve(name, input)) {
            return Vec::new();
        }

        let of = |condition: Condition| {
            let is_so =
                move |(_, input): &&(&RegionName, &RegionInput)| input.condition == condition;
            drained
                .iter()
                .filter(is_so)
                .map(|(name, _)| *name)
                .collect::<Vec<_>>()
        };

        // A drained region that lacks something helps only if no region without a drain is healthy:
        // that one is let in first.
        let is_any_free_healthy = free
            .iter()
            .any(|(_, input)| input.condition == Condition::Healthy);
        let healthy = of(Condition::Healthy);

        if healthy.iter().any(|name| self.is_fit(name))
            || (!healthy.is_empty() && !is_any_free_healthy)
        {
            return self.chosen(&healthy, known);
        }

        // A region without a drain that may be healthy is admitted first, see `ensure_answer`; and
        // one that drains on its own still answers.
        let may_be_admitted = |(name, input): &(&RegionName, &RegionInput)| match input.condition {
            Condition::Healthy | Condition::Suspect | Condition::Unknown => true,
            Condition::Draining => self
                .regions
                .get(*name)
                .is_some_and(|region| region.weight_bp > 0),
            Condition::Failed => false,
        };

        if free.iter().any(may_be_admitted) {
            return Vec::new();
        }

        let suspect = of(Condition::Suspect);
        if suspect.is_empty() {
            self.chosen(&of(Condition::Unknown), known)
        } else {
            self.chosen(&suspect, known)
        }
    }

    /// Of equally good drained regions: those that serve, or that were chosen before and are on
    /// their way back. If there are none, those that are fit, else all. An active-passive mesh
    /// answers one region, so one is enough there.
    fn chosen<'b>(&self, equals: &[&'b RegionName], known: &[YieldedOrder]) -> Vec<&'b RegionName> {
        let is_in_service = |name: &RegionName| {
            let traffic_state = self.regions.get(name).map(|region| &region.traffic_state);
            let is_known = known
                .iter()
                .any(|one| one.region == *name && one.order.as_ref() == Some(name));

            is_known
                || !matches!(
                    traffic_state,
                    None | Some(TrafficState::Out { .. } | TrafficState::CoolingDown { .. })
                )
        };

        let mut chosen: Vec<&RegionName> = equals
            .iter()
            .copied()
            .filter(|name| is_in_service(name))
            .collect();

        if chosen.is_empty() {
            chosen = equals
                .iter()
                .copied()
                .filter(|name| self.is_fit(name))
                .collect();
        }

        if chosen.is_empty() {
            chosen = equals.to_vec();
        }

        if self.inputs.strategy == Strategy::ActivePassive {
            let weight_bp =
                |name: &RegionName| self.regions.get(name).map_or(0, |region| region.weight_bp);
            let priority = |name: &RegionName| {
                self.inputs
                    .regions
                    .get(name)
                    .map_or(u16::MAX, |input| input.priority)
            };

            chosen.sort_by_key(|name| (Reverse(weight_bp(name)), priority(name), *name));
            chosen.truncate(1);
        }

        chosen
    }

    fn is_fit(&self, name: &RegionName) -> bool {
        self.inputs
            .regions
            .get(name)
            .is_some_and(RegionInput::is_fit)
    }

    /// Whether the region serves, or could immediately: it is in service and not known to be down,
    /// or healthy and complete.
    fn can_serve(&self, name: &RegionName, input: &RegionInput) -> bool {
        let condition = self.in_effect(name, input);
        let is_promoted = Orders::of(self.overrides, name)
            .own(OverrideKind::Promote)
            .is_some();
        let is_in_service = match self.regions.get(name).map(|region| &region.traffic_state) {
            Some(TrafficState::Serving | TrafficState::Reduced | TrafficState::Ramping { .. }) => {
                true
            }
            Some(TrafficState::Limited {
                healthy_ms: Some(_),
                ..
            }) => condition == Condition::Unknown,
            _ => false,
        };

        match condition {
            Condition::Failed | Condition::Draining => false,
            _ if is_in_service || is_promoted => true,
            _ => input.condition == Condition::Healthy && input.is_fit(),
        }
    }
}
