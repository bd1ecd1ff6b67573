//! What DNS servers answer, against what the endpoints really do.

use super::{laws::is_drained, node::DnsSnapshot, sometimes::Sometimes, world::World};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{RegionPlan, TrafficState},
};

impl DnsSnapshot {
    /// Each region and the weight that the server answers it by.
    pub(crate) fn weights(&self) -> impl Iterator<Item = (&RegionName, &RegionPlan, u16)> {
        let local = self.local.as_ref().map(|local| &local.weights);
        self.plan.plan.regions.iter().map(move |(name, part)| {
            let weight_bp = match local {
                Some(weights) => weights.get(name).copied().unwrap_or(0),
                None => part.weight_bp,
            };
            (name, part, weight_bp)
        })
    }

    /// The regions that users are sent to.
    fn answered(&self) -> impl Iterator<Item = (&RegionName, &RegionPlan)> {
        self.weights()
            .filter(|(_, _, weight_bp)| *weight_bp > 0)
            .map(|(name, part, _)| (name, part))
    }
}

impl World {
    /// A DNS server that sends users to an endpoint that has been down for `down_ms`, although
    /// another has been up for as long. A region that automation may not take out is excepted.
    pub(crate) fn wrong_answer(&self, down_ms: u64) -> Option<String> {
        self.find_answer(down_ms, |snapshot| {
            let mut answered = snapshot.answered().filter(|(_, part)| !is_limited(part));
            let (name, _) = answered.find(|(name, _)| self.has_been(name, true, down_ms))?;
            Some(name.to_string())
        })
    }

    /// A DNS server that sends *all* users to endpoints that have been down for `down_ms`, although
    /// another has been up for as long. No guard of automation and no order excuses that.
    pub(crate) fn lost_users(&self, down_ms: u64) -> Option<String> {
        self.find_answer(down_ms, |snapshot| {
            let answered: Vec<&str> = snapshot.answered().map(|(name, _)| name.as_str()).collect();
            let mut names = snapshot.answered().map(|(name, _)| name);
            let are_lost = names.all(|name| self.has_been(name, true, down_ms));
            are_lost.then(|| format!("{} alone", answered.join(" and ")))
        })
    }

    /// What `wrong` finds in a DNS server's answers, if an endpoint has been up for `up_ms`.
    fn find_answer(
        &self,
        up_ms: u64,
        wrong: impl Fn(&DnsSnapshot) -> Option<String>,
    ) -> Option<String> {
        self.machines.iter().find_map(|machine| {
            let snapshot = machine.serves.as_ref()?;
            let plan = &snapshot.plan.plan;
            // Otherwise automation may not act, and operators have to.
            let is_automatic = plan.members.why_not_automatic().is_none();
            let up = plan
                .regions
                .keys()
                .find(|name| self.has_been(name, false, up_ms))?;
            let where_to = wrong(snapshot).filter(|_| is_automatic)?;
            Some(format!(
                "{} sends users to {where_to}, which is down while {up} is up, by {} ({})",
                machine.id, snapshot.plan.stamp, plan.reason
            ))
        })
    }

    /// Whether a region's endpoint has been down, or up, for so long.
    fn has_been(&self, name: &RegionName, is_down: bool, for_ms: u64) -> bool {
        self.region_named(name).is_some_and(|region| {
            let endpoint = self.endpoints[region];
            endpoint.state.is_down() == is_down
                && endpoint.state.is_certain()
                && self.now_ms - endpoint.since_ms >= for_ms
        })
    }

    /// Counts that operators have drained every region that has been up for `for_ms`, while another
    /// has been down for as long: only a drain that yields leaves users a region.
    pub(crate) fn count_drained(&mut self, for_ms: u64) {
        let Some((_, plan)) = self.laws.latest() else {
            return;
        };
        let names = || plan.regions.keys();
        let is_up = |name: &&RegionName| !self.has_been(name, true, 0);
        let has_been_up = names().any(|name| self.has_been(name, false, for_ms));
        let has_been_down = names().any(|name| self.has_been(name, true, for_ms));
        let are_drained = names().filter(is_up).all(|name| is_drained(plan, name));

        if has_been_up && has_been_down && are_drained {
            self.reached.count(Sometimes::WorkingDrained);
        }
    }
}

/// Whether automation would take the region out, and may not.
fn is_limited(part: &RegionPlan) -> bool {
    matches!(part.traffic_state, TrafficState::Limited { .. })
}
