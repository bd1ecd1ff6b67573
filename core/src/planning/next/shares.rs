//! From traffic states to shares: promotion, capacity and cost.

use super::draft::Draft;
use crate::planning::{cost, weights, words};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{Plan, PlannedLoad, TrafficState, weighted_bp},
};
use std::collections::BTreeMap;

impl Draft<'_> {
    /// Sets the weights that follow from the traffic states, within capacity.
    pub(super) fn share_out(&mut self, current: Option<&Plan>) {
        let (promoted, climbing) = self.promoted();
        let mut weights = weights::by_traffic_state(&self.regions, self.inputs, promoted.as_ref());
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
            (Some(load), Some(name)) => self.report_overload(name, load),
        }

        if let Some(short) = self.shortfall
            && current.and_then(|plan| plan.shortfall) != Some(short)
        {
            self.add_reason(words::shortfall(&short));
        }

        self.apply_cost_factors();
        for (name, region) in &mut self.regions {
            let weight_bp = weights.get(name).copied().unwrap_or(0);
            region.weight_bp = weighted_bp(weight_bp, self.cost.factor_bp(name));
        }
    }

    /// The region that an operator promoted, if it serves; or, while it is on the ramp, the region
    /// and its step's percentage.
    fn promoted(&self) -> (Option<RegionName>, Option<(RegionName, u8)>) {
        let promoted = self.overrides.iter().find_map(|order| {
            let name = order.region.as_ref()?;
            let input = self.inputs.regions.get(name)?;
            let region = self.regions.get(name)?;
            self.orders(name).promotion(input)?;
            (!region.addresses.is_empty()).then_some((name, &region.traffic_state))
        });

        match promoted {
            Some((name, TrafficState::Serving)) => (Some(name.clone()), None),
            Some((name, TrafficState::Ramping { step, .. })) => {
                let percent = self.inputs.recovery.percent_at(*step);
                (None, Some((name.clone(), percent)))
            }
            _ => (None, None),
        }
    }

    /// Adds a reason if a promoted region's capacity is below the load that it gets.
    fn report_overload(&mut self, promoted: &RegionName, load: PlannedLoad) {
        let input = self.inputs.regions.get(promoted);
        let Some(capacity_rps) = input.and_then(|input| input.capacity_rps) else {
            return;
        };

        if capacity_rps < load.rps {
            self.add_reason(format!(
                "{promoted}: promoted although its capacity of {capacity_rps} requests/s is below \
                 the mesh's {}",
                load.rps
            ));
        }
    }

    /// Applies the cost factors if nothing else decides, and otherwise removes them.
    fn apply_cost_factors(&mut self) {
        let has_orders = !self.overrides.is_empty();
        let regions = self
            .regions
            .iter()
            .map(|(name, region)| (region, self.condition(name)));
        let obstacle = cost::obstacle(
            self.inputs.strategy,
            regions,
            has_orders,
            self.shortfall.is_some(),
        );

        let (factors_bp, reason) = match (obstacle, &self.inputs.cost) {
            (None, None) => return,
            (None, Some(target)) => (target.factors_bp.clone(), target.reason.clone()),
            (Some(why), _) => (
                BTreeMap::new(),
                format!("traffic is no longer moved for cost: {why}"),
            ),
        };

        if let Some(changed) = self.cost.changed(factors_bp, self.now_ms) {
            self.cost = changed;
            self.add_reason(reason);
        }
    }
}
