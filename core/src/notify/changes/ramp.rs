//! What a plan says of the way back of one region: steps forward, steps back, the end of it.

use super::{ChangeDetector, quoted, stamp};
use crate::notify::alert::MeshAlert;
use regionmesh_protocol::{
    event::{Event, EventKind, Severity},
    identity::RegionName,
    plan::{CommittedPlan, RegionPlan, TrafficState},
};

/// One move on the ramp.
enum Move {
    Forward(u8),
    Done,
    Back(u8),
}

impl ChangeDetector {
    /// One region's move on the ramp between two plans, if any. The alert about a region that was
    /// sent back stays active until the region steps forward or serves.
    pub(super) fn climb(
        &mut self,
        committed: &CommittedPlan,
        region: &RegionName,
        before: Option<&TrafficState>,
        after: &RegionPlan,
        now_ms: u64,
    ) -> Option<Event> {
        let step = match self.ramp_move(before?, &after.traffic_state) {
            Some(step) => step,
            None => {
                // An order may have let it back without a ramp.
                if after.traffic_state == TrafficState::Serving {
                    self.end_rollback(region, now_ms);
                }
                return None;
            }
        };

        let (severity, to, percent, text) = match step {
            Move::Forward(percent) => (
                Severity::Info,
                "forward",
                percent,
                format!("{region} ramps up to {percent} % of its share"),
            ),
            Move::Done => (
                Severity::Info,
                "done",
                100,
                format!("{region} has its full share again"),
            ),
            Move::Back(percent) => (
                Severity::Warning,
                "back",
                percent,
                format!("{region} was sent back to {percent} % of its share"),
            ),
        };

        if severity == Severity::Info {
            self.end_rollback(region, now_ms);
        } else {
            let about = [("region", region.as_str())];
            let why = &committed.plan.reason;
            let made_ms = committed.plan.made_ms;

            self.raise(
                EventKind::Ramp,
                MeshAlert::RampRolledBack,
                &about,
                text.clone(),
                why,
                made_ms,
            );
        }

        Some(Event {
            id: format!("ramp:{region}:{}", stamp(committed)),
            kind: EventKind::Ramp,
            severity,
            time_ms: committed.plan.made_ms,
            region: Some(region.clone()),
            fields: [("move", to.to_owned()), ("percent", percent.to_string())].into(),
            text: quoted(&format!("{text}: {}", committed.plan.reason)),
            reported_by: None,
        })
    }

    fn ramp_move(&self, before: &TrafficState, after: &TrafficState) -> Option<Move> {
        match (before, after) {
            (
                TrafficState::Ramping {
                    step: before,
                    since_ms: began,
                },
                TrafficState::Ramping { step, since_ms },
            ) => {
                let percent = self.recovery.percent_at(*step);
                if step > before {
                    Some(Move::Forward(percent))
                } else {
                    // Back by one step, or held again on the first.
                    (step < before || since_ms != began).then_some(Move::Back(percent))
                }
            }
            (TrafficState::Ramping { .. }, TrafficState::Serving) => Some(Move::Done),
            (
                TrafficState::Ramping { .. },
                TrafficState::Out { .. }
                | TrafficState::CoolingDown { .. }
                | TrafficState::Limited { .. },
            ) => Some(Move::Back(0)),
            (_, TrafficState::Ramping { step, .. }) => {
                Some(Move::Forward(self.recovery.percent_at(*step)))
            }
            _ => None,
        }
    }

    fn end_rollback(&mut self, region: &RegionName, now_ms: u64) {
        self.book
            .end(MeshAlert::RampRolledBack.name(), now_ms, |labels| {
                labels["region"] == region.as_str()
            });
    }
}
