//! Everything that one agent decides: [`Core`] composes gossip, health, leader and replication.
//!
//! How a fact travels, from a probe to DNS:
//!
//! 1. A probe ends, and health publishes what this agent concludes about the endpoint.
//! 2. Gossip puts it on the board and spreads it; the board of every agent changes.
//! 3. Health of every agent reads the board and computes the verdict on the region.
//! 4. The leader part reads board and verdicts; the agent that leads proposes a plan.
//! 5. The acceptors of a majority of regions accept it: the plan is committed, and the leader
//!    publishes it through gossip.
//! 6. The leader part of every agent adopts it from its board: [`leader::Effect::AdoptPlan`], from
//!    which the caller answers DNS.
//!
//! `types` has the inputs and effects; `parts` and `known` the state; `routing` says which part
//! needs what another part decides; `paces` says when each part acts without an input, at the
//! `intervals`.

pub(crate) mod intervals;
mod known;
mod paces;
mod parts;
mod routing;
mod types;

pub use types::{Effect, Input, Settings};

use crate::{
    gossip::{self, Gossip},
    health::{self, Restored},
    keys::Keys,
    leader::{self, Start},
    now::Now,
    replication,
};
use known::Known;
use paces::Paces;
use parts::{Parts, Step};
use rand::Rng;
use regionmesh_protocol::{plan::CommittedPlan, register::certificate::AgentSignature};
use std::{collections::VecDeque, time::Instant};

/// Most steps for one input; what is left is due immediately. An input needs a few dozen.
const STEPS_MAX: usize = 10_000;

/// The decisions of one agent.
pub struct Core {
    settings: Settings,
    keys: Keys,
    gossip: Gossip,
    parts: Parts,
    known: Known,
    paces: Paces,
    /// When gossip is to be woken.
    gossip_wake: Option<Instant>,
    /// Inputs of parts, in the order in which they take them.
    queue: VecDeque<Step>,
    /// The last [`Effect::WakeAt`], until it is answered.
    alarm: Option<Instant>,
    /// Whether an input was taken in.
    has_begun: bool,
}

impl Core {
    /// Begins with its first input: give it [`Input::Restarted`] immediately. `saved` is the plan
    /// from the disk, with this agent's signature of it as `confirmation`. `rng` must yield other
    /// numbers in each run of an agent: no ballot may be used twice.
    pub fn new(
        settings: Settings,
        saved: Option<CommittedPlan>,
        confirmation: Option<AgentSignature>,
        keys: Keys,
        now: Now,
        rng: &mut impl Rng,
    ) -> Self {
        let known = Known::new(now.monotonic);
        let signer = keys.signer.clone();
        let verifier = keys.verifier.clone();
        let mut core = Self {
            gossip: Gossip::new(settings.gossip.clone(), signer, verifier, now, rng),
            parts: Parts::new(&settings, &keys, known.plan_clock, now, rng),
            paces: Paces::start(now.monotonic),
            settings,
            keys,
            known,
            gossip_wake: None,
            queue: VecDeque::new(),
            alarm: None,
            has_begun: false,
        };

        core.queue_start(saved, confirmation);
        core
    }

    /// Takes in `input` and everything that is due by `now`; adds what to do to `out`, in order.
    pub fn handle(&mut self, input: Input, now: Now, rng: &mut impl Rng, out: &mut Vec<Effect>) {
        self.take_in(input, now, rng);
        self.has_begun = true;

        for _ in 0..STEPS_MAX {
            if self.queue.is_empty() {
                self.queue_due(now.monotonic);
            }
            let Some(step) = self.queue.pop_front() else {
                break;
            };

            self.take(step, now, rng, out);
        }

        self.set_alarm(now.monotonic, out);
    }

