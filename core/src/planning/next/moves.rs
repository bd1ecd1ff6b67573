//! How traffic states change: verdicts, the guard on exits, and cool-downs.

use super::draft::Draft;
use crate::{
    planning::{
        overrides::Orders,
        traffic_state::{Situation, converge, has_cooled_down, serve},
        words,
    },
    recovery::ramp::RampMove,
};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{Absence, Plan, TrafficState},
    status::condition::Condition,
};

impl Draft<'_> {
    /// Brings every traffic state in line with its verdict; ends no cool-down.
    pub(super) fn apply_verdicts(&mut self) {
        let names: Vec<RegionName> = self.regions.keys().cloned().collect();
        for name in names {
            self.converge(&name);
        }
    }

    /// Brings one region's traffic state in line with its verdict.
    fn converge(&mut self, name: &RegionName) {
        let (Some(region), Some(input)) =
            (self.regions.get_mut(name), self.inputs.regions.get(name))
        else {
            return;
        };
        let situation = Situation {
            orders: Orders::in_effect(&self.overrides, &self.yielded, name),
            input,
            inputs: self.inputs,
            now_ms: self.now_ms,
        };

        converge(name, region, &situation, &mut self.reasons);
    }

    /// The guard on exits: takes failed regions out, the earliest failure first, while automation
    /// has fewer than `max_out` out. A region that an operator drains does not count.
    pub(super) fn grant_exits(&mut self) {
        let taken_out = self
            .regions
            .values()
            .filter(|region| region.is_taken_out())
            .count();
        let places = usize::from(self.inputs.max_out).saturating_sub(taken_out);

        let mut failed: Vec<(u64, RegionName)> = Vec::new();
        for (name, region) in &self.regions {
            if let TrafficState::Limited {
                since_ms,
                healthy_ms: None,
            } = region.traffic_state
                && self.condition(name) == Condition::Failed
            {
                failed.push((since_ms, name.clone()));
            }
        }

        failed.sort();
        for (_, name) in failed.into_iter().take(places) {
            if let Some(region) = self.regions.get_mut(&name) {
                region.absence = Some(Absence::Failed);
                region.traffic_state = TrafficState::Out {
                    since_ms: self.now_ms,
                };
            }
        }
    }

    /// Adds the reasons why failed regions were not taken out.
    pub(super) fn report_limited(&mut self, current: Option<&Plan>) {
        let was_limited = |name: &RegionName| {
            let region = current.and_then(|plan| plan.regions.get(name));
            region
                .is_some_and(|region| matches!(region.traffic_state, TrafficState::Limited { .. }))
        };
        let out: Vec<&str> = self
            .regions
            .iter()
            .filter(|(_, region)| region.is_taken_out())
            .map(|(name, _)| name.as_str())
            .collect();
        let limit = words::limit(&out, self.inputs.max_out, self.inputs.suspect_percent);

        let reasons: Vec<String> = self
            .regions
            .iter()
            .filter(|(_, region)| matches!(region.traffic_state, TrafficState::Limited { .. }))
            .filter(|(name, _)| !was_limited(name))
            .map(|(name, _)| format!("{name}: {limit}"))
            .collect();

        self.reasons.extend(reasons);
    }

    /// Ends the cool-down of the region that has waited longest, unless another is on the ramp.
    pub(super) fn end_cool_downs(&mut self) {
        while !self
            .regions
            .values()
            .any(|region| matches!(region.traffic_state, TrafficState::Ramping { .. }))
        {
            let mut ready = self.cooled_down().into_iter();
            let Some(name) = ready.next() else { return };

            self.enter_ramp(&name, "cool-down over");
            let waiting: Vec<String> = ready.map(|name| name.to_string()).collect();
            if !waiting.is_empty() {
                self.reasons.push(format!(
                    "{} must wait: one region ramps at a time",
                    waiting.join(", ")
                ));
            }
        }
    }

    /// The regions whose cool-down may end, the longest wait first.
    fn cooled_down(&self) -> Vec<RegionName> {
        let recovery = &self.inputs.recovery;
        let mut ready: Vec<(u64, &RegionName)> = self
            .regions
            .iter()
            .filter_map(|(name, region)| {
                let input = self.inputs.regions.get(name)?;
                let condition = self.condition(name);
                let since_ms = has_cooled_down(region, condition, input, recovery, self.now_ms)?;
                Some((since_ms, name))
            })
            .collect();

        ready.sort();
        ready.into_iter().map(|(_, name)| name.clone()).collect()
    }

    /// Puts a region on the first step of the ramp that takes nothing from it, and further if steps
    /// are held for no time.
    pub(super) fn enter_ramp(&mut self, name: &RegionName, why: &str) {
        let (Some(region), Some(input)) =
            (self.regions.get_mut(name), self.inputs.regions.get(name))
        else {
            return;
        };
        let has_percent = match region.traffic_state {
            TrafficState::Limited { .. } => self.inputs.suspect_percent.min(100),
            _ => 0,
        };

        match self.inputs.recovery.enter(has_percent) {
            RampMove::Step(step) => {
                region.traffic_state = TrafficState::Ramping {
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

        self.converge(name);
    }
}
