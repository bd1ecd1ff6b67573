//! What an agent remembers to judge plans by.

use regionmesh_protocol::{identity::RegionName, register::ballot::Stamp};
use std::{collections::BTreeMap, time::Instant};

/// What this agent judges by, apart from the present verdicts.
#[derive(Debug, Default)]
pub(super) struct Sightings {
    /// When the verdict on a region was last that it is not healthy.
    pub(super) unwell: BTreeMap<RegionName, Instant>,
    /// When this agent's own probes last said so.
    pub(super) doubted: BTreeMap<RegionName, Instant>,
    /// When it last appeared not to be down.
    pub(super) not_down: BTreeMap<RegionName, Instant>,
    /// Orders that committed plans named, by their nonces.
    pub(super) used: BTreeMap<[u8; 16], Used>,
}

/// An order that was used.
#[derive(Debug)]
pub(super) struct Used {
    /// The first plan known to name it.
    pub(super) by: Stamp,
    /// Until when it is recent, Unix milliseconds.
    pub(super) until_ms: u64,
}
