//! The supervisor: starts an agent's actors in order, and restarts with back-off those that die.
//!
//! A child's death does not affect its siblings: they reach it through its [`Address`], which is
//! vacant until the child is restarted. The back-off doubles from 100 ms to 10 s and is reset after
//! a minute of life, so a child that can't start (its port is in use) is retried at little cost.

use crate::address::Address;
use futures::future::BoxFuture;
use prometheus::{
    IntCounterVec, IntGaugeVec, register_int_counter_vec_with_registry,
    register_int_gauge_vec_with_registry,
};
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use regionmesh_core::backoff::Backoff;
use regionmesh_runtime::metrics::Registry;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;

const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
const FORGIVEN_AFTER: Duration = Duration::from_secs(60);

/// A supervised actor: how to start it, and its address.
#[derive(Clone)]
pub(crate) struct Child {
    name: &'static str,
    start: Arc<dyn Fn(ActorCell) -> BoxFuture<'static, Result<ActorCell, String>> + Send + Sync>,
    vacate: Arc<dyn Fn() + Send + Sync>,
}

impl Child {
    /// A child that is started with `arguments` each time, and is reached at `address`.
    pub(crate) fn new<A>(
        name: &'static str,
        actor: fn() -> A,
        arguments: A::Arguments,
        address: Address<A::Msg>,
    ) -> Self
    where
        A: Actor,
        A::Arguments: Clone + Sync,
    {
        let home = address.clone();
        Self {
            name,
            start: Arc::new(move |supervisor| {
                let arguments = arguments.clone();
                let home = home.clone();
                Box::pin(async move {
                    // Unnamed: ractor's registry of names is shared with remote actors.
                    let (started, _) = Actor::spawn_linked(None, actor(), arguments, supervisor)
                        .await
                        .map_err(why_not_started)?;
                    home.occupy(started.clone());
                    Ok(started.get_cell())
                })
            }),
            vacate: Arc::new(move || address.vacate()),
        }
    }
}

/// Why an actor did not start, without ractor's wrapper, which calls every such error a panic.
fn why_not_started(error: ractor::SpawnErr) -> String {
    match error {
        ractor::SpawnErr::StartupFailed(why) => why.to_string(),
        other => other.to_string(),
    }
}

/// The state of a child.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChildHealth {
    /// Whether it runs now.
    pub is_running: bool,
    /// Number of restarts.
    pub restarts: u64,
    /// Why it ended the last time; empty if it never did.
    pub last_error: String,
    /// Failures, including failed starts, since it last ran for a minute.
    pub failures_in_a_row: u32,
    /// When it stopped running; none while it runs.
    pub down_since: Option<Instant>,
}

/// The state of every child, by name.
pub(crate) type Health = watch::Receiver<Arc<BTreeMap<&'static str, ChildHealth>>>;

/// Metrics of supervision.
#[derive(Clone)]
pub(crate) struct SupervisorMetrics {
    restarts: IntCounterVec,
    running: IntGaugeVec,
}

impl SupervisorMetrics {
    /// Registers them.
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            restarts: register_int_counter_vec_with_registry!(
                "regionmesh_actor_restarts_total",
                "Restarts of the actor.",
                &["actor"],
                registry
            )?,
            running: register_int_gauge_vec_with_registry!(
                "regionmesh_actor_running",
                "1 while the actor runs.",
                &["actor"],
                registry
            )?,
        })
    }
}

/// What the supervisor is started with.
pub(crate) struct SupervisorArguments {
    /// In order of start.
    pub children: Vec<Child>,
    pub metrics: SupervisorMetrics,
    /// Where the state of the children is published.
    pub health: watch::Sender<Arc<BTreeMap<&'static str, ChildHealth>>>,
}

