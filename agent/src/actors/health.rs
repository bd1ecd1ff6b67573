//! The health actor: probes every region's endpoint, publishes its observations, and computes the
//! verdicts.
//!
//! The probes run in tasks of their own, one per address of each region, and report back as
//! messages: a hanging endpoint delays no other probe. Their consequences are decided in
//! [`regionmesh_core::health::endpoint`] and [`regionmesh_core::health::verdict`]. Every agent
//! computes every verdict from the board, so that each can answer for the mesh and lead.
//!
//! A restarted actor abstains for about a second; the last verdicts stay readable, and an announced
//! drain is restored from its own board entry.

mod clock;
mod judge;
mod metrics;
mod own;
mod probing;
#[cfg(test)]
mod tests;
mod verdicts;

use crate::{
    actors::messages::{FinishedProbe, GossipMessage, HealthMessage},
    address::Address,
    config::{Config, RegionConfig},
    probe::{NetworkProber, Prober, Target, TargetError},
    snapshots::Snapshots,
};
use clock::{Clock, WallShift};
use judge::announced_drain;
pub use metrics::HealthMetrics;
use probing::{Probing, watch_board, watch_canaries};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use regionmesh_core::health::{
    endpoint::{EndpointPolicy, EndpointTracker},
    probe::{ProbePolicy, ProbeResult, ProbeTracker},
};
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    status::{ServingStatus, condition::Condition},
};
use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinSet, time::Instant};

/// Observations are published this often even if nothing changed: their age shows whether this
/// agent still probes.
const REPUBLISH: Duration = Duration::from_secs(2);
/// How often state that changes with time alone is checked: the age of opinions, our own readiness.
const TICK: Duration = Duration::from_millis(500);
/// Added to the longest regular time between two results, milliseconds: timers are late on a busy
/// machine.
const GAP_SLACK_MS: u64 = 250;

/// What the actor is started with.
#[derive(Clone)]
pub struct HealthArguments {
    pub config: Arc<Config>,
    /// This agent.
    pub id: AgentId,
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
            id: config.id(),
            config,
            snapshots,
            gossip,
            metrics,
            own_serving,
            prober,
        }
    }
}

/// Probes, publishes, judges.
#[derive(Debug, Default)]
pub struct HealthActor;

/// State of the actor.
pub struct HealthState {
    arguments: HealthArguments,
    policy: EndpointPolicy,
    clock: Clock,
    /// Difference of the wall clock to `clock`.
    shift: WallShift,
    trackers: BTreeMap<RegionName, EndpointTracker>,
    /// The addresses that are judged individually, of each region.
    addresses: BTreeMap<RegionName, Vec<IpAddr>>,
    /// The address of its region that this agent serves at, if it is probed.
    own_address: Option<IpAddr>,
    /// The embedded server's readiness, with the thresholds of a probe: swapping a model is no
    /// failure.
    own_readiness: Option<ProbeTracker>,
    is_abstaining: bool,
    is_draining: bool,
    published: Option<Instant>,
    /// Probes, canaries and the board's watcher; they end with the actor.
    tasks: JoinSet<()>,
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
        let mut state = HealthState::new(arguments);
        state.start_tasks(&myself)?;
        state.judge();
        state.publish();
        Ok(state)
    }

    async fn handle(
        &self,
        _myself: ActorRef<HealthMessage>,
        message: HealthMessage,
        state: &mut HealthState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            HealthMessage::ProbeFinished(probe) => state.probe_finished(probe),
            HealthMessage::CanariesChecked(is_reached) => state.canaries_checked(is_reached),
            HealthMessage::SetDraining(is_draining) => state.set_draining(is_draining),
            HealthMessage::BoardChanged => state.judge(),
            HealthMessage::Tick => state.tick()?,
        }

        Ok(())
    }
}

