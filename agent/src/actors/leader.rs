//! The dns-leader actor: its region's acceptor, this agent's vote in elections, and, while it
//! leads, the plans.
//!
//! It never blocks: the store and the peers are called in tasks that report back as messages.
//! [`regionmesh_core::leader::Leader`] decides; `runner` feeds it and performs its effects. DNS is
//! written from committed plans only, which reach every agent through the board and survive its
//! restart in the data directory.

mod acceptor;
mod arguments;
mod calls;
mod inputs;
mod metrics;
mod notices;
mod plan_metrics;
mod replies;
mod runner;
mod saved_plan;
mod signing;

use crate::{actors::messages::LeaderMessage, snapshots::Snapshots};
use acceptor::{ACCEPTOR_REQUESTS, Acceptor};
pub use arguments::LeaderArguments;
pub use metrics::LeaderMetrics;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use regionmesh_core::{
    agent::intervals::{LEADER_PAUSE, LEADER_TICK},
    leader::Input,
};
use regionmesh_store::load_committed_plan;
use runner::Runner;
use saved_plan::save_plans;
pub use signing::Signing;
use std::sync::Arc;
use tokio::{sync::Semaphore, task::JoinSet};

#[derive(Debug, Default)]
pub struct LeaderActor;

/// The state of the actor.
pub struct LeaderState {
    runner: Runner,
    acceptor: Acceptor,
    /// The ticker and the writer of plans to disk; aborted with the state.
    _tasks: JoinSet<()>,
}

impl Actor for LeaderActor {
    type Msg = LeaderMessage;
    type State = LeaderState;
    type Arguments = LeaderArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<LeaderMessage>,
        arguments: LeaderArguments,
    ) -> Result<LeaderState, ActorProcessingErr> {
        let data_dir = arguments.config.data_dir.clone();
        let saved =
            match tokio::task::spawn_blocking(move || load_committed_plan(&data_dir)).await? {
                Ok(saved) => saved,
                Err(error) => {
                    tracing::warn!(
                        %error,
                        "the last committed plan can't be read from the data directory"
                    );
                    None
                }
            };

        let acceptor = Acceptor {
            store: arguments.store.clone(),
            signing: arguments.signing.clone(),
            permits: Arc::new(Semaphore::new(ACCEPTOR_REQUESTS)),
            metrics: arguments.metrics.clone(),
            myself: myself.clone(),
        };
        let mut tasks = JoinSet::new();

        tasks.spawn(tick(myself.clone(), arguments.snapshots.clone()));
        let boot = arguments.boot ^ rand::random::<u64>();
        let mut runner = Runner::new(arguments.clone(), boot, myself)?;

        runner.start(saved);
        tasks.spawn(save_plans(arguments));
        Ok(LeaderState {
            runner,
            acceptor,
            _tasks: tasks,
        })
    }

    async fn handle(
        &self,
        _myself: ActorRef<LeaderMessage>,
        message: LeaderMessage,
        state: &mut LeaderState,
    ) -> Result<(), ActorProcessingErr> {
        let runner = &mut state.runner;
        let input = match message {
            LeaderMessage::Acceptor(request, reply) => {
                state.acceptor.answer(request, reply);
                return Ok(());
            }
            LeaderMessage::Tick => {
                runner.tick();
                return Ok(());
            }
            LeaderMessage::PreVote(request, reply) => {
                Input::VoteAsked(request, runner.replies.wait_for_vote(reply))
            }
            LeaderMessage::Order(order, reply) => {
                Input::Order(order, runner.replies.wait_for_order(reply))
            }
            LeaderMessage::AcceptorAnswered { from, answer } => {
                Input::AcceptorAnswered { from, answer }
            }
            LeaderMessage::Voted { from, ballot, vote } => Input::Voted { from, ballot, vote },
            LeaderMessage::AcceptorAsked(input) => *input,
            LeaderMessage::AcceptorRead {
                round,
                from,
                answer,
            } => Input::AcceptorRead {
                round,
                from,
                answer,
            },
        };

        runner.run(input);
        Ok(())
    }

    async fn post_stop(
        &self,
        _myself: ActorRef<LeaderMessage>,
        state: &mut LeaderState,
    ) -> Result<(), ActorProcessingErr> {
        state.runner.run(Input::Stop);
        Ok(())
    }
}

async fn tick(myself: ActorRef<LeaderMessage>, snapshots: Snapshots) {
    let mut board = snapshots.board.subscribe();
    let mut verdicts = snapshots.verdicts.subscribe();
    while myself.cast(LeaderMessage::Tick).is_ok() {
        tokio::time::sleep(LEADER_PAUSE).await;
        // The senders live in `snapshots`, so `changed` never fails.
        tokio::select! {
            _ = board.changed() => {}
            _ = verdicts.changed() => {}
            () = tokio::time::sleep(LEADER_TICK - LEADER_PAUSE) => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
