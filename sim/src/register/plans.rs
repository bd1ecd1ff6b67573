//! Plans and changes of members that leaders commit.

use super::world::World;
use regionmesh_core::leader::proposer::StepDown;
use regionmesh_protocol::{
    identity::RegionName,
    plan::Plan,
    register::{
        ballot::Stamp,
        members::{Incarnation, MemberChange, Members, Mend},
    },
};
use std::collections::BTreeSet;

impl World {
    pub(super) fn members(&self, index: usize) -> Option<&Members> {
        let agent = &self.agents[index];
        agent
            .proposer
            .members()
            .or(agent.known.as_ref().map(|(_, plan)| &plan.members))
    }

    pub(super) fn configured(&self) -> BTreeSet<RegionName> {
        self.names
            .iter()
            .take(self.scenario.regions)
            .cloned()
            .collect()
    }

    /// Commits a plan made from the last one that the leader knows to be committed. Its reason is
    /// `<number> after <number of that one>`.
    pub(super) fn make_plan(&mut self, index: usize) {
        self.plans += 1;
        // A plan that waits behind another would not be made from it, so agents plan only when no
        // proposal is in progress.
        if self.agents[index].proposer.is_ready() {
            self.commit(index, None);
        }
    }

    fn commit(&mut self, index: usize, members: Option<Members>) {
        let proposer = &mut self.agents[index].proposer;
        let parent = proposer
            .decided()
            .map_or("0", |(_, plan)| plan_number(plan));
        let reason = format!("{} after {parent}", self.plans);
        let plan = Plan {
            reason,
            members: members.unwrap_or_default(),
            ..Plan::default()
        };

        match proposer.commit(plan, self.now_ms) {
            Ok(effects) => self.carry_out(index, effects),
            Err(error) => self.broken = Some(error.to_string()),
        }
    }

    pub(super) fn committed(&mut self, index: usize, stamp: Stamp, plan: Plan) {
        self.last_commit_ms = self.now_ms;
        let votes = self
            .accepted
            .get(&stamp)
            .filter(|(accepted, _)| *accepted == plan)
            .map(|(_, votes)| votes);
        let has_it = votes.is_some_and(|votes| {
            self.deciders
                .get(&stamp)
                .is_some_and(|all| all.has_majority(votes))
        });

        if !has_it {
            self.broken = Some(format!(
                "{stamp} was called committed, but no majority accepted it"
            ));
        }

        if self
            .latest
            .as_ref()
            .is_none_or(|(latest, _)| *latest < stamp)
        {
            self.latest = Some((stamp.clone(), plan.clone()));
        }

        self.learn(index, Some((stamp, plan.clone())));
        if !plan.members.has(&self.agents[index].id.region) {
            let effects = self.agents[index].proposer.step_down(StepDown::Removed);
            self.carry_out(index, effects);
        }
    }

    /// Commits joined members, repairs members, and sometimes carries out an operator's order, as
    /// the dns-leader actor does.
    pub(super) fn maintain_members(&mut self, index: usize) {
        let agent = &self.agents[index];
        let Some((_, plan)) = agent
            .proposer
            .decided()
            .filter(|_| agent.proposer.is_ready())
        else {
            return;
        };
        let members = plan.members.clone();

        let change = match &agent.joining {
            Some((name, Some(incarnation))) => {
                let change = MemberChange::Join(name.clone(), *incarnation);
                self.agents[index].joining = None;
                Some(change)
            }
            Some(_) => None,
            None => match members.mend(&agent.proposer.heard(self.now_ms)) {
                Some(Mend::Suspend(name)) => Some(MemberChange::Suspend(name)),
                Some(Mend::Join(name)) => return self.begin_join(index, name),
                None if self.scenario.is_eventful
                    && self.are_faults_on
                    && self.random.chance(4) =>
                {
                    return self.order_member(index, &members);
                }
                None => None,
            },
        };

        if let Some(members) = change.and_then(|change| members.after(&change).ok()) {
            self.plans += 1;
            self.commit(index, Some(members));
        }
    }

    fn begin_join(&mut self, index: usize, name: RegionName) {
        let incarnation = Incarnation(self.random.draw());
        if let Ok(effects) =
            self.agents[index]
                .proposer
                .join(name.clone(), incarnation, self.now_ms)
        {
            self.agents[index].joining = Some((name, None));
            self.carry_out(index, effects);
        }
    }

    fn order_member(&mut self, index: usize, members: &Members) {
        let region = self.random.below(self.names.len() as u64) as usize;
        let Some(name) = members
            .names()
            .into_iter()
            .find(|name| self.region_of(name) == Some(region))
        else {
            // As for a real order, the present members must be a majority without the new one.
            let heard = self.agents[index].proposer.heard(self.now_ms);
            let answers = |(name, counted): &(&RegionName, &Option<Incarnation>)| {
                counted.is_some() && heard.get(*name) == counted.as_ref()
            };
            let answering = members.acceptors.iter().filter(answers);

            if answering.count() > members.len().div_ceil(2) {
                self.begin_join(index, self.names[region].clone());
            }
            return;
        };

        let is_last = region + 1 == self.names.len();
        let change = match self.random.below(2) {
            // With three left, the loss of one leaves a majority.
            0 if members.len() > 3 => MemberChange::Remove(name),
            1 if is_last => {
                let other = if name.as_str().starts_with('r') {
                    format!("x{region}")
                } else {
                    format!("r{region}")
                };
                let Ok(other) = other.parse() else { return };

                MemberChange::Rename(name, other)
            }
            _ => return,
        };

        if let Ok(members) = members.after(&change) {
            self.plans += 1;
            self.commit(index, Some(members));
        }
    }
}

pub(super) fn plan_number(plan: &Plan) -> &str {
    plan.reason.split(' ').next().unwrap_or_default()
}
