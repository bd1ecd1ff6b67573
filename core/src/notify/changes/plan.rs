//! Committed plans.

use super::{ChangeDetector, quoted, stamp};
use crate::notify::alert::MeshAlert;
use regionmesh_protocol::{
    event::{Event, EventKind, Severity},
    identity::RegionName,
    plan::{CommittedPlan, Plan, RegionPlan, Shortfall, TrafficState},
};

impl ChangeDetector {
    /// Takes in the last committed plan, changed or not.
    pub fn plan(&mut self, committed: &CommittedPlan, now_ms: u64) -> Vec<Event> {
        let known = self.plan.as_ref();
        if known.is_some_and(|known| known.stamp >= committed.stamp) {
            return Vec::new();
        }

        let before = self.plan.replace(committed.clone());
        let before = before.as_ref().map(|before| &before.plan);
        let plan = &committed.plan;

        let mut events = vec![event(committed, before)];
        self.capacity(plan.shortfall, plan.made_ms, now_ms);
        events.extend(self.yielded(committed, before, now_ms));
        self.all_failed(plan, now_ms);

        if let Some(before) = before {
            for (name, part) in &plan.regions {
                let was = before.regions.get(name).map(|part| &part.traffic_state);
                events.extend(self.climb(committed, name, was, part, now_ms));
            }
        }

        events
    }

    /// Raises or ends the alert about load that the plan could not move.
    fn capacity(&mut self, shortfall: Option<Shortfall>, made_ms: u64, now_ms: u64) {
        let alert = MeshAlert::CapacityShort;
        let Some(short) = shortfall else {
            return self.book.end(alert.name(), now_ms, |_| true);
        };

        let summary = alert.row().summary.to_owned();
        let description = format!(
            "{} of {} requests/s stay in regions that should have lost them",
            short.unmoved_rps, short.load_rps
        );

        self.raise(EventKind::Plan, alert, &[], summary, &description, made_ms);
    }
}

fn event(committed: &CommittedPlan, before: Option<&Plan>) -> Event {
    let CommittedPlan {
        stamp: at, plan, ..
    } = committed;
    let is_worse =
        plan.shortfall.is_some() || before.is_some_and(|before| takes_traffic(before, plan));
    let severity = if is_worse {
        Severity::Warning
    } else {
        Severity::Info
    };

    Event {
        id: format!("plan:{}", stamp(committed)),
        kind: EventKind::Plan,
        severity,
        time_ms: plan.made_ms,
        region: None,
        fields: [
            ("seq", at.seq.to_string()),
            ("ballot", at.ballot.number.to_string()),
            ("leader", at.ballot.agent.to_string()),
            ("shares", shares(plan)),
        ]
        .into(),
        text: quoted(&format!("plan #{} is committed: {}", at.seq, plan.reason)),
        reported_by: None,
    }
}

/// Whether a region loses all of its traffic, or failed and could not lose it.
fn takes_traffic(before: &Plan, plan: &Plan) -> bool {
    let loses = |(name, part): (&RegionName, &RegionPlan)| {
        let last = before.regions.get(name);
        let had_traffic = last.is_some_and(|last| last.weight_bp > 0);
        let is_limited = matches!(part.traffic_state, TrafficState::Limited { .. });

        (had_traffic && part.weight_bp == 0) || is_limited
    };

    plan.regions.iter().any(loses)
}

/// Each region's share, for one line of text.
fn shares(plan: &Plan) -> String {
    let shares = plan
        .shares()
        .into_iter()
        .map(|(region, share)| format!("{region} {:.1} %", share * 100.0));
    shares.collect::<Vec<_>>().join(", ")
}
