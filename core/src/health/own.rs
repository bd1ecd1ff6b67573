//! What this agent observes and reports of itself.

use super::{Health, endpoint::EndpointTracker, judge::Report, types::Effect, verdict::majority};
use crate::{now::Now, planning::freeze::OwnView};
use regionmesh_protocol::{
    identity::RegionName,
    status::{
        Observations, StatusEntry,
        condition::{Condition, Observation},
    },
};
use std::{collections::BTreeMap, sync::Arc};

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
                is_definite: tracker.is_definite(),
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

        let regions = if self.role.is_observing() {
            self.trackers.iter().map(observe).collect()
        } else {
            Vec::new()
        };

        Observations {
            regions,
            own: self.own_report(),
            own_address: self.own_address,
        }
    }

    pub(super) fn publish(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.published = Some(now.monotonic);
        let status_entry = StatusEntry::Observations(self.observations());
        out.push(Effect::Publish(Box::new(status_entry)));
    }

    /// Recomputes the own view.
    pub(super) fn view(&mut self, now: Now, out: &mut Vec<Effect>) {
        let view = |(region, tracker): (&RegionName, &EndpointTracker)| {
            let concluded = OwnView {
                condition: tracker.condition(),
                is_definite: tracker.is_definite(),
            };
            let is_unknown = concluded.condition == Condition::Unknown;
            let view = if is_unknown && !self.is_abstaining {
                self.view_of_observers(region, now)
            } else {
                concluded
            };

            (region.clone(), view)
        };

        let view: BTreeMap<RegionName, OwnView> = self.trackers.iter().map(view).collect();
        if *self.own_view != view {
            self.own_view = Arc::new(view);
            out.push(Effect::OwnView(self.own_view.clone()));
        }
    }

    /// What the observers of our region see of `region`.
    fn view_of_observers(&self, region: &RegionName, now: Now) -> OwnView {
        let agents = self.role.chosen().iter();
        let seen: Vec<&Observation> = agents
            .filter(|agent| **agent != self.settings.id)
            .filter_map(|agent| Report::of(agent, self.board.agents.get(agent)?, now.monotonic))
            .filter(|report| report.is_fresh)
            .filter_map(|report| report.seen(region))
            .filter(|seen| seen.condition != Condition::Unknown)
            .collect();

        let condition = majority(seen.iter().map(|seen| seen.condition));
        let definite = seen.iter().filter(|seen| seen.is_definite).count();
        OwnView {
            condition,
            is_definite: condition == Condition::Failed && definite * 2 > seen.len(),
        }
    }
}
