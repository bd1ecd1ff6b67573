//! The health actor: probes endpoints and canaries, publishes observations and provides the
//! verdicts.
//!
//! What to probe when, what to publish and every verdict are decided in
//! [`regionmesh_core::health`]. The probes run in tasks of their own and report back as messages: a
//! hanging endpoint delays no other probe.
//!
//! A restarted actor abstains for about a second; the last verdicts stay readable, and an announced
//! drain is restored from its own board entry.

mod metrics;
mod notices;
mod probing;
mod settings;
#[cfg(test)]
mod tests;

use crate::{
    actors::messages::{GossipMessage, HealthMessage},
    address::Address,
    clocks::now,
    config::Config,
    probe::{NetworkProber, Prober, Target, TargetError},
    snapshots::Snapshots,
};
pub use metrics::HealthMetrics;
use probing::{EndpointTargets, Probing, watch_board, watch_canaries};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use regionmesh_core::{
    agent::intervals::HEALTH_TICK,
    health::{Effect, Health, Input, Probe, Restored},
};
use regionmesh_protocol::{
    identity::RegionName,
    status::{ServingStatus, StatusEntry},
};
use settings::{settings, targets};
use std::{collections::BTreeMap, sync::Arc};
use tokio::{sync::watch, task::JoinSet};

/// What the actor is started with.
#[derive(Clone)]
pub struct HealthArguments {
    pub config: Arc<Config>,
    /// Reads the board, writes the verdicts.
    pub snapshots: Snapshots,
    /// Where observations go.
    pub gossip: Address<GossipMessage>,
    pub metrics: HealthMetrics,
    /// The embedded model server's status; none where another server serves the models.
    pub own_serving: Option<watch::Receiver<ServingStatus>>,
    /// Performs probes.
    pub prober: Arc<dyn Prober>,
}

impl HealthArguments {
    /// Arguments with probes over the network.
    pub fn new(
        config: Arc<Config>,
        snapshots: Snapshots,
        gossip: Address<GossipMessage>,
        metrics: HealthMetrics,
        own_serving: Option<watch::Receiver<ServingStatus>>,
    ) -> Self {
        let prober = Arc::new(NetworkProber::new(&config.health));
        Self {
            config,
            snapshots,
            gossip,
            metrics,
            own_serving,
            prober,
        }
    }
}

/// Probes and publishes; the core decides.
#[derive(Debug, Default)]
pub struct HealthActor;

/// State of the actor.
pub struct HealthState {
    arguments: HealthArguments,
    health: Health,
    /// What to probe, by region and index.
    targets: BTreeMap<RegionName, Vec<EndpointTargets>>,
    myself: ActorRef<HealthMessage>,
    /// Probes in progress or due; they end with the actor.
    probes: JoinSet<()>,
    /// The canaries, the board's watcher and the tick; they end with the actor.
    watchers: JoinSet<()>,
}

impl Actor for HealthActor {
    type Msg = HealthMessage;
    type State = HealthState;
    type Arguments = HealthArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<HealthMessage>,
        arguments: HealthArguments,
    ) -> Result<HealthState, ActorProcessingErr> {
        let mut state = HealthState::new(arguments, myself)?;
        state.start_watchers()?;

        let snapshots = &state.arguments.snapshots;
        let restored = Restored {
            board: snapshots.board.borrow().clone(),
            verdicts: snapshots.verdicts.borrow().clone(),
        };
        state.input(Input::Started(restored));
        Ok(state)
    }

    async fn handle(
        &self,
        _myself: ActorRef<HealthMessage>,
        message: HealthMessage,
        state: &mut HealthState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            HealthMessage::ProbeFinished(probe) => state.input(Input::ProbeFinished(probe)),
            HealthMessage::CanariesChecked(is_reached) => {
                state.input(Input::CanariesChecked(is_reached))
            }
            HealthMessage::SetDraining(is_draining) => state.input(Input::SetDraining(is_draining)),
            HealthMessage::BoardChanged => {
                let board = state.arguments.snapshots.board.borrow().clone();
                state.input(Input::Board(board));
            }
            HealthMessage::Tick => state.tick()?,
        }

        Ok(())
    }
}

impl HealthState {
    fn new(
        arguments: HealthArguments,
        myself: ActorRef<HealthMessage>,
    ) -> Result<Self, TargetError> {
        let is_serving = arguments.own_serving.is_some();
        let settings = settings(&arguments.config, is_serving)?;
        let targets = targets(&arguments.config, &settings)?;

        Ok(Self {
            health: Health::new(settings, now()),
            arguments,
            targets,
            myself,
            probes: JoinSet::new(),
            watchers: JoinSet::new(),
        })
    }

    fn start_watchers(&mut self) -> Result<(), TargetError> {
        let canaries = &self.arguments.config.health.canaries;
        if !canaries.is_empty() {
            let canaries: Vec<Target> = canaries
                .iter()
                .map(|canary| Target::canary(canary))
                .collect::<Result<_, _>>()?;

            self.watchers.spawn(watch_canaries(
                canaries,
                self.arguments.prober.clone(),
                self.myself.clone(),
            ));
        }

        self.watchers.spawn(watch_board(
            self.arguments.snapshots.board.subscribe(),
            self.myself.clone(),
        ));

        let health = self.myself.clone();
        self.watchers.spawn(async move {
            while health.cast(HealthMessage::Tick).is_ok() {
                tokio::time::sleep(HEALTH_TICK).await;
            }
        });

        Ok(())
    }

    fn tick(&mut self) -> Result<(), ActorProcessingErr> {
        // The watchers never end. One that ended has panicked; without it the actor would look
        // healthy and observe nothing. A probe that panicked would never be repeated.
        if let Some(ended) = self.watchers.try_join_next() {
            ended?;
            return Err("a task of the health actor ended".into());
        }
        while let Some(ended) = self.probes.try_join_next() {
            ended?;
        }

        let serving = self.arguments.own_serving.as_ref();
        if let Some(is_ready) = serving.map(|serving| serving.borrow().is_ready) {
            self.input(Input::OwnServing(is_ready));
        }
        self.input(Input::Tick);
        Ok(())
    }

    fn input(&mut self, input: Input) {
        let mut effects = Vec::new();
        self.health
            .handle(input, now(), &mut rand::rng(), &mut effects);

        for effect in effects {
            self.perform(effect);
        }
    }

    fn perform(&mut self, effect: Effect) {
        let snapshots = &self.arguments.snapshots;
        match effect {
            Effect::Probe(probe) => self.probe(probe),
            Effect::Publish(status_entry) => self.publish(status_entry),
            Effect::Verdicts(verdicts) => {
                snapshots.verdicts.send_replace(verdicts);
            }
            Effect::OwnView(view) => {
                snapshots.own_view.send_replace(view);
            }
            Effect::Notice(notice) => {
                notices::report(notice, &self.arguments.metrics, &self.arguments.config)
            }
        }
    }

    fn probe(&mut self, probe: Probe) {
        let targets = self.targets.get(&probe.region);
        let Some(targets) = targets.and_then(|targets| targets.get(probe.index)) else {
            return;
        };
        let probing = Probing {
            target: targets.of(&probe).clone(),
            probe,
            prober: self.arguments.prober.clone(),
            metrics: self.arguments.metrics.clone(),
            health: self.myself.clone(),
        };

        self.probes.spawn(probing.run());
    }

    fn publish(&self, status_entry: Box<StatusEntry>) {
        if let Err(error) = self
            .arguments
            .gossip
            .cast(GossipMessage::Publish(status_entry))
        {
            tracing::debug!(%error, "observations were not published; retrying within 2 s");
        }
    }
}
