//! The gossip actor: feeds membership and the status board, and performs their effects.
//!
//! Membership ([`Membership`]) decides who is alive; the board ([`regionmesh_core::gossip`]) holds
//! what each agent publishes about itself. Both are state machines without IO. This actor feeds
//! them packets, exchanges and the time, sends their output, and publishes the result in
//! `snapshots.board`. After a crash it continues with the same board, which lives in its arguments,
//! and joins as a new generation of itself.
//!
//! A lost connection does not mean that the agent at its other end is dead, and a dead agent does
//! not mean that its region fails to serve: this actor draws neither conclusion.

mod exchange;
mod inbox;
mod metrics;
mod spread;
mod view;

use crate::{actors::messages::GossipMessage, snapshots::Snapshots};
pub use metrics::GossipMetrics;
use parking_lot::{Mutex, MutexGuard};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use regionmesh_core::gossip::{Board, BoardLimits, PublishError, Signer, Verifier};
use regionmesh_mesh::{GossipTransport, LinkInfo, MemberEvent, Membership, Outputs};
use regionmesh_protocol::{
    identity::{AgentId, MeshName},
    status::StatusEntry,
};
use spread::Spread;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// Interval of periodic work.
const TICK: Duration = Duration::from_secs(1);
/// An agent that was dead for this long is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(3600);
/// After a restart of this actor, agents that were alive before are shown alive until membership
/// has had time to find them.
const INHERITANCE: Duration = Duration::from_secs(3);

/// What the actor is started with, on each start.
#[derive(Clone)]
pub struct GossipArguments {
    own: AgentId,
    boot: u64,
    transport: Arc<dyn GossipTransport>,
    signer: Arc<dyn Signer>,
    verifier: Arc<dyn Verifier>,
    snapshots: Snapshots,
    metrics: GossipMetrics,
    board: Arc<Mutex<Board>>,
    generation: Arc<AtomicU64>,
}

/// What the agent hands to gossip.
pub struct GossipSetup {
    /// This agent.
    pub own: AgentId,
    pub mesh: MeshName,
    /// Drawn at the start of the process; seeds the random choices.
    pub boot: u64,
    /// When the process started, Unix milliseconds: ranks our entries above those of earlier
    /// processes.
    pub started_ms: u64,
    /// Carries packets and exchanges.
    pub transport: Arc<dyn GossipTransport>,
    /// Signs our entries.
    pub signer: Arc<dyn Signer>,
    /// Verifies the entries of others.
    pub verifier: Arc<dyn Verifier>,
    /// Read: links. Written: board.
    pub snapshots: Snapshots,
    pub metrics: GossipMetrics,
}

impl From<GossipSetup> for GossipArguments {
    fn from(setup: GossipSetup) -> Self {
        let board = Board::new(
            setup.mesh,
            setup.own.clone(),
            setup.started_ms,
            BoardLimits::default(),
        );

        Self {
            own: setup.own,
            boot: setup.boot,
            transport: setup.transport,
            signer: setup.signer,
            verifier: setup.verifier,
            snapshots: setup.snapshots,
            metrics: setup.metrics,
            board: Arc::new(Mutex::new(board)),
            generation: Arc::new(AtomicU64::new(setup.started_ms)),
        }
    }
}

/// A [`GossipMessage::Wake`] on its way.
type Alarm = JoinHandle<Result<(), ractor::MessagingErr<GossipMessage>>>;

pub struct GossipActor;

/// State of the actor.
pub struct GossipState {
    arguments: GossipArguments,
    membership: Membership,
    spread: Spread,
    links: watch::Receiver<Arc<BTreeMap<AgentId, LinkInfo>>>,
    rng: StdRng,
    exchanges: JoinSet<()>,
    wake: Option<(Instant, Alarm)>,
    tick_at: Instant,
    since: BTreeMap<AgentId, Instant>,
    dead_since: BTreeMap<AgentId, Instant>,
    inherited: BTreeSet<AgentId>,
    inherited_until: Instant,
    is_view_stale: bool,
    /// When the last exchange with another region began, until it is published.
    heard: Option<Instant>,
}

