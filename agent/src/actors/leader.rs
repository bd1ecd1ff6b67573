//! The dns-leader actor: its region's acceptor, this agent's voice in elections, and, while it
//! leads, the plans.
//!
//! It never waits: the store and the peers are asked in tasks that report back as messages. What to
//! do is decided by `regionmesh_protocol`'s election and proposer; see `driver` for how their
//! effects are carried out. DNS is written from committed plans alone, which reach every agent
//! through the board and survive its restart in the data directory.

mod board;
mod calls;
mod clock;
mod coalesce;
mod driver;
mod freeze;
mod members;
mod metrics;
mod plan_metrics;
mod trust;

use crate::{
    actors::messages::{GossipMessage, LeaderMessage},
    address::Address,
    config::Config,
    refusals::Refusals,
    snapshots::Snapshots,
};
use driver::Driver;
pub use metrics::LeaderMetrics;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use regionmesh_mesh::PeerLink;
use regionmesh_protocol::{
    identity::AgentId,
    plan::CommittedPlan,
    register::{
        acceptor::{AcceptorAnswer, AcceptorReply, AcceptorRequest},
        ballot::Ballot,
    },
};
use regionmesh_runtime::time::unix_ms;
use regionmesh_store::{
    History, PastPlan, SlotStore, load_committed_plan, read_history, save_committed_plan,
};
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::Semaphore, task::JoinSet};

/// Longest time between two ticks: the grain of the proposer's and the election's patience.
const TICK: Duration = Duration::from_millis(100);
/// Shortest time between two ticks, however busy the board is.
const TICK_MIN: Duration = Duration::from_millis(20);
/// Requests to our acceptor that may wait for the store at once.
const ACCEPTOR_REQUESTS: usize = 64;

/// Everything that the actor needs; cloned by the supervisor for each of its lives.
#[derive(Clone)]
pub struct LeaderArguments {
    /// The agent's configuration.
    pub config: Arc<Config>,
    /// This agent.
    pub id: AgentId,
    /// Drawn at the process' start. Each life of the actor adds a number of its own, so that no
    /// ballot is used twice.
    pub boot: u64,
    /// The snapshots; the actor writes `plan` and `leader`.
    pub snapshots: Snapshots,
    /// Where facts are published.
    pub gossip: Address<GossipMessage>,
    /// Calls to other regions.
    pub peers: Arc<dyn PeerLink>,
    /// Our region's acceptor.
    pub store: Arc<SlotStore>,
    /// The witness, if one is configured.
    pub witness: Option<Arc<SlotStore>>,
    /// What it counts.
    pub metrics: LeaderMetrics,
    /// Where it counts what others told and was not believed.
    pub refusals: Refusals,
}

/// The actor.
#[derive(Debug, Default)]
pub struct LeaderActor;

/// The state of one life of the actor.
pub struct LeaderState {
    driver: Driver,
    acceptor: Acceptor,
    /// The ticker and the keeper of the plan on disk; aborted with the state.
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
        let kept = match tokio::task::spawn_blocking(move || load_committed_plan(&data_dir)).await?
        {
            Ok(kept) => kept,
            Err(error) => {
                tracing::warn!(%error, "the last committed plan is not known from before the \
                    start");
                None
            }
        };

        let acceptor = Acceptor {
            store: arguments.store.clone(),
            permits: Arc::new(Semaphore::new(ACCEPTOR_REQUESTS)),
            metrics: arguments.metrics.clone(),
            myself: myself.clone(),
        };
        let mut tasks = JoinSet::new();

        tasks.spawn(tick(myself.clone(), arguments.snapshots.clone()));
        let boot = arguments.boot ^ rand::random::<u64>();
        let mut driver = Driver::new(arguments.clone(), boot, myself)?;

