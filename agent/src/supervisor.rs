//! The supervisor: starts an agent's actors in order and starts again, with back-off, whichever
//! dies.
//!
//! A child's death never reaches its siblings: they reach it through its [`Address`], which is
//! vacant until the child is back. The back-off doubles from 100 ms to 10 s and is forgotten after
//! a minute of life, so a child that dies at once for ever (a port taken by somebody else) costs
//! nothing and keeps being tried.

use crate::address::Address;
use futures::future::BoxFuture;
use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;

const FIRST_BACK_OFF: Duration = Duration::from_millis(100);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(10);
const FORGIVEN_AFTER: Duration = Duration::from_secs(60);

/// One actor to keep alive: how to start it, and where it is reached.
#[derive(Clone)]
pub struct Child {
    name: &'static str,
    start: Arc<dyn Fn(ActorCell) -> BoxFuture<'static, Result<ActorCell, String>> + Send + Sync>,
    vacate: Arc<dyn Fn() + Send + Sync>,
}

impl Child {
    /// A child that is started with `arguments` each time, and lives at `address`.
    pub fn new<A>(
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

/// Why an actor did not start, in its own words: ractor calls every such error a panic.
fn why_not_started(error: ractor::SpawnErr) -> String {
    match error {
        ractor::SpawnErr::StartupFailed(why) => why.to_string(),
        other => other.to_string(),
    }
}

/// How a child does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChildHealth {
    /// Whether it runs now.
    pub is_running: bool,
    /// How often it was started again.
    pub restarts: u64,
    /// Why it ended last time; empty if it never did.
    pub last_error: String,
    /// How often it ended, or could not be started, since it last ran for a minute.
    pub failures_in_a_row: u32,
    /// Since when it does not run; none while it does.
    pub down_since: Option<Instant>,
}

/// Every child's health, by name.
pub type Health = watch::Receiver<Arc<BTreeMap<&'static str, ChildHealth>>>;

/// Metrics of supervision.
#[derive(Clone)]
pub struct SupervisorMetrics {
    restarts: IntCounterVec,
    running: IntGaugeVec,
}

impl SupervisorMetrics {
    /// Registers them.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let restarts = IntCounterVec::new(
            Opts::new(
                "regionmesh_actor_restarts_total",
                "Starts of an actor after it died.",
            ),
            &["actor"],
        )?;

        let running = IntGaugeVec::new(
            Opts::new("regionmesh_actor_running", "1 while the actor runs."),
            &["actor"],
        )?;

        registry.register(Box::new(restarts.clone()))?;
        registry.register(Box::new(running.clone()))?;
        Ok(Self { restarts, running })
    }
}

/// What the supervisor is started with.
pub struct SupervisorArguments {
    /// In order of start.
    pub children: Vec<Child>,
    /// Metrics.
    pub metrics: SupervisorMetrics,
    /// Where every child's health is told.
    pub health: watch::Sender<Arc<BTreeMap<&'static str, ChildHealth>>>,
}

/// To the supervisor.
pub enum SupervisorMessage {
    /// Start this child, now.
    Start(usize),
    /// Kill the child of this name where it stands, as a crash would. For tests of recovery.
    Kill(&'static str),
}

impl ractor::Message for SupervisorMessage {}

struct Life {
    index: usize,
    since: Instant,
}

/// State of the supervisor.
pub struct SupervisorState {
    children: Vec<Child>,
    alive: HashMap<ActorId, Life>,
    cells: HashMap<&'static str, ActorCell>,
    back_off: Vec<Duration>,
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
                    Life {
                        index,
                        since: Instant::now(),
                    },
                );

                self.cells.insert(child.name, cell);
                self.metrics.running.with_label_values(&[child.name]).set(1);
                self.tell(child.name, |health| {
                    health.is_running = true;
                    health.down_since = None;
                });

