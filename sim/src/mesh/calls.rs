//! Datagrams and streams between agents.

use super::{
    event::{Body, Event, Packet, Process},
    node::{Answer, CallError, NodeInput, Peer, Question, Ticket},
    sometimes::Sometimes,
    world::World,
};
use regionmesh_protocol::{
    identity::AgentId, register::acceptor::AcceptorRequest, wire::PeerRequest,
};

/// A packet of a stream that is lost is repeated after this long, and the round trip.
const REPEAT_MS: u64 = 200;

impl World {
    pub(crate) fn send_datagram(&mut self, from: usize, to: &AgentId, payload: Vec<u8>) {
        let Some(to) = self.agent_named(to).filter(|to| *to != from) else {
            return;
        };
        let from_region = self.machines[from].region;
        let to_region = self.machines[to].region;
        let fate = self.network.fate(from, from_region, to_region);
        let Some(detour_ms) = self.detour(from, to) else {
            return;
        };
        let is_blocked = self.network.is_blocked(from_region, to_region, self.now_ms);
        if fate.is_lost || is_blocked {
            return;
        }

        let packet = Packet {
            from,
            to,
            epoch: 0,
            body: Body::Datagram(payload),
        };
        if let Some(again_ms) = fate.again_ms {
            self.reached.count(Sometimes::Duplicated);
            let copy = Box::new(packet.clone());
            self.after(again_ms + detour_ms, Event::Arrive(copy));
        }
        self.after(fate.delay_ms + detour_ms, Event::Arrive(Box::new(packet)));
    }

    /// What relays add to the way of a datagram: nothing if the agents are linked; none if no
    /// agents of the sender's and the receiver's region can relay it.
    fn detour(&self, from: usize, to: usize) -> Option<u64> {
        if self.links.is_up(from, to) {
            return Some(0);
        }

        let relays = |region: usize| {
            let relays = 0..self.machines.len();
            relays.filter(move |relay| {
                self.machines[*relay].region == region && self.machines[*relay].reacts(self.now_ms)
            })
        };
        let own = relays(self.machines[from].region).filter(|relay| self.links.is_up(from, *relay));
        let theirs = relays(self.machines[to].region).filter(|relay| self.links.is_up(*relay, to));
        let theirs: Vec<usize> = theirs.collect();

        if theirs.iter().any(|relay| self.links.is_up(from, *relay)) {
            return Some(1);
        }
        let mut pairs =
            own.flat_map(|own| theirs.iter().chain([&to]).map(move |their| (own, their)));
        pairs
            .any(|(own, their)| self.links.is_up(own, *their))
            .then_some(2)
    }

    pub(crate) fn ask(
        &mut self,
        caller: Process,
        to: &Peer,
        question: Question,
        ticket: Ticket,
        timeout_ms: u64,
    ) {
        if let Question::Request(request) = &question
            && let PeerRequest::Acceptor(AcceptorRequest::Accept(stamp, plan)) = &**request
        {
            self.note_proposal(caller.agent, stamp, plan);
        }

        let from = caller.agent;
        let Some(to) = self.peer(from, to) else {
            let answer = Err(CallError::NotLinked);
            let ended = NodeInput::Answered { ticket, answer };
            return self.after(0, Event::Input(caller, Box::new(ended)));
        };

        self.machines[from].calls.insert(ticket, to);
        self.after(timeout_ms, Event::CallTimeout(caller, ticket));
        let body = Body::Question {
            caller,
            ticket,
            question,
        };
        self.open_stream(from, to, body);
    }

    /// The linked agent that `peer` names.
    fn peer(&mut self, from: usize, peer: &Peer) -> Option<usize> {
        match peer {
            Peer::Agent(id) => self
                .agent_named(id)
                .filter(|to| self.links.is_up(from, *to)),
            Peer::Region(name) => {
                let region = self.region_named(name)?;
                self.need_region(from, region);
                let linked: Vec<usize> = (0..self.machines.len())
                    .filter(|to| self.machines[*to].region == region)
                    .filter(|to| self.links.is_up(from, *to))
                    .collect();
                let draw = self.network.draw(from);
                let choice = draw.checked_rem(linked.len() as u64)?;
                linked.get(choice as usize).copied()
            }
        }
    }