        driver.start(kept);
        tasks.spawn(keep_plan(arguments));
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
                // A candidate that no longer waits is no fault of ours.
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

/// Our region's acceptor, as peers reach it.
struct Acceptor {
    store: Arc<SlotStore>,
    permits: Arc<Semaphore>,
    metrics: LeaderMetrics,
    myself: ActorRef<LeaderMessage>,
}

impl Acceptor {
    fn answer(
        &self,
        request: AcceptorRequest,
        reply: ractor::RpcReplyPort<Result<AcceptorAnswer, String>>,
    ) {
        let metrics = self.metrics.clone();
        let Ok(permit) = self.permits.clone().try_acquire_owned() else {
            metrics.requests_refused.with_label_values(&["busy"]).inc();
            let _ = reply.send(Err(format!(
                "{ACCEPTOR_REQUESTS} requests wait for this region's store already"
            )));
            return;
        };
        let store = self.store.clone();
        let myself = self.myself.clone();

        tokio::spawn(async move {
            let _permit = permit;
            let answer = store.apply(&request).await;
            match answer.as_ref().map(|answer| &answer.reply) {
                Ok(AcceptorReply::Refused { promised }) => {
                    metrics
                        .requests_refused
                        .with_label_values(&["fenced"])
                        .inc();
                    tracing::info!(%promised, asked = ?request.ballot().map(Ballot::to_string), "fenced a lower ballot");
                }
                Ok(AcceptorReply::TooFar(reach)) => {
                    metrics
                        .requests_refused
                        .with_label_values(&["too-far"])
                        .inc();

                    tracing::warn!(asked = %request.reach(), known = %reach, "asked for a ballot or plan that is too far ahead");
                    let _ = myself.cast(LeaderMessage::AskedTooFar);
                }
                Ok(AcceptorReply::Undecided(stamp)) => {
                    metrics
                        .requests_refused
                        .with_label_values(&["undecided"])
                        .inc();

                    tracing::info!(%stamp, seq = stamp.seq, "asked to reset this acceptor; first \
                        checking that the plan is committed");
                    let _ = myself.cast(LeaderMessage::AskedTooFar);
                }
                Ok(_) => {
                    if let Some(ballot) = request.ballot() {
                        let _ = myself.cast(LeaderMessage::ProposerHeard(ballot.clone()));
                    }
                }
                // The store itself tells the log why.
                Err(_) => metrics
                    .requests_refused
                    .with_label_values(&["failed"])
                    .inc(),
            }

            let _ = reply.send(answer.map_err(|error| error.to_string()));
        });
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

/// Writes each committed plan to the data directory; when plans come faster than the disk, only the
/// latest.
async fn keep_plan(arguments: LeaderArguments) {
    let mut plans = arguments.snapshots.plan.subscribe();
    let mut warned: Option<Instant> = None;
    let mut history: Option<History> = None;

    while plans.changed().await.is_ok() {
        let Some(plan) = plans.borrow_and_update().clone() else {
            continue;
        };
        let data_dir = arguments.config.data_dir.clone();
        let mut writer = history.take();
        let saved = tokio::task::spawn_blocking(move || {
            let saved = save_committed_plan(&data_dir, &plan);
            let remembered = remember(&data_dir, &mut writer, &plan);
            (
                writer,
                saved.map_err(|error| error.to_string()).and(remembered),
            )
        });

        let Ok((writer, saved)) = saved.await else {
            continue;
        };
        history = writer;

        if let Err(error) = saved {
            arguments.metrics.save_errors.inc();
            if warned.is_none_or(|at| at.elapsed() > Duration::from_secs(60)) {
                tracing::warn!(%error, "a committed plan could not be kept: after a restart \
                    without peers DNS would not know it, or the history misses it");
                warned = Some(Instant::now());
            }
        }
    }
}

/// Adds the plan to the history, unless it is the last there: a restarted actor learns it again.
fn remember(
    data_dir: &Path,
    writer: &mut Option<History>,
    plan: &CommittedPlan,
) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("the history of plans can't be written: {error}");
    let history = match writer {
        Some(history) => history,
        None => {
            let last = read_history(data_dir).map_err(failed)?.pop();
            if last.is_some_and(|last| last.committed.stamp == plan.stamp) {
                return Ok(());
            }
            writer.insert(History::open(data_dir).map_err(failed)?)
        }
    };

    history
        .add(&PastPlan {
            seen_ms: unix_ms(),
            committed: plan.clone(),
        })
        .map_err(failed)
}

#[cfg(test)]
#[path = "leader/tests.rs"]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
