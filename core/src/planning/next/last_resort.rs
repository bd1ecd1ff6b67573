//! The guard that keeps the answer from being empty.

use super::draft::Draft;
use crate::planning::{Strategy, traffic_state::serve, words::LAST_SHARES};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{OverrideKind, Plan, RegionPlan},
    status::condition::Condition,
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    mem,
};
use strum::VariantArray;

/// How good a region without traffic is when no other is left, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, VariantArray)]
enum LastResort {
    /// Healthy, and it lacks nothing that serving needs.
    Fit,
    Healthy,
    Suspect,
    Unknown,
    /// Down by its verdict, which a hold keeps from being acted on.
    Held,
}

impl Draft<'_> {
    /// The guard: the answer is never empty. If every region with traffic is known to be down:
    /// 1. regions that wait without traffic skip their cool-down, the healthiest kind only; they
    ///    still climb the ramp, so that they give way gently to others that return;
    /// 2. failing that, the last shares stay: when every region appears to be down, the observers
    ///    are more likely to be at fault, and there is nowhere better to go in any case. A region
    ///    that merely drains outranks one that failed. In an active-passive mesh the region with
    ///    the largest share keeps all: its users are answered one region.
    ///
    /// `reasons_before` counts the reasons before those of the other guards, which don't apply if
    /// the last shares stay.
    pub(super) fn ensure_answer(&mut self, current: Option<&Plan>, reasons_before: usize) {
        let is_any_carried = self.regions.keys().any(|name| self.is_carried_by(name));
        if is_any_carried || !self.regions.values().any(has_address) {
            return;
        }

        let draining = self.draining();
        let carried = self.still_carrying(current);
        let merely_drains = carried.keys().any(|name| draining.contains(*name));

        let lowest = if merely_drains {
            LastResort::Suspect
        } else {
            LastResort::Held
        };
        if self.admit_early(lowest, current) {
            return;
        }

        let kept: BTreeMap<&RegionName, &RegionPlan> = carried
            .into_iter()
            .filter(|(name, _)| !merely_drains || draining.contains(*name))
            .collect();
        let kept = self.answered_of(&kept);

        if !merely_drains {
            self.reasons.truncate(reasons_before);
        }
        self.add_reason(LAST_SHARES.into());

        if kept.is_empty() {
            self.serve_without_last_shares(current, &draining);
        } else {
            self.restore_last_shares(current, &kept, merely_drains);
        }
    }

    /// Whether the region gets traffic and is not known to be down.
    fn is_carried_by(&self, name: &RegionName) -> bool {
        let is_down = matches!(
            self.condition(name),
            Condition::Failed | Condition::Draining
        );
        let has_weight = |region: &RegionPlan| region.weight_bp > 0;

        !is_down && self.regions.get(name).is_some_and(has_weight)
    }

    /// The regions that ask for no traffic, whatever was ordered.
    fn draining(&self) -> BTreeSet<RegionName> {
        let is_draining = |name: &&RegionName| {
            let input = self.inputs.regions.get(*name);
            input.is_some_and(|input| input.condition == Condition::Draining)
        };

        self.regions.keys().filter(is_draining).cloned().collect()
    }

    /// The regions that carry traffic in `current` and can still be answered.
    fn still_carrying<'b>(
        &self,
        current: Option<&'b Plan>,
    ) -> BTreeMap<&'b RegionName, &'b RegionPlan> {
        let carrying = current.iter().flat_map(|plan| plan.carrying());
        carrying
            .filter(|(name, _)| self.regions.get(*name).is_some_and(has_address))
            .collect()
    }

    /// Admits the best waiting regions before their cool-down ends, none worse than `lowest`;
    /// returns whether there were any.
    fn admit_early(&mut self, lowest: LastResort, current: Option<&Plan>) -> bool {
        for kind in LastResort::VARIANTS
            .iter()
            .copied()
            .filter(|kind| *kind <= lowest)
        {
            let waiting: Vec<RegionName> = self
                .regions
                .iter()
                .filter(|(name, region)| {
                    self.last_resort(name) == Some(kind) && has_address(region)
                })
                .map(|(name, _)| name.clone())
                .collect();

            if waiting.is_empty() {
                continue;
            }
            for name in waiting {
                self.enter_ramp(
                    &name,
                    "no other region is left, so its cool-down ends early",
                );
            }

            // An admitted region is no longer out, so one that failed may be taken out.
            self.grant_exits();
            self.share_out(current);
            return true;
        }

        false
    }

    /// How good the region is when no other is left; none if it is known to be down, or drained by
    /// an order that does not yield. The verdict on a held region counts.
    fn last_resort(&self, name: &RegionName) -> Option<LastResort> {
        let input = self.inputs.regions.get(name)?;
        let orders = self.orders(name);
        if orders.own(OverrideKind::Drain).is_some() {
            return None;
        }

        match input.condition {
            Condition::Healthy if input.is_fit() => Some(LastResort::Fit),
            Condition::Healthy => Some(LastResort::Healthy),
            Condition::Suspect => Some(LastResort::Suspect),
            Condition::Unknown => Some(LastResort::Unknown),
            Condition::Failed | Condition::Draining => {
                orders.hold().is_some().then_some(LastResort::Held)
            }
        }
    }

    /// Those of `kept` that the strategy answers.
    fn answered_of(&self, kept: &BTreeMap<&RegionName, &RegionPlan>) -> BTreeSet<RegionName> {
        let mut kept: Vec<_> = kept.iter().collect();
        if self.inputs.strategy == Strategy::ActivePassive {
            // The first of those with the largest share.
            kept.sort_by_key(|(_, region)| Reverse(region.weight_bp));
            kept.truncate(1);
        }

        kept.into_iter().map(|(name, _)| (*name).clone()).collect()
    }

    /// Answers every region, or those that merely drain if there are any. There are no last shares:
    /// this is the first plan, or the one region that carried traffic has left the mesh.
    fn serve_without_last_shares(
        &mut self,
        current: Option<&Plan>,
        draining: &BTreeSet<RegionName>,
    ) {
        let is_reachable = |name: &&RegionName| self.regions.get(*name).is_some_and(has_address);
        let drains: BTreeSet<RegionName> = draining.iter().filter(is_reachable).cloned().collect();
        let is_chosen = |name: &RegionName| drains.is_empty() || drains.contains(name);

        let before = self.regions.clone();
        for (name, region) in &mut self.regions {
            if is_chosen(name) {
                serve(region);
            }
        }

        self.share_out(current);
        for ((name, region), before) in self.regions.iter_mut().zip(before.into_values()) {
            if !is_chosen(name) || region.weight_bp == 0 {
                *region = RegionPlan {
                    weight_bp: 0,
                    ..before
                };
            }
        }
    }

    /// Undoes what this draft was about to move. A failed region still makes room for one that
    /// merely drains.
    fn restore_last_shares(
        &mut self,
        current: Option<&Plan>,
        kept: &BTreeSet<RegionName>,
        merely_drains: bool,
    ) {
        self.shortfall = current.and_then(|plan| plan.shortfall);
        for (name, region) in &mut self.regions {
            let last = current.and_then(|plan| plan.regions.get(name));
            let is_kept = kept.contains(name);
            if let Some(last) = last.filter(|_| is_kept || !merely_drains) {
                *region = RegionPlan {
                    addresses: mem::take(&mut region.addresses),
                    ..last.clone()
                };
            }

            if !is_kept {
                region.weight_bp = 0;
            }
        }
    }
}

fn has_address(region: &RegionPlan) -> bool {
    !region.addresses.is_empty()
}
