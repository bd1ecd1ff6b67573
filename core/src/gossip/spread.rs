//! Which peers to send news to and to compare boards with, and when.
//!
//! News goes to [`FAN_OUT`] peers at most: changes of our own entries, and urgent changes of others
//! that we learned, which so reach all agents in O(log N) rounds. A request names its recipients,
//! so that no news is relayed to them. The rest, and what was lost, is found by comparing boards
//! with a random peer every second, and with [`PEERS_WITH_NEWS`] if there was routine news. In a
//! mesh that is no larger than the fan-out all news is urgent, and each exchange compares boards.
//!
//! So the number of exchanges does not depend on the size of the mesh.

use super::{delta::EntryName, digest::Digest, tree::Leaves};
use rand::{Rng, RngExt, seq::SliceRandom};
use regionmesh_protocol::identity::{AgentId, RegionName};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// Most peers that one agent sends the same news to: in a mesh of six, all.
pub(super) const FAN_OUT: usize = 5;
/// News waits this long for more news to share the exchange.
const COALESCE: Duration = Duration::from_millis(10);
/// After a failed exchange a peer is left alone for this long.
const BACK_OFF: Duration = Duration::from_secs(1);
/// Least time between two rounds of relays.
const RELAY_GAP: Duration = Duration::from_millis(50);
/// How many peers to compare boards with in a second that brought routine news.
const PEERS_WITH_NEWS: usize = 3;

/// A step of the comparison of our board with a peer's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Begin,
    /// Compare the owners in leaves that differ.
    Owners(Leaves),
    /// Send what the peer lacks in these leaves, by this digest.
    Send(Leaves, Digest),
}

/// An exchange to begin now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) peer: AgentId,
    pub(super) news: BTreeSet<EntryName>,
    /// Who else gets all of this news.
    pub(super) recipients: BTreeSet<AgentId>,
    pub(super) step: Option<Step>,
}

#[derive(Debug, Default)]
struct Peer {
    is_in_flight: bool,
    news: BTreeSet<EntryName>,
    recipients: BTreeSet<AgentId>,
    step: Option<(Instant, Step)>,
    /// What the exchange under way compares.
    comparing: Leaves,
}

impl Peer {
    fn schedule(&mut self, at: Instant, step: Step) {
        self.step = Some((at, step));
    }

    fn add(&mut self, news: BTreeSet<EntryName>, recipients: &BTreeSet<AgentId>) {
        if self.news.is_empty() {
            self.recipients.clone_from(recipients);
        } else {
            self.recipients.retain(|agent| recipients.contains(agent));
        }
        self.news.extend(news);
    }
}

/// The connected peers and what is due to each.
#[derive(Debug)]
pub(super) struct Spread {
    own_region: RegionName,
    peers: BTreeMap<AgentId, Peer>,
    /// News to send, and who is known to have it.
    news: BTreeMap<EntryName, BTreeSet<AgentId>>,
    news_at: Option<Instant>,
    relayed_at: Option<Instant>,
    has_routine_news: bool,
    /// Whether the next comparison is with another region.
    is_abroad_next: bool,
    /// When something is due next, unless something changed since it was computed: every packet
    /// asks for it.
    due: Option<Instant>,
    is_changed: bool,
}

impl Spread {
    pub(super) fn new(own_region: RegionName) -> Self {
        Self {
            own_region,
            peers: BTreeMap::new(),
            news: BTreeMap::new(),
            news_at: None,
            relayed_at: None,
            has_routine_news: false,
            is_abroad_next: true,
            due: None,
            is_changed: true,
        }
    }

    /// A new connection: compare boards.
    pub(super) fn link_up(&mut self, peer: &AgentId, now: Instant) {
        self.is_changed = true;
        let entry = self.peers.entry(peer.clone()).or_default();
        entry.schedule(now, Step::Begin);
    }

    pub(super) fn link_down(&mut self, peer: &AgentId) {
        self.is_changed = true;
        self.peers.remove(peer);
    }

    /// Drops the peers that are not in `links`; returns those of `links` that are no peers yet.
    pub(super) fn reconcile(&mut self, links: &BTreeSet<AgentId>) -> Vec<AgentId> {
        self.is_changed = true;
        self.peers.retain(|peer, _| links.contains(peer));
        links
            .iter()
            .filter(|peer| !self.peers.contains_key(*peer))
            .cloned()
            .collect()
    }

    /// Our own entries changed.
    pub(super) fn own_changed(
        &mut self,
        changed: impl IntoIterator<Item = EntryName>,
        now: Instant,
    ) {
        self.news
            .extend(changed.into_iter().map(|name| (name, BTreeSet::new())));
        self.send_news_at(now + COALESCE);
    }

    /// We learned urgent changes from a peer; `known_by` have them.
    pub(super) fn learned(
        &mut self,
        changed: impl IntoIterator<Item = EntryName>,
        known_by: &BTreeSet<AgentId>,
        now: Instant,
    ) {
        for name in changed {
            let mut known_by = known_by.clone();
            known_by.insert(name.0.clone());
            self.news.insert(name, known_by);
        }

        let rested = self.relayed_at.map_or(now, |at| at + RELAY_GAP);
        self.send_news_at(rested.max(now + COALESCE));
    }

    /// We learned changes that are not urgent.
    pub(super) fn learned_routine(&mut self) {
        self.has_routine_news = true;
    }