/// Virtual under paused tokio time.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Actor for GossipActor {
    type Msg = GossipMessage;
    type State = GossipState;
    type Arguments = GossipArguments;

    async fn pre_start(
        &self,
        me: ActorRef<GossipMessage>,
        arguments: GossipArguments,
    ) -> Result<GossipState, ActorProcessingErr> {
        let now = now();
        // One above the last: to the others a restarted actor is a new member, which replaces the
        // old one immediately.
        let generation = arguments
            .generation
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        let mut rng = StdRng::seed_from_u64(arguments.boot ^ generation);
        let swim_rng = StdRng::seed_from_u64(rng.random());
        let before = arguments.snapshots.board.borrow().clone();

        let alive_before = before
            .agents
            .iter()
            .filter(|(agent, view)| view.is_alive && **agent != arguments.own);
        let mut state = GossipState {
            membership: Membership::new(arguments.own.clone(), generation, swim_rng, now),
            spread: Spread::default(),
            links: arguments.snapshots.links.subscribe(),
            rng,
            exchanges: JoinSet::new(),
            wake: None,
            tick_at: now,
            since: BTreeMap::new(),
            dead_since: BTreeMap::new(),
            inherited: alive_before.map(|(agent, _)| agent.clone()).collect(),
            inherited_until: now + INHERITANCE,
            is_view_stale: true,
            heard: None,
            arguments,
        };

        state.wake(&me, now);
        state.publish_and_schedule(&me, now);
        Ok(state)
    }

    async fn handle(
        &self,
        me: ActorRef<GossipMessage>,
        message: GossipMessage,
        state: &mut GossipState,
    ) -> Result<(), ActorProcessingErr> {
        let now = now();
        // A connection made while this actor was starting was not announced to it.
        if state.links.has_changed().unwrap_or_default() {
            state.reconcile(now);
        }

        match message {
            GossipMessage::LinkUp(peer) => state.link_up(&peer, now),
            GossipMessage::LinkDown(peer) => {
                state.spread.link_down(&peer);
                state.membership.link_down(&peer);
            }
            GossipMessage::Datagram { from, payload } => state.receive(&from, &payload, now),
            GossipMessage::Exchange {
                from,
                request,
                reply,
            } => {
                let answer = state.answer(&from, &request, now);
                // The peer may have disconnected.
                let _ = reply.send(answer);
            }
            GossipMessage::Publish(status_entry) => state.publish(*status_entry, now),
            GossipMessage::CertificateReloaded => state.certify(now),
            GossipMessage::ExchangeEnded { with, span, answer } => {
                state.exchange_ended(&with, span, answer, now)
            }
            GossipMessage::Wake => {}
        }

        state.wake(&me, now);
        state.publish_and_schedule(&me, now);
        Ok(())
    }
}

