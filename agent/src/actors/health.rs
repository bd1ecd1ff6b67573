//! The health actor: probes endpoints and canaries, each in a task of its own: a hanging endpoint
//! delays no other probe.

mod metrics;
pub(super) mod notices;
mod probing;
mod targets;

use crate::{
    actors::messages::HealthMessage,
    config::Config,
    probe::{NetworkProber, Prober, Target},
};
pub use metrics::HealthMetrics;
use probing::{Probing, check_canaries};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use regionmesh_protocol::identity::RegionName;
use std::{collections::BTreeMap, sync::Arc};
use targets::{EndpointTargets, targets};
use tokio::task::JoinSet;

/// What the actor is started with, on each start.
#[derive(Clone)]
pub struct HealthArguments {
    pub config: Arc<Config>,
    pub metrics: HealthMetrics,
    /// Performs probes.
    pub prober: Arc<dyn Prober>,
}

impl HealthArguments {
    /// Arguments with probes over the network.
    pub fn new(config: Arc<Config>, metrics: HealthMetrics) -> Self {
        let prober = Arc::new(NetworkProber::new(&config.health));
        Self {
            config,
            metrics,
            prober,
        }
    }
}

#[derive(Debug, Default)]
pub struct HealthActor;

/// State of the actor.
pub struct HealthState {
    arguments: HealthArguments,
    /// What to probe, by region and index.
    targets: BTreeMap<RegionName, Vec<EndpointTargets>>,
    canaries: Vec<Target>,
    /// Probes in progress or due; they end with the actor.
    probes: JoinSet<()>,
}

impl Actor for HealthActor {
    type Msg = HealthMessage;
    type State = HealthState;
    type Arguments = HealthArguments;

    async fn pre_start(
        &self,
        _: ActorRef<HealthMessage>,
        arguments: HealthArguments,
    ) -> Result<HealthState, ActorProcessingErr> {
        let canaries = arguments.config.health.canaries.iter();
        let canaries = canaries
            .map(|canary| Target::canary(canary))
            .collect::<Result<_, _>>()?;

        Ok(HealthState {
            targets: targets(&arguments.config)?,
            canaries,
            arguments,
            probes: JoinSet::new(),
        })
    }

    async fn handle(
        &self,
        _: ActorRef<HealthMessage>,
        message: HealthMessage,
        state: &mut HealthState,
    ) -> Result<(), ActorProcessingErr> {
        while state.probes.try_join_next().is_some() {}

        let prober = state.arguments.prober.clone();
        match message {
            HealthMessage::Probe(probe, report) => {
                let targets = state.targets.get(&probe.region);
                let Some(targets) = targets.and_then(|targets| targets.get(probe.index)) else {
                    return Ok(());
                };
                let probing = Probing {
                    target: targets.of(&probe).clone(),
                    probe,
                    prober,
                    metrics: state.arguments.metrics.clone(),
                };
                state.probes.spawn(report.run(probing.run()));
            }
            HealthMessage::CheckCanaries(at, report) => {
                let check = check_canaries(at, state.canaries.clone(), prober);
                state.probes.spawn(report.run(check));
            }
        }

        Ok(())
    }
}
