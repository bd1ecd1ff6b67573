//! Orders that yield, and a mesh whose regions all failed.

use super::{ChangeDetector, quoted, stamp};
use crate::notify::alert::MeshAlert;
use regionmesh_protocol::{
    event::{Event, EventKind, Severity},
    identity::RegionName,
    plan::{CommittedPlan, Override, Plan, YieldedOrder},
};
use std::collections::BTreeSet;

impl ChangeDetector {
    /// Orders that begin to yield, and those that take effect again.
    pub(super) fn yielded(
        &mut self,
        committed: &CommittedPlan,
        before: Option<&Plan>,
        now_ms: u64,
    ) -> Vec<Event> {
        let plan = &committed.plan;
        let mut events = Vec::new();
        let mut active = BTreeSet::new();

        for yielded in &plan.yielded {
            let Some(order) = plan.override_of(yielded.order.as_ref()) else {
                continue;
            };

            let kind = order.kind.to_string();
            active.insert((kind, yielded.region.to_string()));
            let event = self.yields(committed, order, yielded);
            if !before.is_some_and(|before| has(before, yielded)) {
                events.push(event);
            }
        }

        if let Some(before) = before {
            events.extend(in_effect_again(committed, before));
        }

        self.book
            .end(MeshAlert::OrderYielded.name(), now_ms, |labels| {
                !active.contains(&(labels["order"].clone(), labels["region"].clone()))
            });

        events
    }

    /// Raises the alert of an order that yields; returns the event of its beginning.
    fn yields(
        &mut self,
        committed: &CommittedPlan,
        order: &Override,
        yielded: &YieldedOrder,
    ) -> Event {
        let region = &yielded.region;
        let about = [("order", order.kind.as_str()), ("region", region.as_str())];
        let summary = format!(
            "{order} has no effect for {region}: users would be left on a region that can't serve"
        );

        self.raise(
            EventKind::Plan,
            MeshAlert::OrderYielded,
            &about,
            summary.clone(),
            &committed.plan.reason,
            yielded.since_ms,
        );

        let severity = Severity::Warning;
        event(committed, order, region, "yields", severity, &summary)
    }

    /// Raises or ends the alert that every region failed.
    pub(super) fn all_failed(&mut self, plan: &Plan, now_ms: u64) {
        let Some(since_ms) = plan.all_failed_ms else {
            return self
                .book
                .end(MeshAlert::AllRegionsFailed.name(), now_ms, |_| true);
        };
        let summary = "the verdict on every region is failed: the last shares stay".to_owned();

        self.raise(
            EventKind::Plan,
            MeshAlert::AllRegionsFailed,
            &[],
            summary,
            &plan.reason,
            since_ms,
        );
    }
}

/// The events of orders that yielded in `before` and no longer do.
fn in_effect_again(committed: &CommittedPlan, before: &Plan) -> Vec<Event> {
    let plan = &committed.plan;
    let mut events = Vec::new();
    for yielded in before.yielded.iter().filter(|yielded| !has(plan, yielded)) {
        let Some(order) = before.override_of(yielded.order.as_ref()) else {
            continue;
        };

        let is_over = plan.override_of(yielded.order.as_ref()).is_none();
        let text = if is_over {
            format!("{order} ended")
        } else {
            format!("{order} takes effect again")
        };

        let severity = Severity::Info;
        let region = &yielded.region;
        events.push(event(committed, order, region, "stands", severity, &text));
    }

    events
}

fn has(plan: &Plan, one: &YieldedOrder) -> bool {
    plan.yielded
        .iter()
        .any(|other| other.order == one.order && other.region == one.region)
}

fn event(
    committed: &CommittedPlan,
    order: &Override,
    region: &RegionName,
    to: &str,
    severity: Severity,
    text: &str,
) -> Event {
    Event {
        id: format!("order-{to}:{}:{region}:{}", order.kind, stamp(committed)),
        kind: EventKind::Plan,
        severity,
        time_ms: committed.plan.made_ms,
        region: Some(region.clone()),
        fields: [
            ("order", order.kind.to_string()),
            ("by", order.by.clone()),
            ("move", to.to_owned()),
        ]
        .into(),
        text: quoted(text),
        reported_by: None,
    }
}
