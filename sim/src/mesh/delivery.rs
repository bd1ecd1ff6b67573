//! Hands inputs to agents and does what they want.

use super::{
    event::Event,
    fault::{Fault, FaultKind},
    node::{Disk, DnsSnapshot, NodeEffect, NodeInput, Notice},
    orders::OrderMemory,
    sometimes::Sometimes,
    world::{EPOCH_MS, World},
};
use regionmesh_core::{
    leader::{self, RegisterNotice, proposer::StepDown},
    now::Now,
};
use regionmesh_protocol::{
    plan::{CommittedPlan, Plan},
    register::ballot::{Bounds, Stamp},
    wire::OrderRefusal,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// A clock that differs by more is wrong: orders may end by that much too early.
const CLOCK_MS: u64 = 5_000;

impl World {
    /// Hands an input to the process of an agent, and carries out its effects.
    pub(crate) fn deliver(&mut self, agent: usize, input: NodeInput) {
        let Some(input) = self.take_work(agent, input) else {
            return;
        };
        let now = self.clocks(agent);
        let machine = &mut self.machines[agent];
        let Some(node) = machine.node.as_mut() else {
            return;
        };
        self.trace.event(
            self.now_ms,
            kind(&input),
            agent as u64,
            u64::from(machine.life),
        );

        if let NodeInput::Datagram { payload, .. } = &input {
            self.trace.bytes(payload);
        }

        let mut effects = std::mem::take(&mut self.effects);
        node.handle(input, now, &mut machine.rng, &mut effects);
        for effect in effects.drain(..) {
            self.perform(agent, effect);
        }
        self.effects = effects;
    }

    /// A time on the monotonic clock.
    pub(crate) fn instant(&self, at_ms: u64) -> Instant {
        self.base + Duration::from_millis(at_ms)
    }

    /// A time on the monotonic clock, in whole milliseconds from now on.
    fn at_ms(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.base);
        let at_ms = since.as_nanos().div_ceil(1_000_000) as u64;
        at_ms.max(self.now_ms)
    }

    /// What an agent's clocks show.
    pub(crate) fn clocks(&self, agent: usize) -> Now {
        let wall_ms = EPOCH_MS + self.now_ms;
        Now {
            monotonic: self.instant(self.now_ms),
            unix_ms: wall_ms.saturating_add_signed(self.machines[agent].clock_ms),
        }
    }

    fn perform(&mut self, agent: usize, effect: NodeEffect) {
        let process = self.process(agent);
        match effect {
            NodeEffect::WakeAt(at) => {
                let at_ms = self.at_ms(at).max(self.now_ms + 1);
                self.machines[agent].wake_at_ms = Some(at_ms);
                self.queue.push(at_ms, Event::Wake(process));
            }
            NodeEffect::Datagram { to, payload } => self.send_datagram(agent, &to, payload),
            NodeEffect::Ask {
                to,
                question,
                ticket,
                timeout_ms,
            } => self.ask(process, &to, question, ticket, timeout_ms),
            NodeEffect::Answer { ticket, answer } => self.answer(agent, ticket, answer),
            NodeEffect::Apply {
                ticket,
                acceptor,
                request,
            } => self.apply_to_slots(process, acceptor, ticket, *request),
            NodeEffect::Judged(judged) => self.judged(process, judged),
            NodeEffect::SetBounds(bounds) => {
                let machine = &mut self.machines[agent];
                machine.witness_slots.set_bounds(Bounds::clone(&bounds));
                machine.own_slots.set_bounds(*bounds);
            }
            NodeEffect::Probe(probe) => {
                let at_ms = self.at_ms(probe.at);
                self.queue.push(at_ms, Event::Probe(process, probe));
            }
            NodeEffect::Gateway(is_gateway) => self.set_gateway(agent, is_gateway),
            NodeEffect::Serve(snapshot) => self.serve(agent, snapshot),
            NodeEffect::Save(plan) => self.machines[agent].disk = Disk { plan: Some(plan) },
            NodeEffect::OrderEnded { ticket, outcome } => self.order_ended(ticket, &outcome),
            NodeEffect::Replication(effect) => self.replicate(agent, *effect),
            NodeEffect::Notice(notice) => self.noticed(agent, notice),
        }
    }

    fn serve(&mut self, agent: usize, snapshot: Option<DnsSnapshot>) {
        let Some(snapshot) = snapshot else {
            self.machines[agent].serves = None;
            return;
        };

        // Its leader may have died before it knew, and acceptors confirm it.
        let CommittedPlan { stamp, plan, .. } = &*snapshot.plan;
        if !self.laws.committed.contains_key(stamp) {
            self.committed(agent, stamp, &Arc::new(plan.clone()));
        }

        self.check_forged(agent, &snapshot.plan);
        let machine = &mut self.machines[agent];
        self.laws
            .served(&snapshot.plan, machine.served.as_ref(), self.now_ms);
        machine.served = Some(snapshot.plan.stamp.clone());
        machine.serves = Some(snapshot);
    }

    fn noticed(&mut self, agent: usize, notice: Notice) {
        let id = &self.machines[agent].id;
        self.trace
            .note(self.now_ms, || format!("{id}: {}", in_words(&notice)));

        match notice {
            Notice::Elected(ballot) => {
                self.laws.elections += 1;
                if self.laws.elections > 1 {
                    self.reached.count(Sometimes::SecondElection);
                }
                self.machines[agent].leads = Some(ballot);
            }
            Notice::SteppedDown(_, why) => {
                let state = match why {
                    StepDown::Outranked(_) => Sometimes::Outranked,
                    StepDown::NoMajority { .. } | StepDown::Removed | StepDown::Objections => {
                        Sometimes::LostMajority
                    }
                };
                self.reached.count(state);
                self.machines[agent].leads = None;
            }
            Notice::Committed(stamp) => match self.laws.proposed.get(&stamp).cloned() {
                Some(plan) => self.committed(agent, &stamp, &plan),
                None => {
                    let what = format!("{stamp}");
                    let law = "only proposed plans are committed";
                    self.laws.break_law(law, self.now_ms, what);
                }
            },
            Notice::OwnVote(region) => {
                let law = "no region votes on itself";
                self.laws.break_law(law, self.now_ms, region.to_string());
            }
            Notice::ThiefElected(_, lie) => {
                self.reached.count(Sometimes::ThiefElected);
                if let Some(tried) = lie.tried() {
                    self.reached.count(tried);
                }
            }
            Notice::Leader(notice) => match *notice {
                leader::Notice::Register(RegisterNotice::Objected { .. }) => {
                    self.reached.count(Sometimes::PlanObjected);
                }
                leader::Notice::Register(RegisterNotice::Dropped(_)) => {
                    self.reached.count(Sometimes::PlanDropped);
                }
                leader::Notice::Register(RegisterNotice::PassedOver(_)) => {
                    self.reached.count(Sometimes::ValuePassedOver);
                }
                _ => {}
            },
            Notice::Verdict(..) | Notice::Gossip(_) | Notice::Refused(..) => {}
        }
    }

    fn committed(&mut self, agent: usize, stamp: &Stamp, plan: &Arc<Plan>) {
        let is_latest = self.laws.latest().is_none_or(|(latest, _)| latest < stamp);
        self.laws.committed(stamp, plan, &self.shape, self.now_ms);
        self.trace
            .event(self.now_ms, 100, stamp.ballot.number, stamp.seq);
        self.trace.bytes(plan.reason.as_bytes());
        if is_latest {
            self.laws.count(stamp, &mut self.reached);
            let memory = self.memory_of_orders(agent);
            self.laws
                .check_orders(stamp, plan, &self.names, memory, self.now_ms);
            self.laws
                .count_wrong_failovers(plan, self.shape.profile, self.now_ms);
        }
    }

    /// What agents can know of orders, and of their times once a thief has shifted those. Then an
    /// order holds if all agents have measured it: they have run since, and their clocks agree.
    fn memory_of_orders(&self, agent: usize) -> OrderMemory {
        let is_set = |fault: &Fault| matches!(fault.kind, FaultKind::SetClock { .. });
        let started_ms = self.machines.iter().map(|machine| machine.started_ms);

        if self.laws.is_time_forged && self.faults.iter().any(is_set) {
            OrderMemory::shifted(self.now_ms)
        } else if self.laws.is_time_forged {
            OrderMemory::shifted(started_ms.max().unwrap_or(0))
        } else if self.is_any_clock_wrong() {
            OrderMemory::since(self.machines[agent].started_ms)
        } else {
            OrderMemory::since(0)
        }
    }

    fn is_any_clock_wrong(&self) -> bool {
        let mut machines = self.machines.iter();
        machines.any(|machine| machine.clock_ms.unsigned_abs() > CLOCK_MS)
    }

    fn order_ended(&mut self, ticket: u64, outcome: &Result<CommittedPlan, OrderRefusal>) {
        let order = &mut self.laws.orders[ticket as usize];
        let by = &order.by;
        self.trace.note(self.now_ms, || match outcome {
            Ok(plan) => format!("{by}: acknowledged with {}", plan.stamp),
            Err(why) => format!("{by}: {why}"),
        });

        order.is_settled = !matches!(outcome, Err(OrderRefusal::Unknown(_)));
        if let Ok(plan) = outcome {
            self.reached.count(Sometimes::OrderAcknowledged);
            order.acknowledged = Some(plan.stamp.clone());
        }
    }
}

