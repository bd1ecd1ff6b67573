//! Dials links, and notices lost ones.

use super::{event::Event, links::IDLE_MS, node::NodeInput, sometimes::Sometimes, world::World};

/// How often links are looked at while not all of them work.
const WATCH_MS: u64 = 500;
/// Longest pause between two attempts to dial.
const DIAL_MS: u64 = 2_000;

impl World {
    /// Looks after the links from now on, until all work.
    pub(crate) fn begin_watch(&mut self) {
        if !self.links.is_watched {
            self.links.is_watched = true;
            self.after(0, Event::Links);
        }
    }

    pub(crate) fn watch_links(&mut self) {
        let mut is_everything_up = !self.network.is_cut_anywhere();
        for (one, other) in self.links.pairs() {
            let is_open = self.is_open(one, other);
            let link = self.links.get(one, other);
            is_everything_up &= link.is_up && is_open;

            match (link.is_up, is_open) {
                (true, true) => self.links.get_mut(one, other).silent_since_ms = None,
                (true, false) => {
                    let since_ms = link.silent_since_ms.unwrap_or(self.now_ms);
                    self.links.get_mut(one, other).silent_since_ms = Some(since_ms);
                    if self.now_ms - since_ms >= IDLE_MS {
                        self.lose_link(one, other);
                    }
                }
                (false, true) if self.now_ms >= link.dial_at_ms => self.dial(one, other),
                (false, _) => {}
            }
        }

        self.links.is_watched = !is_everything_up;
        if self.links.is_watched {
            self.after(WATCH_MS, Event::Links);
        }
    }

    /// Whether packets between two agents pass, and both react.
    fn is_open(&self, one: usize, other: usize) -> bool {
        let one = &self.machines[one];
        let other = &self.machines[other];
        let is_blocked = |from, to| self.network.is_blocked(from, to, self.now_ms);

        one.reacts(self.now_ms)
            && other.reacts(self.now_ms)
            && !is_blocked(one.region, other.region)
            && !is_blocked(other.region, one.region)
    }

    fn dial(&mut self, one: usize, other: usize) {
        let link = self.links.get_mut(one, other);
        link.is_up = true;
        link.silent_since_ms = None;
        for (agent, peer) in [(one, other), (other, one)] {
            let up = NodeInput::LinkUp(self.machines[peer].id.clone());
            let process = self.process(agent);
            self.after(0, Event::Input(process, Box::new(up)));
        }
    }

    fn lose_link(&mut self, one: usize, other: usize) {
        self.reached.count(Sometimes::LinkLost);
        let dial_at_ms = self.now_ms + self.network.draw(one) % DIAL_MS;
        let link = self.links.get_mut(one, other);
        link.is_up = false;
        link.epoch += 1;
        link.silent_since_ms = None;
        link.dial_at_ms = dial_at_ms;

        for (agent, peer) in [(one, other), (other, one)] {
            if !self.machines[agent].is_up() {
                continue;
            }
            let down = NodeInput::LinkDown(self.machines[peer].id.clone());
            let process = self.process(agent);
            self.after(0, Event::Input(process, Box::new(down)));
            self.lose_calls(agent, peer);
        }
    }

    /// A process that starts knows none of the links of the one before.
    pub(crate) fn lose_links_of(&mut self, agent: usize) {
        for peer in 0..self.machines.len() {
            if self.links.is_up(agent, peer) {
                self.lose_link(agent, peer);
            }
        }
    }
}
