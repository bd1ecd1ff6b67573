//! The gossip actor: feeds membership and the status board, and carries out what they answer.
//!
//! Membership ([`Membership`]) says who is alive; the board
//! ([`regionmesh_core::gossip`]) holds what everybody says of itself. Both are machines without
//! IO. This actor hands them packets, exchanges and the time, sends what they want sent, and shows
//! the result in `snapshots.board`. When it dies and is started again it goes on with the same
//! board, which lives in its arguments, and joins as a new generation of itself.
//!
//! A connection that is gone says nothing about the agent at its other end, and an agent's death
//! says nothing about its region's serving: this actor never draws either conclusion.

mod inbox;
mod metrics;
mod spread;

use super::messages::GossipMessage;
use crate::snapshots::Snapshots;
pub use metrics::GossipMetrics;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use regionmesh_core::gossip::{
    AgentView, Applied, Board, BoardLimits, BoardView, Delta, Digest, ExchangeReply,
    ExchangeRequest, Judge, PublishError, SeenStatus, Signer, Verifier,
};
use regionmesh_mesh::{
    GossipTransport, LinkInfo, MemberEvent, Membership, Outputs, Peer, PeerError,
};
use regionmesh_protocol::{
    identity::{AgentId, MeshName},
    status::StatusEntry,
};
use spread::Spread;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// How long one exchange may take.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(5);
/// Most bytes of entries in one request or reply; what is left over goes in the next. Keeps one
/// turn of the actor short.
const DELTA_BYTES: usize = 4 << 20;
/// Pace of everything that repeats.
const TICK: Duration = Duration::from_secs(1);
/// An agent that was dead for this long is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(3600);
/// After a restart of this actor those who were alive before are shown so until membership has had
/// time to find them.
const INHERITANCE: Duration = Duration::from_secs(3);

/// What the actor is started with, each time it is started.
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
    /// Who we are.
    pub own: AgentId,
    /// The mesh.
    pub mesh: MeshName,
    /// Drawn at the start of the process; seeds the random choices.
    pub boot: u64,
    /// When the process started, Unix milliseconds: our entries outrank those of earlier lives by
    /// it.
    pub started_ms: u64,
    /// Carries packets and exchanges.
    pub transport: Arc<dyn GossipTransport>,
    /// Signs our entries.
    pub signer: Arc<dyn Signer>,
    /// Checks the others'.
    pub verifier: Arc<dyn Verifier>,
    /// Read: links. Written: board.
    pub snapshots: Snapshots,
    /// Counts.
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

/// The actor.
pub struct GossipActor;

/// Its state.
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
    /// When an exchange with another region that has just ended began.
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
        // One above the last: a restarted actor is a new life to the others, who replace the old
        // one at once.
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
        state.settle(&me, now);
        Ok(state)
    }

    async fn handle(
        &self,
        me: ActorRef<GossipMessage>,
        message: GossipMessage,
        state: &mut GossipState,
    ) -> Result<(), ActorProcessingErr> {
        let now = now();
        // A connection made while this actor was being started was told to nobody.
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
                // The peer may have gone meanwhile.
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
        state.settle(&me, now);
        Ok(())
    }
}

