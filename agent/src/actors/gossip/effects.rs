//! Performs what gossip decides.

use super::{EXCHANGE_TIMEOUT, GossipState};
use crate::{actors::messages::GossipMessage, clocks::now};
use ractor::ActorRef;
use regionmesh_core::gossip::Effect;
use regionmesh_mesh::{Peer, PeerError};
use regionmesh_protocol::identity::AgentId;
use std::time::{Duration, Instant};

impl GossipState {
    pub(super) fn perform(&mut self, me: &ActorRef<GossipMessage>, effect: Effect) {
        let snapshots = &self.arguments.snapshots;
        match effect {
            Effect::SendDatagram { to, payload } => {
                self.count_datagram("sent");
                self.arguments.transport.send_datagram(&to, payload);
            }
            Effect::BeginExchange { with, request } => self.begin_exchange(me, with, request),
            Effect::Reply(ticket, answer) => {
                if let Some(reply) = self.replies.remove(&ticket) {
                    // The peer may have disconnected.
                    let _ = reply.send(answer);
                }
            }
            Effect::Board(view) => drop(snapshots.board.send_replace(view)),
            Effect::Heard(begun) => drop(snapshots.heard.send_replace(Some(begun))),
            Effect::WakeAt(at) => self.set_alarm(me, at),
            Effect::PeerClock(peer) => snapshots.clocks.heard(peer),
            Effect::Notice(notice) => self.report(&notice),
        }
    }

    fn begin_exchange(&mut self, me: &ActorRef<GossipMessage>, with: AgentId, request: Vec<u8>) {
        while self.exchanges.try_join_next().is_some() {}

        let me = me.clone();
        let transport = self.arguments.transport.clone();
        let begun = now().monotonic;

        self.exchanges.spawn(async move {
            // A second limit, in case the transport does not keep to its timeout.
            let exchange = transport.exchange(&with, request, EXCHANGE_TIMEOUT);
            let answer = tokio::time::timeout(EXCHANGE_TIMEOUT * 2, exchange)
                .await
                .unwrap_or_else(|_| {
                    Err(PeerError::TimedOut(
                        Peer::Agent(with.clone()),
                        EXCHANGE_TIMEOUT * 2,
                    ))
                });

            let span = (begun, now().monotonic);
            let _ = me.cast(GossipMessage::ExchangeEnded { with, span, answer });
        });
    }

    fn set_alarm(&mut self, me: &ActorRef<GossipMessage>, at: Instant) {
        if let Some(alarm) = self.alarm.take() {
            alarm.abort();
        }

        // Timers have a resolution of a millisecond; rounded up, or the alarm goes off early and is
        // set again.
        let wait = at.saturating_duration_since(now().monotonic) + Duration::from_millis(1);
        self.alarm = Some(me.send_after(wait, || GossipMessage::Wake));
    }
}
