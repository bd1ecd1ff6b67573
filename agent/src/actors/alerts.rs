//! Tells receivers of events and alerts: one task each, so that a dead one delays nobody else.
//!
//! One agent of all is on duty for a receiver (see [`regionmesh_core::notify::notifier`]). What it
//! delivered it says on the board, and the others strike it off; that it does not get through it
//! says there too, and another takes over. What only this agent can know it tells itself, on duty
//! or not.

use crate::{
    actors::messages::GossipMessage,
    address::Address,
    alerts::{
        ReceiverMetrics, SendError,
        alertmanager::Alertmanager,
        outbox::{Outbox, TAKEOVER},
        webhook::Webhook,
    },
    config::{Config, ReceiverConfig, ReceiverKind},
    events::{Cursor, Wanted},
    snapshots::Snapshots,
};
use regionmesh_core::{
    gossip::BoardView,
    notify::{
        alert::{Alert, Labels},
        notifier::{Candidate, responsible_agent},
    },
};
use regionmesh_protocol::{
    identity::AgentId,
    status::{AlertStatus, RECEIPTS, ReceiverStatus, StatusEntry, StatusKind},
};
use regionmesh_runtime::{logging::Throttle, time::unix_ms};
use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// How often is looked at who is on duty, and at what the board says of deliveries.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// How often what this agent delivered is said again: gossip may have been restarted in between.
const REPEAT_FACTS: Duration = Duration::from_secs(5);
/// Pause after the first failure; doubles up to [`LONGEST_PAUSE`], each time cut by up to a half at
/// random.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Who has not got through for so long says so, and another agent takes over.
const UNHEARD: Duration = Duration::from_secs(10);
/// After so long it may try again.
const FORGIVEN: Duration = Duration::from_secs(300);
/// How often a failing receiver is logged.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// What telling needs.
#[derive(Clone)]
pub struct AlertsArguments {
    /// The configuration.
    pub config: Arc<Config>,
    /// The same with the receivers that were reloaded.
    pub live: watch::Receiver<Arc<Config>>,
    /// Only read.
    pub snapshots: Snapshots,
    /// Where is said what was delivered.
    pub gossip: Address<GossipMessage>,
    /// The metrics.
    pub metrics: ReceiverMetrics,
}

/// Runs until `stop`; starts over whenever the receivers are reloaded.
pub async fn keep(mut arguments: AlertsArguments, stop: CancellationToken) -> Result<(), String> {
    let told = watch::Sender::new(AlertStatus::default());
    loop {
        arguments.config = arguments.live.borrow_and_update().clone();
        let mut tasks = tell_all(&arguments, &told);
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = reloaded(&mut arguments) => tracing::info!("the receivers of alerts were \
                reloaded"),
            Some(ended) = tasks.join_next() => return Err(match ended {
                Ok(()) => "the telling of a receiver ended".into(),
                Err(error) => error.to_string(),
            }),
        }
    }
}

/// Waits until other receivers are configured.
async fn reloaded(arguments: &mut AlertsArguments) {
    loop {
        if arguments.live.changed().await.is_err() {
            // Nothing is reloaded any more: the agent stops.
            std::future::pending::<()>().await;
        }

        let is_other = arguments.live.borrow_and_update().alerts != arguments.config.alerts;
        if is_other {
            return;
        }
    }
}