impl GossipState {
    fn board(&self) -> MutexGuard<'_, Board> {
        // A panic between two changes of a map leaves the board usable.
        self.arguments.board.lock()
    }

    fn link_up(&mut self, peer: &AgentId, now: Instant) {
        self.spread.link_up(peer, now);
        let mut outputs = Outputs::default();
        self.membership.link_up(peer, now, &mut outputs);
        self.perform(outputs, now);
    }

    fn receive(&mut self, from: &AgentId, packet: &[u8], now: Instant) {
        let mut outputs = Outputs::default();
        self.arguments
            .metrics
            .datagrams
            .with_label_values(&["received"])
            .inc();

        if let Err(error) = self.membership.receive(from, packet, now, &mut outputs) {
            self.arguments
                .metrics
                .datagrams_refused
                .with_label_values(&[error.as_str()])
                .inc();

            tracing::debug!(%from, %error, "refused a SWIM packet");
        }

        self.perform(outputs, now);
    }

    fn perform(&mut self, outputs: Outputs, now: Instant) {
        for (to, packet) in outputs.sends {
            self.arguments
                .metrics
                .datagrams
                .with_label_values(&["sent"])
                .inc();

            self.arguments.transport.send_datagram(&to, packet);
        }

        for event in outputs.events {
            self.is_view_stale = true;
            self.log_event(event, now);
        }
    }

    fn log_event(&mut self, event: MemberEvent, now: Instant) {
        let age_ms = |since: Option<&Instant>| {
            since.map(|since| {
                u64::try_from(now.saturating_duration_since(*since).as_millis()).unwrap_or(u64::MAX)
            })
        };

        match event {
            MemberEvent::Up(agent) => {
                tracing::info!(%agent, was_down_ms = age_ms(self.since.get(&agent)), "member up");
                self.since.insert(agent, now);
            }
            MemberEvent::Down(agent) => {
                let last_status = self.board().entries(&agent).map(|held| held.seen_at).max();
                let was_up_ms = age_ms(self.since.get(&agent));
                let last_status_ms = age_ms(last_status.as_ref());
                tracing::warn!(
                    %agent,
                    was_up_ms,
                    last_status_ms,
                    "agent down: no response to direct or indirect probes"
                );
                self.since.insert(agent, now);
            }
            MemberEvent::Restarted(agent) => tracing::info!(%agent, "agent restarted"),
            MemberEvent::Rejoined(generation) => {
                self.arguments
                    .generation
                    .fetch_max(generation, Ordering::Relaxed);
                tracing::warn!(generation, "peers had declared this agent dead; rejoined");
            }
        }
    }

    fn publish(&mut self, status_entry: StatusEntry, now: Instant) {
        let signer = self.arguments.signer.clone();
        let outcome = self.board().publish(status_entry, &*signer, now);
        self.published(outcome, now);
    }

    fn certify(&mut self, now: Instant) {
        let signer = self.arguments.signer.clone();
        let outcome = self.board().certify(&*signer, now);
        if let Ok(true) = outcome {
            tracing::info!("signed our board entries with a new certificate");
        }
        self.published(outcome, now);
    }

    fn published(&mut self, outcome: Result<bool, PublishError>, now: Instant) {
        match outcome {
            Ok(false) => {}
            Ok(true) => {
                self.is_view_stale = true;
                self.spread.own_changed(now);
            }
            Err(error) => {
                self.arguments.metrics.publish_failures.inc();
                tracing::error!(%error, "this agent's status could not be published");
            }
        }
    }

    /// Performs what is due.
    fn wake(&mut self, me: &ActorRef<GossipMessage>, now: Instant) {
        let mut outputs = Outputs::default();
        self.membership.wake(now, &mut outputs);
        self.perform(outputs, now);
        if self.tick_at <= now {
            self.tick_at = now + TICK;
            self.tick(now);
        }

        let due = {
            let board = self.arguments.board.lock();

            self.spread
                .take_due(now, |digest| board.has_news_for(digest))
        };

        due.into_iter()
            .for_each(|(peer, digest)| self.begin_exchange(me, peer, digest.as_ref()));
    }

    fn tick(&mut self, now: Instant) {
        while self.exchanges.try_join_next().is_some() {}
        self.reconcile(now);
        self.spread
            .anti_entropy(self.rng.random_range(0..=usize::from(u16::MAX)), now);

        // Repeated here in case a reload was missed, or the key could not sign a second ago.
        self.certify(now);
        self.forget_the_long_dead(now);
        if self.inherited_until <= now && !self.inherited.is_empty() {
            self.inherited.clear();
            self.is_view_stale = true;
        }
    }

    /// Makes the peers the agents that are connected.
    fn reconcile(&mut self, now: Instant) {
        let links: BTreeSet<AgentId> = self.links.borrow_and_update().keys().cloned().collect();
        for peer in self.spread.reconcile(&links, now) {
            self.link_up(&peer, now);
        }
    }

    fn forget_the_long_dead(&mut self, now: Instant) {
        let owners: BTreeSet<AgentId> = self.board().owners().cloned().collect();
        let alive = self.membership.alive();
        let own = &self.arguments.own;

        self.dead_since
            .retain(|agent, _| owners.contains(agent) && !alive.contains(agent));
        for agent in owners
            .iter()
            .filter(|agent| !alive.contains(*agent) && *agent != own)
        {
            self.dead_since.entry(agent.clone()).or_insert(now);
        }

        let long_dead = |since: &Instant| now.saturating_duration_since(*since) >= FORGET_AFTER;
        let forgotten: Vec<AgentId> = self
            .dead_since
            .iter()
            .filter(|(_, since)| long_dead(since))
            .map(|(agent, _)| agent.clone())
            .collect();

        for agent in forgotten {
            tracing::info!(%agent, dead_for_s = FORGET_AFTER.as_secs(), "forgot a dead agent");
            self.board().forget(&agent, now);
            self.dead_since.remove(&agent);
            self.since.remove(&agent);
            self.is_view_stale = true;
        }
    }

    /// Publishes what changed and sets the alarm for what is due next.
    fn publish_and_schedule(&mut self, me: &ActorRef<GossipMessage>, now: Instant) {
        if std::mem::take(&mut self.is_view_stale) {
            self.publish_view();
        }

        // Only after the board that the exchange brought.
        if let Some(begun) = self.heard.take() {
            self.arguments.snapshots.heard.send_replace(Some(begun));
        }

        let deadlines = [
            Some(self.tick_at),
            self.membership.next_wake(),
            self.spread.next_due(),
        ];
        let next = deadlines
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(self.tick_at)
            .max(now);

        if self
            .wake
            .as_ref()
            .is_some_and(|(at, alarm)| *at == next && !alarm.is_finished())
        {
            return;
        }

        if let Some((_, alarm)) = self.wake.take() {
            alarm.abort();
        }

        // Timers have a resolution of a millisecond; rounded up, or the alarm goes off early and is
        // set again.
        let wait = next.saturating_duration_since(now) + Duration::from_millis(1);
        self.wake = Some((next, me.send_after(wait, || GossipMessage::Wake)));
    }
}

impl Drop for GossipState {
    fn drop(&mut self) {
        if let Some((_, alarm)) = self.wake.take() {
            alarm.abort();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
