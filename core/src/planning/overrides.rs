//! The overrides that concern one region.

use super::RegionInput;
use regionmesh_protocol::{
    identity::RegionName,
    plan::{Override, OverrideKind, YieldedOrder},
    status::condition::Condition,
};

/// The overrides that concern one region.
#[derive(Debug, Clone, Copy)]
pub(super) struct Orders<'a> {
    /// For this region.
    pub(super) own: Option<&'a Override>,
    /// For the whole mesh: a hold.
    pub(super) mesh: Option<&'a Override>,
}

impl<'a> Orders<'a> {
    pub(super) fn of(overrides: &'a [Override], region: &RegionName) -> Self {
        let find = |of: Option<&RegionName>| {
            overrides
                .iter()
                .find(|existing| existing.region.as_ref() == of)
        };

        Self {
            own: find(Some(region)),
            mesh: find(None),
        }
    }

    /// The overrides that don't yield for this region.
    pub(super) fn in_effect(
        overrides: &'a [Override],
        yielded: &[YieldedOrder],
        region: &RegionName,
    ) -> Self {
        let all = Self::of(overrides, region);
        let is_in_effect = |order: &&Override| {
            !yielded
                .iter()
                .any(|yielded| yielded.region == *region && yielded.order == order.region)
        };

        Self {
            own: all.own.filter(is_in_effect),
            mesh: all.mesh.filter(is_in_effect),
        }
    }

    pub(super) fn own(&self, kind: OverrideKind) -> Option<&'a Override> {
        self.own.filter(|own| own.kind == kind)
    }

    /// The hold that keeps automation from this region.
    pub(super) fn hold(&self) -> Option<&'a Override> {
        self.own(OverrideKind::Hold).or(self.mesh)
    }

    /// The verdict that automation acts on: draining for a drained region, unknown for a held one.
    pub(super) fn condition(&self, input: &RegionInput) -> Condition {
        if self.own(OverrideKind::Drain).is_some() {
            Condition::Draining
        } else if self.hold().is_some() {
            Condition::Unknown
        } else {
            input.condition
        }
    }

    /// The promotion of the region, unless it failed or drains.
    pub(super) fn promotion(&self, input: &RegionInput) -> Option<&'a Override> {
        let is_fit = !matches!(
            self.condition(input),
            Condition::Failed | Condition::Draining
        );
        self.own(OverrideKind::Promote).filter(|_| is_fit)
    }
}