    pub(crate) fn answer(&mut self, agent: usize, ticket: Ticket, answer: Answer) {
        let Some((caller, ticket)) = self.machines[agent].asked.remove(&ticket) else {
            return;
        };
        let body = Body::Answer {
            caller,
            ticket,
            answer,
        };
        self.open_stream(agent, caller.agent, body);
    }

    fn open_stream(&mut self, from: usize, to: usize, body: Body) {
        let link = self.links.get(from, to);
        let packet = Packet {
            from,
            to,
            epoch: link.epoch,
            body,
        };
        if link.is_up {
            self.send_on_stream(Box::new(packet));
        }
    }

    /// Sends a packet of a stream: it is not lost as long as the link is not.
    pub(crate) fn send_on_stream(&mut self, packet: Box<Packet>) {
        let link = self.links.get(packet.from, packet.to);
        if !link.is_up || link.epoch != packet.epoch {
            return;
        }

        let from_region = self.machines[packet.from].region;
        let to_region = self.machines[packet.to].region;
        if self.network.is_blocked(from_region, to_region, self.now_ms) {
            return self.after(REPEAT_MS, Event::Resend(packet));
        }
        let fate = self.network.fate(packet.from, from_region, to_region);
        match fate.is_lost {
            true => self.after(REPEAT_MS + 2 * fate.delay_ms, Event::Resend(packet)),
            false => self.after(fate.delay_ms, Event::Arrive(packet)),
        }
    }

    pub(crate) fn arrive(&mut self, packet: Packet) {
        let to = packet.to;
        if !self.machines[to].is_up() {
            return;
        }

        let from = packet.from;
        let is_current = self.links.get(from, to).epoch == packet.epoch;
        match packet.body {
            Body::Datagram(payload) => {
                let from = self.machines[from].id.clone();
                self.deliver(to, NodeInput::Datagram { from, payload });
            }
            Body::Question {
                caller,
                ticket,
                question,
            } if is_current => {
                let machine = &mut self.machines[to];
                machine.next_ticket += 1;
                let own = machine.next_ticket;
                machine.asked.insert(own, (caller, ticket));
                let asked = NodeInput::Asked {
                    from: self.machines[from].id.clone(),
                    question,
                    ticket: own,
                };
                self.deliver(to, asked);
            }
            Body::Answer {
                caller,
                ticket,
                answer,
            } if is_current && self.runs(caller) => {
                self.end_call(caller, ticket, Ok(answer));
            }
            Body::Question { .. } | Body::Answer { .. } => {}
        }
    }

    fn end_call(&mut self, caller: Process, ticket: Ticket, answer: Result<Answer, CallError>) {
        if self.machines[caller.agent].calls.remove(&ticket).is_some() {
            self.deliver(caller.agent, NodeInput::Answered { ticket, answer });
        }
    }

    pub(crate) fn call_timed_out(&mut self, caller: Process, ticket: Ticket) {
        if self.runs(caller) {
            self.end_call(caller, ticket, Err(CallError::TimedOut));
        }
    }

    /// Ends the calls of an agent to another, since their link is lost.
    pub(crate) fn lose_calls(&mut self, agent: usize, to: usize) {
        let process = self.process(agent);
        let lost: Vec<Ticket> = self.machines[agent]
            .calls
            .iter()
            .filter(|(_, asked)| **asked == to)
            .map(|(ticket, _)| *ticket)
            .collect();

        for ticket in lost {
            self.machines[agent].calls.remove(&ticket);
            let answer = Err(CallError::LinkLost);
            let ended = NodeInput::Answered { ticket, answer };
            self.after(0, Event::Input(process, Box::new(ended)));
        }
    }
}
