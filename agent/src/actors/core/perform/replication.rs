//! The region's store.

use super::super::CoreState;
use crate::actors::{core::CoreArguments, messages::ReplicatorMessage, replicator::notices};
use regionmesh_core::replication::{Effect, Input};
use regionmesh_protocol::{
    identity::RegionName,
    models::{catalogue::Catalogue, digest::Digest},
};
use std::sync::Arc;

/// Why work has no result.
const LOST: &str = "the replicator actor was restarted";

impl CoreState {
    pub(super) fn perform_replication(&mut self, effect: Effect) {
        let arguments = &self.arguments;
        let snapshots = &arguments.snapshots;
        match effect {
            Effect::Scan => self.work(effect, Input::Scanned(Err(LOST.into()))),
            Effect::ReadCatalogue { ref region, .. } => {
                let lost = Input::PeerCatalogue(region.clone(), Err(LOST.into()));
                self.work(effect, lost);
            }
            Effect::Converge(_) => self.work(effect, Input::ConvergeEnded(Err(LOST.into()))),
            Effect::Fetch { ref version, .. } => {
                let lost = Input::FetchEnded(version.clone(), Err(LOST.into()));
                self.work(effect, lost);
            }
            Effect::CleanUp(_) => self.work(effect, Input::Cleaned(Err(LOST.into()))),
            Effect::FindLosses(_) => self.work(effect, Input::LossesFound(Err(LOST.into()))),
            Effect::Replaced(version) => {
                if let Some(quarantine) = &arguments.quarantine {
                    quarantine.try_again(&version.model, &version.version);
                }
            }
            Effect::OwnCatalogue { catalogue, digest } => adopt(arguments, catalogue, digest),
            Effect::PeerCatalogue(region, digest, catalogue) => {
                learn(arguments, region, digest, catalogue);
            }
            Effect::HasCatalogues => {
                snapshots
                    .has_catalogues
                    .send_if_modified(|known| !std::mem::replace(known, true));
            }
            Effect::Problem(change) => snapshots.problems.apply(change),
            Effect::Notice(notice) => notices::record(notice, &arguments.metrics.replication),
            // It stays in the core.
            Effect::Publish(_) => {}
        }
    }

    fn work(&self, work: Effect, lost: Input) {
        let message = ReplicatorMessage::Work(Box::new(work), self.report(lost));
        let _ = self.arguments.actors.replicator.cast(message);
    }
}

/// The region holds this.
fn adopt(arguments: &CoreArguments, catalogue: Arc<Catalogue>, digest: Option<Digest>) {
    let versions = i64::try_from(catalogue.versions.len()).unwrap_or(i64::MAX);
    arguments.metrics.replication.versions.set(versions);

    arguments.pages.set(catalogue.clone(), digest);
    arguments.snapshots.catalogue.send_replace(catalogue);
}

/// Another region holds this.
fn learn(arguments: &CoreArguments, region: RegionName, digest: Digest, catalogue: Arc<Catalogue>) {
    let pages = &arguments.pages;
    pages.learn(region.clone(), digest, catalogue.clone());
    arguments.snapshots.peer_catalogues.send_modify(|known| {
        Arc::make_mut(known).insert(region, catalogue);
    });
}
