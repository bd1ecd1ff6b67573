use super::*;
use regionmesh_core::{
    gossip::{AgentView, SeenStatus},
    health::verdict::RegionVerdict,
    leader::LeaderView,
};
use regionmesh_protocol::{
    plan::{CommittedPlan, Plan, RegionPlan},
    register::ballot::{Ballot, Stamp},
    status::{Observations, StatusEntry, StatusKind, condition::Observation, entry::EntryVersion},
};
use regionmesh_runtime::metrics::Registry;
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

    (snapshots, metrics, tokio::spawn(detect_changes(arguments)))
}

fn observe(snapshots: &Snapshots, agent: &str, condition: Condition, since_ms: u64) {
    let observation = Observation {
        addresses: Vec::new(),
        region: "a".parse().unwrap(),
        condition,
        is_definite: false,
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

/// Active alerts about region a's failure.
fn failed_alerts(metrics: &EventMetrics) -> i64 {
    metrics
        .alerts
        .with_label_values(&["RegionMeshRegionFailed", "critical", "a", ""])
        .get()
}

#[tokio::test(start_paused = true)]
async fn published_state_becomes_events_alerts_and_metrics() {
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

    assert_eq!(failed_alerts(&metrics), 1);

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

    assert_eq!(failed_alerts(&metrics), 0);

    task.abort();
}

#[tokio::test(start_paused = true)]
async fn a_self_reported_failure_is_dated_by_the_observers_clocks_if_they_agree_soon() {
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

    // If they never agree the event is published all the same.
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
