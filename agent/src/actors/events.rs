//! Notices what happens: reads what the other actors show, and writes events and alerts.
//!
//! No actor tells of events; they show their state, and what changed is told from here, so that
//! none of them waits for anybody who wants to know. What follows one another faster than it is
//! read here is told as one change.

use crate::{config::Config, events::EventLog, snapshots::Snapshots};
use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};
use regionmesh_core::{
    gossip::BoardView,
    health::verdict::RegionVerdict,
    notify::changes::{ChangeDetector, Judged, Validity, agreed_since},
};
use regionmesh_protocol::{
    event::{Event, EventKind, Severity},
    identity::{AgentId, RegionName},
    status::{
        StatusEntry, StatusKind,
        condition::Condition,
        money::CostNotice,
        problem::{Problem, ProblemKind},
    },
};
use regionmesh_runtime::time::unix_ms;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often is looked at what changes with time alone.
const TICK: Duration = Duration::from_secs(1);
/// How long a verdict waits at most for the observations that it rests on to be on the board; and
/// how often is looked.
const BOARD_LAG: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How often the certificates on the board are looked at.
const CERTIFICATES_EVERY: Duration = Duration::from_secs(60);

/// What is counted of events and alerts.
#[derive(Debug, Clone)]
pub struct EventMetrics {
    events: IntCounterVec,
    alerts: IntGaugeVec,
    left_out: prometheus::IntGauge,
    problems: IntGaugeVec,
}

impl EventMetrics {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            events: IntCounterVec::new(
                Opts::new("regionmesh_events_total", "Events that this agent noticed."),
                &["kind", "severity"],
            )?,
            alerts: IntGaugeVec::new(
                Opts::new(
                    "regionmesh_alerts_firing",
                    "Active alerts, as this agent sees it.",
                ),
                &["alertname", "severity", "region", "about"],
            )?,
            left_out: prometheus::IntGauge::new(
                "regionmesh_alerts_left_out",
                "Alerts beyond the number that is kept; nobody is told of them.",
            )?,
            problems: IntGaugeVec::new(
                Opts::new(
                    "regionmesh_problems",
                    "Active problems of this agent, by kind.",
                ),
                &["kind"],
            )?,
        };

        // So that a rate can be taken of what has not happened yet.
        for kind in EventKind::ALL {
            for severity in Severity::ALL {
                metrics
                    .events
                    .with_label_values(&[kind.as_str(), severity.as_str()]);
            }
        }

        registry.register(Box::new(metrics.events.clone()))?;
        registry.register(Box::new(metrics.alerts.clone()))?;
        registry.register(Box::new(metrics.left_out.clone()))?;
        registry.register(Box::new(metrics.problems.clone()))?;
        Ok(metrics)
    }
}

/// What the keeper of the journal needs.
#[derive(Clone)]
pub struct EventsArguments {
    /// The configuration.
    pub config: Arc<Config>,
    /// Read; it writes `events` and `alerts`.
    pub snapshots: Snapshots,
    /// The metrics.
    pub metrics: EventMetrics,
}

/// Runs until `stop`.
pub async fn keep(arguments: EventsArguments, stop: CancellationToken) -> Result<(), String> {
    let _ = stop.run_until_cancelled(follow(arguments)).await;
    Ok(())
}

/// Prepares the log of a process that drew `boot`.
pub fn begin(snapshots: &Snapshots, boot: u64) {
    snapshots.events.send_replace(EventLog::new(boot));
}

