//! The catalogues of the other regions.

use super::{
    catalogue,
    state::{RETRY, ReplicatorState},
};
use crate::actors::messages::ReplicatorMessage;
use ractor::ActorRef;
use regionmesh_mesh::Peer;
use regionmesh_protocol::{
    identity::RegionName,
    models::{catalogue::Catalogue, digest::Digest},
    status::Holdings,
};
use std::{collections::BTreeSet, sync::Arc, time::Instant};

impl ReplicatorState {
    /// Reads the catalogue of each region whose digest differs from the known one.
    pub(super) fn ask(&mut self, me: &ActorRef<ReplicatorMessage>) {
        let board = self.arguments.snapshots.board.borrow().clone();
        let mut living = BTreeSet::new();
        for (agent, view) in &board.agents {
            let Some(holdings) = view.holdings() else {
                continue;
            };
            let region = &agent.region;

            if !view.is_alive || *region == self.arguments.id.region {
                continue;
            }
            living.insert(region.clone());

            let Some(digest) = holdings.catalogue else {
                self.unknown.announced(region, false);
                self.unknown
                    .failed(region, "the region holds more than can be published".into());

                continue;
            };

            if self
                .peers
                .get(region)
                .is_some_and(|(known, _)| *known == digest)
            {
                continue;
            }

            // It holds the same as this region or a known one: no need to read it.
            if let Some(same) = self.catalogue_of(digest) {
                self.unknown.learnt(region);
                self.remember(region.clone(), digest, same);
                continue;
            }

            self.unknown
                .announced(region, self.peers.contains_key(region));

            let is_asked = self
                .asked
                .get(region)
                .is_some_and(|at| at.elapsed() < RETRY);

            if is_asked || !self.learning.insert(region.clone()) {
                continue;
            }

            let me = me.clone();
            let peers = self.arguments.peers.clone();
            let region = region.clone();
            let agent = agent.clone();

            self.tasks.spawn(async move {
                // The agent that published it if it is connected, else any of its region.
                let mut learnt = catalogue::learn(&*peers, &Peer::Agent(agent)).await;
                if learnt.is_err() {
                    learnt = catalogue::learn(&*peers, &Peer::Region(region.clone())).await;
                }

                let _ = me.cast(ReplicatorMessage::PeerCatalogue(region, learnt));
            });
        }

        self.unknown.retain(&living);
    }

    /// The known catalogue with this digest.
    fn catalogue_of(&self, digest: Digest) -> Option<Arc<Catalogue>> {
        let own = self
            .own
            .as_ref()
            .filter(|_| self.own_digest == Some(digest))
            .cloned()
            .map(Arc::new);

        own.or_else(|| {
            self.peers
                .values()
                .find(|(known, _)| *known == digest)
                .map(|(_, known)| known.clone())
        })
    }

    /// Records a region's catalogue.
    fn remember(&mut self, region: RegionName, digest: Digest, catalogue: Arc<Catalogue>) {
        self.arguments
            .snapshots
            .peer_catalogues
            .send_modify(|known| {
                Arc::make_mut(known).insert(region.clone(), catalogue.clone());
            });

        self.peers.insert(region, (digest, catalogue));
    }

    /// Called right after [`ReplicatorState::ask`]: then every live region's catalogue is known,
    /// or recorded as unknown. Does not wait for regions without a connection, nor for those whose
    /// catalogue can't be read once this region holds as much as another.
    pub(super) fn update_has_catalogues(&self) {
        let snapshots = &self.arguments.snapshots;
        let links = snapshots.links.borrow().clone();
        let is_connected = |region: &RegionName| links.keys().any(|agent| agent.region == *region);
        let unknown: Vec<_> = self
            .unknown
            .regions()
            .into_iter()
            .filter(is_connected)
            .collect();

        let is_known = unknown
            .iter()
            .all(|region| self.unknown.is_unreadable(region))
            && self.is_vouched_for(unknown);

        if self.own.is_some() && is_known && *snapshots.is_current.borrow() {
            snapshots
                .has_catalogues
                .send_if_modified(|known| !std::mem::replace(known, true));
        }
    }

    /// Whether regions whose catalogue was read vouch for the unknown ones, see
    /// [`Holdings::is_vouched_for`].
    fn is_vouched_for(&self, unknown: Vec<RegionName>) -> bool {
        let board = self.arguments.snapshots.board.borrow().clone();
        let read = board
            .agents
            .iter()
            .filter(|(agent, view)| view.is_alive && self.peers.contains_key(&agent.region));
        let holdings = read.filter_map(|(agent, view)| Some((&agent.region, view.holdings()?)));
        let held = Holdings {
            unknown,
            ..Holdings::default()
        };

        held.is_vouched_for(&self.arguments.id.region, &holdings.collect::<Vec<_>>())
    }

    pub(super) fn learnt(
        &mut self,
        me: &ActorRef<ReplicatorMessage>,
        region: RegionName,
        learnt: Result<(Digest, Catalogue), String>,
    ) {
        self.learning.remove(&region);
        match learnt {
            Ok((digest, catalogue)) => {
                self.arguments.clock.observe(&catalogue);
                self.asked.remove(&region);
                self.unknown.learnt(&region);

                // The digest that was read, not the announced one: a catalogue may change while it
                // is read.
                self.remember(region, digest, Arc::new(catalogue));
                self.sync(me);
            }
            Err(why) => {
                tracing::debug!(%region, why, "a region's catalogue could not be read; retrying");
                self.asked.insert(region.clone(), Instant::now());
                self.unknown.failed(&region, why);
            }
        }

        self.publish_holdings();
    }
}
