//! The health actor: probes every region's endpoint, tells the mesh what it sees, and draws the
//! verdicts.
//!
//! The probes run in tasks of their own, one per address of each region, and report back as
//! messages: a hanging endpoint delays nobody else. What follows from them is decided in
//! [`regionmesh_core::health::endpoint`] and [`regionmesh_core::health::verdict`]. Every agent
//! computes every verdict from the board, so that each can answer for the mesh and any can lead.
//!
//! When this actor is restarted it knows nothing for a second or so and abstains; the last verdicts
//! stay readable, and a drain that it had announced is taken up again from its own board entry.

mod clock;
mod judge;
mod metrics;
#[cfg(test)]
mod tests;

use crate::{
    actors::messages::{FinishedProbe, GossipMessage, HealthMessage},
    address::Address,
    config::{Config, RegionConfig},
    probe::{NetworkProber, Prober, Target, TargetError},
    snapshots::Snapshots,
};
use clock::{Clock, WallShift};
use judge::{Report, judge};
pub use metrics::HealthMetrics;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use regionmesh_core::{
    gossip::BoardView,
    health::{
        endpoint::{EndpointPolicy, EndpointTracker},
        probe::{FailureRun, ProbePolicy, ProbeResult, ProbeTracker},
        verdict::{AddressVerdict, RegionVerdict},
    },
    planning::freeze::OwnView,
};
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    status::{
        Observations, ServingStatus, StatusEntry, StatusKind,
        condition::{Condition, Observation},
    },
};
use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinSet, time::Instant};

/// An observation that reached us longer ago does not count: five publications were missed.
const FRESH: Duration = Duration::from_secs(10);
/// Observations are published this often even if nothing changed, so that their age tells whether
/// we still look.
const REPUBLISH: Duration = Duration::from_secs(2);
/// How often the actor looks at what changes with time alone: the age of opinions, our own
/// readiness.
const TICK: Duration = Duration::from_millis(500);
/// How often the canaries are asked; twice as often as silence takes to make an endpoint suspect.
const CANARY_INTERVAL: Duration = Duration::from_secs(1);
/// Changes of the board within this time are looked at together.
const BOARD_PAUSE: Duration = Duration::from_millis(20);
/// What an observer says of every endpoint while it abstains.
const ABSTAINS: &str = "abstains: no canary can be reached";
/// Added to the longest regular time between two results, milliseconds: timers are late on a busy
/// machine.
const GAP_SLACK_MS: u64 = 250;

/// What the actor needs.
#[derive(Clone)]
pub struct HealthArguments {
    /// The configuration.
    pub config: Arc<Config>,
    /// This agent.
    pub id: AgentId,
    /// Reads the board, writes the verdicts.
    pub snapshots: Snapshots,
    /// Where observations go.
    pub gossip: Address<GossipMessage>,
    /// The metrics.
    pub metrics: HealthMetrics,
    /// What the embedded model server does; none where models are served by somebody else.
    pub own_serving: Option<watch::Receiver<ServingStatus>>,
    /// Carries out probes.
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

/// What the actor knows.
pub struct HealthState {
    arguments: HealthArguments,
    policy: EndpointPolicy,
    clock: Clock,
    /// How far the wall clock is from `clock`.
    shift: WallShift,
    trackers: BTreeMap<RegionName, EndpointTracker>,
    /// The addresses that are judged by themselves, of each region.
    addresses: BTreeMap<RegionName, Vec<IpAddr>>,
    /// The one address of its region that this agent serves at, if that is probed.
    own_address: Option<IpAddr>,
    /// The embedded server's readiness, with the same patience as a probe's: a model being swapped
    /// is no failure.
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
        // What a cut-off observer sees is its own trouble, also in hindsight.
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
                    tracing::warn!(%region, address, %before, %after, evidence, "this agent observes a worse endpoint");
                }
                _ => {
                    tracing::info!(%region, address, %before, %after, evidence, "this agent observes a better endpoint")
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
            tracing::warn!(canaries = ?self.arguments.config.health.canaries, "no canary can be reached: this agent abstains from all verdicts");
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
        tracing::info!(region = %self.arguments.id.region, is_draining, "the region's drain was changed");
        self.is_draining = is_draining;
        self.publish();
        self.judge();
    }

