//! Carries out what was decided.

use super::{notices, state::ReplicatorState, tasks};
use crate::actors::messages::{GossipMessage, ReplicatorMessage};
use ractor::ActorRef;
use regionmesh_core::replication::{Effect, Input};
use regionmesh_protocol::models::{catalogue::Catalogue, digest::Digest};
use std::sync::Arc;

impl ReplicatorState {
    /// Takes in what changed outside and `input`, and carries out what follows.
    pub(super) fn decide(&mut self, me: &ActorRef<ReplicatorMessage>, input: Option<Input>) {
        for effect in self.effects_of(input) {
            self.perform(me, effect);
        }
    }

    fn perform(&mut self, me: &ActorRef<ReplicatorMessage>, effect: Effect) {
        let arguments = &self.arguments;
        let snapshots = &arguments.snapshots;
        let store = arguments.store.clone();
        match effect {
            Effect::Scan => self.run(me, tasks::scan(store, arguments.clock.clone())),
            Effect::ReadCatalogue { region, from } => {
                let peers = arguments.peers.clone();
                let clock = arguments.clock.clone();
                self.run(me, tasks::read_catalogue(peers, clock, region, from));
            }
            Effect::Converge(actions) => {
                let metrics = arguments.fetcher.metrics.clone();
                self.run(me, tasks::converge(store, metrics, actions));
            }
            Effect::Fetch {
                version,
                sources,
                missing_since,
            } => {
                let fetcher = arguments.fetcher.clone();
                self.run(me, tasks::fetch(fetcher, version, sources, missing_since));
            }
            Effect::CleanUp(tombstones) => self.run(me, tasks::clean(store, tombstones)),
            Effect::FindLosses(versions) => self.run(me, tasks::find_losses(store, versions)),
            Effect::Replaced(version) => {
                if let Some(quarantine) = &arguments.quarantine {
                    quarantine.try_again(&version.model, &version.version);
                }
            }
            Effect::OwnCatalogue { catalogue, digest } => self.adopt(catalogue, digest),
            Effect::PeerCatalogue(region, catalogue) => {
                snapshots.peer_catalogues.send_modify(|known| {
                    Arc::make_mut(known).insert(region, catalogue);
                });
            }
            Effect::HasCatalogues => {
                snapshots
                    .has_catalogues
                    .send_if_modified(|known| !std::mem::replace(known, true));
            }
            Effect::Publish(entry) => {
                let _ = arguments.gossip.cast(GossipMessage::Publish(entry));
            }
            Effect::Problem(change) => snapshots.problems.apply(change),
            Effect::Notice(notice) => notices::record(notice, &arguments.fetcher.metrics),
        }
    }

    /// The region holds this.
    fn adopt(&mut self, catalogue: Arc<Catalogue>, digest: Option<Digest>) {
        let versions = catalogue.versions.len() as i64;
        self.arguments.fetcher.metrics.versions.set(versions);

        let snapshot = &self.arguments.snapshots.catalogue;
        snapshot.send_replace(catalogue.clone());
        self.own = Some((catalogue, digest));
    }

    /// Runs a task that reports back.
    fn run(
        &mut self,
        me: &ActorRef<ReplicatorMessage>,
        task: impl Future<Output = Input> + Send + 'static,
    ) {
        let me = me.clone();
        self.tasks.spawn(async move {
            let ended = Box::new(task.await);
            let _ = me.cast(ReplicatorMessage::Ended(ended));
        });
    }
}
