//! Wrong failovers: traffic that automation takes from regions that work.

use super::{fault::EndpointState, laws::WrongExits, reach::REACHED_WITHIN_MS, world::World};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{Plan, TrafficState},
    register::ballot::Stamp,
};
use std::sync::Arc;

impl World {
    /// A leader asks for acceptance of a plan. What it takes out is judged when the plan is
    /// proposed first: a later leader may have to commit it again.
    pub(crate) fn note_honest_proposal(&mut self, stamp: &Stamp, plan: &Plan) {
        if self.laws.proposed.contains_key(stamp) {
            return;
        }

        let is_repeated = self.laws.is_proposed_lately(plan);
        let plan = Arc::new(plan.clone());
        self.laws.proposed.insert(stamp.clone(), plan.clone());
        if is_repeated {
            return;
        }

        let wrong: Vec<&RegionName> = plan
            .regions
            .keys()
            .filter(|name| self.is_exit(name, &plan) && self.works(name))
            .collect();
        for name in &wrong {
            self.note_wrong_exit(name, &plan);
        }

        let count = wrong.len() as u64;
        if count > 0 {
            self.laws.wrong_exits.push(WrongExits { plan, count });
        }
    }

    /// Whether a plan takes traffic from a region as failed.
    fn is_exit(&self, name: &RegionName, plan: &Plan) -> bool {
        let has_traffic = match self.laws.latest() {
            Some((_, before)) => before
                .regions
                .get(name)
                .is_some_and(|part| part.weight_bp > 0),
            None => true,
        };

        plan.regions.get(name).is_some_and(|part| {
            let TrafficState::Out { since_ms } = part.traffic_state else {
                return false;
            };
            has_traffic && part.is_taken_out() && since_ms == plan.made_ms
        })
    }

    /// Whether a region's endpoint has worked for [`REACHED_WITHIN_MS`], and at least half of the
    /// other regions that sent requests there in that time got an answer. A region that fewer of
    /// them reach is cut off, and rightly taken out, whatever its endpoint would answer.
    fn works(&self, name: &RegionName) -> bool {
        let Some(region) = self.region_named(name) else {
            return false;
        };
        let endpoint = self.endpoints[region];
        let has_worked = endpoint.state == EndpointState::Up
            && self.now_ms - endpoint.since_ms >= REACHED_WITHIN_MS;

        has_worked && self.reach.is_reached(region, self.now_ms)
    }

    fn note_wrong_exit(&mut self, name: &RegionName, plan: &Plan) {
        let Some(region) = self.region_named(name) else {
            return;
        };
        self.trace.note(self.now_ms, || {
            let reached = (0..self.shape.regions).map(|from| {
                let (asked, answered) = self.reach.answered(from, region, self.now_ms);
                format!("r{from} {answered} of {asked}")
            });
            let reached: Vec<String> = reached.collect();
            let reached = reached.join(", ");
            format!(
                "-- wrong: {name} works; reached lately: {reached}; {}",
                plan.reason
            )
        });
    }
}