impl HealthState {
    fn new(arguments: HealthArguments) -> Self {
        let health = &arguments.config.health;
        let probes = ProbePolicy {
            failures: health.failures,
            evidence_ms: health.evidence_ms,
            interval_ms: health.interval_ms.max(10),
            confirm_interval_ms: health.confirm_interval_ms.max(10),
            successes: health.successes,
            suspect_ms: health.suspect_ms,
            silent_ms: health.silent_ms,
            gap_ms: health
                .interval_ms
                .saturating_add(health.timeout_ms)
                .saturating_add(GAP_SLACK_MS),
        };

        let policy = EndpointPolicy {
            probes,
            gray: health.gray,
            minimum: usize::from(health.minimum_addresses),
        };
        let regions = arguments.config.regions.iter();
        let addresses: BTreeMap<RegionName, Vec<IpAddr>> = regions
            .map(|region| {
                (
                    region.name.clone(),
                    probed_addresses(&arguments.config, region),
                )
            })
            .collect();

        let own_address = own_address(&arguments, &addresses);
        let clock = Clock::start();
        let is_abstaining = !health.canaries.is_empty();
        let is_draining = announced_drain(&arguments.snapshots.board.borrow(), &arguments.id);

        arguments.metrics.abstains(is_abstaining);
        let own_readiness = arguments
            .own_serving
            .is_some()
            .then(|| ProbeTracker::new(clock.now_ms()));
        let mut state = Self {
            arguments,
            policy,
            clock,
            shift: WallShift::default(),
            trackers: BTreeMap::new(),
            addresses,
            own_address,
            own_readiness,
            is_abstaining,
            is_draining,
            published: None,
            tasks: JoinSet::new(),
        };

        state.forget_observations();
        state
    }

    fn start_tasks(&mut self, myself: &ActorRef<HealthMessage>) -> Result<(), TargetError> {
        let health = &self.arguments.config.health;
        for region in &self.arguments.config.regions {
            let target = Target::new(&region.serving_url, health)?;
            let inference = Target::inference(&region.serving_url, health)?;
            for (index, address) in endpoint_addresses(&self.addresses, &region.name)
                .into_iter()
                .enumerate()
            {
                let probing = Probing {
                    region: region.name.clone(),
                    index,
                    target: target.clone().at(address),
                    inference: inference.clone().map(|inference| inference.at(address)),
                    every: health
                        .inference
                        .as_ref()
                        .map_or(1, |inference| inference.every),
                    policy: self.policy.probes,
                    clock: self.clock,
                    prober: self.arguments.prober.clone(),
                    metrics: self.arguments.metrics.clone(),
                    health: myself.clone(),
                };

                self.tasks.spawn(probing.run());
            }
        }

        if !health.canaries.is_empty() {
            let canaries: Vec<Target> = health
                .canaries
                .iter()
                .map(|canary| Target::canary(canary))
                .collect::<Result<_, _>>()?;

            self.tasks.spawn(watch_canaries(
                canaries,
                self.arguments.prober.clone(),
                myself.clone(),
            ));
        }

        self.tasks.spawn(watch_board(
            self.arguments.snapshots.board.subscribe(),
            myself.clone(),
        ));

        let health = myself.clone();
        self.tasks.spawn(async move {
            while health.cast(HealthMessage::Tick).is_ok() {
                tokio::time::sleep(TICK).await;
            }
        });

        Ok(())
    }

    fn probe_finished(&mut self, probe: FinishedProbe) {
        // Results of an observer without connectivity say nothing about the endpoint.
        if self.is_abstaining {
            return;
        }

        let FinishedProbe {
            region,
            index,
            is_inference,
            result,
            ended_ms,
        } = probe;
        let Some(tracker) = self.trackers.get_mut(&region) else {
            return;
        };
        let changed = tracker.record(index, result, is_inference, ended_ms, &self.policy);

        if let Some(before) = changed.address
            && let Some(seen) = tracker.observations().get(index)
        {
            let after = seen.condition;
            let evidence = &seen.evidence;
            let address = seen
                .address
                .map(|address| address.to_string())
                .unwrap_or_default();

            match after {
                Condition::Failed | Condition::Suspect => {
                    tracing::warn!(
                        %region,
                        address,
                        %before,
                        %after,
                        evidence,
                        "endpoint condition worsened"
                    );
                }
                _ => {
                    tracing::info!(
                        %region,
                        address,
                        %before,
                        %after,
                        evidence,
                        "endpoint condition improved"
                    )
                }
            }
        }

        if changed.endpoint.is_some() {
            self.arguments
                .metrics
                .observes(&region, tracker.condition());
        }

        if changed.address.is_some() || changed.endpoint.is_some() {
            self.publish();
            self.judge();
        }
    }

