//! The delivery loops: events to a webhook, alerts to an Alertmanager.

use super::receiver_task::{ReceiverTask, pause, receiver};
use crate::{
    alerts::{
        SendError,
        alertmanager::Alertmanager,
        outbox::{Outbox, TAKEOVER},
        webhook::Webhook,
    },
    events::Cursor,
};
use regionmesh_core::{
    gossip::BoardView,
    notify::alert::{Alert, Labels},
};
use regionmesh_protocol::event::Event;
use regionmesh_runtime::time::unix_ms;
use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

/// How often the responsible agent and the deliveries on the board are checked.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// The receiver's client, once it can be made: a CA file may be missing. Other receivers are not
/// affected.
pub(super) async fn connect<T>(
    receiver_task: &mut ReceiverTask,
    make: impl Fn() -> Result<T, String>,
) -> T {
    loop {
        match make() {
            Ok(made) => return made,
            Err(why) => {
                receiver_task.failed(&SendError::Unready(why), Instant::now());
                tokio::time::sleep(pause(receiver_task.failures, 0.0)).await;
            }
        }
    }
}

/// Delivers each event to a webhook.
pub(super) async fn deliver_events(
    mut receiver_task: ReceiverTask,
    make: impl Fn() -> Result<Webhook, String>,
) {
    let webhook = connect(&mut receiver_task, make).await;
    let mut log = receiver_task.snapshots.events.subscribe();
    let mut outbox = Outbox::new(
        receiver_task.own.clone(),
        Duration::from_secs(receiver_task.config.deadline_s),
    );
    let mut cursor = Cursor { boot: None, seq: 0 };

    loop {
        let now = Instant::now();
        let page = log
            .borrow_and_update()
            .after(cursor, &receiver_task.wanted, usize::MAX);

        cursor = page.next;
        let pushed = page
            .events
            .into_iter()
            .filter(|noticed| outbox.add(noticed.event.clone(), now))
            .count();

        receiver_task.dropped("queue-full", pushed as u64);
        let board = receiver_task.snapshots.board.borrow().clone();
        strike_delivered(&receiver_task, &board, &mut outbox);

        let is_responsible = receiver_task.is_responsible(&board, now);
        outbox.set_responsible(is_responsible, now);
        receiver_task.dropped("expired", outbox.expire(now));
        receiver_task.queued(outbox.len());
        if receiver_task.may_try(now)
            && let Some(event) = outbox.next(now)
        {
            let outcome = webhook.send(&event).await;
            event_sent(&mut receiver_task, &mut outbox, &event, outcome);
            continue;
        }

        tokio::select! {
            Ok(()) = log.changed() => {}
            () = tokio::time::sleep(POLL_INTERVAL) => {}
        }
    }
}

/// Removes the events that other agents have delivered.
fn strike_delivered(receiver_task: &ReceiverTask, board: &BoardView, outbox: &mut Outbox) {
    if outbox.is_empty() {
        return;
    }

    let others = board
        .agents
        .iter()
        .filter(|(agent, _)| **agent != receiver_task.own);
    let statuses = others.filter_map(|(_, view)| receiver(view, &receiver_task.config.name));
    outbox.strike(
        &statuses
            .flat_map(|status| &status.delivered)
            .map(String::as_str)
            .collect::<HashSet<_>>(),
    );
}

fn event_sent(
    receiver_task: &mut ReceiverTask,
    outbox: &mut Outbox,
    event: &Event,
    outcome: Result<(), SendError>,
) {
    let now = Instant::now();
    match outcome {
        Ok(()) => {
            outbox.done(&event.id);
            receiver_task.delivered(&event.id);
            receiver_task.sent(now);
        }
        Err(error @ SendError::Refused { .. }) => {
            receiver_task
                .metrics
                .failed
                .with_label_values(&[&receiver_task.config.name, error.reason()])
                .inc();

            tracing::warn!(
                receiver = receiver_task.config.name,
                event = event.id,
                %error,
                "an event was refused"
            );
            receiver_task.dropped("refused", 1);
            outbox.done(&event.id);

            // No other agent needs to try.
            receiver_task.delivered(&event.id);
        }
        Err(error) => receiver_task.failed(&error, now),
    }
}

/// Sends active and recently resolved alerts to an Alertmanager.
pub(super) async fn deliver_alerts(
    mut receiver_task: ReceiverTask,
    make: impl Fn() -> Result<Alertmanager, String>,
) {
    let alertmanager = connect(&mut receiver_task, make).await;
    let mut all = receiver_task.snapshots.alerts.subscribe();
    let resend = Duration::from_secs(receiver_task.config.resend_s);
    let mut last = None::<(Instant, Vec<AlertKey>)>;
    let mut responsible_since = None::<Instant>;

    loop {
        let now = Instant::now();
        let board = receiver_task.snapshots.board.borrow().clone();
        responsible_since = receiver_task
            .is_responsible(&board, now)
            .then(|| responsible_since.unwrap_or(now));

        // The previously responsible agent may be sending them right now.
        let is_takeover_over = responsible_since.is_some_and(|since| now >= since + TAKEOVER);
        let is_ours = |alert: &&Alert| match &alert.reported_by {
            Some(witness) => *witness == receiver_task.own,
            None => is_takeover_over,
        };
        let known = all.borrow_and_update().clone();
        let ours: Vec<Alert> = known
            .iter()
            .filter(|alert| receiver_task.admits(alert))
            .filter(is_ours)
            .cloned()
            .collect();

        let key: Vec<AlertKey> = ours.iter().map(key).collect();
        let is_known = last
            .as_ref()
            .is_some_and(|(at, sent)| *sent == key && now < *at + resend);
        let is_due = !ours.is_empty() && !is_known;

        receiver_task.queued(if is_due { ours.len() } else { 0 });
        if is_due && receiver_task.may_try(now) {
            let outcome = alertmanager.send(&ours, unix_ms()).await;
            let now = Instant::now();
            match outcome {
                Ok(()) => {
                    receiver_task.sent(now);
                    last = Some((now, key));
                }
                Err(error) => receiver_task.failed(&error, now),
            }

            continue;
        }

        tokio::select! {
            Ok(()) = all.changed() => {}
            () = tokio::time::sleep(POLL_INTERVAL) => {}
        }
    }
}

/// The parts of an alert whose change is sent immediately: identity, start and end.
type AlertKey = (Labels, u64, Option<u64>);

fn key(alert: &Alert) -> AlertKey {
    (alert.labels.clone(), alert.starts_ms, alert.ended_ms)
}
