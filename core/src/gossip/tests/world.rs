//! A mesh of whole gossip parts under virtual time.

use super::*;
use crate::now::Now;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

/// Between regions.
pub(super) const ONE_WAY: Duration = Duration::from_millis(30);
/// Within a region.
const ONE_WAY_LOCAL: Duration = Duration::from_micros(500);

/// A toy key that can be replaced.
pub(super) struct Keys(AgentId, AtomicU32);

impl Keys {
    pub(super) fn rotate(&self) {
        self.1.fetch_add(1, Ordering::Relaxed);
    }

    fn current(&self) -> Key {
        Key(self.0.clone(), self.1.load(Ordering::Relaxed))
    }
}

impl Signer for Keys {
    fn chain(&self) -> Vec<Vec<u8>> {
        self.current().chain()
    }
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        self.current().sign(message)
    }
}

pub(super) struct Node {
    pub(super) id: AgentId,
    pub(super) gossip: Gossip,
    pub(super) keys: Arc<Keys>,
    pub(super) view: Arc<BoardView>,
    pub(super) notices: Vec<Notice>,
    pub(super) members_alive: usize,
    pub(super) heard: Option<Instant>,
    is_up: bool,
    /// Answers and alarms of an earlier start do not count.
    start: u64,
    alarm: Option<Instant>,
}

enum Event {
    Input(Input),
    Alarm,
}

struct Asked {
    asker: usize,
    start: u64,
    at: Instant,
}

/// What was sent so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Traffic {
    pub(super) exchanges: u64,
    pub(super) exchange_bytes: u64,
}

pub(super) struct World {
    pub(super) begin: Instant,
    pub(super) now: Instant,
    pub(super) nodes: Vec<Node>,
    pub(super) links: BTreeSet<(usize, usize)>,
    /// Loses every n-th message; 0 loses none.
    pub(super) lose_every: u64,
    /// Without it no agent is found alive, and large meshes are simulated faster.
    pub(super) has_membership: bool,
    pub(super) traffic: Traffic,
    sent: u64,
    events: BTreeMap<(Instant, u64), (usize, u64, Event)>,
    count: u64,
    asked: BTreeMap<u64, Asked>,
    index: BTreeMap<AgentId, usize>,
    rng: StdRng,
}

pub(super) fn serving(requests_total: u64) -> StatusEntry {
    status_entry(0, requests_total)
}

pub(super) fn has(view: &BoardView, owner: &AgentId, status_entry: &StatusEntry) -> bool {
    view.agents
        .get(owner)
        .and_then(|agent| agent.status_entries.get(&status_entry.kind()))
        .is_some_and(|seen| *seen.status_entry == *status_entry)
}

pub(super) fn is_alive(view: &BoardView, agent: &AgentId) -> bool {
    view.agents.get(agent).is_some_and(|view| view.is_alive)
}

impl World {
    /// Agents with these names, without links.
    pub(super) fn new(seed: u64, names: impl IntoIterator<Item = String>) -> Self {
        let begin = Instant::now();
        let mut world = Self {
            begin,
            now: begin,
            nodes: Vec::new(),
            links: BTreeSet::new(),
            lose_every: 0,
            has_membership: true,
            traffic: Traffic::default(),
            sent: 0,
            events: BTreeMap::new(),
            count: 0,
            asked: BTreeMap::new(),
            index: BTreeMap::new(),
            rng: StdRng::seed_from_u64(seed),
        };

        for (index, name) in names.into_iter().enumerate() {
            let node = world.node(name.parse().unwrap(), 1000);
            world.index.insert(node.id.clone(), index);
            world.nodes.push(node);
            world.start(index);
        }

        world
    }

    /// `count` agents, each linked to the first.
    pub(super) fn star(count: usize) -> Self {
        let names = (0..count).map(|index| format!("region-{index}/node"));
        let mut world = Self::new(1, names);
        for index in 1..count {
            world.link(0, index, true);
        }
        world
    }

    fn now(&self) -> Now {
        let passed = self.now.saturating_duration_since(self.begin).as_millis();
        Now {
            monotonic: self.now,
            unix_ms: 1_700_000_000_000 + u64::try_from(passed).unwrap(),
        }
    }