async fn follow(arguments: EventsArguments) {
    let EventsArguments {
        config,
        snapshots,
        metrics,
    } = arguments;
    let mut changes =
        ChangeDetector::new(config.mesh.clone(), config.id(), config.recovery.clone());
    let mut verdicts = snapshots.verdicts.subscribe();
    let mut plans = snapshots.plan.subscribe();
    let mut leaders = snapshots.leader.subscribe();
    let mut catalogues = snapshots.catalogue.subscribe();
    let mut zones = snapshots.zones.subscribe();
    let mut problems = snapshots.problems.subscribe();
    let mut certificates_at = None::<Instant>;
    let mut timeout = Timeouts::default();

    loop {
        let now_ms = unix_ms();
        let mut events = Vec::new();
        let judged = verdicts.borrow_and_update().clone();
        let board = snapshots.board.borrow().clone();

        for (region, verdict) in &*judged {
            let (since_ms, is_whole) = since(&board, region, verdict);
            if timeout.is_ready(region, verdict.condition, is_whole) {
                events.extend(changes.verdict(
                    Judged {
                        region,
                        verdict,
                        since_ms,
                    },
                    now_ms,
                ));
            }
        }

        // A leader is known before its plans are.
        let leader = leaders.borrow_and_update().ballot.clone();
        events.extend(changes.leader(leader.as_ref(), now_ms));

        let plan = plans.borrow_and_update().clone();
        events.extend(
            plan.map(|plan| changes.plan(&plan, now_ms))
                .unwrap_or_default(),
        );

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
            let board = snapshots.board.borrow().clone();
            events.extend(changes.certificates(&certificates(&board), now_ms));
        }

        problems.mark_unchanged();
        events.extend(changes.problems(&published_problems(&board), now_ms));
        events.extend(changes.notices(published_notices(&board).iter(), now_ms));
        changes.forget(now_ms);
        tell(&snapshots, &metrics, events);
        show(&snapshots, &metrics, &changes);

        // The senders live in `snapshots`, so `changed` never fails.
        tokio::select! {
            _ = verdicts.changed() => {}
            _ = plans.changed() => {}
            _ = leaders.changed() => {}
            _ = zones.changed() => {}
            _ = problems.changed() => {}
            _ = catalogues.changed() => catalogues.mark_changed(),
            () = tokio::time::sleep(if timeout.is_waiting() { LOOK_AGAIN } else { TICK }) => {}
        }
    }
}

/// Holds a new verdict back until the board shows the observations that it rests on: our own are
/// judged before they are on the board. What they say of when it began makes the event the same at
/// every agent.
#[derive(Default)]
struct Timeouts {
    told: BTreeMap<RegionName, Condition>,
    waiting: BTreeMap<RegionName, Instant>,
}

impl Timeouts {
    fn is_ready(&mut self, region: &RegionName, condition: Condition, is_whole: bool) -> bool {
        let is_news = self.told.get(region) != Some(&condition);
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
        self.told.insert(region.clone(), condition);
        true
    }

    fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }
}

fn tell(snapshots: &Snapshots, metrics: &EventMetrics, events: Vec<Event>) {
    for event in events {
        metrics
            .events
            .with_label_values(&[event.kind.as_str(), event.severity.as_str()])
            .inc();

        // Verdicts, plans and leaders are in the log already, where they are made.
        tracing::debug!(id = event.id, kind = %event.kind, severity = %event.severity, text = event.text, "event");
        snapshots.events.send_modify(|log| log.add(event));
    }
}

