//! Adopts from the board what can be believed.

use super::{
    board,
    publication::is_fuller,
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
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

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
            .retain(|(agent, _)| board.agents.contains_key(agent));
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

        self.adopt_certified(board, turn);

        let known = self.plan.as_ref();
        let has_open = board::plans(board, &self.settings.id)
            .filter(|(_, plan, _)| known.is_none_or(|known| known.stamp < plan.stamp))
            .any(|(agent, plan, _)| {
                let claim = Claim::Plan(plan.stamp.clone());
                !self.trust.is_refuted(agent, claim)
            });
        let is_unsure = !self.trust.is_plan_confirmed && self.plan.is_some();

        self.trust.is_due |= has_open || is_unsure;
    }

    /// Adopts plans whose certificates prove them. One that is proven to the members of the
    /// configuration alone may be of a register that was reset: it is compared with the acceptors.
    fn adopt_certified(&mut self, board: &BoardView, turn: &mut Turn<'_>) {
        let own = self.settings.id.clone();
        let begun = turn.out.len();
        let mut published: Vec<_> = board::plans(board, &own)
            .filter(|(_, plan, _)| self.is_useful(plan))
            .collect();
        // The latest first: DNS must not answer a plan that is known to have been followed.
        published.sort_by(|(_, a, _), (_, b, _)| b.stamp.cmp(&a.stamp));

        while let Some((agent, plan)) = self.latest_certified(&published) {
            let is_confirmed =
                self.confirmed_plan().is_some() || self.is_from_its_leader(agent, plan);
            self.learn_plan(plan, is_confirmed, None, turn);
            // What the earlier members did not prove, the new ones may.
            self.trust.uncertified.clear();
        }
        turn.keep_last_plan(begun);

        self.trust
            .uncertified
            .retain(|agent, _| board.agents.contains_key(agent));
    }

    /// The first of these plans that is useful and proven to the members that are known.
    fn latest_certified<'a>(
        &mut self,
        published: &[(&'a AgentId, &'a CommittedPlan, Instant)],
    ) -> Option<(&'a AgentId, &'a CommittedPlan)> {
        for (agent, plan, since) in published {
            if !self.is_useful(plan) || self.trust.uncertified.get(*agent) == Some(since) {
                continue;
            }

            let members = self.confirmed_plan().map(|known| &known.plan.members);
            if self.is_certified(plan, members) {
                return Some((agent, plan));
            }
            self.trust.uncertified.insert((*agent).clone(), *since);
        }

        None
    }

    /// Whether a plan is later than the one known, or has more signatures.
    fn is_useful(&self, plan: &CommittedPlan) -> bool {
        self.plan
            .as_ref()
            .is_none_or(|known| known.stamp < plan.stamp || is_fuller(known, plan))
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
        let key = (agent.clone(), reason);
        if self.trust.reports.admit(&key, turn.now.monotonic).is_some() {
            turn.emit(Effect::Refuse {
                peer: agent.clone(),
                reason,
                what,
            });
        }
    }
}