    fn node(&mut self, id: AgentId, started_ms: u64) -> Node {
        let keys = Arc::new(Keys(id.clone(), AtomicU32::new(0)));
        let settings = Settings {
            own: id.clone(),
            mesh: mesh(),
            started_ms,
        };
        let now = self.now();
        let gossip = Gossip::new(settings, keys.clone(), Arc::new(Toy), now, &mut self.rng);

        Node {
            id,
            gossip,
            keys,
            view: Arc::default(),
            notices: Vec::new(),
            members_alive: 0,
            heard: None,
            is_up: false,
            start: 0,
            alarm: None,
        }
    }

    /// Starts an agent, or its actor again after a crash.
    pub(super) fn start(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.is_up = true;
        node.start += 1;
        node.alarm = None;

        let peers = self.links.iter().filter(|(from, _)| *from == index);
        let links = peers.map(|(_, to)| self.nodes[*to].id.clone()).collect();
        self.input(index, Input::Restarted);
        self.input(index, Input::Links(links));
    }

    pub(super) fn crash(&mut self, index: usize) {
        self.nodes[index].is_up = false;
    }

    /// A new process of the agent.
    pub(super) fn replace(&mut self, index: usize, started_ms: u64) {
        let id = self.nodes[index].id.clone();
        let start = self.nodes[index].start;

        self.nodes[index] = self.node(id, started_ms);
        self.nodes[index].start = start;
        self.start(index);
    }

    pub(super) fn link(&mut self, a: usize, b: usize, is_up: bool) {
        for (from, to) in [(a, b), (b, a)] {
            let changed = if is_up {
                self.links.insert((from, to))
            } else {
                self.links.remove(&(from, to))
            };
            if !changed || !self.nodes[from].is_up {
                continue;
            }

            let peers = self.links.iter().filter(|(end, _)| *end == from);
            let links = peers.map(|(_, to)| self.nodes[*to].id.clone()).collect();
            let peer = self.nodes[to].id.clone();
            self.input(from, Input::Links(links));
            self.input(
                from,
                if is_up {
                    Input::LinkUp(peer)
                } else {
                    Input::LinkDown(peer)
                },
            );
        }
    }

    pub(super) fn publish(&mut self, index: usize, status_entry: StatusEntry) {
        self.input(index, Input::Publish(Box::new(status_entry)));
    }

    pub(super) fn input(&mut self, index: usize, input: Input) {
        let now = self.now();
        let node = &mut self.nodes[index];
        let mut effects = Vec::new();

        node.gossip.handle(input, now, &mut self.rng, &mut effects);
        for effect in effects {
            self.perform(index, effect);
        }
    }

    fn schedule(&mut self, at: Instant, to: usize, event: Event) {
        self.count += 1;
        let start = self.nodes[to].start;
        self.events.insert((at, self.count), (to, start, event));
    }

    fn arrival(&self, from: usize, to: usize) -> Instant {
        let is_local = self.nodes[from].id.region == self.nodes[to].id.region;
        self.now + if is_local { ONE_WAY_LOCAL } else { ONE_WAY }
    }

    fn is_lost(&mut self) -> bool {
        self.sent += 1;
        self.lose_every > 0 && self.sent.is_multiple_of(self.lose_every)
    }

    /// Datagrams are relayed over one hop, exchanges are not.
    fn is_reached(&self, from: usize, to: usize, may_relay: bool) -> bool {
        let is_linked = |a: usize, b: usize| self.links.contains(&(a, b));
        is_linked(from, to)
            || (may_relay
                && (0..self.nodes.len())
                    .any(|relay| is_linked(from, relay) && is_linked(relay, to)))
    }

