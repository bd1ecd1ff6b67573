//! Elections, plans and orders.

use super::super::CoreState;
use crate::{
    actors::{
        core::CoreArguments,
        leader::notices,
        messages::{Call, LeaderMessage},
    },
    cost::shift,
    refusals::reason,
};
use regionmesh_core::{
    agent,
    leader::{Effect, Input, LeaderView, Refusal},
    planning::{PlanInputs, freeze::Freeze},
};
use regionmesh_protocol::{
    plan::{CommittedPlan, Plan},
    register::ballot::Bounds,
};
use regionmesh_runtime::time::unix_ms;
use std::sync::Arc;

/// Why a call has no answer.
const LOST: &str = "the dns-leader actor was restarted";

impl CoreState {
    pub(super) fn perform_leader(&mut self, effect: Effect) -> Option<agent::Input> {
        let arguments = &self.arguments;
        let snapshots = &arguments.snapshots;
        match effect {
            Effect::CallAcceptor { to, request } => {
                self.call(Call::Acceptor(to, Box::new(request)));
            }
            Effect::ReadAcceptor { round, to } => self.call(Call::Read(to, round)),
            Effect::AskVote { to, ballot } => self.call(Call::Vote(to, ballot)),
            Effect::AdoptPlan(plan) => adopt(arguments, plan),
            Effect::WithdrawPlan => drop(snapshots.plan.send_replace(None)),
            Effect::PlanClock(clock) => snapshots.clocks.set_plan(clock),
            Effect::PlanInputs(inputs) => publish_inputs(arguments, inputs),
            Effect::JudgeCost { current, inputs } => {
                return Some(judge_cost(arguments, &current, &inputs).into());
            }
            Effect::LeaderView(view) => publish_leader(arguments, view),
            Effect::Freeze(freeze) => publish_freeze(arguments, freeze),
            Effect::Current => drop(snapshots.is_current.send_replace(true)),
            Effect::Bounds(bounds) => set_bounds(arguments, &bounds),
            Effect::VoteReply(ticket, vote) => self.replies.send_vote(ticket, vote),
            Effect::Judged(ticket, judged) => self.replies.send_judgement(ticket, judged),
            Effect::OrderReply(ticket, ordered) => self.replies.send_ordered(ticket, *ordered),
            Effect::Problem(change) => snapshots.problems.apply(change),
            Effect::Refuse { peer, reason, what } => {
                let peer = peer.to_string();
                arguments.refusals.refuse(&peer, label(reason), &what);
            }
            Effect::CountRefusal(reason) => arguments.refusals.count_one(label(reason)),
            Effect::Notice(notice) => notices::record(&notice, &arguments.metrics.leader),
            // It stays in the core.
            Effect::Publish(_) => {}
        }

        None
    }

    fn call(&self, call: Call) {
        let report = self.report(match &call {
            Call::Acceptor(to, _) => Input::AcceptorAnswered {
                from: to.clone(),
                answer: Err(LOST.into()),
            },
            Call::Read(from, round) => Input::AcceptorRead {
                round: *round,
                from: from.clone(),
                answer: Err(LOST.into()),
            },
            Call::Vote(from, ballot) => Input::Voted {
                from: from.clone(),
                ballot: ballot.clone(),
                vote: Err(LOST.into()),
            },
        });
        let leader = &self.arguments.actors.leader;
        let _ = leader.cast(LeaderMessage::Call(call, report));
    }
}

fn adopt(arguments: &CoreArguments, plan: Arc<CommittedPlan>) {
    let snapshot = &arguments.snapshots.plan;
    snapshot.send_replace(Some(plan.clone()));
    arguments.metrics.leader.update(&plan);
}

fn publish_inputs(arguments: &CoreArguments, inputs: Arc<PlanInputs>) {
    arguments.snapshots.plan_inputs.send_if_modified(|known| {
        let is_news = known.as_ref() != Some(&inputs);
        *known = Some(inputs);
        is_news
    });
}

fn judge_cost(arguments: &CoreArguments, current: &Plan, inputs: &PlanInputs) -> Input {
    let costs = arguments.snapshots.request_costs.borrow().clone();
    let target = shift::target(
        &arguments.config,
        costs.as_deref(),
        current,
        inputs,
        unix_ms(),
    );

    Input::CostTarget(target)
}

fn publish_leader(arguments: &CoreArguments, view: LeaderView) {
    arguments.metrics.leader.leads(&view);
    arguments.snapshots.leader.send_if_modified(|known| {
        let is_news = *known != view;
        *known = view;
        is_news
    });
}

fn publish_freeze(arguments: &CoreArguments, freeze: Option<Arc<Freeze>>) {
    arguments.metrics.leader.freezes(freeze.is_some());
    match &freeze {
        Some(freeze) => tracing::warn!(
            since_ms = freeze.since_ms,
            detail = freeze.detail,
            "the plan is frozen"
        ),
        None => tracing::info!("the plan is no longer frozen"),
    }

    arguments.snapshots.freeze.send_replace(freeze);
}

fn set_bounds(arguments: &CoreArguments, bounds: &Bounds) {
    for slots in &arguments.slots {
        slots.set_bounds(bounds.clone());
    }
}

/// As `refusals` counts it.
fn label(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::BallotTooFar => reason::BALLOT_TOO_FAR,
        Refusal::PlanNotCommitted => reason::PLAN_NOT_COMMITTED,
        Refusal::NotTheLeader => reason::NOT_THE_LEADER,
        Refusal::UnknownAddress => reason::UNKNOWN_ADDRESS,
        Refusal::AcceptorImplausible => reason::ACCEPTOR_IMPLAUSIBLE,
    }
}