/// One task for each receiver. What was delivered to those that stay is remembered.
fn tell_all(arguments: &AlertsArguments, told: &watch::Sender<AlertStatus>) -> JoinSet<()> {
    let receivers = &arguments.config.alerts.receivers;
    let has_told = !told.borrow().receivers.is_empty();
    told.send_modify(|told| {
        let known = std::mem::take(&mut told.receivers);
        let status_entries = |receiver: &ReceiverConfig| {
            let known = known
                .iter()
                .find(|known| known.name == receiver.name)
                .cloned();

            known.unwrap_or_else(|| ReceiverStatus {
                name: receiver.name.clone(),
                ..ReceiverStatus::default()
            })
        };

        told.receivers = receivers.iter().map(status_entries).collect();
    });

    let mut tasks = JoinSet::new();
    for receiver in receivers {
        let receiver_task = ReceiverTask::new(arguments, receiver, told.clone());
        let config = receiver.clone();
        match receiver.kind {
            ReceiverKind::Webhook => {
                let mesh = arguments.config.mesh.to_string();
                tasks.spawn(tell_events(receiver_task, move || {
                    Webhook::new(&config, mesh.clone())
                }));
            }
            ReceiverKind::Alertmanager => {
                let own = || format!("http://{}/v1/failover/status", arguments.config.listen.api);
                let look_on = arguments
                    .config
                    .alerts
                    .generator_url
                    .clone()
                    .unwrap_or_else(own);

                tasks.spawn(tell_alerts(receiver_task, move || {
                    Alertmanager::new(&config, look_on.clone())
                }));
            }
        }
    }

    if has_told || !receivers.is_empty() {
        tasks.spawn(publish(told.subscribe(), arguments.gossip.clone()));
    }
    tasks
}

/// Says on the board what was delivered.
async fn publish(mut told: watch::Receiver<AlertStatus>, gossip: Address<GossipMessage>) {
    loop {
        let status_entries = told.borrow_and_update().clone();
        // Gossip is being restarted: said again soon.
        let _ = gossip.cast(GossipMessage::Publish(Box::new(StatusEntry::Alerts(
            status_entries,
        ))));

        tokio::select! {
            Ok(()) = told.changed() => {}
            () = tokio::time::sleep(REPEAT_FACTS) => {}
        }
    }
}

/// One receiver's place: whose turn it is, how it does, what was delivered.
struct ReceiverTask {
    own: AgentId,
    config: ReceiverConfig,
    wanted: Wanted,
    snapshots: Snapshots,
    metrics: ReceiverMetrics,
    told: watch::Sender<AlertStatus>,
    leaderless_since: Option<Instant>,
    failures: u32,
    failing_since: Option<Instant>,
    unheard_since: Option<Instant>,
    retry_at: Option<Instant>,
    throttle: Throttle,
}

impl ReceiverTask {
    fn new(
        arguments: &AlertsArguments,
        config: &ReceiverConfig,
        told: watch::Sender<AlertStatus>,
    ) -> Self {
        let kinds = config.kinds.clone();
        let severity = config.severity;
        Self {
            own: arguments.config.id(),
            config: config.clone(),
            wanted: Wanted {
                kinds,
                regions: Vec::new(),
                severity,
            },
            snapshots: arguments.snapshots.clone(),
            metrics: arguments.metrics.clone(),
            told,
            leaderless_since: None,
            failures: 0,
            failing_since: None,
            unheard_since: None,
            retry_at: None,
            throttle: Throttle::new(LOG_EVERY),
        }
    }

    /// Whether it is this agent that tells the receiver now.
    fn is_responsible(&mut self, board: &BoardView, now: Instant) -> bool {
        if self
            .unheard_since
            .is_some_and(|since| now.saturating_duration_since(since) >= FORGIVEN)
        {
            self.say_unheard(false, now);
        }

        let leader = self
            .snapshots
            .leader
            .borrow()
            .ballot
            .as_ref()
            .map(|ballot| ballot.agent.clone());

        let others = board
            .agents
            .iter()
            .filter(|(agent, view)| view.is_alive && **agent != self.own);
        let others = others.map(|(agent, view)| {
            let status_entries = receiver(view, &self.config.name);
            Candidate {
                agent,
                is_unheard: status_entries.is_some_and(|status_entries| status_entries.is_failing),
            }
        });

        let own = Candidate {
            agent: &self.own,
            is_unheard: self.unheard_since.is_some(),
        };
        let alive: Vec<Candidate<'_>> = others.chain([own]).collect();
        let is_led = leader
            .as_ref()
            .is_some_and(|leader| alive.iter().any(|speaker| speaker.agent == leader));
        let since = if is_led {
            None
        } else {
            Some(self.leaderless_since.unwrap_or(now))
        };
        let leaderless = since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let leaderless_ms = u64::try_from(leaderless.as_millis()).unwrap_or(u64::MAX);
        let is_own = responsible_agent(&alive, leader.as_ref(), leaderless_ms) == Some(&self.own);

        self.leaderless_since = since;
        self.metrics
            .responsible_agent
            .with_label_values(&[&self.config.name])
            .set(i64::from(is_own));

        is_own
    }

