//! What the part learns.

use crate::{gateways::Gateways, gossip::BoardView};
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    models::{
        catalogue::{Catalogue, Tombstone},
        digest::Digest,
        manifest::VersionSummary,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

/// What happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// Something may be due: every half second.
    Tick,
    Board(Arc<BoardView>),
    /// The connected agents, and the round trip to each, microseconds.
    Links(Arc<BTreeMap<AgentId, u64>>),
    /// Who does the region's work.
    Gateways(Arc<Gateways>),
    Routes(Arc<dyn Routes>),
    /// Whether the plan can be acted on.
    Current(bool),
    /// Whether a write of this agent left files behind, and the store is available for a clean-up.
    Leftovers(bool),
    /// This agent wrote to the store. Comes before the end of the task that wrote.
    StoreChanged,
    /// Answers [`Effect::Scan`](super::Effect::Scan).
    Scanned(Result<Scan, String>),
    /// Answers [`Effect::ReadCatalogue`](super::Effect::ReadCatalogue). The digest is that of the
    /// catalogue that was read: it may have changed since it was announced.
    PeerCatalogue(RegionName, Result<(Digest, Arc<Catalogue>), String>),
    /// Answers [`Effect::Converge`](super::Effect::Converge).
    ConvergeEnded(Result<(), String>),
    /// Answers [`Effect::Fetch`](super::Effect::Fetch).
    FetchEnded(VersionSummary, Result<(), String>),
    /// Answers [`Effect::CleanUp`](super::Effect::CleanUp).
    Cleaned(Result<Cleaned, String>),
    /// Answers [`Effect::FindLosses`](super::Effect::FindLosses).
    LossesFound(Result<Vec<VersionSummary>, String>),
}

/// The result of a scan of the region's store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scan {
    /// All that the region holds, in normal form.
    pub catalogue: Catalogue,
    /// Recorded deletions that are not complete.
    pub unfinished: Vec<Tombstone>,
}

/// What a clean-up removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Versions with a recorded deletion.
    pub deletions: usize,
    /// Uncommitted versions of crashed writers.
    pub abandoned: usize,
    /// Abandoned multipart uploads.
    pub uploads: usize,
}

/// Ranks sources by what bytes cost from there. Prices and rules are in regionmesh-cost, which core
/// does not import.
pub trait Routes: fmt::Debug + Send + Sync {
    /// The connected agents of `holders`, the regions that hold a version: the cheapest first, each
    /// list of equal price. `links` are the round trips to the connected agents, microseconds.
    fn sources(
        &self,
        unix_ms: u64,
        holders: &[RegionName],
        links: &BTreeMap<AgentId, u64>,
    ) -> Vec<Vec<AgentId>>;

    /// The region of `lacking`, which are about to hold a version, from which it will be cheaper to
    /// fetch than from `holders`; none if waiting saves nothing. No two regions that know the same
    /// wait for each other.
    fn relay(
        &self,
        unix_ms: u64,
        board: &BoardView,
        holders: &[RegionName],
        lacking: &BTreeSet<RegionName>,
    ) -> Option<RegionName>;
}