    fn tick(&mut self) -> Result<(), ActorProcessingErr> {
        // None of the tasks ends by itself. One that did panicked; without it the actor would look
        // healthy and see nothing.
        if let Some(ended) = self.tasks.try_join_next() {
            return Err(match ended {
                Ok(()) => "a task of the health actor ended".into(),
                Err(error) => Box::new(error),
            });
        }

        self.follow_wall_clock();
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
    fn follow_wall_clock(&mut self) {
        let Some(by_ms) = self
            .shift
            .follow(self.clock.now_ms(), regionmesh_runtime::time::unix_ms())
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

    /// What this agent says of its own region. Silent until its serving was ready once, since a
    /// start is no failure, and since an agent may never reach its own region's public address from
    /// inside.
    fn own_report(&self) -> Option<Condition> {
        if self.is_draining {
            return Some(Condition::Draining);
        }

        let (has_succeeded, condition) = match &self.own_readiness {
            Some(tracker) => (tracker.has_succeeded(), tracker.condition()),
            None => {
                let tracker = self.trackers.get(&self.arguments.id.region)?;
                (tracker.has_succeeded(), tracker.condition())
            }
        };

        has_succeeded.then_some(match condition {
            Condition::Failed => Condition::Failed,
            _ => Condition::Healthy,
        })
    }

    fn observations(&self) -> Observations {
        let observe = |(region, tracker): (&RegionName, &EndpointTracker)| {
            self.shift.tell(Observation {
                region: region.clone(),
                condition: tracker.condition(),
                evidence: if self.is_abstaining {
                    ABSTAINS.into()
                } else {
                    tracker.evidence()
                },
                since_ms: tracker.since_ms(),
                round_trip_us: tracker.round_trip_us(),
                addresses: if self.is_abstaining {
                    Vec::new()
                } else {
                    tracker.observations()
                },
            })
        };

        Observations {
            regions: self.trackers.iter().map(observe).collect(),
            own: self.own_report(),
            own_address: self.own_address,
        }
    }

    fn publish(&mut self) {
        self.published = Some(Instant::now());
        let view = |(region, tracker): (&RegionName, &EndpointTracker)| {
            (
                region.clone(),
                OwnView {
                    condition: tracker.condition(),
                    is_definite: tracker.is_definite(),
                },
            )
        };

        self.arguments
            .snapshots
            .own_view
            .send_replace(Arc::new(self.trackers.iter().map(view).collect()));

        let status_entry = StatusEntry::Observations(self.observations());
        if let Err(error) = self
            .arguments
            .gossip
            .cast(GossipMessage::Publish(Box::new(status_entry)))
        {
            tracing::debug!(%error, "observations were not published; they are again within 2 s");
        }
    }

    /// Draws every verdict from the board and our own observations; tells of each that changed.
    fn judge(&mut self) {
        let board = self.arguments.snapshots.board.borrow().clone();
        let previous = self.arguments.snapshots.verdicts.borrow().clone();
        let verdicts = self.verdicts(&board, &previous);

        if *previous == verdicts {
            return;
        }

        for (region, verdict) in &verdicts {
            let of_addresses = previous
                .get(region)
                .map(|verdict| verdict.addresses.as_slice())
                .unwrap_or_default();

            self.tell_addresses(region, of_addresses, &verdict.addresses);
            let before = previous.get(region).map(|verdict| verdict.condition);
            if before == Some(verdict.condition) {
                continue;
            }
            self.arguments.metrics.judges(region, verdict.condition);

            let after = verdict.condition;
            let reason = &verdict.reason;
            let Some(before) = before else { continue };

            self.arguments.metrics.changed(region);
            match after {
                Condition::Failed | Condition::Suspect => {
                    tracing::warn!(%region, %before, %after, reason, "the verdict on a region is \
                        worse");
                }
                _ => {
                    tracing::info!(%region, %before, %after, reason, "the verdict on a region \
                        changed")
                }
            }
        }

        self.arguments
            .snapshots
            .verdicts
            .send_replace(Arc::new(verdicts));
    }

    fn tell_addresses(
        &self,
        region: &RegionName,
        before: &[AddressVerdict],
        after: &[AddressVerdict],
    ) {
        for judged in after {
            let before = before
                .iter()
                .find(|before| before.address == judged.address)
                .map(|before| before.condition);

            if before == Some(judged.condition) {
                continue;
            }
            self.arguments
                .metrics
                .judges_address(region, judged.address, judged.condition);

            let address = judged.address;
            let verdict = judged.condition;
            let reason = &judged.reason;

            // With a single address the region's own verdict says it.
            if before.is_some() && after.len() > 1 {
                tracing::info!(%region, %address, %verdict, reason, "the verdict on an address \
                    changed");
            }
        }
    }

    fn verdicts(
        &self,
        board: &BoardView,
        previous: &BTreeMap<RegionName, RegionVerdict>,
    ) -> BTreeMap<RegionName, RegionVerdict> {
        let own = self.observations();
        let mut reports = vec![Report {
            agent: &self.arguments.id,
            observations: &own,
            is_fresh: true,
        }];

        for (agent, view) in &board.agents {
            // A region that is not in our configuration has no vote, whatever its certificate says.
            if *agent == self.arguments.id || !self.trackers.contains_key(&agent.region) {
                continue;
            }

            if let Some(seen) = view.status_entries.get(&StatusKind::Observations)
                && let StatusEntry::Observations(observations) = &*seen.status_entry
            {
                let is_fresh = view.is_alive && seen.seen_at.elapsed() <= FRESH;
                reports.push(Report {
                    agent,
                    observations,
                    is_fresh,
                });
            }
        }

        let now_ms = self.shift.wall_ms(self.clock.now_ms());
        let judge = |(region, addresses): (&RegionName, &Vec<IpAddr>)| {
            let verdict = judge(
                region,
                addresses,
                self.policy.minimum,
                &reports,
                previous.get(region),
                now_ms,
            );

            (region.clone(), verdict)
        };

        self.addresses.iter().map(judge).collect()
    }
}

/// The addresses of a region that are probed by themselves; none where only its endpoint as a whole
/// is.
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

/// An agent whose own server listens at one of several addresses of its region speaks for that one.
/// Behind a load balancer, which sends nobody to an agent that is not ready, it speaks for the
/// region with the others.
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

/// Whether our own board entry, perhaps of the actor's life before, says that the region drains.
fn announced_drain(board: &BoardView, id: &AgentId) -> bool {
    let seen = board
        .agents
        .get(id)
        .and_then(|view| view.status_entries.get(&StatusKind::Observations));

    matches!(
        seen.map(|seen| &*seen.status_entry),
        Some(StatusEntry::Observations(Observations {
            own: Some(Condition::Draining),
            ..
        }))
    )
}

/// The probing of one address of a region's endpoint.
struct Probing {
    region: RegionName,
    index: usize,
    target: Target,
    inference: Option<Target>,
    /// Every how manieth probe is an inference.
    every: u32,
    policy: ProbePolicy,
    clock: Clock,
    prober: Arc<dyn Prober>,
    metrics: HealthMetrics,
    health: ActorRef<HealthMessage>,
}

impl Probing {
    /// Probes for ever. The regular pause counts from a probe's start, so that silence does not
    /// slow the probes down further; the pause before a confirmation from its end, so that a slow
    /// endpoint is not probed without a break.
    async fn run(self) {
        // Agents that were started together do not probe together.
        tokio::time::sleep(
            Duration::from_millis(self.policy.interval_ms).mul_f64(rand::random::<f64>()),
        )
        .await;

        let mut failures = FailureRun::default();
        // The first probe is an inference; and after one that failed the next is too, or else
        // readiness, which goes on answering, would hide it.
        let mut until_inference = 0u32;

        loop {
            let started = Instant::now();
            let inference = self.inference.as_ref().filter(|_| until_inference == 0);
            let result = self.prober.probe(inference.unwrap_or(&self.target)).await;
            let is_inference = inference.is_some();
            let has_passed = matches!(result, ProbeResult::Success { .. });

            until_inference = match is_inference {
                true if has_passed => self.every.saturating_sub(1),
                true => 0,
                false => until_inference.saturating_sub(1),
            };

            self.metrics
                .probed(&self.region, &result, started.elapsed());
            if is_inference {
                self.metrics.inferred(&self.region, has_passed);
            }
            if failures.is_confirming(&self.policy) {
                self.metrics.confirmed(&self.region, &result);
            }

            let ended_ms = self.clock.now_ms();
            failures.record(&result, ended_ms);

            let pause = Duration::from_millis(failures.pause_ms(&self.policy));
            let from = if failures.is_confirming(&self.policy) {
                Instant::now()
            } else {
                started
            };
            let probe = FinishedProbe {
                region: self.region.clone(),
                index: self.index,
                is_inference,
                result,
                ended_ms,
            };

            if self
                .health
                .cast(HealthMessage::ProbeFinished(probe))
                .is_err()
            {
                return;
            }

            tokio::time::sleep_until(from + pause).await;
        }
    }
}

async fn watch_canaries(
    canaries: Vec<Target>,
    prober: Arc<dyn Prober>,
    health: ActorRef<HealthMessage>,
) {
    loop {
        let results =
            futures::future::join_all(canaries.iter().map(|canary| prober.probe(canary))).await;
        let is_reached = results
            .iter()
            .any(|result| matches!(result, ProbeResult::Success { .. }));

        if health
            .cast(HealthMessage::CanariesChecked(is_reached))
            .is_err()
        {
            return;
        }

        tokio::time::sleep(CANARY_INTERVAL).await;
    }
}

async fn watch_board(mut board: watch::Receiver<Arc<BoardView>>, health: ActorRef<HealthMessage>) {
    while board.changed().await.is_ok() && health.cast(HealthMessage::BoardChanged).is_ok() {
        tokio::time::sleep(BOARD_PAUSE).await;
    }
}