/// Messages of the supervisor.
pub(crate) enum SupervisorMessage {
    /// Start this child, now.
    Start(usize),
    /// Kill the child of this name, as a crash would. For tests of recovery.
    Kill(&'static str),
}

impl ractor::Message for SupervisorMessage {}

struct RunningChild {
    index: usize,
    since: Instant,
}

/// State of the supervisor.
pub(crate) struct SupervisorState {
    children: Vec<Child>,
    alive: HashMap<ActorId, RunningChild>,
    cells: HashMap<&'static str, ActorCell>,
    backoffs: Vec<Backoff>,
    metrics: SupervisorMetrics,
    health: watch::Sender<Arc<BTreeMap<&'static str, ChildHealth>>>,
}

impl SupervisorState {
    async fn start(&mut self, me: &ActorRef<SupervisorMessage>, index: usize) {
        let child = self.children[index].clone();
        match (child.start)(me.get_cell()).await {
            Ok(cell) => {
                self.alive.insert(
                    cell.get_id(),
                    RunningChild {
                        index,
                        since: Instant::now(),
                    },
                );

                self.cells.insert(child.name, cell);
                self.metrics.running.with_label_values(&[child.name]).set(1);
                self.update_health(child.name, |health| {
                    health.is_running = true;
                    health.down_since = None;
                });

                tracing::info!(actor = child.name, "started");
            }
            Err(error) => self.schedule(me, index, &error),
        }
    }

    fn ended(&mut self, me: &ActorRef<SupervisorMessage>, actor: ActorId, why: &str) {
        let Some(running) = self.alive.remove(&actor) else {
            return;
        };
        if running.since.elapsed() >= FORGIVEN_AFTER {
            self.backoffs[running.index].reset();
            self.update_health(self.children[running.index].name, |health| {
                health.failures_in_a_row = 0
            });
        }

        let child = &self.children[running.index];
        (child.vacate)();
        self.cells.remove(child.name);
        self.schedule(me, running.index, why);
    }

    fn schedule(&mut self, me: &ActorRef<SupervisorMessage>, index: usize, why: &str) {
        let name = self.children[index].name;
        let wait = self.backoffs[index].next_pause();
        self.metrics.running.with_label_values(&[name]).set(0);
        self.metrics.restarts.with_label_values(&[name]).inc();
        self.update_health(name, |health| {
            health.is_running = false;
            health.restarts += 1;
            health.failures_in_a_row = health.failures_in_a_row.saturating_add(1);
            health.down_since.get_or_insert_with(Instant::now);
            health.last_error = why.chars().take(500).collect();
        });

        tracing::error!(
            actor = name,
            error = why,
            retry_in_ms = wait.as_millis() as u64,
            "an actor died; it is restarted"
        );

        me.send_after(wait, move || SupervisorMessage::Start(index));
    }

    fn update_health(&self, name: &'static str, change: impl FnOnce(&mut ChildHealth)) {
        self.health
            .send_modify(|all| change(Arc::make_mut(all).entry(name).or_default()));
    }
}

/// The root of an agent's actors.
pub(crate) struct Supervisor;

impl Actor for Supervisor {
    type Msg = SupervisorMessage;
    type State = SupervisorState;
    type Arguments = SupervisorArguments;

    async fn pre_start(
        &self,
        _me: ActorRef<Self::Msg>,
        arguments: SupervisorArguments,
    ) -> Result<SupervisorState, ActorProcessingErr> {
        let SupervisorArguments {
            children,
            metrics,
            health,
        } = arguments;
        let backoffs = vec![BACKOFF; children.len()];

        Ok(SupervisorState {
            children,
            alive: HashMap::new(),
            cells: HashMap::new(),
            backoffs,
            metrics,
            health,
        })
    }

    async fn post_start(
        &self,
        me: ActorRef<Self::Msg>,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        for index in 0..state.children.len() {
            state.start(&me, index).await;
        }
        Ok(())
    }

    async fn handle(
        &self,
        me: ActorRef<Self::Msg>,
        message: SupervisorMessage,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SupervisorMessage::Start(index) => state.start(&me, index).await,
            SupervisorMessage::Kill(name) => {
                if let Some(cell) = state.cells.get(name) {
                    cell.kill();
                }
            }
        }

        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        me: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(cell, _, why) => {
                state.ended(
                    &me,
                    cell.get_id(),
                    &why.unwrap_or_else(|| "it stopped".into()),
                );
            }
            SupervisionEvent::ActorFailed(cell, error) => {
                state.ended(&me, cell.get_id(), &error.to_string())
            }
            _ => {}
        }

        Ok(())
    }
}

#[cfg(test)]
mod tests;