    fn take_in(&mut self, input: Input, now: Now, rng: &mut impl Rng) {
        match input {
            Input::Wake => self.alarm = None,
            Input::Restarted if self.has_begun => self.restart(now, rng),
            Input::Restarted => {}
            Input::Resumed => {
                self.known.contact.is_current = false;
                self.known.contact.resumed = Some(now.monotonic);

                let is_current = replication::Input::Current(false);
                self.queue.extend([
                    Step::Health(health::Input::Resumed),
                    Step::Contact,
                    Step::Replication(is_current),
                ]);
            }
            Input::Links(links) => {
                let peers = links.keys().cloned().collect();
                self.known.links = links.clone();
                self.queue.extend([
                    Step::Gateways,
                    Step::Gossip(gossip::Input::Links(peers)),
                    Step::Replication(replication::Input::Links(links)),
                ]);
            }
            Input::Gossip(input) => self.queue.push_back(Step::Gossip(input)),
            Input::Health(input) => self.queue.push_back(Step::Health(input)),
            Input::Leader(input) => self.queue.push_back(Step::Leader(input)),
            Input::Replication(input) => self.queue.push_back(Step::Replication(input)),
        }
    }

    /// Begins again with what is known.
    fn restart(&mut self, now: Now, rng: &mut impl Rng) {
        let plan_clock = self.known.plan_clock;
        self.parts = Parts::new(&self.settings, &self.keys, plan_clock, now, rng);
        self.paces = Paces::start(now.monotonic);
        self.gossip_wake = None;
        self.alarm = None;

        self.queue.clear();
        self.queue_start(None, None);
    }

    fn queue_start(&mut self, saved: Option<CommittedPlan>, confirmation: Option<AgentSignature>) {
        let known = &self.known;
        let restored = Restored {
            board: known.board.clone(),
            verdicts: known.verdicts.clone(),
        };
        let start = Start {
            saved,
            confirmation,
            known: known.plan.clone(),
            freeze: known.freeze.clone(),
        };
        let leader = |input| Step::Leader(Box::new(input));

        self.queue.extend([
            Step::Gossip(gossip::Input::Restarted),
            Step::Health(health::Input::Started(restored)),
            leader(leader::Input::Board(known.board.clone())),
            leader(leader::Input::Verdicts(known.verdicts.clone())),
            Step::Contact,
            leader(leader::Input::Start(Box::new(start))),
            Step::Replication(replication::Input::Board(known.board.clone())),
            Step::Replication(replication::Input::Current(known.contact.is_current)),
            Step::Replication(replication::Input::StoreChanged),
        ]);
        self.queue_gateways();
    }

    /// What the parts do without an input. Each pace is taken at most once per `now`, so this ends.
    fn queue_due(&mut self, now: Instant) {
        if self.gossip_wake.is_some_and(|at| at <= now) {
            self.gossip_wake = None;
            self.queue.push_back(Step::Gossip(gossip::Input::Wake));
        }

        let board = &self.known.board;
        let paces = &mut self.paces;
        if paces.health_board.take(now) {
            let input = match std::mem::take(&mut self.known.is_board_urgent) {
                true => health::Input::Board(board.clone()),
                false => health::Input::BoardRefreshed(board.clone()),
            };
            self.queue.push_back(Step::Health(input));
        }
        if paces.health.take(now) {
            self.queue.push_back(Step::Health(health::Input::Tick));
            self.queue.push_back(Step::Gateways);
        }
        if paces.leader.take(now) {
            let input = Box::new(leader::Input::Tick);
            self.queue.push_back(Step::Leader(input));
        }
        if paces.replication_board.take(now) {
            let input = replication::Input::Board(board.clone());
            self.queue.push_back(Step::Replication(input));
        }
        if paces.replication.take(now) {
            let input = replication::Input::Tick;
            self.queue.push_back(Step::Replication(input));
        }
    }

    /// Sets the alarm for what is due next.
    fn set_alarm(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let left = (!self.queue.is_empty()).then_some(now);
        let deadlines = [left, self.gossip_wake, self.paces.next()];
        let next = deadlines.into_iter().flatten().min();

        if let Some(next) = next.filter(|next| self.alarm != Some(*next)) {
            self.alarm = Some(next);
            out.push(Effect::WakeAt(next));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
