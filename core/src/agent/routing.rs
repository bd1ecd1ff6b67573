//! Which part needs what another part decides, and what leaves the core.

use super::{Core, parts::Step, types::Effect};
use crate::{gateways::Gateways, gossip, health, leader, now::Now, replication};
use rand::Rng;
use regionmesh_protocol::status::StatusEntry;
use std::sync::Arc;

impl Core {
    /// Gives a part its input, and passes on what it decides.
    pub(super) fn take(&mut self, step: Step, now: Now, rng: &mut impl Rng, out: &mut Vec<Effect>) {
        match step {
            Step::Gossip(input) => {
                let mut effects = Vec::new();
                self.gossip.handle(input, now, rng, &mut effects);
                for effect in effects {
                    self.route_gossip(effect, out);
                }
            }
            Step::Health(input) => {
                let mut effects = Vec::new();
                self.parts.health.handle(input, now, rng, &mut effects);
                for effect in effects {
                    self.route_health(effect, out);
                }
            }
            Step::Leader(input) => self.lead(*input, now, rng, out),
            Step::Contact => {
                let contact = leader::Input::Contact(self.known.contact);
                self.lead(contact, now, rng, out);
            }
            Step::Gateways => self.choose_gateways(out),
            Step::Replication(input) => {
                let mut effects = Vec::new();
                self.parts.replication.handle(input, now, &mut effects);
                for effect in effects {
                    self.route_replication(effect, out);
                }
            }
        }
    }

    fn choose_gateways(&mut self, out: &mut Vec<Effect>) {
        let known = &self.known;
        let gateways = Gateways::choose(
            &self.settings.gossip.own,
            self.parts.health.observers(),
            known.leader.as_ref(),
            &known.links,
        );
        if gateways == *known.gateways {
            return;
        }

        self.known.gateways = Arc::new(gateways);
        self.queue_gateways();
        out.push(Effect::Gateways(self.known.gateways.clone()));
    }

    pub(super) fn queue_gateways(&mut self) {
        let gateways = self.known.gateways.clone();
        self.queue_for_leader(leader::Input::Candidacy(gateways.candidacy()));
        let input = replication::Input::Gateways(gateways);
        self.queue.push_back(Step::Replication(input));
    }

    fn lead(&mut self, input: leader::Input, now: Now, rng: &mut impl Rng, out: &mut Vec<Effect>) {
        let mut effects = Vec::new();
        self.parts.leader.handle(input, now, rng, &mut effects);
        for effect in effects {
            self.route_leader(effect, now, out);
        }

        let due = self.parts.leader.next_tick(now);
        self.paces.leader.hasten(due);
    }

    fn route_gossip(&mut self, effect: gossip::Effect, out: &mut Vec<Effect>) {
        match effect {
            gossip::Effect::Board(board) => {
                self.known.board = board.clone();
                if self.gossip.take_urgency() {
                    self.known.is_board_urgent = true;
                    self.paces.board_changed();
                } else {
                    self.paces.board_refreshed();
                }
                self.queue_for_leader(leader::Input::Board(board.clone()));
                out.push(Effect::Gossip(gossip::Effect::Board(board)));
            }
            gossip::Effect::Heard(begun) => {
                self.known.contact.heard = Some(begun);
                self.queue.push_back(Step::Contact);
            }
            gossip::Effect::WakeAt(at) => self.gossip_wake = Some(at),
            gossip::Effect::PeerClock(peer) => {
                self.queue_for_leader(leader::Input::PeerClock(peer));
            }
            effect => out.push(Effect::Gossip(effect)),
        }
    }

    fn route_health(&mut self, effect: health::Effect, out: &mut Vec<Effect>) {
        match effect {
            health::Effect::Publish(status_entry) => self.publish(status_entry),
            health::Effect::OwnView(view) => self.queue_for_leader(leader::Input::OwnView(view)),
            health::Effect::Verdicts(verdicts) => {
                self.known.verdicts = verdicts.clone();
                self.paces.leader.changed();
                self.queue_for_leader(leader::Input::Verdicts(verdicts.clone()));
                out.push(Effect::Health(health::Effect::Verdicts(verdicts)));
            }
            effect => out.push(Effect::Health(effect)),
        }
    }

    fn route_leader(&mut self, effect: leader::Effect, now: Now, out: &mut Vec<Effect>) {
        match &effect {
            leader::Effect::AdoptPlan(plan) => self.known.plan = Some(plan.clone()),
            leader::Effect::WithdrawPlan => self.known.plan = None,
            leader::Effect::LeaderView(view) => {
                self.known.leader = view.ballot.as_ref().map(|ballot| ballot.agent.clone());
                self.queue.push_back(Step::Gateways);
            }
            leader::Effect::Freeze(freeze) => self.known.freeze = freeze.clone(),
            leader::Effect::PlanClock(clock) => {
                self.known.plan_clock = *clock;
                // Gossip lets it grow until the next one.
                let age = gossip::Input::PlanAge(clock.age(now));
                self.queue.push_back(Step::Gossip(age));
            }
            leader::Effect::Current => {
                self.known.contact.is_current = true;
                let is_current = replication::Input::Current(true);
                self.queue.push_back(Step::Replication(is_current));
            }
            _ => {}
        }

        match effect {
            leader::Effect::Publish(status_entry) => self.publish(status_entry),
            effect => out.push(Effect::Leader(effect)),
        }
    }

    fn route_replication(&mut self, effect: replication::Effect, out: &mut Vec<Effect>) {
        match effect {
            replication::Effect::Publish(status_entry) => self.publish(status_entry),
            effect => out.push(Effect::Replication(effect)),
        }
    }

    fn publish(&mut self, status_entry: Box<StatusEntry>) {
        let input = gossip::Input::Publish(status_entry);
        self.queue.push_back(Step::Gossip(input));
    }

    fn queue_for_leader(&mut self, input: leader::Input) {
        self.queue.push_back(Step::Leader(Box::new(input)));
    }
}
