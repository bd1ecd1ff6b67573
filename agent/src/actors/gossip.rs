//! The gossip actor: carries packets, exchanges and the time to [`Gossip`], and performs its
//! effects.
//!
//! [`Gossip`] lives in the actor's arguments: after a crash the actor continues with the same
//! board, published in `snapshots.board`, and joins as a new generation of itself.

mod effects;
mod inbox;
mod metrics;
mod notices;

use crate::{actors::messages::GossipMessage, clocks::now, snapshots::Snapshots};
pub use metrics::GossipMetrics;
use parking_lot::Mutex;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use rand::{SeedableRng, rngs::StdRng};
use regionmesh_core::{
    Ticket,
    gossip::{Gossip, Input, Settings, Signer, Verifier},
};
use regionmesh_mesh::{GossipTransport, LinkInfo};
use regionmesh_protocol::identity::{AgentId, MeshName};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// How long one exchange may take.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(5);

/// What the actor is started with, on each start.
#[derive(Clone)]
pub struct GossipArguments {
    boot: u64,
    transport: Arc<dyn GossipTransport>,
    snapshots: Snapshots,
    metrics: GossipMetrics,
    gossip: Arc<Mutex<Gossip>>,
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
    /// Read: links, clocks. Written: board, heard, clocks.
    pub snapshots: Snapshots,
    pub metrics: GossipMetrics,
}

impl From<GossipSetup> for GossipArguments {
    fn from(setup: GossipSetup) -> Self {
        let settings = Settings {
            own: setup.own,
            mesh: setup.mesh,
            started_ms: setup.started_ms,
        };
        let gossip = Gossip::new(
            settings,
            setup.signer,
            setup.verifier,
            now(),
            &mut StdRng::seed_from_u64(setup.boot),
        );

        Self {
            boot: setup.boot,
            transport: setup.transport,
            snapshots: setup.snapshots,
            metrics: setup.metrics,
            gossip: Arc::new(Mutex::new(gossip)),
        }
    }
}

/// A [`GossipMessage::Wake`] on its way.
type Alarm = JoinHandle<Result<(), ractor::MessagingErr<GossipMessage>>>;

pub struct GossipActor;

/// State of the actor.
pub struct GossipState {
    arguments: GossipArguments,
    links: watch::Receiver<Arc<BTreeMap<AgentId, LinkInfo>>>,
    rng: StdRng,
    exchanges: JoinSet<()>,
    alarm: Option<Alarm>,
    replies: BTreeMap<Ticket, RpcReplyPort<Vec<u8>>>,
    tickets: u64,
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
        let generation = arguments.gossip.lock().generation();
        let mut state = GossipState {
            links: arguments.snapshots.links.subscribe(),
            rng: StdRng::seed_from_u64(arguments.boot ^ generation),
            exchanges: JoinSet::new(),
            alarm: None,
            replies: BTreeMap::new(),
            tickets: 0,
            arguments,
        };

        state.feed(&me, Input::Restarted);
        state.feed_links(&me);
        Ok(state)
    }

    async fn handle(
        &self,
        me: ActorRef<GossipMessage>,
        message: GossipMessage,
        state: &mut GossipState,
    ) -> Result<(), ActorProcessingErr> {
        // A connection made while this actor was starting was not announced to it.
        if state.links.has_changed().unwrap_or_default() {
            state.feed_links(&me);
        }

        let input = state.input_of(message);
        state.feed(&me, input);
        Ok(())
    }
}

impl GossipState {
    fn input_of(&mut self, message: GossipMessage) -> Input {
        match message {
            GossipMessage::LinkUp(peer) => Input::LinkUp(peer),
            GossipMessage::LinkDown(peer) => Input::LinkDown(peer),
            GossipMessage::Datagram { from, payload } => {
                self.count_datagram("received");
                Input::Datagram { from, payload }
            }
            GossipMessage::Exchange {
                from,
                request,
                reply,
            } => {
                self.tickets += 1;
                let ticket = Ticket(self.tickets);
                self.replies.insert(ticket, reply);

                Input::ExchangeAsked {
                    from,
                    request,
                    ticket,
                }
            }
            GossipMessage::Publish(status_entry) => Input::Publish(status_entry),
            GossipMessage::CertificateReloaded => Input::CertificateReloaded,
            GossipMessage::ExchangeEnded { with, span, answer } => Input::ExchangeEnded {
                with,
                span,
                answer: answer.map_err(inbox::exchange_error),
            },
            GossipMessage::Wake => Input::Wake,
        }
    }

    fn feed_links(&mut self, me: &ActorRef<GossipMessage>) {
        let links = self.links.borrow_and_update().keys().cloned().collect();
        self.feed(me, Input::Links(links));
    }

    fn feed(&mut self, me: &ActorRef<GossipMessage>, input: Input) {
        let now = now();
        let plan_age = self.arguments.snapshots.clocks.plan().age(now);
        let mut effects = Vec::new();

        {
            let mut gossip = self.arguments.gossip.lock();
            for input in [Input::PlanAge(plan_age), input] {
                gossip.handle(input, now, &mut self.rng, &mut effects);
            }
        }

        for effect in effects {
            self.perform(me, effect);
        }
    }
}

impl Drop for GossipState {
    fn drop(&mut self) {
        if let Some(alarm) = self.alarm.take() {
            alarm.abort();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
