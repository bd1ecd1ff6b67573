//! What must hold soon after healing.

use super::world::World;
use regionmesh_protocol::{identity::RegionName, register::members::Incarnation};
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

    /// Whether every DNS server answers by the latest plan, and sends no user to an endpoint that
    /// is down.
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

        let wrong = self.wrong_answer(0).or_else(|| self.lost_users(0));
        wrong.map_or(Ok(()), Err)
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
