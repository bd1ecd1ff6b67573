//! Laws that every plan of every history must obey.

use super::*;

impl World {
    /// Whether no region with traffic is usable.
    pub(super) fn keeps_last_shares(&self) -> bool {
        let is_usable = |region| {
            self.inputs
                .regions
                .get(region)
                .is_some_and(|input| self.is_usable(input))
        };

        !self
            .plan
            .iter()
            .flat_map(Plan::carrying)
            .any(|(region, _)| is_usable(region))
    }

    /// Whether traffic can be sent there: not known to be down.
    pub(super) fn is_usable(&self, input: &RegionInput) -> bool {
        !input.addresses.is_empty()
            && !matches!(input.condition, Condition::Failed | Condition::Draining)
    }

    pub(super) fn check(&self, before: Option<&Plan>) -> Result<(), TestCaseError> {
        let plan = self.plan.as_ref().unwrap();
        prop_assert!(
            plan.regions.keys().eq(self.inputs.regions.keys()),
            "a plan has exactly the mesh's regions"
        );

        let has_address = self
            .inputs
            .regions
            .values()
            .any(|input| !input.addresses.is_empty());

        prop_assert_eq!(
            plan.total_weight_bp() > 0,
            has_address,
            "never empty: {:?}",
            plan
        );

        prop_assert_eq!(plan.carrying().count() > 0, has_address);
        let is_anybody_usable = self
            .inputs
            .regions
            .values()
            .any(|input| self.is_usable(input));

        for (region, part) in &plan.regions {
            let input = &self.inputs.regions[region];
            prop_assert_eq!(&part.addresses, &input.addresses);
            prop_assert!(part.weight_bp <= FULL_WEIGHT_BP);
            if input.condition == Condition::Failed && is_anybody_usable {
                let most = match part.traffic_state {
                    TrafficState::Limited { .. } => {
                        FULL_WEIGHT_BP.div_ceil(100) * u16::from(self.inputs.suspect_percent)
                    }
                    _ => 0,
                };

                prop_assert!(
                    part.weight_bp <= most,
                    "{region} failed and others are usable: {plan:?}"
                );
            }

            self.check_recovery(region, part, before)?;
        }

        if let Some(before) = before {
            self.check_max_out(before, plan)?;
            self.check_healthy_lose_nothing(before, plan)?;
        }

        let shares: f64 = plan.shares().values().sum();
        prop_assert!(!has_address || (shares - 1.0).abs() < 1e-9);
        Ok(())
    }

    /// Automation takes a region that serves out only if fewer than `max_out` are out then. (One
    /// that fails on the ramp loses what it had been given back in any case.)
    pub(super) fn check_max_out(&self, before: &Plan, plan: &Plan) -> Result<(), TestCaseError> {
        let newly = plan.taken_out().filter(|region| {
            let last = before.regions.get(*region);
            last.is_some_and(|last| {
                matches!(
                    last.traffic_state,
                    TrafficState::Serving | TrafficState::Reduced | TrafficState::Limited { .. }
                )
            })
        });

        let newly = newly.count();
        let out = plan.taken_out().count();
        prop_assert!(
            newly == 0 || out <= usize::from(self.inputs.max_out),
            "{newly} more of {out} out: {plan:?}"
        );

        Ok(())
    }

    /// A region that was and is healthy and serves keeps its weight, whatever happens to others; in
    /// an active-passive mesh only a region before it that comes back takes it over. (One that was
    /// limited while all appeared to be down had kept its last share, whatever the configuration
    /// was in between.)
    pub(super) fn check_healthy_lose_nothing(
        &self,
        before: &Plan,
        plan: &Plan,
    ) -> Result<(), TestCaseError> {
        let has_standbys = self
            .inputs
            .regions
            .values()
            .any(|input| input.weight_bp == 0);

        if self.inputs.strategy == Strategy::ActivePassive || has_standbys || self.is_reconfigured {
            return Ok(());
        }

        for (region, last) in &before.regions {
            let Some(input) = self.inputs.regions.get(region) else {
                continue;
            };
            let Some(part) = plan.regions.get(region) else {
                continue;
            };
            let is_healthy = input.condition == Condition::Healthy && !input.addresses.is_empty();
            let was_limited = matches!(last.traffic_state, TrafficState::Limited { .. });

            if is_healthy && !was_limited && last.weight_bp > 0 && last.weight_bp <= input.weight_bp
            {
                prop_assert!(
                    part.weight_bp >= last.weight_bp,
                    "{region} lost traffic: {before:?} then {plan:?}"
                );
            }
        }

        Ok(())
    }

