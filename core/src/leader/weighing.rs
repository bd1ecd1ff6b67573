//! Adopts from the board what can be believed.

use super::{
    board,
    state::Leader,
    trust::Claim,
    turn::Turn,
    types::{Effect, Refusal},
};
use crate::gossip::BoardView;
use regionmesh_protocol::{
    identity::AgentId,
    plan::CommittedPlan,
    register::ballot::{Ballot, Reach},
};
use std::{collections::BTreeSet, time::Duration};

/// How long a refuted claim is not checked again.
const REFUTED_FOR: Duration = Duration::from_secs(60);

impl Leader {
    /// Adopts from the board what can be believed, and reads the acceptors about the rest.
    pub(super) fn weigh(&mut self, board: &BoardView, turn: &mut Turn<'_>) {
        self.weigh_ballots(board, turn);
        self.weigh_plans(board, turn);
        self.weigh_leaders(board);

        let now = turn.now.monotonic;
        self.trust.refuted.retain(|(agent, _), at| {
            now.saturating_duration_since(*at) < REFUTED_FOR && board.agents.contains_key(agent)
        });
        self.trust
            .reports
            .retain(|(agent, _), _| board.agents.contains_key(agent));
        self.read_if_due(turn);
    }

    fn weigh_ballots(&mut self, board: &BoardView, turn: &mut Turn<'_>) {
        let mut strange = Vec::new();
        for (agent, ballot) in board::ballots(board) {
            let is_own = *agent == self.settings.id;
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
                Refusal::BallotTooFar,
                format!("it publishes ballot {ballot}"),
                turn,
            );
        }
    }

    fn weigh_plans(&mut self, board: &BoardView, turn: &mut Turn<'_>) {
        if self.trust.is_withdrawing(turn.now.monotonic) {
            return;
        }

        let later = |leader: &Self| {
            let known = leader.plan.as_ref();
            let is_later =
                |plan: &CommittedPlan| known.is_none_or(|known| known.stamp < plan.stamp);

            board::plans(board, &leader.settings.id)
                .filter(|(_, plan, _)| is_later(plan))
                .map(|(agent, plan, _)| (agent.clone(), plan.clone()))
                .collect::<Vec<_>>()
        };

        let mut published = later(self);
        published.sort_by(|(_, a), (_, b)| a.stamp.cmp(&b.stamp));
        for (agent, plan) in published {
            if self.is_from_its_leader(&agent, &plan) {
                self.learn_plan(&plan, true, None, turn);
            }
        }

        let has_open = later(self)
            .into_iter()
            .any(|(agent, plan)| !self.trust.is_refuted(&agent, Claim::Plan(plan.stamp)));
        let is_unsure = !self.trust.is_plan_confirmed && self.plan.is_some();

        self.trust.is_due |= has_open || is_unsure;
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
        let claimed: BTreeSet<Ballot> = board::claims(board, &self.settings.id)
            .map(|(ballot, ..)| ballot.clone())
            .collect();
        self.trust.leaders.retain(|ballot| claimed.contains(ballot));

        let known = self.known_leader(board).map(|leader| leader.ballot);
        // A lower ballot than the known leader's changes nothing.
        let is_open = |ballot: &&Ballot| {
            known.as_ref() < Some(*ballot)
                && !self
                    .trust
                    .is_refuted(&ballot.agent, Claim::Leads((*ballot).clone()))
        };
        let has_open = claimed.iter().any(|ballot| is_open(&ballot));

        self.trust.is_due |= has_open;
    }

    pub(super) fn report(
        &mut self,
        agent: &AgentId,
        reason: Refusal,
        what: String,
        turn: &mut Turn<'_>,
    ) {
        if self.trust.is_report_due(agent, reason, turn.now.monotonic) {
            turn.emit(Effect::Refuse {
                peer: agent.clone(),
                reason,
                what,
            });
        }
    }
}
