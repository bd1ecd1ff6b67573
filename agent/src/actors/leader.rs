//! The dns-leader actor: its region's acceptor, this agent's vote in elections, and, while it
//! leads, the plans.
//!
//! It never blocks: the store and the peers are called in tasks that report back as messages. The
//! election and the proposer of `regionmesh_core` make the decisions; `driver` performs their
//! effects. DNS is written from committed plans only, which reach every agent through the board and
//! survive its restart in the data directory.

mod acceptor;
mod addresses;
mod arguments;
mod board;
mod calls;
mod campaign;
mod clock;
mod coalesce;
mod driver;
mod freeze;
mod member_change;
mod members;
mod metrics;
mod plan_metrics;
mod planning;
mod publication;
mod reading;
mod saved_plan;
mod signing;
mod trust;
mod weighing;

use crate::{actors::messages::LeaderMessage, snapshots::Snapshots};
use acceptor::{ACCEPTOR_REQUESTS, Acceptor};
pub use arguments::LeaderArguments;
use driver::Driver;
pub use metrics::LeaderMetrics;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use regionmesh_store::load_committed_plan;
use saved_plan::save_plans;
pub use signing::Signing;
use std::{sync::Arc, time::Duration};
use tokio::{sync::Semaphore, task::JoinSet};

/// Longest time between two ticks: the resolution of the timeouts of proposer and election.
const TICK: Duration = Duration::from_millis(100);
/// Shortest time between two ticks, however busy the board is.
const TICK_MIN: Duration = Duration::from_millis(20);

#[derive(Debug, Default)]
pub struct LeaderActor;

/// The state of the actor.
pub struct LeaderState {
    driver: Driver,
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
        let mut driver = Driver::new(arguments.clone(), boot, myself)?;

        driver.start(saved);
        tasks.spawn(save_plans(arguments));
        Ok(LeaderState {
            driver,
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
        let driver = &mut state.driver;
        match message {
            LeaderMessage::Acceptor(request, reply) => state.acceptor.answer(request, reply),
            LeaderMessage::PreVote(request, reply) => {
                // The candidate may have given up.
                let _ = reply.send(driver.vote(&request));
            }
            LeaderMessage::Order(order, reply) => driver.order(*order, reply),
            LeaderMessage::Tick => driver.tick(),
            LeaderMessage::AcceptorAnswered { from, answer } => {
                driver.acceptor_answered(from, answer)
            }
            LeaderMessage::Voted { from, ballot, vote } => driver.voted(from, ballot, vote),
            LeaderMessage::ProposerHeard(ballot) => driver.proposer_heard(&ballot),
            LeaderMessage::AskedTooFar => driver.asked_too_far(),
            LeaderMessage::AcceptorRead {
                round,
                from,
                answer,
            } => driver.acceptor_read(round, from, answer),
        }

        Ok(())
    }

    async fn post_stop(
        &self,
        _myself: ActorRef<LeaderMessage>,
        state: &mut LeaderState,
    ) -> Result<(), ActorProcessingErr> {
        state.driver.stop();
        Ok(())
    }
}

async fn tick(myself: ActorRef<LeaderMessage>, snapshots: Snapshots) {
    let mut board = snapshots.board.subscribe();
    let mut verdicts = snapshots.verdicts.subscribe();
    while myself.cast(LeaderMessage::Tick).is_ok() {
        tokio::time::sleep(TICK_MIN).await;
        // The senders live in `snapshots`, so `changed` never fails.
        tokio::select! {
            _ = board.changed() => {}
            _ = verdicts.changed() => {}
            () = tokio::time::sleep(TICK - TICK_MIN) => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
