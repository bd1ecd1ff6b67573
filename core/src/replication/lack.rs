//! What a region lacks, computed when a catalogue changed: it takes time in all that is held.

use super::{
    offers::{Offer, offers},
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
    pub(super) wanted: Vec<Wanted>,
}

/// A version to fetch.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) version: VersionSummary,
    /// The regions that hold its content.
    pub(super) holders: Vec<RegionName>,
    pub(super) offers: Vec<Offer>,
}

impl Lack {
    pub(super) fn new(own: &Arc<Catalogue>, peers: &Peers) -> Self {
        let mut actions = Vec::new();
        let mut wanted = Vec::new();
        let catalogues = peers.catalogues();
        let held: Vec<_> = catalogues
            .iter()
            .map(|(region, peer)| (region, peer.by_name()))
            .collect();

        for action in plan_sync(own, &catalogues) {
            match action {
                SyncAction::Fetch { version, regions } => {
                    let named = held.iter().filter_map(|(region, versions)| {
                        let held = versions.get(&(&version.model, &version.version))?;
                        (held.content == version.content).then_some((*region, *held))
                    });
                    wanted.push(Wanted {
                        offers: offers(named),
                        version,
                        holders: regions,
                    });
                }
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
