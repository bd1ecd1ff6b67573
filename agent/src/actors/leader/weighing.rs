//! Adopts from the board what can be believed.

use super::{
    board,
    driver::Driver,
    publication::is_fuller,
    trust::{Claim, WITHDRAWN_FOR},
};
use crate::refusals::reason;
use regionmesh_core::{gossip::BoardView, leader::election::KnownLeader};
use regionmesh_protocol::{
    identity::AgentId,
    plan::CommittedPlan,
    register::ballot::{Ballot, Reach},
};
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a refuted claim is not checked again.
const REFUTED_FOR: Duration = Duration::from_secs(60);

impl Driver {
    /// Adopts from the board what can be believed, and reads the acceptors about the rest.
    pub(super) fn weigh(&mut self, board: &BoardView) {
        self.weigh_ballots(board);
        self.weigh_plans(board);
        self.weigh_leaders(board);
        self.trust.refuted.retain(|(agent, _), at| {
            at.elapsed() < REFUTED_FOR && board.agents.contains_key(agent)
        });
        self.trust
            .reports
            .retain(|(agent, _)| board.agents.contains_key(agent));
        self.arguments.refusals.expire(Instant::now());
        self.read_if_due();
    }

    /// The plan that this agent knows, if it is confirmed.
    pub(super) fn confirmed_plan(&self) -> Option<Arc<CommittedPlan>> {
        let plan = self.arguments.snapshots.plan.borrow().clone();
        plan.filter(|_| self.trust.is_plan_confirmed)
    }

    /// The other agent that claims to lead, if it is believed.
    pub(super) fn known_leader(&self, board: &BoardView) -> Option<KnownLeader> {
        let planned = self.confirmed_plan();

        let is_believed = |ballot: &Ballot| {
            ballot.number <= self.election.known().allowance().number
                && (self.trust.promised.as_ref() == Some(ballot)
                    || self.trust.leaders.contains(ballot)
                    || planned
                        .as_ref()
                        .is_some_and(|planned| planned.stamp.ballot == *ballot))
        };

        board::known_leader(board, &self.arguments.id, is_believed)
    }

    fn weigh_ballots(&mut self, board: &BoardView) {
        let mut strange = Vec::new();
        for (agent, ballot) in board::ballots(board) {
            let is_own = *agent == self.arguments.id;
            if !self.election.observe(ballot)
                && !is_own
                && ballot.number > self.election.known().allowance().number
            {
                strange.push((agent.clone(), ballot.clone()));
            }
        }

        if strange.is_empty() {
            return;
        }

        if !self.election.known().is_informed() {
            // Perhaps this agent was away.
            self.trust.is_due = true;
            return;
        }

        for (agent, ballot) in strange {
            self.report(
                &agent,
                reason::BALLOT_TOO_FAR,
                &format!("it publishes ballot {ballot}"),
            );
        }
    }

    fn weigh_plans(&mut self, board: &BoardView) {
        if self.is_withdrawing() {
            return;
        }

        let later = |driver: &Self| {
            let known = driver.arguments.snapshots.plan.borrow().clone();
            let published = board::plans(board, &driver.arguments.id);
            let is_later =
                |plan: &CommittedPlan| known.as_ref().is_none_or(|known| known.stamp < plan.stamp);
            let published = published.filter(|(_, plan, _)| is_later(plan));

            published
                .map(|(agent, plan, _)| (agent.clone(), plan.clone()))
                .collect::<Vec<_>>()
        };

        self.adopt_certified(board);

        let has_open = later(self)
            .into_iter()
            .any(|(agent, plan)| !self.is_refuted(&agent, Claim::Plan(plan.stamp)));
        let is_unsure =
            !self.trust.is_plan_confirmed && self.arguments.snapshots.plan.borrow().is_some();

        self.trust.is_due |= has_open || is_unsure;
    }

    /// Adopts plans whose certificates prove them. One that is proven to the members of the
    /// configuration alone may be of a register that was reset: it is compared with the acceptors.
    fn adopt_certified(&mut self, board: &BoardView) {
        let own = self.arguments.id.clone();
        let mut published: Vec<_> = board::plans(board, &own).collect();
        published.sort_by(|(_, a, _), (_, b, _)| a.stamp.cmp(&b.stamp));

        for (agent, plan, since) in published {
            let known = self.arguments.snapshots.plan.borrow().clone();
            let is_useful = known
                .as_ref()
                .is_none_or(|known| known.stamp < plan.stamp || is_fuller(known, plan));
            if !is_useful || self.trust.uncertified.get(agent) == Some(&since) {
                continue;
            }

            let known = known.filter(|_| self.trust.is_plan_confirmed);
            let members = known.as_ref().map(|known| &known.plan.members);
            let signing = &self.arguments.signing;
            if self.with_voters(members, |voters| signing.is_certified(plan, voters)) {
                let is_confirmed = known.is_some() || self.is_from_its_leader(agent, plan);
                self.learn_plan(plan, is_confirmed, None);
                // What the earlier members did not prove, the new ones may.
                self.trust.uncertified.clear();
            } else {
                self.trust.uncertified.insert(agent.clone(), since);
            }
        }

        self.trust
            .uncertified
            .retain(|agent, _| board.agents.contains_key(agent));
    }

    /// Whether an agent publishes a plan of its own, under the ballot that our own acceptor
    /// promised it.
    fn is_from_its_leader(&self, agent: &AgentId, plan: &CommittedPlan) -> bool {
        let ballot = &plan.stamp.ballot;
        let reach = Reach {
            number: ballot.number,
            seq: plan.stamp.seq,
        };
        let is_promised =
            self.trust.promised.as_ref() == Some(ballot) || self.trust.leaders.contains(ballot);

        ballot.agent == *agent && is_promised && reach.is_within(self.election.known().allowance())
    }

    fn weigh_leaders(&mut self, board: &BoardView) {
        let claimed: BTreeSet<Ballot> = board::claims(board, &self.arguments.id)
            .map(|(ballot, ..)| ballot.clone())
            .collect();
        self.trust.leaders.retain(|ballot| claimed.contains(ballot));

        let known = self.known_leader(board).map(|leader| leader.ballot);
        // A lower ballot than the known leader's changes nothing.
        let is_open = |ballot: &&Ballot| {
            known.as_ref() < Some(*ballot)
                && !self.is_refuted(&ballot.agent, Claim::Leads((*ballot).clone()))
        };
        let has_open = claimed.iter().any(|ballot| is_open(&ballot));

        self.trust.is_due |= has_open;
    }

    fn is_refuted(&self, agent: &AgentId, claim: Claim) -> bool {
        self.trust.refuted.contains_key(&(agent.clone(), claim))
    }

    pub(super) fn report(&mut self, agent: &AgentId, reason: &'static str, what: &str) {
        if self
            .trust
            .reports
            .admit(&(agent.clone(), reason), Instant::now())
            .is_some()
        {
            self.arguments
                .refusals
                .refuse(&agent.to_string(), reason, what);
        }
    }

    /// Whether a plan was withdrawn a moment ago.
    pub(super) fn is_withdrawing(&self) -> bool {
        self.trust
            .withdrawn
            .is_some_and(|at| at.elapsed() < WITHDRAWN_FOR)
    }
}
