//! What the part decides.

use super::{input::Cleaned, plan::SyncAction};
use crate::problem_change::ProblemChange;
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    models::{
        catalogue::{Catalogue, Tombstone},
        digest::Digest,
        manifest::VersionSummary,
    },
    status::StatusEntry,
};
use std::{sync::Arc, time::Instant};

/// What to do.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Read the region's store.
    Scan,
    /// Read the catalogue of `region` that has this digest, or a newer one.
    ReadCatalogue {
        region: RegionName,
        digest: Digest,
        /// Agents of our own region that may know it, asked first.
        through: Vec<AgentId>,
        /// The agent that published it, or else any of its region; none: not to be asked.
        from: Option<AgentId>,
    },
    /// Apply deletions, renames and aliases to the store in this order, up to the first failure.
    Converge(Vec<SyncAction>),
    /// Fetch a version from these agents: the first list first, see
    /// [`Routes::sources`](super::Routes::sources).
    Fetch {
        version: VersionSummary,
        sources: Vec<Vec<AgentId>>,
        missing_since: Instant,
    },
    /// Remove what crashed writers left in the store, and the remains of these deletions.
    CleanUp(Vec<Tombstone>),
    /// Find which of these versions lost files.
    FindLosses(Vec<VersionSummary>),
    /// A version that was held before has its files again.
    Replaced(VersionSummary),
    /// The region's catalogue changed, or was read for the first time. `digest` is none where it is
    /// too large to be published.
    OwnCatalogue {
        catalogue: Arc<Catalogue>,
        digest: Option<Digest>,
    },
    /// Another region's catalogue is this, with this digest.
    PeerCatalogue(RegionName, Digest, Arc<Catalogue>),
    /// The catalogues of all live regions, or as many as another region could read, were read.
    HasCatalogues,
    /// Publish this entry.
    Publish(Box<StatusEntry>),
    Problem(ProblemChange),
    /// Something to log or to count.
    Notice(Notice),
}

/// Something to log or to count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// What the region lacks.
    Lag {
        /// Live regions with an unknown catalogue.
        unknown: usize,
        /// Missing versions.
        missing: usize,
        /// How long the oldest of both has been so.
        lag_ms: u64,
    },
    /// The store can't be read; the last known catalogue stays in use.
    StoreUnreadable(String),
    /// Reading a region's catalogue failed; it is tried again.
    CatalogueUnread { region: RegionName, why: String },
    /// A region's catalogue has been unknown for too long.
    CatalogueUnknown { region: RegionName, why: String },
    /// A deletion, rename or alias could not be applied; it is tried again.
    ConvergeFailed(String),
    /// A fetch failed; it is tried again.
    FetchFailed {
        version: VersionSummary,
        why: String,
        /// Failures since the last notice.
        left_out: u64,
    },
    /// It will be cheaper to fetch a version from `relay`.
    WaitingForRelay {
        version: VersionSummary,
        relay: RegionName,
    },
    /// No longer waiting for `relay`.
    WaitedForRelay {
        version: VersionSummary,
        relay: RegionName,
        /// Whether the relay holds the version now.
        is_relayed: bool,
    },
    /// The store was cleaned up.
    CleanedUp(Cleaned),
    /// Cleaning up the store failed; it is tried again.
    CleanUpFailed(String),
    /// The files in the store could not be listed.
    ListingFailed(String),
    /// Files of a version are missing from the store.
    FilesLost {
        version: VersionSummary,
        /// Whether they are fetched again; otherwise no reachable region holds the version.
        is_fetched: bool,
    },
}
