//! Dials links, and notices lost ones.

use super::{
    event::Event, links::IDLE_MS, machine::Machine, node::NodeInput, sometimes::Sometimes,
    world::World,
};

/// How often links are looked at while not all of them work.
const WATCH_MS: u64 = 500;
/// Longest pause between two attempts to dial.
const DIAL_MS: u64 = 2_000;
/// How long a link stays that is not needed any more.
const LINGER_MS: u64 = 10_000;

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
            let is_wanted = self.is_wanted(one, other);
            let link = self.links.get(one, other);
            is_everything_up &= link.is_up == is_wanted && is_open;

            match (link.is_up, is_open) {
                (false, _) if !is_wanted => {}
                (true, _) if !is_wanted => self.lose_link(one, other),
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

        let mut machines = self.machines.iter();
        let is_any_needed =
            machines.any(|machine| !machine.is_gateway && !machine.needs_ms.is_empty());
        self.links.is_watched = !is_everything_up || is_any_needed;
        if self.links.is_watched {
            self.after(WATCH_MS, Event::Links);
        }
    }

    /// Whether two agents are to be linked: those of a region always, those of two if both are
    /// gateways or one needs the other's region.
    fn is_wanted(&self, one: usize, other: usize) -> bool {
        let one = &self.machines[one];
        let other = &self.machines[other];
        let needs = |from: &Machine, to: &Machine| {
            !from.is_gateway && from.wants(to.region, self.now_ms) && to.is_gateway
        };

        one.region == other.region
            || one.is_gateway && other.is_gateway
            || needs(one, other)
            || needs(other, one)
    }

    /// An agent begins or ceases to hold links to other regions. They stay for a while.
    pub(crate) fn set_gateway(&mut self, agent: usize, is_gateway: bool) {
        self.reached.count(Sometimes::GatewayChanged);
        let was_gateway = std::mem::replace(&mut self.machines[agent].is_gateway, is_gateway);
        if was_gateway && !is_gateway {
            (0..self.shape.regions).for_each(|region| self.need_region(agent, region));
        }
        self.begin_watch();
    }

    /// An agent that holds no links to other regions needs one.
    pub(crate) fn need_region(&mut self, agent: usize, region: usize) {
        let machine = &mut self.machines[agent];
        if machine.is_gateway || machine.region == region {
            return;
        }

        let now_ms = self.now_ms;
        machine.needs_ms.retain(|_, until_ms| now_ms < *until_ms);
        machine.needs_ms.insert(region, now_ms + LINGER_MS);
        self.begin_watch();
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