fn in_words(notice: &Notice) -> String {
    match notice {
        Notice::Elected(ballot) => format!("leads under {ballot}"),
        Notice::SteppedDown(ballot, why) => format!("gives up {ballot}: {why}"),
        Notice::Committed(stamp) => format!("committed {stamp}"),
        Notice::ThiefElected(ballot, lie) => {
            format!("the thief is elected under {ballot} and lies: {lie:?}")
        }
        Notice::Verdict(region, condition) => format!("sees {region} {condition}"),
        Notice::OwnVote(region) => format!("counts the vote of {region} on itself"),
        Notice::Leader(notice) => format!("{notice:?}"),
        Notice::Gossip(notice) => format!("{notice:?}"),
        Notice::Refused(peer, reason, what) => format!("refuses {peer}: {reason:?}: {what}"),
    }
}

/// For the trace.
fn kind(input: &NodeInput) -> u8 {
    match input {
        NodeInput::Start(_) => 0,
        NodeInput::Wake => 1,
        NodeInput::LinkUp(_) => 2,
        NodeInput::LinkDown(_) => 3,
        NodeInput::Datagram { .. } => 4,
        NodeInput::Asked { .. } => 5,
        NodeInput::Answered { answer: Ok(_), .. } => 6,
        NodeInput::Answered { answer: Err(_), .. } => 7,
        NodeInput::Applied { answer: Ok(_), .. } => 8,
        NodeInput::Applied { answer: Err(_), .. } => 9,
        NodeInput::Probed(_) => 10,
        NodeInput::Ordered { .. } => 11,
        NodeInput::Judge(_) => 12,
        NodeInput::Replication(_) => 13,
    }
}