    fn may_try(&self, now: Instant) -> bool {
        self.retry_at.is_none_or(|at| now >= at)
    }

    fn sent(&mut self, now: Instant) {
        self.metrics
            .sent
            .with_label_values(&[&self.config.name])
            .inc();

        if self.failures > 0 {
            tracing::info!(
                receiver = self.config.name,
                failures = self.failures,
                "a receiver of alerts takes them again"
            );
        }

        (self.failures, self.failing_since, self.retry_at) = (0, None, None);
        self.say_unheard(false, now);
    }

    fn failed(&mut self, error: &SendError, now: Instant) {
        self.metrics
            .failed
            .with_label_values(&[&self.config.name, error.reason()])
            .inc();

        if let Some(left_out) = self.throttle.admit(now) {
            tracing::warn!(receiver = self.config.name, %error, left_out, "a receiver of alerts was not told");
        }

        let since = *self.failing_since.get_or_insert(now);
        let mut pause = pause(self.failures, rand::random());
        if let SendError::NotNow {
            retry_after: Some(wanted),
            ..
        } = error
        {
            pause = pause.max(*wanted);
        }

        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(now + pause);
        if self.failures > 1 && now.saturating_duration_since(since) >= UNHEARD {
            self.say_unheard(true, now);
        }
    }

    fn say_unheard(&mut self, is_unheard: bool, now: Instant) {
        if is_unheard != self.unheard_since.is_some() {
            self.unheard_since = is_unheard.then_some(now);
            self.say(|status_entries| status_entries.is_failing = is_unheard);
        }
    }

    fn say(&self, change: impl FnOnce(&mut ReceiverStatus)) {
        self.told.send_modify(|told| {
            told.receivers
                .iter_mut()
                .find(|status_entries| status_entries.name == self.config.name)
                .map(change);
        });
    }

    fn delivered(&self, id: &str) {
        self.say(|status_entries| {
            status_entries.delivered.push(id.to_owned());
            let surplus = status_entries.delivered.len().saturating_sub(RECEIPTS);
            status_entries.delivered.drain(..surplus);
        });
    }

    fn dropped(&self, reason: &str, count: u64) {
        self.metrics
            .dropped
            .with_label_values(&[&self.config.name, reason])
            .inc_by(count);

        if count > 0 {
            tracing::warn!(
                receiver = self.config.name,
                reason,
                count,
                "a receiver will not be told of events"
            );
        }
    }

    fn queued(&self, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics
            .queued
            .with_label_values(&[&self.config.name])
            .set(count);
    }
}

/// The pause after so many failures before.
fn pause(failures: u32, random: f64) -> Duration {
    let longest = FIRST_PAUSE
        .saturating_mul(1 << failures.min(10))
        .min(LONGEST_PAUSE);
    longest.mul_f64(1.0 - random.clamp(0.0, 1.0) / 2.0)
}

/// What an agent says of one receiver.
fn receiver<'a>(
    view: &'a regionmesh_core::gossip::AgentView,
    name: &str,
) -> Option<&'a ReceiverStatus> {
    match &*view.status_entries.get(&StatusKind::Alerts)?.status_entry {
        StatusEntry::Alerts(status_entries) => status_entries
            .receivers
            .iter()
            .find(|status_entries| status_entries.name == name),
        _ => None,
    }
}

