//! What a plan says of orders that yield, and of a mesh whose regions all failed.

use super::{Journal, quoted, stamp};
use crate::notify::alert::MeshAlert;
use regionmesh_protocol::{
    event::{Event, EventKind, Severity},
    identity::RegionName,
    plan::{CommittedPlan, Override, Plan, YieldedOrder},
};
use std::collections::BTreeSet;

impl Journal {
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
            let kind = order.kind.as_str();
            let region = yielded.region.as_str();
            let about = [("order", kind), ("region", region)];

            active.insert((kind.to_owned(), region.to_owned()));
            let summary = format!(
                "{order} has no effect for {region}: users would be left on a region that can't \
                    serve"
            );
            let was = before.is_some_and(|before| has(before, yielded));
            let alert = MeshAlert::OrderYielded;
            let since_ms = yielded.since_ms;

            self.raise(
                EventKind::Plan,
                alert,
                &about,
                summary.clone(),
                &plan.reason,
                since_ms,
            );

            if !was {
                events.push(event(
                    committed,
                    order,
                    &yielded.region,
                    "yields",
                    Severity::Warning,
                    &summary,
                ));
            }
        }

        let ended = before
            .iter()
            .flat_map(|before| before.yielded.iter().map(|yielded| (*before, yielded)));
        for (before, yielded) in ended.filter(|(_, yielded)| !has(plan, yielded)) {
            let Some(order) = before.override_of(yielded.order.as_ref()) else {
                continue;
            };
            let is_over = plan.override_of(yielded.order.as_ref()).is_none();
            let text = format!(
                "{order} {}",
                if is_over {
                    "ended"
                } else {
                    "takes effect again"
                }
            );

            events.push(event(
                committed,
                order,
                &yielded.region,
                "stands",
                Severity::Info,
                &text,
            ));
        }

        self.book
            .end(MeshAlert::OrderYielded.name(), now_ms, |labels| {
                !active.contains(&(labels["order"].clone(), labels["region"].clone()))
            });

        events
    }

    /// Whether the verdict on every region is failed.
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
        witness: None,
    }
}
