//! The stages in which the fleet changes.

use super::{
    input::{CommittedOffer, RegionOffer},
    outcome::NodeCounts,
    recommendation::RecommendationKind,
};
use strum::VariantArray;

/// A stage with more freedom than the previous one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantArray)]
pub(super) enum Stage {
    Scale,
    Shift,
    Region,
    Spot,
    Commit,
}

impl Stage {
    pub(super) const ALL: &'static [Self] = Self::VARIANTS;

    pub(super) fn kind(self) -> RecommendationKind {
        match self {
            Self::Scale => RecommendationKind::Scale,
            Self::Shift => RecommendationKind::Shift,
            Self::Region => RecommendationKind::Region,
            Self::Spot | Self::Commit => RecommendationKind::Purchase,
        }
    }

    pub(super) fn subject(self) -> &'static str {
        match self {
            Self::Scale => "nodes",
            Self::Shift => "weights",
            Self::Region => "regions",
            Self::Spot => "spot",
            Self::Commit => "commitments",
        }
    }

    /// The most nodes of a region that has `now`.
    pub(super) fn limit(self, offer: &mut RegionOffer, now: NodeCounts, steady_share: f64) {
        let may_commit = self == Self::Commit;
        if matches!(self, Self::Scale | Self::Shift) {
            offer.on_demand.nodes_max = now.on_demand;
        } else {
            offer.on_demand.nodes_max = offer.on_demand.nodes_max.max(now.on_demand);
        }

        if let Some(spot) = &mut offer.spot {
            let is_free = matches!(self, Self::Spot | Self::Commit);
            spot.nodes_max = if is_free {
                spot.nodes_max.max(now.spot)
            } else {
                now.spot
            };
        }

        if let Some(CommittedOffer {
            new_nodes_max,
            paid_nodes,
            ..
        }) = &mut offer.committed
        {
            let steady = (f64::from(now.total()) * steady_share).floor() as u32;
            let more = steady.saturating_sub(now.committed).min(*new_nodes_max);
            (*paid_nodes, *new_nodes_max) = (now.committed, if may_commit { more } else { 0 });
        }
    }
}
