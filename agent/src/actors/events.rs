//! Detects changes: reads the state that other actors publish, and writes events and alerts.
//!
//! Actors publish their state, not events. Changes are detected here, so that no actor waits for a
//! reader. Changes that come faster than they are read become one event.

mod metrics;
mod status;

use crate::{config::Config, events::EventLog, snapshots::Snapshots};
pub use metrics::EventMetrics;
use regionmesh_core::{
    gossip::BoardView,
    health::verdict::RegionVerdict,
    notify::changes::{ChangeDetector, Judged},
};
use regionmesh_protocol::{
    event::Event,
    identity::RegionName,
    status::{condition::Condition, problem::ProblemKind},
};
use regionmesh_runtime::time::unix_ms;
use status::{certificates, published_notices, published_problems, since};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often state that changes with time alone is checked.
const TICK: Duration = Duration::from_secs(1);
/// How long a verdict waits at most for its observations to reach the board, and how often the
/// board is checked.
const BOARD_LAG: Duration = Duration::from_secs(1);
const BOARD_POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How often the certificates on the board are checked.
const CERTIFICATES_EVERY: Duration = Duration::from_secs(60);

/// What the change detector is started with.
#[derive(Clone)]
pub struct EventsArguments {
    pub config: Arc<Config>,
    /// Read; it writes `events` and `alerts`.
    pub snapshots: Snapshots,
    pub metrics: EventMetrics,
}

/// Runs until `stop`.
pub async fn run(arguments: EventsArguments, stop: CancellationToken) -> Result<(), String> {
    let _ = stop.run_until_cancelled(detect_changes(arguments)).await;
    Ok(())
}

/// Prepares the log of a process that drew `boot`.
pub fn begin(snapshots: &Snapshots, boot: u64) {
    snapshots.events.send_replace(EventLog::new(boot));
}

async fn detect_changes(arguments: EventsArguments) {
    let config = &arguments.config;
    let snapshots = &arguments.snapshots;
    let mut changes =
        ChangeDetector::new(config.mesh.clone(), config.id(), config.recovery.clone());
    let mut verdicts = snapshots.verdicts.subscribe();
    let mut plans = snapshots.plan.subscribe();
    let mut leaders = snapshots.leader.subscribe();
    let mut catalogues = snapshots.catalogue.subscribe();
    let mut zones = snapshots.zones.subscribe();
    let mut problems = snapshots.problems.subscribe();
    let mut certificates_at = None::<Instant>;
    let mut pending = PendingVerdicts::default();

    loop {
        let now_ms = unix_ms();
        let mut events = Vec::new();
        let judged = verdicts.borrow_and_update().clone();
        let board = snapshots.board.borrow().clone();

        for judged in pending.ready(&board, &judged) {
            events.extend(changes.verdict(judged, now_ms));
        }

        // A leader is published before its plans.
        let leader = leaders.borrow_and_update().ballot.clone();
        events.extend(changes.leader(leader.as_ref(), now_ms));

        let plan = plans.borrow_and_update().clone();
        events.extend(plan.iter().flat_map(|plan| changes.plan(plan, now_ms)));

        let states = zones.borrow_and_update().clone();
        for (provider, state) in &states {
            events.extend(changes.zone(provider, state, now_ms));
        }
        if catalogues.has_changed().unwrap_or(false) {
            let catalogue = catalogues.borrow_and_update().clone();
            events.extend(changes.catalogue(&catalogue, now_ms));
        }

        if certificates_at.is_none_or(|at| at.elapsed() >= CERTIFICATES_EVERY) {
            certificates_at = Some(Instant::now());
            events.extend(changes.certificates(&certificates(&board), now_ms));
        }

        problems.mark_unchanged();
        events.extend(changes.problems(&published_problems(&board), now_ms));
        events.extend(changes.notices(published_notices(&board).iter(), now_ms));
        changes.forget(now_ms);
        publish_events(snapshots, &arguments.metrics, events);
        publish_alerts(snapshots, &arguments.metrics, &changes);

        let pause = if pending.is_waiting() {
            BOARD_POLL_INTERVAL
        } else {
            TICK
        };

        // The senders live in `snapshots`, so `changed` never fails.
        tokio::select! {
            _ = verdicts.changed() => {}
            _ = plans.changed() => {}
            _ = leaders.changed() => {}
            _ = zones.changed() => {}
            _ = problems.changed() => {}
            _ = catalogues.changed() => catalogues.mark_changed(),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Holds a new verdict back until the board shows its observations: this agent's own are judged
/// before they are on the board. Their start times make the event identical at every agent.
#[derive(Default)]
struct PendingVerdicts {
    published: BTreeMap<RegionName, Condition>,
    waiting: BTreeMap<RegionName, Instant>,
}

impl PendingVerdicts {
    /// The verdicts that may become events now.
    fn ready<'a>(
        &mut self,
        board: &BoardView,
        verdicts: &'a BTreeMap<RegionName, RegionVerdict>,
    ) -> Vec<Judged<'a>> {
        let mut ready = Vec::new();
        for (region, verdict) in verdicts {
            let (since_ms, is_whole) = since(board, region, verdict);
            if self.is_ready(region, verdict.condition, is_whole) {
                ready.push(Judged {
                    region,
                    verdict,
                    since_ms,
                });
            }
        }

        ready
    }

    fn is_ready(&mut self, region: &RegionName, condition: Condition, is_whole: bool) -> bool {
        let is_news = self.published.get(region) != Some(&condition);
        if is_news
            && !is_whole
            && self
                .waiting
                .entry(region.clone())
                .or_insert_with(Instant::now)
                .elapsed()
                < BOARD_LAG
        {
            return false;
        }

        self.waiting.remove(region);
        self.published.insert(region.clone(), condition);
        true
    }

    fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }
}

fn publish_events(snapshots: &Snapshots, metrics: &EventMetrics, events: Vec<Event>) {
    for event in events {
        metrics
            .events
            .with_label_values(&[event.kind.as_str(), event.severity.as_str()])
            .inc();

        // Verdicts, plans and leaders are logged where they are made.
        tracing::debug!(
            id = event.id,
            kind = %event.kind,
            severity = %event.severity,
            text = event.text,
            "event"
        );
        snapshots.events.send_modify(|log| log.add(event));
    }
}

fn publish_alerts(snapshots: &Snapshots, metrics: &EventMetrics, changes: &ChangeDetector) {
    for kind in ProblemKind::ALL.iter().copied() {
        let count = i64::try_from(snapshots.problems.count(kind)).unwrap_or(i64::MAX);
        metrics
            .problems
            .with_label_values(&[kind.as_str()])
            .set(count);
    }

    let alerts: Vec<_> = changes.alerts().iter().cloned().collect();
    let is_news = snapshots.alerts.send_if_modified(|known| {
        let is_news = **known != alerts;
        if is_news {
            *known = Arc::new(alerts.clone());
        }
        is_news
    });

    if is_news {
        metrics.alerts.reset();
        for alert in alerts.iter().filter(|alert| alert.ended_ms.is_none()) {
            let region = alert.labels.get("region").map_or("", String::as_str);
            let labels = [
                alert.name(),
                alert.severity.as_str(),
                region,
                &alert.about(),
            ];

            metrics.alerts.with_label_values(&labels).inc();
        }

        metrics
            .left_out
            .set(i64::try_from(changes.alerts().left_out()).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
