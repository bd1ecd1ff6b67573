//! Performs what the core decides.

mod leader;
mod replication;

use super::CoreState;
use crate::{
    actors::{
        gossip, health,
        messages::{CoreMessage, GossipMessage, HealthMessage},
    },
    clocks::now,
};
use regionmesh_core::{
    agent::{Effect, Input},
    gossip::{Effect as GossipEffect, ExchangeError, Input as GossipInput},
    health::{Effect as HealthEffect, Input as HealthInput},
};
use regionmesh_protocol::identity::AgentId;
use std::time::{Duration, Instant};
use tokio_util::task::AbortOnDropHandle;

impl CoreState {
    /// Performs an effect; returns its answer, if it is known immediately.
    ///
    /// Work for an actor that does not run is lost, and its report says so.
    pub(super) fn perform(&mut self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::WakeAt(at) => self.set_alarm(at),
            Effect::Gateways(gateways) => {
                self.arguments.snapshots.gateways.send_replace(gateways);
            }
            Effect::Gossip(effect) => self.perform_gossip(effect),
            Effect::Health(effect) => self.perform_health(effect),
            Effect::Leader(effect) => return self.perform_leader(effect),
            Effect::Replication(effect) => self.perform_replication(effect),
        }

        None
    }

    fn set_alarm(&mut self, at: Instant) {
        // Timers have a resolution of a millisecond; rounded up, or the alarm goes off early and is
        // set again.
        let wait = at.saturating_duration_since(now().monotonic) + Duration::from_millis(1);
        let alarm = self.me.send_after(wait, || CoreMessage::Wake);
        self.alarm = Some(AbortOnDropHandle::new(alarm));
    }

    fn perform_gossip(&mut self, effect: GossipEffect) {
        match effect {
            GossipEffect::SendDatagram { to, payload } => {
                let gossip = &self.arguments.actors.gossip;
                let _ = gossip.cast(GossipMessage::Datagram { to, payload });
            }
            GossipEffect::BeginExchange { with, request } => self.begin_exchange(with, request),
            GossipEffect::Reply(ticket, answer) => self.replies.send_exchange(ticket, answer),
            GossipEffect::Board(board) => {
                self.arguments.snapshots.board.send_replace(board);
            }
            GossipEffect::Notice(notice) => {
                gossip::notices::record(&notice, &self.arguments.metrics.gossip);
            }
            // They stay in the core.
            GossipEffect::Heard(_) | GossipEffect::WakeAt(_) | GossipEffect::PeerClock(_) => {}
        }
    }

    fn begin_exchange(&self, with: AgentId, request: Vec<u8>) {
        let now = now().monotonic;
        let lost = GossipInput::ExchangeEnded {
            with: with.clone(),
            span: (now, now),
            answer: Err(ExchangeError {
                outcome: "broken",
                error: "the gossip actor was restarted".into(),
            }),
        };

        let _ = self.arguments.actors.gossip.cast(GossipMessage::Exchange {
            with,
            request,
            report: self.report(lost),
        });
    }

    fn perform_health(&mut self, effect: HealthEffect) {
        let arguments = &self.arguments;
        match effect {
            HealthEffect::Probe(probe) => {
                let report = self.report(HealthInput::ProbeLost {
                    region: probe.region.clone(),
                    index: probe.index,
                });
                let _ = arguments
                    .actors
                    .health
                    .cast(HealthMessage::Probe(probe, report));
            }
            HealthEffect::CheckCanaries(at) => {
                let report = self.report(HealthInput::CanaryCheckLost);
                let _ = arguments
                    .actors
                    .health
                    .cast(HealthMessage::CheckCanaries(at, report));
            }
            HealthEffect::Verdicts(verdicts) => {
                arguments.snapshots.verdicts.send_replace(verdicts);
            }
            HealthEffect::Notice(notice) => {
                health::notices::record(notice, &arguments.metrics.health, &arguments.config);
            }
            // They stay in the core.
            HealthEffect::Publish(_) | HealthEffect::OwnView(_) => {}
        }
    }
}