                tracing::info!(actor = child.name, "started");
            }
            Err(error) => self.schedule(me, index, &error),
        }
    }

    fn ended(&mut self, me: &ActorRef<SupervisorMessage>, actor: ActorId, why: &str) {
        let Some(life) = self.alive.remove(&actor) else {
            return;
        };
        if life.since.elapsed() >= FORGIVEN_AFTER {
            self.back_off[life.index] = FIRST_BACK_OFF;
            self.tell(self.children[life.index].name, |health| {
                health.failures_in_a_row = 0
            });
        }

        let child = &self.children[life.index];
        (child.vacate)();
        self.cells.remove(child.name);
        self.schedule(me, life.index, why);
    }

    fn schedule(&mut self, me: &ActorRef<SupervisorMessage>, index: usize, why: &str) {
        let name = self.children[index].name;
        let wait = self.back_off[index];
        self.back_off[index] = (wait * 2).min(LONGEST_BACK_OFF);
        self.metrics.running.with_label_values(&[name]).set(0);
        self.metrics.restarts.with_label_values(&[name]).inc();
        self.tell(name, |health| {
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

    fn tell(&self, name: &'static str, change: impl FnOnce(&mut ChildHealth)) {
        self.health
            .send_modify(|all| change(Arc::make_mut(all).entry(name).or_default()));
    }
}

/// The root of an agent's actors.
pub struct Supervisor;

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
        let back_off = vec![FIRST_BACK_OFF; children.len()];

        Ok(SupervisorState {
            children,
            alive: HashMap::new(),
            cells: HashMap::new(),
            back_off,
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
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    struct Fragile;
    enum FragileMessage {
        Panic,
        Ask(ractor::RpcReplyPort<u32>),
    }
    impl ractor::Message for FragileMessage {}
    impl Actor for Fragile {
        type Msg = FragileMessage;
        type State = ();
        type Arguments = ();
        async fn pre_start(
            &self,
            _: ActorRef<FragileMessage>,
            (): (),
        ) -> Result<(), ActorProcessingErr> {
            Ok(())
        }
        async fn handle(
            &self,
            _: ActorRef<FragileMessage>,
            message: FragileMessage,
            (): &mut (),
        ) -> Result<(), ActorProcessingErr> {
            match message {
                FragileMessage::Panic => panic!("as asked"),
                FragileMessage::Ask(reply) => reply.send(7).map_err(Into::into),
            }
        }
    }

    async fn eventually(
        health: &mut Health,
        claim: impl Fn(&BTreeMap<&'static str, ChildHealth>) -> bool,
    ) {
        tokio::time::timeout(Duration::from_secs(20), health.wait_for(|all| claim(all)))
            .await
            .unwrap()
            .unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_child_that_panics_or_is_killed_comes_back_and_its_sibling_never_notices() {
        let first = Address::vacant("first");
        let second = Address::vacant("second");
        let (health, mut seen) = watch::channel(Arc::default());
        let children = vec![
            Child::new("first", || Fragile, (), first.clone()),
            Child::new("second", || Fragile, (), second.clone()),
        ];
        let metrics = SupervisorMetrics::new(&Registry::new()).unwrap();
        let (supervisor, _) = Actor::spawn(
            None,
            Supervisor,
            SupervisorArguments {
                children,
                metrics,
                health,
            },
        )
        .await
        .unwrap();

        eventually(&mut seen, |all| {
            all.values().filter(|child| child.is_running).count() == 2
        })
        .await;

        let sibling = second.actor().unwrap().get_id();

        first.cast(FragileMessage::Panic).unwrap();
        eventually(&mut seen, |all| {
            all["first"].restarts == 1 && all["first"].is_running
        })
        .await;

        assert!(seen.borrow()["first"].last_error.contains("as asked"));
        supervisor.cast(SupervisorMessage::Kill("first")).unwrap();
        eventually(&mut seen, |all| {
            all["first"].restarts == 2 && all["first"].is_running
        })
        .await;

        assert_eq!(
            first
                .call(FragileMessage::Ask, Duration::from_secs(1))
                .await,
            Ok(7)
        );

        assert_eq!(second.actor().unwrap().get_id(), sibling);
        assert_eq!(seen.borrow()["second"].restarts, 0);
        supervisor.stop(None);
    }
}
