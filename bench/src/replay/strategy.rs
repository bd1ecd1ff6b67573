//! The ways of running the platform that are compared.

use super::scenario::REGIONS;
use serde::Serialize;

/// The regions of a strategy, by their places in the list of regions; of a standby pair, the one
/// that serves first.
pub(super) type RegionChoice = &'static [usize];

const ONE: [RegionChoice; REGIONS.len()] = [&[0], &[1], &[2]];
const TWO: [RegionChoice; 3] = [&[0, 1], &[0, 2], &[1, 2]];
const SERVING_AND_STANDBY: [RegionChoice; 6] =
    [&[0, 1], &[0, 2], &[1, 0], &[1, 2], &[2, 0], &[2, 1]];
const ALL: [RegionChoice; 1] = [&[0, 1, 2]];

/// A way of running the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// One region, on demand, all the time as many nodes as the busiest ten minutes need, known in
    /// hindsight, with headroom.
    Peak,
    /// One region, on demand; nodes follow the load.
    Autoscaled,
    /// The same with commitments and spot nodes.
    AutoscaledMixed,
    /// A region that serves and one that stands by with as many nodes, on demand, both sized for
    /// the peak.
    StandbyPeak,
    /// A region that serves and one that stands by with as many nodes, which follow the load, with
    /// commitments and spot nodes.
    StandbyMixed,
    /// The same, but both regions serve.
    PairMixed,
    /// A mesh of three regions that can lose any of them, with commitments and spot nodes.
    Mesh,
    /// A mesh of three regions without capacity for the loss of one.
    MeshWithoutReserve,
}

impl Strategy {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 8] = [
        Self::Peak,
        Self::Autoscaled,
        Self::AutoscaledMixed,
        Self::StandbyPeak,
        Self::StandbyMixed,
        Self::PairMixed,
        Self::Mesh,
        Self::MeshWithoutReserve,
    ];

    /// What a table calls it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Peak => "one region at its peak, on demand",
            Self::Autoscaled => "one region autoscaled, on demand",
            Self::AutoscaledMixed => "one region autoscaled, reserved + spot",
            Self::StandbyPeak => "hot standby at its peak, on demand",
            Self::StandbyMixed => "hot standby autoscaled, reserved + spot",
            Self::PairMixed => "active pair autoscaled, reserved + spot",
            Self::Mesh => "mesh that survives the loss of a region",
            Self::MeshWithoutReserve => "mesh without that reserve",
        }
    }

    /// Where it can be run. First comes where most callers are, then where the next most are: what
    /// can be known beforehand.
    pub(super) fn choices(self) -> &'static [RegionChoice] {
        match self {
            Self::Peak | Self::Autoscaled | Self::AutoscaledMixed => &ONE,
            Self::StandbyPeak | Self::StandbyMixed => &SERVING_AND_STANDBY,
            Self::PairMixed => &TWO,
            Self::Mesh | Self::MeshWithoutReserve => &ALL,
        }
    }

    /// Whether nodes follow the load.
    pub(super) fn follows(self) -> bool {
        !matches!(self, Self::Peak | Self::StandbyPeak)
    }

    /// Whether commitments and spot nodes are used.
    pub(super) fn is_mixed(self) -> bool {
        !matches!(self, Self::Peak | Self::Autoscaled | Self::StandbyPeak)
    }

    /// Whether the others can take all when a region is lost.
    pub(super) fn survives(self) -> bool {
        matches!(
            self,
            Self::StandbyPeak | Self::StandbyMixed | Self::PairMixed | Self::Mesh
        )
    }

    /// Whether the first region answers everything as long as it can.
    pub(super) fn has_standby(self) -> bool {
        matches!(self, Self::StandbyPeak | Self::StandbyMixed)
    }
}
