//! When a recovering region will have its full share, if it stays healthy and nothing else happens.

use crate::recovery::ramp::RecoveryPolicy;
use regionmesh_protocol::plan::{RegionPlan, TrafficState};

/// A region's way back, by the leader's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forecast {
    /// When its cool-down ends and its ramp begins, Unix milliseconds; none while it is on the
    /// ramp.
    pub ramp_ms: Option<u64>,
    /// When it has its full share, Unix milliseconds.
    pub full_ms: u64,
}

/// The earliest times; a region waits longer for missing models, for requests, or for another
/// region on the ramp. None if the region is not recovering.
pub fn forecast(region: &RegionPlan, recovery: &RecoveryPolicy, ttl_ms: u64) -> Option<Forecast> {
    let climb_ms = |from: usize, doublings: u8| {
        let hold =
            |step: usize| recovery.hold_for(step, if step == from { doublings } else { 0 }, ttl_ms);
        (from..recovery.steps.len())
            .map(hold)
            .fold(0u64, u64::saturating_add)
    };

    match region.traffic_state {
        TrafficState::CoolingDown { since_ms }
        | TrafficState::Limited {
            healthy_ms: Some(since_ms),
            ..
        } => {
            let ramp_ms = since_ms.saturating_add(recovery.cool_down_for(region.flaps));
            Some(Forecast {
                ramp_ms: Some(ramp_ms),
                full_ms: ramp_ms.saturating_add(climb_ms(0, 0)),
            })
        }
        TrafficState::Ramping { step, since_ms } => {
            let full_ms = since_ms.saturating_add(climb_ms(step, region.hold_doublings));
            Some(Forecast {
                ramp_ms: None,
                full_ms,
            })
        }
        TrafficState::Serving
        | TrafficState::Reduced
        | TrafficState::Out { .. }
        | TrafficState::Limited { .. } => None,
    }
}

#[cfg(test)]
mod tests;