/// What speaks to the receiver, once it can be made: a file with authorities may be missing. That
/// is this receiver's trouble and nobody else's.
async fn made<T>(receiver_task: &mut ReceiverTask, make: impl Fn() -> Result<T, String>) -> T {
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

/// Tells a webhook of each event.
async fn tell_events(mut receiver_task: ReceiverTask, make: impl Fn() -> Result<Webhook, String>) {
    let webhook = made(&mut receiver_task, make).await;
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
        if !outbox.is_empty() {
            let others = board
                .agents
                .iter()
                .filter(|(agent, _)| **agent != receiver_task.own);
            let told = others.filter_map(|(_, view)| receiver(view, &receiver_task.config.name));
            outbox.strike(
                &told
                    .flat_map(|status_entries| &status_entries.delivered)
                    .map(String::as_str)
                    .collect::<HashSet<_>>(),
            );
        }

        let is_responsible = receiver_task.is_responsible(&board, now);
        outbox.set_responsible(is_responsible, now);
        receiver_task.dropped("expired", outbox.expire(now));
        receiver_task.queued(outbox.len());
        if receiver_task.may_try(now)
            && let Some(event) = outbox.next(now)
        {
            let told = webhook.tell(&event).await;
            let now = Instant::now();
            match told {
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

                    tracing::warn!(receiver = receiver_task.config.name, event = event.id, %error, "an event was refused");
                    receiver_task.dropped("refused", 1);
                    outbox.done(&event.id);

                    // Nobody else needs to try.
                    receiver_task.delivered(&event.id);
                }
                Err(error) => receiver_task.failed(&error, now),
            }

            continue;
        }

        tokio::select! {
            Ok(()) = log.changed() => {}
            () = tokio::time::sleep(POLL_INTERVAL) => {}
        }
    }
}