    /// A region that is out or cooling down reaches its full share only by every step of the ramp
    /// (steps held for no time are passed immediately).
    pub(super) fn check_recovery(
        &self,
        region: &RegionName,
        part: &RegionPlan,
        before: Option<&Plan>,
    ) -> Result<(), TestCaseError> {
        let Some(last) = before.and_then(|plan| plan.regions.get(region)) else {
            return Ok(());
        };

        self.check_cool_down(region, last, part, before)?;
        self.check_ramp(last, part)
    }

    /// From out or cooling down, only after the cool-down.
    fn check_cool_down(
        &self,
        region: &RegionName,
        last: &RegionPlan,
        part: &RegionPlan,
        before: Option<&Plan>,
    ) -> Result<(), TestCaseError> {
        let is_last_resort = self.inputs.regions.iter().all(|(other, input)| {
            other == region
                || !self.is_usable(input)
                || before.is_some_and(|plan| {
                    plan.regions.get(other).is_none_or(|part| {
                        !matches!(
                            part.traffic_state,
                            TrafficState::Serving
                                | TrafficState::Reduced
                                | TrafficState::Ramping { .. }
                        )
                    })
                })
        });

        match (&last.traffic_state, &part.traffic_state) {
            (TrafficState::Out { .. }, TrafficState::Ramping { .. } | TrafficState::Serving)
                if !is_last_resort =>
            {
                prop_assert!(
                    self.inputs.recovery.cool_down_for(last.flaps) == 0,
                    "{region} skipped its cool-down: {before:?} then {:?}",
                    self.plan
                );
            }
            (
                TrafficState::CoolingDown { since_ms },
                TrafficState::Ramping { .. } | TrafficState::Serving,
            ) if !is_last_resort => {
                prop_assert!(
                    self.now_ms - since_ms >= self.inputs.recovery.cool_down_for(last.flaps),
                    "{region}'s cool-down was not over"
                );
                prop_assert!(self.inputs.regions[region].is_complete);
            }
            _ => {}
        }

        Ok(())
    }

    /// To the full share only by every step of the ramp.
    fn check_ramp(&self, last: &RegionPlan, part: &RegionPlan) -> Result<(), TestCaseError> {
        let steps = &self.inputs.recovery.steps;
        let may_pass =
            |from: usize, to: usize| steps[from..to].iter().all(|step| step.hold_ms == 0);

        // A cold start in which all appear to be down lets all serve: the only exception to the
        // ramp.
        let all_down = self
            .inputs
            .regions
            .values()
            .all(|input| !self.is_usable(input));

        match (&last.traffic_state, &part.traffic_state) {
            (
                TrafficState::Out { .. } | TrafficState::CoolingDown { .. },
                TrafficState::Serving,
            ) if !all_down => {
                prop_assert!(may_pass(0, steps.len()))
            }
            (
                TrafficState::Out { .. } | TrafficState::CoolingDown { .. },
                TrafficState::Ramping { step, .. },
            ) => {
                prop_assert!(may_pass(0, *step))
            }
            (TrafficState::Ramping { step, .. }, TrafficState::Serving) => {
                prop_assert!(*step >= steps.len() || may_pass(step + 1, steps.len()));
            }
            (TrafficState::Ramping { step: from, .. }, TrafficState::Ramping { step: to, .. })
                if to > from =>
            {
                prop_assert!(may_pass(from + 1, *to));
            }
            _ => {}
        }

        Ok(())
    }
}
