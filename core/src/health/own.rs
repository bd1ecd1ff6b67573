//! What this agent observes and reports of itself.

use super::{Health, endpoint::EndpointTracker, types::Effect};
use crate::{now::Now, planning::freeze::OwnView};
use regionmesh_protocol::{
    identity::RegionName,
    status::{
        Observations, StatusEntry,
        condition::{Condition, Observation},
    },
};
use std::sync::Arc;

/// The evidence of every observation while this agent abstains.
const ABSTAINS: &str = "abstains: no canary can be reached";

impl Health {
    /// This agent's report of its own region. None until its serving was ready once: a start is no
    /// failure, and an agent may never reach its region's public address from inside.
    pub(super) fn own_report(&self) -> Option<Condition> {
        if self.is_draining {
            return Some(Condition::Draining);
        }

        let (has_succeeded, condition) = match &self.own_readiness {
            Some(tracker) => (tracker.has_succeeded(), tracker.condition()),
            None => {
                let tracker = self.trackers.get(&self.settings.id.region)?;
                (tracker.has_succeeded(), tracker.condition())
            }
        };

        has_succeeded.then_some(match condition {
            Condition::Failed => Condition::Failed,
            _ => Condition::Healthy,
        })
    }

    pub(super) fn observations(&self) -> Observations {
        let observe = |(region, tracker): (&RegionName, &EndpointTracker)| {
            self.shift.by_wall_clock(Observation {
                region: region.clone(),
                condition: tracker.condition(),
                evidence: if self.is_abstaining {
                    ABSTAINS.into()
                } else {
                    tracker.evidence()
                },
                since_ms: tracker.since_ms(),
                round_trip_us: tracker.round_trip_us(),
                addresses: if self.is_abstaining {
                    Vec::new()
                } else {
                    tracker.observations()
                },
            })
        };

        Observations {
            regions: self.trackers.iter().map(observe).collect(),
            own: self.own_report(),
            own_address: self.own_address,
        }
    }

    pub(super) fn publish(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.published = Some(now.monotonic);
        let view = |(region, tracker): (&RegionName, &EndpointTracker)| {
            (
                region.clone(),
                OwnView {
                    condition: tracker.condition(),
                    is_definite: tracker.is_definite(),
                },
            )
        };

        let view = self.trackers.iter().map(view).collect();
        out.push(Effect::OwnView(Arc::new(view)));

        let status_entry = StatusEntry::Observations(self.observations());
        out.push(Effect::Publish(Box::new(status_entry)));
    }
}
