//! Gossip: who is alive, and what each agent publishes about itself.
//!
//! [`Gossip`] is the state machine: packets, exchanges and the time go in, packets, exchanges and
//! the board come out. Membership (SWIM) decides who is alive. The status board holds every agent's
//! small signed entries: news goes to a few peers (epidemic, Demers et al. 1987), and boards are
//! reconciled by hash tree, digest and delta (Scuttlebutt, van Renesse et al. 2008).
//!
//! Each agent owns at most one entry per [`StatusKind`](regionmesh_protocol::status::StatusKind),
//! signs it, and alone may replace it with a newer version. Agents relay entries for each other: a
//! relay can neither forge an entry nor roll it back, and if it withholds one, the next honest peer
//! provides it.
//!
//! Trade-offs: the newest entry of an owner wins, so an owner must never run twice at the same
//! time; if every relay withholds an entry, the mesh does not get it; versions carry the owner's
//! start time, so an owner whose clock was set back is outranked by its own past until it receives
//! those entries (see [`Board::apply`]) and signs again.

mod delta;
mod digest;
mod exchange;
mod limits;
mod liveness;
mod members;
mod membership;
mod messages;
mod outcome;
mod owner;
mod rendering;
mod signature;
pub mod skew;
mod spread;
mod state;
mod tree;
mod types;
mod urgency;
mod view;

pub use delta::Delta;
pub use digest::{Digest, OwnerDigest};
pub use limits::BoardLimits;
pub use membership::{PacketError, SwimFault};
pub use messages::{Compare, Comparison, ExchangeReply, ExchangeRequest};
pub use outcome::{Applied, Change, PublishError, Rejection};
pub use owner::SeenEntry;
pub use signature::{Signer, Verifier};
pub use state::{Board, Judge};
pub use tree::{Hashes, Leaves};
pub use types::{Effect, ExchangeError, Input, Notice, Settings};
pub use view::{AgentView, BoardView, SeenStatus, StatusEntries};

use crate::now::Now;
use liveness::Liveness;
use membership::{Membership, Outputs};
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use regionmesh_protocol::{
    identity::AgentId,
    plan::PlanAge,
    status::{StatusEntry, entry::EntryVersion},
};
use spread::Spread;
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};
use urgency::is_urgent;

/// Interval of periodic work.
const TICK: Duration = Duration::from_secs(1);

/// Membership and the status board of one agent.
///
/// A lost connection does not mean that the agent at its other end is dead, and a dead agent does
/// not mean that its region fails to serve: gossip draws neither conclusion.
pub struct Gossip {
    own: AgentId,
    signer: Arc<dyn Signer>,
    verifier: Arc<dyn Verifier>,
    board: Board,
    membership: Membership,
    liveness: Liveness,
    spread: Spread,
    /// The newest own entry that was given to peers.
    announced: EntryVersion,
    /// All connected agents, once they are known.
    links: Option<BTreeSet<AgentId>>,
    /// The plan's age, and when it was given.
    plan_age: Option<(PlanAge, Instant)>,
    tick_at: Instant,
    alarm: Option<Instant>,
    is_view_stale: bool,
    /// Whether a change since [`Self::take_urgency`] may change a decision.
    is_urgent: bool,
    /// Start of the last exchange that shows what other regions know, until it is published.
    heard: Option<Instant>,
}

impl Gossip {
    /// An agent without peers.
    pub fn new(
        settings: Settings,
        signer: Arc<dyn Signer>,
        verifier: Arc<dyn Verifier>,
        now: Now,
        rng: &mut impl Rng,
    ) -> Self {
        let Settings {
            own,
            mesh,
            started_ms,
        } = settings;
        let now = now.monotonic;

        Self {
            board: Board::new(mesh, own.clone(), started_ms, BoardLimits::default()),
            membership: Membership::new(own.clone(), started_ms, swim_rng(rng), now),
            spread: Spread::new(own.region.clone()),
            announced: EntryVersion::default(),
            own,
            signer,
            verifier,
            liveness: Liveness::new(BTreeSet::new(), now),
            links: None,
            plan_age: None,
            tick_at: now,
            alarm: None,
            is_view_stale: true,
            is_urgent: true,
            heard: None,
        }
    }

    /// Whether the boards since the last call changed in more than times, counters and evidence.
    pub(crate) fn take_urgency(&mut self) -> bool {
        std::mem::take(&mut self.is_urgent)
    }

    /// Grows with each start, and whenever the mesh declares us dead.
    pub fn generation(&self) -> u64 {
        self.membership.generation()
    }

