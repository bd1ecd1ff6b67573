//! Which peers to exchange boards with, and when.
//!
//! Changes of our own entries go to every connected peer immediately. Entries learned from one peer
//! are relayed to peers whose last digest lacks them; mostly their owner sends them too, so
//! relaying is paced, more slowly in a larger mesh. A random peer is asked every second whatever
//! its digest.

use super::digest::Digest;
use regionmesh_protocol::identity::AgentId;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// News waits this long for more news to share the exchange.
const COALESCE: Duration = Duration::from_millis(10);
/// After a failed exchange a peer is left alone for this long.
const BACK_OFF: Duration = Duration::from_secs(1);
/// Least time between two relays to one peer ...
const RELAY_GAP: Duration = Duration::from_millis(50);
/// ... plus this much per agent of the mesh: digests grow with it.
const RELAY_GAP_PER_AGENT: Duration = Duration::from_millis(2);

#[derive(Debug, Default)]
struct Peer {
    /// The peer's last known digest.
    digest: Option<Digest>,
    is_in_flight: bool,
    due: Option<Instant>,
    /// Exchange even if the peer seems to lack nothing.
    is_forced: bool,
    ended_at: Option<Instant>,
}

impl Peer {
    fn schedule(&mut self, at: Instant) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }
}

/// The connected peers and what is due to each.
#[derive(Debug, Default)]
pub(super) struct Spread {
    peers: BTreeMap<AgentId, Peer>,
}

impl Spread {
    /// A new connection: the known digest may be of an earlier process.
    pub(super) fn link_up(&mut self, peer: &AgentId, now: Instant) {
        let entry = self.peers.entry(peer.clone()).or_default();
        entry.digest = None;
        entry.is_forced = true;
        entry.schedule(now);
    }

    pub(super) fn link_down(&mut self, peer: &AgentId) {
        self.peers.remove(peer);
    }

    /// Makes the peers those of `links`; returns which are new.
    pub(super) fn reconcile(&mut self, links: &BTreeSet<AgentId>, now: Instant) -> Vec<AgentId> {
        self.peers.retain(|peer, _| links.contains(peer));
        let new: Vec<AgentId> = links
            .iter()
            .filter(|peer| !self.peers.contains_key(*peer))
            .cloned()
            .collect();

        new.iter().for_each(|peer| self.link_up(peer, now));
        new
    }

    /// Our own entries changed.
    pub(super) fn own_changed(&mut self, now: Instant) {
        self.peers
            .values_mut()
            .for_each(|peer| peer.schedule(now + COALESCE));
    }

    /// We learned something from `from`, in a mesh of `agents`.
    pub(super) fn learned(&mut self, from: &AgentId, agents: usize, now: Instant) {
        let gap =
            RELAY_GAP + RELAY_GAP_PER_AGENT * u32::try_from(agents).unwrap_or(u32::MAX).min(1000);
        for (_, peer) in self.peers.iter_mut().filter(|(name, _)| *name != from) {
            let rested = peer.ended_at.map_or(now, |ended| ended + gap);
            peer.schedule(rested.max(now + COALESCE));
        }
    }

    /// Exchange with one peer whatever its digest; `draw` chooses it.
    pub(super) fn anti_entropy(&mut self, draw: usize, now: Instant) {
        let count = self.peers.len().max(1);
        if let Some(peer) = self.peers.values_mut().nth(draw % count) {
            peer.is_forced = true;
            peer.schedule(now);
        }
    }

    /// A peer sent its digest.
    pub(super) fn heard(&mut self, peer: &AgentId, digest: Digest) {
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.digest = Some(digest);
        }
    }

    /// Exchanges to begin now, each with the last digest of the peer. At most one per peer is under
    /// way.
    pub(super) fn take_due(
        &mut self,
        now: Instant,
        has_news_for: impl Fn(&Digest) -> bool,
    ) -> Vec<(AgentId, Option<Digest>)> {
        let mut begin = Vec::new();
        for (name, peer) in &mut self.peers {
            if peer.is_in_flight || peer.due.is_none_or(|due| due > now) {
                continue;
            }
            peer.due = None;

            if std::mem::take(&mut peer.is_forced) || peer.digest.as_ref().is_none_or(&has_news_for)
            {
                peer.is_in_flight = true;
                begin.push((name.clone(), peer.digest.clone()));
            }
        }

        begin
    }

    /// An exchange ended; with the digest that the peer answered, if it did. `again`: there is more
    /// to send or to receive.
    pub(super) fn ended(
        &mut self,
        peer: &AgentId,
        digest: Option<Digest>,
        again: bool,
        now: Instant,
    ) {
        let Some(peer) = self.peers.get_mut(peer) else {
            return;
        };
        peer.is_in_flight = false;
        peer.ended_at = Some(now);

        match digest {
            Some(digest) => {
                peer.digest = Some(digest);
                if again {
                    peer.is_forced = true;
                    peer.schedule(now);
                }
            }
            None => {
                peer.digest = None;
                peer.is_forced = true;
                peer.due = Some(now + BACK_OFF);
            }
        }
    }

    /// When [`Self::take_due`] has something next.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.peers
            .values()
            .filter(|peer| !peer.is_in_flight)
            .filter_map(|peer| peer.due)
            .min()
    }
}