    fn send_news_at(&mut self, at: Instant) {
        self.is_changed = true;
        self.news_at = Some(self.news_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Compare boards with random peers; every second time with another region's.
    pub(super) fn anti_entropy(&mut self, now: Instant, rng: &mut impl Rng) {
        let has_news = std::mem::take(&mut self.has_routine_news);
        let count = if has_news { PEERS_WITH_NEWS } else { 1 };
        for _ in 0..count {
            self.compare_with_random_peer(now, rng);
        }
    }

    fn compare_with_random_peer(&mut self, now: Instant, rng: &mut impl Rng) {
        self.is_changed = true;
        let own_region = &self.own_region;
        let idle = self
            .peers
            .iter_mut()
            .filter(|(_, peer)| peer.step.is_none() && !peer.is_in_flight);
        let (mut abroad, mut local): (Vec<_>, Vec<_>) =
            idle.partition(|(name, _)| name.region != *own_region);
        let is_abroad = !abroad.is_empty() && (self.is_abroad_next || local.is_empty());
        let candidates = if is_abroad { &mut abroad } else { &mut local };

        self.is_abroad_next = !is_abroad;
        if !candidates.is_empty() {
            let index = rng.random_range(0..candidates.len());
            candidates[index].1.schedule(now, Step::Begin);
        }
    }

    /// Exchanges to begin now. At most one per peer is under way.
    pub(super) fn take_due(&mut self, now: Instant, rng: &mut impl Rng) -> Vec<Due> {
        if !self.is_changed && self.due.is_none_or(|at| at > now) {
            return Vec::new();
        }

        self.is_changed = true;
        if self.news_at.is_some_and(|at| at <= now) {
            self.distribute_news(now, rng);
        }

        let mut due = Vec::new();
        for (name, peer) in &mut self.peers {
            let is_step_due = peer.step.as_ref().is_some_and(|(at, _)| *at <= now);
            if peer.is_in_flight || (peer.news.is_empty() && !is_step_due) {
                continue;
            }

            let step = if is_step_due { peer.step.take() } else { None };
            peer.is_in_flight = true;
            due.push(Due {
                peer: name.clone(),
                news: std::mem::take(&mut peer.news),
                recipients: std::mem::take(&mut peer.recipients),
                step: step.map(|(_, step)| step),
            });
        }

        due
    }

    fn distribute_news(&mut self, now: Instant, rng: &mut impl Rng) {
        self.news_at = None;
        self.relayed_at = Some(now);
        let news = std::mem::take(&mut self.news);
        let lacks = |peer: &&AgentId| news.values().any(|known_by| !known_by.contains(*peer));
        let candidates: Vec<&AgentId> = self.peers.keys().filter(lacks).collect();
        let chosen = choose(&candidates, &self.own_region, rng);

        for peer in &chosen {
            let lacked: BTreeSet<EntryName> = news
                .iter()
                .filter(|(_, known_by)| !known_by.contains(peer))
                .map(|(name, _)| name.clone())
                .collect();
            if let Some(peer) = self.peers.get_mut(peer) {
                peer.add(lacked, &chosen);
            }
        }
    }

    /// An exchange that begins compares the owners in these leaves.
    pub(super) fn comparing(&mut self, peer: &AgentId, leaves: Leaves) {
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.comparing = leaves;
        }
    }

    /// What the last exchange with this peer compared.
    pub(super) fn compared(&self, peer: &AgentId) -> Leaves {
        self.peers
            .get(peer)
            .map(|peer| peer.comparing)
            .unwrap_or_default()
    }

    /// The exchange that begins does not send all that the peer lacks.
    pub(super) fn compare_again(&mut self, peer: &AgentId, now: Instant) {
        self.is_changed = true;
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.schedule(now, Step::Begin);
        }
    }

    /// An exchange ended; `next` is the next step with this peer.
    pub(super) fn ended(&mut self, peer: &AgentId, next: Option<Step>, now: Instant) {
        self.is_changed = true;
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.is_in_flight = false;
            if let Some(next) = next {
                peer.schedule(now, next);
            }
        }
    }

    /// An exchange failed: boards are compared again in a while, which repairs what was lost.
    pub(super) fn failed(&mut self, peer: &AgentId, now: Instant) {
        self.is_changed = true;
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.is_in_flight = false;
            peer.news.clear();
            peer.schedule(now + BACK_OFF, Step::Begin);
        }
    }

    /// When [`Self::take_due`] has something next.
    pub(super) fn next_due(&mut self) -> Option<Instant> {
        if std::mem::take(&mut self.is_changed) {
            self.due = self.earliest();
        }
        self.due
    }

    fn earliest(&self) -> Option<Instant> {
        self.peers
            .values()
            .filter(|peer| !peer.is_in_flight)
            .filter_map(|peer| peer.step.as_ref().map(|(at, _)| *at))
            .chain(self.news_at)
            .min()
    }
}

/// At most [`FAN_OUT`] of `peers`: one of our own region, one of each other, the rest of our own,
/// then of others.
fn choose(peers: &[&AgentId], own_region: &RegionName, rng: &mut impl Rng) -> BTreeSet<AgentId> {
    let mut peers = peers.to_vec();
    peers.shuffle(rng);
    let (mut local, abroad): (Vec<&AgentId>, Vec<&AgentId>) = peers
        .into_iter()
        .partition(|peer| peer.region == *own_region);

    let mut regions = BTreeSet::new();
    let (first, rest): (Vec<&AgentId>, Vec<&AgentId>) = abroad
        .into_iter()
        .partition(|peer| regions.insert(&peer.region));
    let place = local.pop();

    place
        .into_iter()
        .chain(first)
        .chain(local)
        .chain(rest)
        .take(FAN_OUT)
        .cloned()
        .collect()
}