fn show(snapshots: &Snapshots, metrics: &EventMetrics, changes: &ChangeDetector) {
    for kind in ProblemKind::ALL {
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

/// When the observers had come to this verdict, by their own clocks; and whether the board shows as
/// many of them as the verdict counts.
fn since(board: &BoardView, region: &RegionName, verdict: &RegionVerdict) -> (Option<u64>, bool) {
    // Nobody observes that a region drains, and nobody observes nothing.
    if matches!(verdict.condition, Condition::Draining | Condition::Unknown) {
        return (None, true);
    }

    let agrees = |condition: Condition| {
        condition == verdict.condition
            || (condition == Condition::Failed && verdict.condition == Condition::Suspect)
    };
    let agreeing: Vec<_> = board
        .agents
        .iter()
        .filter(|(agent, view)| agent.region != *region && view.is_alive)
        .filter_map(|(agent, view)| {
            match &*view
                .status_entries
                .get(&StatusKind::Observations)?
                .status_entry
            {
                StatusEntry::Observations(observations) => {
                    let of_region = observations
                        .regions
                        .iter()
                        .find(|observation| observation.region == *region)?;
                    agrees(of_region.condition).then_some((&agent.region, of_region.since_ms))
                }
                _ => None,
            }
        })
        .collect();

    let is_missing = |(observer, vote): &(RegionName, Condition)| {
        agrees(*vote) && !agreeing.iter().any(|(region, _)| *region == observer)
    };
    let is_shown = !verdict.votes.iter().any(is_missing);
    let voters = verdict
        .votes
        .iter()
        .filter(|(_, vote)| *vote != Condition::Unknown)
        .count();

    // A region that reports itself failed is judged so at once, and its observers come to it a
    // probe later: the others will tell of the verdict by the observers' clocks.
    let observers: BTreeSet<&RegionName> = agreeing.iter().map(|(region, _)| *region).collect();
    let is_whole = is_shown && observers.len() > voters / 2;

    (agreed_since(agreeing.into_iter(), voters), is_whole)
}

/// The problems that the living publish.
fn published_problems(board: &BoardView) -> BTreeMap<AgentId, Vec<Problem>> {
    let living = board.agents.iter().filter(|(_, view)| view.is_alive);
    living
        .filter_map(|(agent, view)| {
            match &*view.status_entries.get(&StatusKind::Problems)?.status_entry {
                StatusEntry::Problems(problems) => Some((agent.clone(), problems.clone())),
                _ => None,
            }
        })
        .collect()
}

/// The notices about money that the living publish.
fn published_notices(board: &BoardView) -> Vec<CostNotice> {
    let living = board.agents.values().filter(|view| view.is_alive);
    let status_entries = living.filter_map(|view| {
        match &*view.status_entries.get(&StatusKind::Cost)?.status_entry {
            StatusEntry::Cost(status_entries) => Some(status_entries),
            _ => None,
        }
    });

    status_entries
        .flat_map(|status_entries| status_entries.notices.iter().cloned())
        .collect()
}

/// From when to when the certificates of the living are valid.
fn certificates(board: &BoardView) -> BTreeMap<AgentId, Validity> {
    let living = board.agents.iter().filter(|(_, view)| view.is_alive);
    living
        .filter_map(|(agent, view)| {
            match &*view
                .status_entries
                .get(&StatusKind::Certificate)?
                .status_entry
            {
                StatusEntry::Certificate(chain) => {
                    let (_, leaf) = x509_parser::parse_x509_certificate(chain.first()?).ok()?;
                    let valid = leaf.validity();
                    let not_before_s = valid.not_before.timestamp();
                    let not_after_s = valid.not_after.timestamp();

                    Some((
                        agent.clone(),
                        Validity {
                            not_before_s,
                            not_after_s,
                        },
                    ))
                }
                _ => None,
            }
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::snapshots::LeaderView;
    use regionmesh_core::gossip::{AgentView, SeenStatus};
    use regionmesh_protocol::{
        plan::{CommittedPlan, Plan, RegionPlan},
        register::ballot::{Ballot, Stamp},
        status::{Observations, condition::Observation, entry::EntryVersion},
    };
    use std::time::Duration;

    fn start() -> (Snapshots, EventMetrics, tokio::task::JoinHandle<()>) {
        let snapshots = Snapshots::default();
        let metrics = EventMetrics::new(&Registry::new()).unwrap();
        begin(&snapshots, 7);

        let config = Arc::new(crate::config::fixture::config(
            &[("b", "127.0.0.2"), ("a", "127.0.0.1")],
            "",
        ));
        let arguments = EventsArguments {
            config,
            snapshots: snapshots.clone(),
            metrics: metrics.clone(),
        };

        (snapshots, metrics, tokio::spawn(follow(arguments)))
    }

    fn observe(snapshots: &Snapshots, agent: &str, condition: Condition, since_ms: u64) {
        let observation = Observation {
            addresses: Vec::new(),
            region: "a".parse().unwrap(),
            condition,
            evidence: "refused".into(),
            since_ms,
            round_trip_us: None,
        };

        let status_entry = Arc::new(StatusEntry::Observations(Observations {
            regions: vec![observation],
            own: None,
            own_address: None,
        }));
        let seen = SeenStatus {
            status_entry,
            version: EntryVersion::default(),
            seen_at: std::time::Instant::now(),
        };

        let view = AgentView {
            is_alive: true,
            status_entries: [(StatusKind::Observations, seen)].into(),
        };

        snapshots.board.send_modify(|board| {
            drop(
                Arc::make_mut(board)
                    .agents
                    .insert(agent.parse().unwrap(), view),
            )
        });
    }

    fn judge(snapshots: &Snapshots, condition: Condition) {
        judge_by(snapshots, condition, [condition; 2]);
    }

    fn judge_by(snapshots: &Snapshots, condition: Condition, [b, c]: [Condition; 2]) {
        let votes = [("b", b), ("c", c)]
            .map(|(observer, vote)| (observer.parse().unwrap(), vote))
            .to_vec();
        let verdict = RegionVerdict {
            condition,
            since_ms: 99_999,
            votes,
            addresses: Vec::new(),
            reason: "refused".into(),
        };

        snapshots
            .verdicts
            .send_replace(Arc::new([("a".parse().unwrap(), verdict)].into()));
    }

    async fn until_last(snapshots: &Snapshots, id: &str) {
        let mut log = snapshots.events.subscribe();
        let is_last = |log: &EventLog| {
            let page = log.after(log.tail(&Default::default(), 1), &Default::default(), 1);
            page.events
                .first()
                .is_some_and(|noticed| noticed.event.id == id)
        };
        let found = tokio::time::timeout(Duration::from_secs(3_600), log.wait_for(is_last)).await;

        assert!(found.is_ok(), "no {id} in {:?}", snapshots.events.borrow());
    }

    #[tokio::test(start_paused = true)]
    async fn what_actors_show_becomes_events_alerts_and_metrics() {
        let (snapshots, metrics, task) = start();
        observe(&snapshots, "b/x", Condition::Failed, 40);
        judge(&snapshots, Condition::Failed);

        // The verdict was drawn before its last observation was on the board.
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(snapshots.events.borrow().last(), 0);
        observe(&snapshots, "c/y", Condition::Failed, 50);

        // By the observers' clocks, not by when the verdict was drawn here.
        until_last(&snapshots, "verdict:a:failed:50").await;

        let mut alerts = snapshots.alerts.subscribe();
        alerts
            .wait_for(|alerts| alerts.len() == 1 && alerts[0].starts_ms == 50)
            .await
            .unwrap();

        assert_eq!(
            metrics
                .alerts
                .with_label_values(&["RegionMeshRegionFailed", "critical", "a", ""])
                .get(),
            1
        );

        assert_eq!(
            metrics
                .events
                .with_label_values(&["verdict", "critical"])
                .get(),
            1
        );

        let ballot = Ballot {
            number: 2,
            agent: "c/y".parse().unwrap(),
            boot: 1,
        };

        snapshots.leader.send_replace(LeaderView {
            ballot: Some(ballot.clone()),
            is_self: false,
        });

        until_last(&snapshots, "leader:2@c/y.1").await;
        let plan = Plan {
            regions: [("a".parse().unwrap(), RegionPlan::default())].into(),
            ..Plan::default()
        };

        snapshots.plan.send_replace(Some(Arc::new(CommittedPlan {
            stamp: Stamp { ballot, seq: 4 },
            plan,
        })));

        until_last(&snapshots, "plan:2@c/y.1#4").await;

        observe(&snapshots, "b/x", Condition::Healthy, 70);
        observe(&snapshots, "c/y", Condition::Healthy, 60);
        judge(&snapshots, Condition::Healthy);
        until_last(&snapshots, "verdict:a:healthy:70").await;
        alerts
            .wait_for(|alerts| alerts[0].ended_ms.is_some())
            .await
            .unwrap();

        assert_eq!(
            metrics
                .alerts
                .with_label_values(&["RegionMeshRegionFailed", "critical", "a", ""])
                .get(),
            0
        );

        task.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_region_reports_of_itself_is_told_by_its_observers_clocks_if_they_agree_soon() {
        let (snapshots, _, task) = start();
        observe(&snapshots, "b/x", Condition::Failed, 40);
        observe(&snapshots, "c/y", Condition::Healthy, 20);
        judge_by(
            &snapshots,
            Condition::Failed,
            [Condition::Failed, Condition::Healthy],
        );

        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(snapshots.events.borrow().last(), 0);
        observe(&snapshots, "c/y", Condition::Failed, 50);
        judge(&snapshots, Condition::Failed);
        until_last(&snapshots, "verdict:a:failed:50").await;

        // Where they never agree the event is told all the same.
        observe(&snapshots, "b/x", Condition::Healthy, 60);
        observe(&snapshots, "c/y", Condition::Healthy, 70);
        judge(&snapshots, Condition::Healthy);
        until_last(&snapshots, "verdict:a:healthy:70").await;
        observe(&snapshots, "b/x", Condition::Failed, 80);
        judge_by(
            &snapshots,
            Condition::Failed,
            [Condition::Failed, Condition::Healthy],
        );

        until_last(&snapshots, "verdict:a:failed:80").await;
        task.abort();
    }
}