    /// Takes in `input` and everything that is due by `now`.
    pub fn handle(&mut self, input: Input, now: Now, rng: &mut impl Rng, out: &mut Vec<Effect>) {
        let at = now.monotonic;
        match input {
            Input::Restarted => self.restart(at, rng),
            Input::Wake => self.alarm = None,
            Input::LinkUp(peer) => self.link_up(&peer, at, out),
            Input::LinkDown(peer) => {
                self.spread.link_down(&peer);
                self.membership.link_down(&peer);
            }
            Input::Links(links) => {
                self.links = Some(links);
                self.reconcile(at, out);
            }
            Input::Datagram { from, payload } => self.receive(&from, &payload, at, out),
            Input::ExchangeAsked {
                from,
                request,
                ticket,
            } => {
                let answer = self.answer(&from, &request, now, out);
                out.push(Effect::Reply(ticket, answer));
            }
            Input::ExchangeEnded { with, span, answer } => {
                self.exchange_ended(&with, span, answer, at, out)
            }
            Input::Publish(status_entry) => self.publish(*status_entry, at, out),
            Input::CertificateReloaded => self.certify(at, out),
            Input::PlanAge(age) => {
                // Makes nothing due.
                self.plan_age = age.map(|age| (age, at));
                return;
            }
        }

        self.wake(now, rng, out);
        self.publish_and_schedule(at, out);
    }

    /// Continues with the same board, and joins as a new generation: to the others a restarted
    /// agent is a new member, which replaces the old one immediately.
    fn restart(&mut self, now: Instant, rng: &mut impl Rng) {
        let alive_before = self.liveness.inherit(self.membership.alive());
        let generation = self.generation().saturating_add(1);

        self.membership = Membership::new(self.own.clone(), generation, swim_rng(rng), now);
        self.liveness = Liveness::new(alive_before, now);
        self.spread = Spread::new(self.own.region.clone());
        self.links = None;
        self.tick_at = now;
        self.alarm = None;
        self.is_view_stale = true;
        self.is_urgent = true;
        self.heard = None;
    }

    fn link_up(&mut self, peer: &AgentId, now: Instant, out: &mut Vec<Effect>) {
        self.spread.link_up(peer, now);
        let mut outputs = Outputs::default();
        self.membership.link_up(peer, now, &mut outputs);
        self.perform(outputs, now, out);
    }

    fn receive(&mut self, from: &AgentId, packet: &[u8], now: Instant, out: &mut Vec<Effect>) {
        let mut outputs = Outputs::default();
        if let Err(error) = self.membership.receive(from, packet, now, &mut outputs) {
            out.push(Effect::Notice(Notice::DatagramRefused {
                from: from.clone(),
                error,
            }));
        }

        self.perform(outputs, now, out);
    }

    fn publish(&mut self, status_entry: StatusEntry, now: Instant, out: &mut Vec<Effect>) {
        let held = self.board.get(&self.own, status_entry.kind());
        self.is_urgent |= is_urgent(held.map(|held| &*held.status_entry), &status_entry);

        let outcome = self.board.publish(status_entry, &*self.signer, now);
        self.published(outcome, now, out);
    }

    fn certify(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let outcome = self.board.certify(&*self.signer, now);
        if let Ok(true) = outcome {
            self.is_urgent = true;
            out.push(Effect::Notice(Notice::Recertified));
        }
        self.published(outcome, now, out);
    }

    fn published(
        &mut self,
        outcome: Result<bool, PublishError>,
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        match outcome {
            Ok(false) => {}
            Ok(true) => {
                self.is_view_stale = true;
                self.spread
                    .own_changed(self.board.own_since(self.announced), now);
                self.announced = self.board.own_version();
            }
            Err(error) => out.push(Effect::Notice(Notice::PublishFailed(error))),
        }
    }

    /// Performs what is due.
    fn wake(&mut self, now: Now, rng: &mut impl Rng, out: &mut Vec<Effect>) {
        let at = now.monotonic;
        let mut outputs = Outputs::default();
        self.membership.wake(at, &mut outputs);
        self.perform(outputs, at, out);

        if self.tick_at <= at {
            self.tick_at = at + TICK;
            self.tick(at, rng, out);
        }

        for due in self.spread.take_due(at, rng) {
            self.begin_exchange(due, now, out);
        }
    }

    fn tick(&mut self, now: Instant, rng: &mut impl Rng, out: &mut Vec<Effect>) {
        self.reconcile(now, out);
        self.spread.anti_entropy(now, rng);

        // Repeated here in case a reload was missed, or the key could not sign a second ago.
        self.certify(now, out);
        self.forget_the_long_dead(now, out);
        if self.liveness.end_inheritance(now) {
            self.is_view_stale = true;
            self.is_urgent = true;
        }
    }

    /// Makes the peers the agents that are connected.
    fn reconcile(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let Some(links) = &self.links else {
            return;
        };

        for peer in self.spread.reconcile(links) {
            self.link_up(&peer, now, out);
        }
    }

    /// Publishes what changed and sets the alarm for what is due next.
    fn publish_and_schedule(&mut self, now: Instant, out: &mut Vec<Effect>) {
        if std::mem::take(&mut self.is_view_stale) {
            self.publish_view(out);
        }

        // Only after the board that the exchange brought.
        if let Some(begun) = self.heard.take() {
            out.push(Effect::Heard(begun));
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

        if self.alarm != Some(next) {
            self.alarm = Some(next);
            out.push(Effect::WakeAt(next));
        }
    }
}

/// foca keeps its own generator.
fn swim_rng(rng: &mut impl Rng) -> StdRng {
    StdRng::seed_from_u64(rng.random())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
