//! What must hold soon after healing.

use super::world::World;
use regionmesh_protocol::{
    identity::RegionName,
    plan::{Plan, TrafficState},
    register::members::Incarnation,
};
use std::collections::BTreeSet;

impl World {
    /// Whether exactly one agent leads.
    pub(crate) fn check_led(&self) -> Result<(), String> {
        let leaders: Vec<String> = self
            .machines
            .iter()
            .filter_map(|machine| machine.leads.as_ref())
            .map(ToString::to_string)
            .collect();

        match leaders.len() {
            1 => Ok(()),
            _ => Err(format!("leaders: {leaders:?}")),
        }
    }

    /// Whether every DNS server answers by the latest plan, and that plan sends no user to an
    /// endpoint that is down.
    pub(crate) fn check_right(&self) -> Result<(), String> {
        let Some((latest, _)) = self.laws.latest() else {
            return Err("no plan was committed".into());
        };
        for machine in &self.machines {
            let served = machine.serves.as_ref().map(|snapshot| &snapshot.plan.stamp);
            if served != Some(latest) {
                let by = served.map_or("nothing".into(), ToString::to_string);
                return Err(format!("{} answers by {by}, not by {latest}", machine.id));
            }
        }

        self.wrong_answer(0).map_or(Ok(()), Err)
    }

    /// Whether every member's acceptor has the incarnation that the register counts. One with
    /// forged slots has no vote until an operator deletes them.
    pub(crate) fn check_votes(&self) -> Result<(), String> {
        let Some((stamp, plan)) = self.laws.latest() else {
            return Err("no plan was committed".into());
        };
        let kept = self.kept(None);
        let without = plan
            .members
            .acceptors
            .iter()
            .filter(|(name, _)| !self.stores[self.store_named(name)].is_forged)
            .find(|(_, counted)| counted.is_none_or(|counted| !kept.contains(&counted)));

        match without {
            Some((name, _)) => Err(format!("{name} has no vote by {stamp}")),
            None => Ok(()),
        }
    }

    /// Two slots are kept, and those that writers are about to replace.
    pub(crate) fn check_slots(&mut self) {
        for store in 0..self.stores.len() {
            let writers = match store == self.shape.regions {
                true => self.shape.agents(),
                false => self.shape.agents_per_region,
            };
            let count = self.stores[store].slot_count();
            if count > 3 + 2 * writers {
                let what = format!("store {store} keeps {count}");
                self.laws
                    .break_law("old slots are deleted", self.now_ms, what);
            }
        }
    }

    /// A DNS server that sends users to an endpoint that has been down for `down_ms`, although
    /// another has been up for as long.
    pub(crate) fn wrong_answer(&self, down_ms: u64) -> Option<String> {
        let served = self.machines.iter().filter_map(|machine| {
            let snapshot = machine.serves.as_ref()?;
            let region = self.answers_down(&snapshot.plan.plan, down_ms)?;
            Some(format!(
                "{} sends users to {region}, which is down, by {} ({})",
                machine.id, snapshot.plan.stamp, snapshot.plan.plan.reason
            ))
        });
        served.into_iter().next()
    }

    fn answers_down<'a>(&self, plan: &'a Plan, down_ms: u64) -> Option<&'a RegionName> {
        // Automation may not act, and operators have to.
        if plan.members.why_not_automatic().is_some() {
            return None;
        }

        let is_so = |name: &RegionName, is_down: bool| {
            self.region_named(name).is_some_and(|region| {
                let endpoint = self.endpoints[region];
                endpoint.state.is_down() == is_down
                    && endpoint.state.is_certain()
                    && self.now_ms - endpoint.since_ms >= down_ms
            })
        };
        let is_anything_up = plan.regions.keys().any(|name| is_so(name, false));
        plan.carrying()
            .filter(|(_, part)| !matches!(part.traffic_state, TrafficState::Limited { .. }))
            .map(|(name, _)| name)
            .find(|name| is_anything_up && is_so(name, true))
    }

    /// Whether a majority of the members, without the store `lost`, have their state. That must
    /// also hold for members that are only proposed, since they may still be committed.
    pub(crate) fn keeps_majority(&self, lost: Option<usize>) -> bool {
        let Some((stamp, plan)) = self.laws.latest() else {
            return true;
        };
        let kept = self.kept(lost);
        let mut proposed = self.laws.proposed.range(stamp..);
        plan.members.has_majority(&kept)
            && proposed.all(|(_, plan)| plan.members.has_majority(&kept))
    }

    fn store_named(&self, name: &RegionName) -> usize {
        self.region_named(name).unwrap_or(self.stores.len() - 1)
    }

    /// The acceptors that have their state, without that of the store `lost`.
    fn kept(&self, lost: Option<usize>) -> BTreeSet<Incarnation> {
        let stores = self.stores.iter().enumerate();
        stores
            .filter(|(index, store)| Some(*index) != lost && !store.is_forged)
            .filter_map(|(_, store)| store.state().map(|state| state.incarnation))
            .collect()
    }
}
