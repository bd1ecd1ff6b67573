//! The compared ways to run the platform.

use super::platform::REGIONS;
use serde::Serialize;

/// The regions of a strategy, as indices; of a standby pair, the serving one first.
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
    /// One region with on-demand nodes for the busiest ten minutes, known in hindsight, plus
    /// headroom.
    Peak,
    /// One region, on demand; nodes follow the load.
    Autoscaled,
    /// One region with commitments and spot nodes; nodes follow the load.
    AutoscaledMixed,
    /// A serving region and a hot standby of the same size, on demand, both sized for the peak.
    StandbyPeak,
    /// A serving region and a hot standby of the same size with commitments and spot nodes; nodes
    /// follow the load.
    StandbyMixed,
    /// Two serving regions with commitments and spot nodes; nodes follow the load.
    PairMixed,
    /// A mesh of three regions that can lose any of them, with commitments and spot nodes.
    Mesh,
    /// A mesh of three regions without capacity for the loss of one.
    MeshWithoutReserve,
}

impl Strategy {
    /// All strategies in the order of the table.
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

    /// The title in tables.
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

    /// Regions that it can run in, those with the most callers first.
    pub(super) fn choices(self) -> &'static [RegionChoice] {
        match self {
            Self::Peak | Self::Autoscaled | Self::AutoscaledMixed => &ONE,
            Self::StandbyPeak | Self::StandbyMixed => &SERVING_AND_STANDBY,
            Self::PairMixed => &TWO,
            Self::Mesh | Self::MeshWithoutReserve => &ALL,
        }
    }

    /// Whether nodes follow the load.
    pub(super) fn is_autoscaled(self) -> bool {
        !matches!(self, Self::Peak | Self::StandbyPeak)
    }

    /// Whether commitments and spot nodes are used.
    pub(super) fn is_mixed(self) -> bool {
        !matches!(self, Self::Peak | Self::Autoscaled | Self::StandbyPeak)
    }

    /// Whether the other regions can take all requests after the loss of one.
    pub(super) fn survives(self) -> bool {
        matches!(
            self,
            Self::StandbyPeak | Self::StandbyMixed | Self::PairMixed | Self::Mesh
        )
    }

    /// Whether the first region answers all requests while it can.
    pub(super) fn has_standby(self) -> bool {
        matches!(self, Self::StandbyPeak | Self::StandbyMixed)
    }
}
