//! Feeds the leader part of the core, and performs its effects.

use super::{
    arguments::LeaderArguments, calls::Calls, inputs::Inputs, notices::record, replies::Replies,
};
use crate::{
    actors::messages::{GossipMessage, LeaderMessage},
    clocks::now,
    cost::shift,
    refusals::reason,
};
use ractor::ActorRef;
use rand::{SeedableRng, rngs::StdRng};
use regionmesh_core::{
    leader::{Effect, Input, Leader, LeaderView, Refusal, Start},
    planning::{PlanInputs, freeze::Freeze},
};
use regionmesh_protocol::{
    identity::IdentityError,
    plan::{CommittedPlan, Plan},
    register::ballot::Bounds,
};
use regionmesh_runtime::time::unix_ms;
use regionmesh_store::SavedPlan;
use std::{collections::VecDeque, sync::Arc, time::Instant};

/// The leader part, and what it acts on.
pub(super) struct Runner {
    leader: Leader,
    inputs: Inputs,
    rng: StdRng,
    calls: Calls,
    pub(super) replies: Replies,
}

impl Runner {
    /// `boot` must differ between any two runs.
    pub(super) fn new(
        arguments: LeaderArguments,
        boot: u64,
        myself: ActorRef<LeaderMessage>,
    ) -> Result<Self, IdentityError> {
        let settings = arguments.config.for_leader(arguments.witness.is_some())?;
        let metrics = &arguments.metrics;

        metrics
            .register
            .members
            .set(i64::try_from(settings.configured.len()).unwrap_or(i64::MAX));
        metrics.election.is_leader.set(0);
        for region in settings.plan.regions.keys() {
            let left_out = &metrics.frozen.left_out;
            left_out.with_label_values(&[region.as_str()]).set(0);
        }

        let plan_clock = arguments.snapshots.clocks.plan();
        let verifier = arguments.signing.verifier.clone();

        Ok(Self {
            leader: Leader::new(settings, verifier, boot, plan_clock, now()),
            inputs: Inputs::new(arguments.snapshots.clone()),
            rng: StdRng::from_rng(&mut rand::rng()),
            calls: Calls { arguments, myself },
            replies: Replies::default(),
        })
    }

    /// `saved`: the plan from the disk.
    pub(super) fn start(&mut self, saved: Option<SavedPlan>) {
        let snapshots = &self.arguments().snapshots;
        let start = Start {
            confirmation: saved.as_ref().and_then(|saved| saved.confirmation.clone()),
            saved: saved.map(|saved| saved.committed),
            known: snapshots.plan.borrow().clone(),
            freeze: snapshots.freeze.borrow().clone(),
        };

        self.run(Input::Start(Box::new(start)));
    }

    pub(super) fn tick(&mut self) {
        self.run(Input::Tick);
        self.arguments().refusals.expire(Instant::now());
    }

    /// Takes in `input`, after what changed since the last one.
    pub(super) fn run(&mut self, input: Input) {
        let mut inputs: VecDeque<Input> = self.inputs.news().into();
        inputs.push_back(input);

        let mut effects = Vec::new();
        while let Some(input) = inputs.pop_front() {
            self.leader
                .handle(input, now(), &mut self.rng, &mut effects);
            for effect in effects.drain(..) {
                let answer = perform(effect, &self.calls, &mut self.replies);
                inputs.extend(answer);
            }
        }
    }

    fn arguments(&self) -> &LeaderArguments {
        &self.calls.arguments
    }
}

/// Performs an effect; returns its answer, if it is known immediately.
fn perform(effect: Effect, calls: &Calls, replies: &mut Replies) -> Option<Input> {
    let arguments = &calls.arguments;
    let snapshots = &arguments.snapshots;
    match effect {
        Effect::CallAcceptor { to, request } => calls.acceptor(to, request),
        Effect::ReadAcceptor { round, to } => calls.read(round, to),
        Effect::AskVote { to, ballot } => calls.vote(to, ballot),
        // If the address is vacant, the core publishes again.
        Effect::Publish(entry) => drop(arguments.gossip.cast(GossipMessage::Publish(entry))),
        Effect::AdoptPlan(plan) => adopt(arguments, plan),
        Effect::WithdrawPlan => drop(snapshots.plan.send_replace(None)),
        Effect::PlanClock(clock) => snapshots.clocks.set_plan(clock),
        Effect::PlanInputs(inputs) => publish_inputs(arguments, inputs),
        Effect::JudgeCost { current, inputs } => {
            return Some(judge_cost(arguments, &current, &inputs));
        }
        Effect::LeaderView(view) => publish_leader(arguments, view),
        Effect::Freeze(freeze) => publish_freeze(arguments, freeze),
        Effect::Current => drop(snapshots.is_current.send_replace(true)),
        Effect::Bounds(bounds) => set_bounds(arguments, *bounds),
        Effect::VoteReply(ticket, vote) => replies.send_vote(ticket, vote),
        Effect::OrderReply(ticket, ordered) => replies.send_ordered(ticket, *ordered),
        Effect::Problem(change) => snapshots.problems.apply(change),
        Effect::Refuse { peer, reason, what } => {
            let peer = peer.to_string();
            arguments.refusals.refuse(&peer, label(reason), &what);
        }
        Effect::CountRefusal(reason) => arguments.refusals.count_one(label(reason)),
        Effect::Notice(notice) => record(&notice, &arguments.metrics),
    }

    None
}

fn adopt(arguments: &LeaderArguments, plan: Arc<CommittedPlan>) {
    let metrics = &arguments.metrics;
    let seq = i64::try_from(plan.stamp.seq).unwrap_or(i64::MAX);

    arguments.snapshots.plan.send_replace(Some(plan.clone()));
    metrics.committed.plan_seq.set(seq);
    metrics.update(&plan.plan);
}

fn publish_inputs(arguments: &LeaderArguments, inputs: Arc<PlanInputs>) {
    arguments.snapshots.plan_inputs.send_if_modified(|known| {
        let is_news = known.as_ref() != Some(&inputs);
        *known = Some(inputs);
        is_news
    });
}

fn judge_cost(arguments: &LeaderArguments, current: &Plan, inputs: &PlanInputs) -> Input {
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

fn publish_leader(arguments: &LeaderArguments, view: LeaderView) {
    let metrics = &arguments.metrics.election;
    metrics.is_leader.set(i64::from(view.is_self));
    metrics.leader_known.set(i64::from(view.ballot.is_some()));

    arguments.snapshots.leader.send_if_modified(|known| {
        let is_news = *known != view;
        *known = view;
        is_news
    });
}

fn publish_freeze(arguments: &LeaderArguments, freeze: Option<Arc<Freeze>>) {
    let is_frozen = &arguments.metrics.frozen.is_frozen;
    is_frozen.set(i64::from(freeze.is_some()));

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

fn set_bounds(arguments: &LeaderArguments, bounds: Bounds) {
    if let Some(witness) = &arguments.witness {
        witness.set_bounds(bounds.clone());
    }
    arguments.store.set_bounds(bounds);
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
