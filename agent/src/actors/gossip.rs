//! The gossip actor: sends packets and opens board exchanges. What peers send goes to the core
//! actor directly ([`inbox`]).

mod inbox;
mod metrics;
pub(super) mod notices;

use crate::{actors::messages::GossipMessage, clocks::now};
use inbox::exchange_error;
pub use metrics::GossipMetrics;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use regionmesh_core::gossip::Input;
use regionmesh_mesh::{GossipTransport, Peer, PeerError};
use regionmesh_protocol::identity::AgentId;
use std::{sync::Arc, time::Duration};
use tokio::task::JoinSet;

/// How long one exchange may take.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(5);

/// What the actor is started with, on each start.
#[derive(Clone)]
pub struct GossipArguments {
    /// Carries packets and exchanges.
    pub transport: Arc<dyn GossipTransport>,
    pub metrics: GossipMetrics,
}

pub struct GossipActor;

/// State of the actor.
pub struct GossipState {
    arguments: GossipArguments,
    /// They end with the actor.
    exchanges: JoinSet<()>,
}

impl Actor for GossipActor {
    type Msg = GossipMessage;
    type State = GossipState;
    type Arguments = GossipArguments;

    async fn pre_start(
        &self,
        _: ActorRef<GossipMessage>,
        arguments: GossipArguments,
    ) -> Result<GossipState, ActorProcessingErr> {
        Ok(GossipState {
            arguments,
            exchanges: JoinSet::new(),
        })
    }

    async fn handle(
        &self,
        _: ActorRef<GossipMessage>,
        message: GossipMessage,
        state: &mut GossipState,
    ) -> Result<(), ActorProcessingErr> {
        let transport = &state.arguments.transport;
        match message {
            GossipMessage::Datagram { to, payload } => {
                state.arguments.metrics.count_datagram("sent");
                transport.send_datagram(&to, payload);
            }
            GossipMessage::Exchange {
                with,
                request,
                report,
            } => {
                while state.exchanges.try_join_next().is_some() {}
                let exchange = exchange(transport.clone(), with, request);
                state.exchanges.spawn(report.run(exchange));
            }
        }

        Ok(())
    }
}

async fn exchange(transport: Arc<dyn GossipTransport>, with: AgentId, request: Vec<u8>) -> Input {
    let begun = now().monotonic;

    // A second limit, in case the transport does not keep to its timeout.
    let exchange = transport.exchange(&with, request, EXCHANGE_TIMEOUT);
    let answer = tokio::time::timeout(EXCHANGE_TIMEOUT * 2, exchange)
        .await
        .unwrap_or_else(|_| {
            let peer = Peer::Agent(with.clone());
            Err(PeerError::TimedOut(peer, EXCHANGE_TIMEOUT * 2))
        });

    Input::ExchangeEnded {
        with,
        span: (begun, now().monotonic),
        answer: answer.map_err(exchange_error),
    }
}