    fn perform(&mut self, index: usize, effect: Effect) {
        match effect {
            Effect::SendDatagram { to, payload } => {
                let Some(to) = self.index.get(&to).copied() else {
                    return;
                };
                if !self.has_membership || self.is_lost() || !self.is_reached(index, to, true) {
                    return;
                }

                let from = self.nodes[index].id.clone();
                let input = Input::Datagram { from, payload };
                let at = self.arrival(index, to);
                self.schedule(at, to, Event::Input(input));
            }
            Effect::BeginExchange { with, request } => self.begin_exchange(index, with, request),
            Effect::Reply(ticket, answer) => {
                let Some(asked) = self.asked.remove(&ticket.0) else {
                    return;
                };
                self.traffic.exchange_bytes += answer.len() as u64;
                let at = self.arrival(index, asked.asker);
                let ended = Input::ExchangeEnded {
                    with: self.nodes[index].id.clone(),
                    span: (asked.at, at),
                    answer: Ok(answer),
                };
                if self.nodes[asked.asker].start == asked.start {
                    self.schedule(at, asked.asker, Event::Input(ended));
                }
            }
            Effect::Board(view) => self.nodes[index].view = view,
            Effect::WakeAt(at) => {
                self.nodes[index].alarm = Some(at);
                self.schedule(at, index, Event::Alarm);
            }
            Effect::Notice(Notice::Sizes { members_alive, .. }) => {
                self.nodes[index].members_alive = members_alive;
            }
            Effect::Notice(Notice::Exchanged | Notice::ExchangeAnswered) => {}
            Effect::Notice(notice) => self.nodes[index].notices.push(notice),
            Effect::Heard(begun) => self.nodes[index].heard = Some(begun),
            Effect::PeerClock(_) => {}
        }
    }

    fn begin_exchange(&mut self, index: usize, with: AgentId, request: Vec<u8>) {
        self.traffic.exchanges += 1;
        self.traffic.exchange_bytes += request.len() as u64;

        let to = self.index[&with];
        let is_lost = self.is_lost() || !self.is_reached(index, to, false);
        if is_lost || !self.nodes[to].is_up {
            let at = self.arrival(index, to);
            let error = ExchangeError {
                outcome: "broken",
                error: "lost".into(),
            };
            let ended = Input::ExchangeEnded {
                with,
                span: (self.now, at),
                answer: Err(error),
            };
            return self.schedule(at, index, Event::Input(ended));
        }

        let ticket = self.count;
        let start = self.nodes[index].start;
        let at = self.now;
        let asker = index;
        self.asked.insert(ticket, Asked { asker, start, at });
        let asked = Input::ExchangeAsked {
            from: self.nodes[index].id.clone(),
            request,
            ticket: Ticket(ticket),
        };
        let at = self.arrival(index, to);
        self.schedule(at, to, Event::Input(asked));
    }

    pub(super) fn run(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }

    /// Runs until `is_done`, at most this long; returns how long it took.
    pub(super) fn run_until(
        &mut self,
        longest: Duration,
        is_done: impl Fn(&Self) -> bool,
    ) -> Option<Duration> {
        let begin = self.now;
        let end = begin + longest;
        loop {
            if is_done(self) {
                return Some(self.now - begin);
            }

            let next = self.events.first_key_value().map(|((at, _), _)| *at);
            if next.is_none_or(|at| at > end) {
                self.now = end;
                return None;
            }
            let ((at, _), (to, start, event)) = self.events.pop_first().unwrap();
            self.now = at;

            let node = &mut self.nodes[to];
            if !node.is_up || node.start != start {
                continue;
            }
            match event {
                Event::Input(input) => self.input(to, input),
                Event::Alarm if node.alarm == Some(at) => {
                    node.alarm = None;
                    self.input(to, Input::Wake);
                }
                Event::Alarm => {}
            }
        }
    }

    /// Runs until every running agent's board shows `claim`; returns how long it took.
    pub(super) fn all_see(&mut self, claim: impl Fn(&BoardView) -> bool) -> Duration {
        let took = self.run_until(Duration::from_secs(60), |world| {
            let mut nodes = world.nodes.iter().filter(|node| node.is_up);
            nodes.all(|node| claim(&node.view))
        });
        took.expect("some agent never saw it")
    }

    pub(super) fn all_alive(&mut self) {
        let ids: Vec<_> = self.nodes.iter().map(|node| node.id.clone()).collect();
        self.all_see(|view| ids.iter().all(|id| is_alive(view, id)));
    }

    pub(super) fn view(&self, index: usize) -> &BoardView {
        &self.nodes[index].view
    }
}