impl GossipState {
    fn board(&self) -> MutexGuard<'_, Board> {
        // A panic between two changes of a map leaves the board usable.
        self.arguments
            .board
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
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
            self.note(event, now);
        }
    }

    fn note(&mut self, event: MemberEvent, now: Instant) {
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
                let last_fact = self.board().entries(&agent).map(|held| held.seen_at).max();
                let was_up_ms = age_ms(self.since.get(&agent));
                let last_fact_ms = age_ms(last_fact.as_ref());
                tracing::warn!(%agent, was_up_ms, last_fact_ms, "member down: it answers nobody");
                self.since.insert(agent, now);
            }
            MemberEvent::Restarted(agent) => tracing::info!(%agent, "member restarted"),
            MemberEvent::Rejoined(generation) => {
                self.arguments
                    .generation
                    .fetch_max(generation, Ordering::Relaxed);
                tracing::warn!(generation, "the mesh held us for dead; we joined again");
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
                tracing::error!(%error, "our status does not reach the mesh");
            }
        }
    }

    fn answer(&mut self, from: &AgentId, request: &[u8], now: Instant) -> Vec<u8> {
        let reply = match ExchangeRequest::decode(request) {
            Ok(request) => {
                self.count_exchange("answered");
                self.arguments.snapshots.clocks.told(&request.clock);
                self.apply(from, request.delta, now);

                let (digest, delta) = {
                    let board = self.board();
                    (
                        board.digest(),
                        board.delta_for(&request.digest, DELTA_BYTES),
                    )
                };
                let mut theirs = request.digest;

                if !delta.has_more {
                    theirs.learn(&digest);
                }
                self.spread.heard(from, theirs);
                ExchangeReply::Board {
                    digest,
                    delta,
                    clock: self.arguments.snapshots.clocks.reading(),
                }
            }
            Err(error) => {
                self.count_exchange("refused_malformed");
                tracing::warn!(%from, %error, "refused a board exchange");
                ExchangeReply::Refused(error.to_string())
            }
        };

        reply.encode().unwrap_or_else(|error| {
            tracing::error!(%from, %error, "could not answer a board exchange");
            Vec::new()
        })
    }

    fn exchange_ended(
        &mut self,
        with: &AgentId,
        span: (Instant, Instant),
        answer: Result<Vec<u8>, PeerError>,
        now: Instant,
    ) {
        let answer = answer.map_err(|error| (outcome_of(&error), error.to_string()));
        let reply = answer.and_then(|bytes| {
            ExchangeReply::decode(&bytes)
                .map_err(|error| ("malformed_answer", format!("its answer: {error}")))
        });
        let reply = reply.and_then(|reply| match reply {
            ExchangeReply::Board {
                digest,
                delta,
                clock,
            } => Ok((digest, delta, clock)),
            ExchangeReply::Refused(why) => Err(("refused_by_peer", format!("it refused: {why}"))),
        });

        match reply {
            Ok((digest, delta, clock)) => {
                self.count_exchange("ok");
                self.arguments.snapshots.clocks.compared(with, &clock, span);
                if with.region != self.arguments.own.region {
                    self.heard = Some(span.0);
                }

                let has_more = delta.has_more;
                let has_learned = self.apply(with, delta, now);
                let again = (has_more && has_learned) || self.board().has_news_for(&digest);

                self.spread.ended(with, Some(digest), again, now);
            }
            Err((outcome, error)) => {
                self.count_exchange(outcome);
                tracing::debug!(peer = %with, error, "a board exchange failed; trying again in a \
                    second");
                self.spread.ended(with, None, true, now);
            }
        }
    }

    /// Takes what is good of a delta; says whether anything was new.
    fn apply(&mut self, from: &AgentId, delta: Delta, now: Instant) -> bool {
        if delta.is_empty() {
            return false;
        }

        let verifier = self.arguments.verifier.clone();
        let alive = self.membership.alive();
        let (
            Applied {
                changes,
                rejected,
                is_outranked,
            },
            agents,
        ) = {
            let mut board = self
                .arguments
                .board
                .lock()
                .unwrap_or_else(PoisonError::into_inner);

            (
                board.apply(
                    delta,
                    Judge {
                        verifier: &*verifier,
                        alive,
                        now,
                    },
                ),
                board.agent_count(),
            )
        };

        for (reason, count) in rejected {
            self.arguments
                .metrics
                .entries_rejected
                .with_label_values(&[reason.as_str()])
                .inc_by(count);

            tracing::debug!(%from, reason = reason.as_str(), count, "refused board entries");
        }

        if is_outranked {
            tracing::warn!(
                "the mesh knows later entries of ours: was the clock set back? Signing all of them \
                    anew"
            );

            let signer = self.arguments.signer.clone();
            let outcome = self.board().sign_anew(&*signer, now).map(|()| true);
            self.published(outcome, now);
        }

        if !changes.is_empty() {
            self.is_view_stale = true;
            self.spread.learned(from, agents, now);
        }

        !changes.is_empty()
    }

    /// Does all that is due.
    fn wake(&mut self, me: &ActorRef<GossipMessage>, now: Instant) {
        let mut outputs = Outputs::default();
        self.membership.wake(now, &mut outputs);
        self.perform(outputs, now);
        if self.tick_at <= now {
            self.tick_at = now + TICK;
            self.tick(now);
        }

        let due = {
            let board = self
                .arguments
                .board
                .lock()
                .unwrap_or_else(PoisonError::into_inner);

            self.spread
                .take_due(now, |digest| board.has_news_for(digest))
        };

        due.into_iter()
            .for_each(|(peer, digest)| self.begin_exchange(me, peer, digest.as_ref()));
    }

    fn begin_exchange(
        &mut self,
        me: &ActorRef<GossipMessage>,
        with: AgentId,
        digest: Option<&Digest>,
    ) {
        let request = {
            let board = self.board();
            let delta = digest
                .map(|digest| board.delta_for(digest, DELTA_BYTES))
                .unwrap_or_default();

            ExchangeRequest {
                digest: board.digest(),
                delta,
                clock: self.arguments.snapshots.clocks.reading(),
            }
            .encode()
        };

        let me = me.clone();
        let transport = self.arguments.transport.clone();
        let begun = now();

        self.exchanges.spawn(async move {
            let answer = match request {
                // The transport keeps to the time-out; this one holds if it does not.
                Ok(request) => {
                    let exchange = transport.exchange(&with, request, EXCHANGE_TIMEOUT);
                    tokio::time::timeout(EXCHANGE_TIMEOUT * 2, exchange)
                        .await
                        .unwrap_or_else(|_| {
                            Err(PeerError::TimedOut(
                                Peer::Agent(with.clone()),
                                EXCHANGE_TIMEOUT * 2,
                            ))
                        })
                }
                Err(error) => Err(PeerError::Malformed(
                    Peer::Agent(with.clone()),
                    error.to_string(),
                )),
            };

            let span = (begun, Instant::now());
            let _ = me.cast(GossipMessage::ExchangeEnded { with, span, answer });
        });
    }

    fn tick(&mut self, now: Instant) {
        while self.exchanges.try_join_next().is_some() {}
        self.reconcile(now);
        self.spread
            .anti_entropy(self.rng.random_range(0..=usize::from(u16::MAX)), now);

        // Also when the certificate was replaced and nobody told us, or the key could not sign a
        // second ago.
        self.certify(now);
        self.forget_the_long_dead(now);
        if self.inherited_until <= now && !self.inherited.is_empty() {
            self.inherited.clear();
            self.is_view_stale = true;
        }
    }

    /// Makes the peers those that we are connected to.
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

    /// Shows what changed and sets the alarm for what is due next.
    fn settle(&mut self, me: &ActorRef<GossipMessage>, now: Instant) {
        if std::mem::take(&mut self.is_view_stale) {
            self.show();
        }

        // After the board that it brought.
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

    fn show(&self) {
        let alive = self.membership.alive();
        let is_alive = |agent: &AgentId| {
            alive.contains(agent) || self.inherited.contains(agent) || *agent == self.arguments.own
        };
        let board = self.board();
        let mut agents: BTreeMap<AgentId, AgentView> = board
            .owners()
            .map(|owner| {
                let status_entries = board.entries(owner).map(|held| {
                    let status_entry = held.status_entry.clone();
                    let version = held.entry.version;
                    let seen_at = held.seen_at;

                    (
                        held.entry.kind,
                        SeenStatus {
                            status_entry,
                            version,
                            seen_at,
                        },
                    )
                });

                (
                    owner.clone(),
                    AgentView {
                        is_alive: is_alive(owner),
                        status_entries: status_entries.collect(),
                    },
                )
            })
            .collect();

        for agent in alive {
            agents.entry(agent.clone()).or_insert_with(|| AgentView {
                is_alive: true,
                status_entries: BTreeMap::new(),
            });
        }

        let metrics = &self.arguments.metrics;
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        metrics.members_alive.set(gauge(alive.len() + 1));
        metrics.board_agents.set(gauge(board.agent_count()));
        metrics.board_entries.set(gauge(board.entry_count()));
        metrics.board_bytes.set(gauge(board.bytes()));
        drop(board);
        self.arguments
            .snapshots
            .board
            .send_replace(Arc::new(BoardView { agents }));
    }

    fn count_exchange(&self, outcome: &str) {
        self.arguments
            .metrics
            .exchanges
            .with_label_values(&[outcome])
            .inc();
    }
}

impl Drop for GossipState {
    fn drop(&mut self) {
        if let Some((_, alarm)) = self.wake.take() {
            alarm.abort();
        }
    }
}

fn outcome_of(error: &PeerError) -> &'static str {
    match error {
        PeerError::NotConnected(_) => "not_connected",
        PeerError::Busy(_) => "busy",
        PeerError::TimedOut(..) => "timed_out",
        PeerError::Broken(..) => "broken",
        PeerError::Malformed(..) => "malformed",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
