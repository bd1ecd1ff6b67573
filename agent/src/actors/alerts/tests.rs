use super::{
    delivery::connect,
    receiver_task::{FIRST_PAUSE, LONGEST_PAUSE, pause},
    *,
};
use crate::{
    alerts::{ReceiverMetrics, SendError},
    config::fixture,
    snapshots::Snapshots,
};
use regionmesh_core::{
    gossip::{AgentView, SeenStatus},
    leader::LeaderView,
};
use regionmesh_protocol::{
    register::ballot::Ballot,
    status::{RECEIPTS, StatusKind, entry::EntryVersion},
};
use regionmesh_runtime::metrics::Registry;
use std::{sync::Arc, time::Instant};

/// The state at agent `b/node-0`; `a/x` is alive as well and may have published that the receiver
/// fails.
fn receiver_task(leader: Option<&str>, is_other_unheard: bool) -> ReceiverTask {
    let receiver =
        r#"alerts.receivers = [{ name = "hook", kind = "webhook", url = "http://127.0.0.1:9/" }]"#;
    let config = Arc::new(fixture::config(&[("b", "127.0.0.1")], receiver));
    let snapshots = Snapshots::default();
    let ballot = |agent: &str| Ballot {
        number: 1,
        agent: agent.parse().unwrap(),
        boot: 1,
    };

    snapshots.leader.send_replace(LeaderView {
        ballot: leader.map(ballot),
        is_self: false,
    });

    let other = ReceiverStatus {
        name: "hook".into(),
        is_failing: is_other_unheard,
        delivered: Vec::new(),
    };
    let status_entry = Arc::new(StatusEntry::Alerts(AlertStatus {
        receivers: vec![other],
    }));
    let seen = SeenStatus {
        status_entry,
        version: EntryVersion::default(),
        seen_at: Instant::now(),
    };

    let view = AgentView {
        is_alive: true,
        status_entries: [(StatusKind::Alerts, seen)].into(),
    };

    snapshots.board.send_modify(|board| {
        drop(
            Arc::make_mut(board)
                .agents
                .insert("a/x".parse().unwrap(), view),
        )
    });

    let status = ReceiverStatus {
        name: "hook".into(),
        ..ReceiverStatus::default()
    };
    let arguments = AlertsArguments {
        config: config.clone(),
        live: watch::channel(config.clone()).1,
        snapshots,
        core: Address::vacant("core"),
        metrics: ReceiverMetrics::new(&Registry::new()).unwrap(),
    };

    ReceiverTask::new(
        &arguments,
        &config.alerts.receivers[0],
        watch::Sender::new(AlertStatus {
            receivers: vec![status],
        }),
    )
}

fn notifier(receiver_task: &mut ReceiverTask, now: Instant) -> bool {
    let board = receiver_task.snapshots.board.borrow().clone();
    receiver_task.is_responsible(&board, now)
}

fn is_reported_failing(receiver_task: &ReceiverTask) -> bool {
    receiver_task.deliveries.borrow().receivers[0].is_failing
}

#[test]
fn a_responsible_agent_that_fails_reports_it_hands_over_and_retries_later() {
    let mut receiver_task = receiver_task(Some("b/node-0"), false);
    let start = Instant::now();
    let after = |seconds| start + Duration::from_secs(seconds);
    let error = SendError::Unanswered("refused".into());

    assert!(notifier(&mut receiver_task, start));
    receiver_task.failed(&error, start);
    receiver_task.failed(&error, after(9));
    assert!(!is_reported_failing(&receiver_task) && notifier(&mut receiver_task, after(9)));
    receiver_task.failed(&error, after(10));
    assert!(is_reported_failing(&receiver_task) && !notifier(&mut receiver_task, after(10)));
    assert!(notifier(&mut receiver_task, after(310)) && !is_reported_failing(&receiver_task));

    // It still fails, and this is published immediately.
    receiver_task.failed(&error, after(311));
    assert!(is_reported_failing(&receiver_task));
    receiver_task.sent(after(312));
    assert!(!is_reported_failing(&receiver_task) && notifier(&mut receiver_task, after(312)));
}

#[test]
fn another_agent_takes_over_from_a_leader_that_fails_or_is_missing() {
    let start = Instant::now();
    let after = |seconds| start + Duration::from_secs(seconds);
    assert!(!notifier(&mut receiver_task(Some("a/x"), false), start));
    assert!(notifier(&mut receiver_task(Some("a/x"), true), start));

    // Without a leader the first by name is responsible, after a delay.
    let mut leaderless = receiver_task(None, true);
    assert!(!notifier(&mut leaderless, start) && !notifier(&mut leaderless, after(9)));
    assert!(notifier(&mut leaderless, after(10)));

    let mut second = receiver_task(None, false);
    assert!(!notifier(&mut second, start) && !notifier(&mut second, after(60)));
}

#[test]
fn pauses_grow_up_to_a_bound_and_honour_retry_after() {
    let pauses: Vec<_> = (0..12).map(|failures| pause(failures, 0.0)).collect();
    assert!(pauses.is_sorted() && pauses[0] == FIRST_PAUSE && pauses[11] == LONGEST_PAUSE);
    assert!((0..12).all(|failures| pause(failures, 1.0) * 2 == pause(failures, 0.0)));

    let mut receiver_task = receiver_task(Some("b/node-0"), false);
    let start = Instant::now();
    let retry_after = Some(Duration::from_secs(30));

    receiver_task.failed(
        &SendError::NotNow {
            status: 503,
            excerpt: String::new(),
            retry_after,
        },
        start,
    );

    assert!(
        !receiver_task.may_try(start + Duration::from_secs(29))
            && receiver_task.may_try(start + Duration::from_secs(30))
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_cannot_be_created_is_retried_and_counted() {
    let mut receiver_task = receiver_task(Some("b/node-0"), false);
    let attempts = std::cell::Cell::new(0);
    let make = || {
        attempts.set(attempts.get() + 1);
        if attempts.get() < 4 {
            Err("cannot read /nowhere".to_owned())
        } else {
            Ok(7)
        }
    };

    assert_eq!(connect(&mut receiver_task, make).await, 7);
    assert_eq!(
        receiver_task
            .metrics
            .failed
            .with_label_values(&["hook", "unready"])
            .get(),
        3
    );
}

#[test]
fn receipts_are_limited_to_the_latest() {
    let receiver_task = receiver_task(Some("b/node-0"), false);
    for number in 0..RECEIPTS * 2 {
        receiver_task.delivered(&number.to_string());
    }

    let delivered = receiver_task.deliveries.borrow().receivers[0]
        .delivered
        .clone();
    assert_eq!(
        (delivered.len(), delivered.last().unwrap().as_str()),
        (RECEIPTS, (RECEIPTS * 2 - 1).to_string().as_str())
    );
}
