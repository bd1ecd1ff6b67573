//! What a region lacks, computed when a catalogue changed: it takes time in all that is held.

use super::{
    peers::Peers,
    plan::{SyncAction, plan_sync},
};
use regionmesh_protocol::{
    identity::RegionName,
    models::{catalogue::Catalogue, manifest::VersionSummary},
};
use std::sync::Arc;

/// What the region's store lacks of what the other regions hold.
#[derive(Debug)]
pub(super) struct Lack {
    own: Arc<Catalogue>,
    /// Of the peers' catalogues, when it was computed.
    changes: u64,
    pub(super) actions: Vec<SyncAction>,
    /// The versions to fetch, and who holds them.
    pub(super) wanted: Vec<(VersionSummary, Vec<RegionName>)>,
}

impl Lack {
    pub(super) fn new(own: &Arc<Catalogue>, peers: &Peers) -> Self {
        let mut actions = Vec::new();
        let mut wanted = Vec::new();
        for action in plan_sync(own, &peers.catalogues()) {
            match action {
                SyncAction::Fetch { version, regions } => wanted.push((version, regions)),
                other => actions.push(other),
            }
        }

        Self {
            own: own.clone(),
            changes: peers.changes,
            actions,
            wanted,
        }
    }

    pub(super) fn is_of(&self, own: &Arc<Catalogue>, changes: u64) -> bool {
        Arc::ptr_eq(&self.own, own) && self.changes == changes
    }
}