    fn canaries_checked(&mut self, is_reached: bool) {
        if self.is_abstaining != is_reached {
            return;
        }
        self.is_abstaining = !is_reached;
        self.arguments.metrics.abstains(self.is_abstaining);
        if self.is_abstaining {
            tracing::warn!(
                canaries = ?self.arguments.config.health.canaries,
                "no canary can be reached: this agent abstains from all verdicts"
            );
        } else {
            tracing::info!("a canary is reached: this agent observes again");
        }

        self.forget_observations();
        self.publish();
        self.judge();
    }

    fn set_draining(&mut self, is_draining: bool) {
        if self.is_draining == is_draining {
            return;
        }
        tracing::info!(
            region = %self.arguments.id.region,
            is_draining,
            "the region's drain was changed"
        );
        self.is_draining = is_draining;
        self.publish();
        self.judge();
    }

    fn tick(&mut self) -> Result<(), ActorProcessingErr> {
        // The tasks never end. One that ended has panicked; without it the actor would look
        // healthy and observe nothing.
        if let Some(ended) = self.tasks.try_join_next() {
            return Err(match ended {
                Ok(()) => "a task of the health actor ended".into(),
                Err(error) => Box::new(error),
            });
        }

        self.adjust_to_wall_clock();
        let own_before = self.own_report();
        if let (Some(tracker), Some(serving)) =
            (&mut self.own_readiness, &self.arguments.own_serving)
        {
            let result = if serving.borrow().is_ready {
                ProbeResult::Success {
                    round_trip_us: 0,
                    evidence: "ready".into(),
                }
            } else {
                ProbeResult::DefiniteFailure("the embedded model server is not ready".into())
            };

            tracker.record(result, self.clock.now_ms(), &self.policy.probes);
        }

        let own = self.own_report();
        if own != own_before && own == Some(Condition::Failed) {
            tracing::warn!(region = %self.arguments.id.region, "this agent reports its own region \
                failed");
        }

        if own != own_before
            || self
                .published
                .is_none_or(|published| published.elapsed() >= REPUBLISH)
        {
            self.publish();
        }

        self.judge();
        Ok(())
    }

    /// Published verdicts carry wall-clock times, which the leader compares with its plan's: when
    /// the wall clock is set, they move with it.
    fn adjust_to_wall_clock(&mut self) {
        let Some(by_ms) = self
            .shift
            .update(self.clock.now_ms(), regionmesh_runtime::time::unix_ms())
        else {
            return;
        };

        self.arguments.snapshots.verdicts.send_modify(|verdicts| {
            Arc::make_mut(verdicts)
                .values_mut()
                .for_each(|verdict| clock::shift(verdict, by_ms));
        });
    }

    fn forget_observations(&mut self) {
        let now_ms = self.clock.now_ms();
        let tracker = |region: &RegionName| {
            EndpointTracker::new(&endpoint_addresses(&self.addresses, region), now_ms)
        };

        self.trackers = self
            .addresses
            .keys()
            .map(|region| (region.clone(), tracker(region)))
            .collect();

        for region in self.trackers.keys() {
            self.arguments.metrics.observes(region, Condition::Unknown);
        }
    }
}

/// The addresses of a region that are probed individually; none where its endpoint is probed as a
/// whole.
fn probed_addresses(config: &Config, region: &RegionConfig) -> Vec<IpAddr> {
    if config.health.each_address {
        region.dns_addresses()
    } else {
        Vec::new()
    }
}

/// What is probed of a region: its addresses, or its endpoint by its name.
fn endpoint_addresses(
    addresses: &BTreeMap<RegionName, Vec<IpAddr>>,
    region: &RegionName,
) -> Vec<Option<IpAddr>> {
    match addresses.get(region) {
        Some(addresses) if !addresses.is_empty() => addresses.iter().copied().map(Some).collect(),
        _ => vec![None],
    }
}

/// An agent whose server listens at one of several addresses of its region reports for that
/// address. Behind a load balancer, which sends no traffic to an agent that is not ready, it
/// reports for the region.
fn own_address(
    arguments: &HealthArguments,
    addresses: &BTreeMap<RegionName, Vec<IpAddr>>,
) -> Option<IpAddr> {
    arguments.own_serving.as_ref()?;
    let listens = arguments.config.listen.serving.ip();
    addresses
        .get(&arguments.id.region)
        .filter(|all| all.len() > 1 && all.contains(&listens))
        .map(|_| listens)
}