/// Tells an Alertmanager what is the case.
async fn tell_alerts(
    mut receiver_task: ReceiverTask,
    make: impl Fn() -> Result<Alertmanager, String>,
) {
    let alertmanager = made(&mut receiver_task, make).await;
    let mut all = receiver_task.snapshots.alerts.subscribe();
    let resend = Duration::from_secs(receiver_task.config.resend_s);
    let mut last = None::<(Instant, Vec<Gist>)>;
    let mut responsible_since = None::<Instant>;

    loop {
        let now = Instant::now();
        let board = receiver_task.snapshots.board.borrow().clone();
        responsible_since = receiver_task
            .is_responsible(&board, now)
            .then(|| responsible_since.unwrap_or(now));

        // The one before may be telling it just now.
        let has_settled = responsible_since.is_some_and(|since| now >= since + TAKEOVER);
        let is_ours = |alert: &&Alert| match &alert.reported_by {
            Some(witness) => *witness == receiver_task.own,
            None => has_settled,
        };
        let known = all.borrow_and_update().clone();
        let ours: Vec<Alert> = known
            .iter()
            .filter(|alert| receiver_task.admits(alert))
            .filter(is_ours)
            .cloned()
            .collect();

        let gist: Vec<Gist> = ours.iter().map(gist).collect();
        let is_told = last
            .as_ref()
            .is_some_and(|(at, told)| *told == gist && now < *at + resend);
        let is_due = !ours.is_empty() && !is_told;

        receiver_task.queued(if is_due { ours.len() } else { 0 });
        if is_due && receiver_task.may_try(now) {
            let told = alertmanager.tell(&ours, unix_ms()).await;
            let now = Instant::now();
            match told {
                Ok(()) => {
                    receiver_task.sent(now);
                    last = Some((now, gist));
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

/// What of an alert is worth telling at once when it changes: which it is, when it began, when it
/// ended.
type Gist = (Labels, u64, Option<u64>);

fn gist(alert: &Alert) -> Gist {
    (alert.labels.clone(), alert.starts_ms, alert.ended_ms)
}

impl ReceiverTask {
    fn admits(&self, alert: &Alert) -> bool {
        (self.wanted.kinds.is_empty() || self.wanted.kinds.contains(&alert.kind))
            && alert.severity >= self.wanted.severity
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{config::fixture, snapshots::LeaderView};
    use prometheus::Registry;
    use regionmesh_core::gossip::{AgentView, SeenStatus};
    use regionmesh_protocol::{register::ballot::Ballot, status::entry::EntryVersion};

    /// The place of agent `b/node-0`; `a/x` is alive as well and may have said that it is not
    /// heard.
    fn receiver_task(leader: Option<&str>, is_other_unheard: bool) -> ReceiverTask {
        let receiver = r#"alerts.receivers = [{ name = "hook", kind = "webhook", url = "http://127.0.0.1:9/" }]"#;
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

        let status_entries = ReceiverStatus {
            name: "hook".into(),
            ..ReceiverStatus::default()
        };
        let arguments = AlertsArguments {
            config: config.clone(),
            live: watch::channel(config.clone()).1,
            snapshots,
            gossip: Address::vacant("gossip"),
            metrics: ReceiverMetrics::new(&Registry::new()).unwrap(),
        };

        ReceiverTask::new(
            &arguments,
            &config.alerts.receivers[0],
            watch::Sender::new(AlertStatus {
                receivers: vec![status_entries],
            }),
        )
    }

    fn notifier(receiver_task: &mut ReceiverTask, now: Instant) -> bool {
        let board = receiver_task.snapshots.board.borrow().clone();
        receiver_task.is_responsible(&board, now)
    }

    fn says_unheard(receiver_task: &ReceiverTask) -> bool {
        receiver_task.told.borrow().receivers[0].is_failing
    }

    #[test]
    fn a_leader_that_is_not_heard_says_so_hands_over_and_tries_again_later() {
        let mut receiver_task = receiver_task(Some("b/node-0"), false);
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let error = SendError::Unanswered("refused".into());

        assert!(notifier(&mut receiver_task, start));
        receiver_task.failed(&error, start);
        receiver_task.failed(&error, after(9));
        assert!(!says_unheard(&receiver_task) && notifier(&mut receiver_task, after(9)));
        receiver_task.failed(&error, after(10));
        assert!(says_unheard(&receiver_task) && !notifier(&mut receiver_task, after(10)));
        assert!(notifier(&mut receiver_task, after(310)) && !says_unheard(&receiver_task));

        // It still is not, and says so at once.
        receiver_task.failed(&error, after(311));
        assert!(says_unheard(&receiver_task));
        receiver_task.sent(after(312));
        assert!(!says_unheard(&receiver_task) && notifier(&mut receiver_task, after(312)));
    }

    #[test]
    fn who_does_not_lead_speaks_for_a_leader_that_is_not_heard_or_is_not_there() {
        let (start, after) = (Instant::now(), |start: Instant, seconds| {
            start + Duration::from_secs(seconds)
        });
        assert!(!notifier(&mut receiver_task(Some("a/x"), false), start));
        assert!(notifier(&mut receiver_task(Some("a/x"), true), start));

        // Without a leader the first by name speaks, after a while.
        let mut leaderless = receiver_task(None, true);
        assert!(!notifier(&mut leaderless, start) && !notifier(&mut leaderless, after(start, 9)));
        assert!(notifier(&mut leaderless, after(start, 10)));

        let mut second = receiver_task(None, false);
        assert!(!notifier(&mut second, start) && !notifier(&mut second, after(start, 60)));
    }

    #[test]
    fn pauses_grow_are_bounded_and_a_receivers_wish_is_heeded() {
        let pauses: Vec<_> = (0..12).map(|failures| pause(failures, 0.0)).collect();
        assert!(pauses.is_sorted() && pauses[0] == FIRST_PAUSE && pauses[11] == LONGEST_PAUSE);
        assert!((0..12).all(|failures| pause(failures, 1.0) * 2 == pause(failures, 0.0)));

        let mut receiver_task = receiver_task(Some("b/node-0"), false);
        let start = Instant::now();
        let retry_after = Some(Duration::from_secs(30));

        receiver_task.failed(
            &SendError::NotNow {
                status: 503,
                said: String::new(),
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
    async fn a_receiver_that_cannot_be_made_is_tried_again_and_counted() {
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

        assert_eq!(made(&mut receiver_task, make).await, 7);
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
    fn receipts_are_bounded_and_keep_the_latest() {
        let receiver_task = receiver_task(Some("b/node-0"), false);
        for number in 0..RECEIPTS * 2 {
            receiver_task.delivered(&number.to_string());
        }

        let told = receiver_task.told.borrow().receivers[0].delivered.clone();
        assert_eq!(
            (told.len(), told.last().unwrap().as_str()),
            (RECEIPTS, (RECEIPTS * 2 - 1).to_string().as_str())
        );
    }
}
