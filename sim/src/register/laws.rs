//! The invariants of every run, and the losses that a run survives.

use super::{plans::plan_number, slots::Slots, world::World};
use regionmesh_protocol::{
    plan::Plan,
    register::{ballot::Stamp, members::Incarnation},
};
use std::collections::BTreeSet;

impl World {
    /// Whether every member's acceptor has a vote and the incarnation that the register counts.
    pub(super) fn is_mended(&self) -> bool {
        let Some((_, plan)) = &self.latest else {
            return false;
        };
        plan.members.acceptors.iter().all(|(name, counted)| {
            // An acceptor with forged slots has no vote until it is repaired.
            let is_forged = self.scenario.is_attacked
                && self.scenario.seed.is_multiple_of(2)
                && self.region_of(name) == Some(0);
            let state = self
                .region_of(name)
                .and_then(|region| self.slots[region].state());

            is_forged || (counted.is_some() && state.map(|state| state.incarnation) == *counted)
        })
    }

    /// Whether the votes of all members of the last plan count.
    pub(super) fn has_all_votes(&self) -> bool {
        self.latest
            .as_ref()
            .is_some_and(|(_, plan)| plan.members.acceptors.values().all(Option::is_some))
    }

    /// Whether a majority of the members, without `lost`, still have their state. Members that are
    /// only proposed must have it too, since that proposal may still be committed.
    pub(super) fn keeps_majority(&self, lost: Option<usize>) -> bool {
        let Some((stamp, plan)) = &self.latest else {
            return true;
        };
        let stores = self.slots.iter().enumerate();
        let kept: BTreeSet<Incarnation> = stores
            .filter(|(region, _)| Some(*region) != lost)
            .filter_map(|(_, slots)| slots.state().map(|state| state.incarnation))
            .collect();
        let proposed = self
            .proposed
            .range(stamp.clone()..)
            .map(|(_, members)| members);
        let mut possible = std::iter::once(&plan.members).chain(proposed);

        possible.all(|members| members.has_majority(&kept))
    }

    /// Deletes slots of a store, if the other members that have their state are a majority.
    pub(super) fn lose_slots(&mut self, region: usize) {
        // Lifecycle rules delete old slots, not new ones: no write is in progress, and older slots
        // are gone.
        let is_idle = self
            .agents
            .iter()
            .all(|agent| agent.region != region || agent.handler.is_idle());
        let is_quiet = is_idle && self.slots[region].len() <= 2;

        if !is_quiet
            || self.now_ms <= 3_000
            || self.latest.is_none()
            || !self.keeps_majority(Some(region))
        {
            return;
        }

        let kind = self.random.below(4);
        self.slots[region].lose(kind);
        self.losses += 1;
    }

    pub(super) fn note_accepted(
        &mut self,
        incarnation: Incarnation,
        accepted: Option<&(Stamp, Plan)>,
    ) {
        let Some((stamp, plan)) = accepted else {
            return;
        };
        let (first, votes) = self
            .accepted
            .entry(stamp.clone())
            .or_insert_with(|| (plan.clone(), BTreeSet::new()));

        votes.insert(incarnation);
        if first != plan {
            self.broken = Some(format!(
                "{stamp} carries {:?} and {:?}",
                first.reason, plan.reason
            ));
        }
    }

    /// Checks that every committed value is a repetition of the one before it or was made from it.
    /// Returns the number of committed values, and how many of them changed the members.
    pub(super) fn check_chain(&self) -> Result<(usize, usize), String> {
        let mut committed = 0;
        let mut changes = 0;
        let mut last: Option<(&Stamp, &Plan)> = None;

        for (stamp, (plan, votes)) in &self.accepted {
            if !self
                .deciders
                .get(stamp)
                .is_some_and(|deciders| deciders.has_majority(votes))
            {
                continue;
            }

            committed += 1;
            let parent = plan.reason.rsplit(' ').next().unwrap_or_default();
            let is_next = match last {
                None => parent == "0",
                Some((last_stamp, last)) => {
                    stamp.seq > last_stamp.seq && (plan == last || parent == plan_number(last))
                }
            };

            if !is_next {
                return Err(format!(
                    "{stamp} ({}) does not follow {last:?}",
                    plan.reason
                ));
            }

            changes += usize::from(last.is_some_and(|(_, last)| last.members != plan.members));
            last = Some((stamp, plan));
        }

        Ok((committed, changes))
    }

    /// Two slots are kept, and those that writers are about to replace.
    pub(super) fn check_slots(&self) -> Result<(), String> {
        let limit = 3 + 2 * self.scenario.agents_per_region;
        match self
            .slots
            .iter()
            .map(Slots::len)
            .find(|count| *count > limit)
        {
            Some(count) => Err(format!(
                "{count} slots are kept, {limit} at most are needed"
            )),
            None => Ok(()),
        }
    }
}
