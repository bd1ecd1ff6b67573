//! Tells receivers of events and alerts: one task each, so that a dead one delays nobody else.
//!
//! One agent of all is on duty for a receiver (see [`regionmesh_core::notify::duty`]). What it
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
        duty::{Speaker, on_duty},
    },
};
use regionmesh_protocol::{
    identity::AgentId,
    status::{AlertFacts, Fact, FactKind, RECEIPTS, ReceiverFacts},
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
const LOOK: Duration = Duration::from_millis(250);
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
    let told = watch::Sender::new(AlertFacts::default());
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
fn tell_all(arguments: &AlertsArguments, told: &watch::Sender<AlertFacts>) -> JoinSet<()> {
    let receivers = &arguments.config.alerts.receivers;
    let has_told = !told.borrow().receivers.is_empty();
    told.send_modify(|told| {
        let known = std::mem::take(&mut told.receivers);
        let facts = |receiver: &ReceiverConfig| {
            let known = known
                .iter()
                .find(|known| known.name == receiver.name)
                .cloned();

            known.unwrap_or_else(|| ReceiverFacts {
                name: receiver.name.clone(),
                ..ReceiverFacts::default()
            })
        };

        told.receivers = receivers.iter().map(facts).collect();
    });

    let mut tasks = JoinSet::new();
    for receiver in receivers {
        let desk = Desk::new(arguments, receiver, told.clone());
        let config = receiver.clone();
        match receiver.kind {
            ReceiverKind::Webhook => {
                let mesh = arguments.config.mesh.to_string();
                tasks.spawn(tell_events(desk, move || {
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

                tasks.spawn(tell_alerts(desk, move || {
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
async fn publish(mut told: watch::Receiver<AlertFacts>, gossip: Address<GossipMessage>) {
    loop {
        let facts = told.borrow_and_update().clone();
        // Gossip is being restarted: said again soon.
        let _ = gossip.cast(GossipMessage::Publish(Box::new(Fact::Alerts(facts))));

        tokio::select! {
            Ok(()) = told.changed() => {}
            () = tokio::time::sleep(REPEAT_FACTS) => {}
        }
    }
}

/// One receiver's place: whose turn it is, how it does, what was delivered.
struct Desk {
    own: AgentId,
    config: ReceiverConfig,
    wanted: Wanted,
    snapshots: Snapshots,
    metrics: ReceiverMetrics,
    told: watch::Sender<AlertFacts>,
    leaderless_since: Option<Instant>,
    failures: u32,
    failing_since: Option<Instant>,
    unheard_since: Option<Instant>,
    retry_at: Option<Instant>,
    throttle: Throttle,
}

impl Desk {
    fn new(
        arguments: &AlertsArguments,
        config: &ReceiverConfig,
        told: watch::Sender<AlertFacts>,
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
    fn is_on_duty(&mut self, board: &BoardView, now: Instant) -> bool {
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
            let facts = receiver(view, &self.config.name);
            Speaker {
                agent,
                is_unheard: facts.is_some_and(|facts| facts.is_failing),
            }
        });

        let own = Speaker {
            agent: &self.own,
            is_unheard: self.unheard_since.is_some(),
        };
        let alive: Vec<Speaker<'_>> = others.chain([own]).collect();
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
        let is_own = on_duty(&alive, leader.as_ref(), leaderless_ms) == Some(&self.own);

        self.leaderless_since = since;
        self.metrics
            .on_duty
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
            self.say(|facts| facts.is_failing = is_unheard);
        }
    }

    fn say(&self, change: impl FnOnce(&mut ReceiverFacts)) {
        self.told.send_modify(|told| {
            told.receivers
                .iter_mut()
                .find(|facts| facts.name == self.config.name)
                .map(change);
        });
    }

    fn delivered(&self, id: &str) {
        self.say(|facts| {
            facts.delivered.push(id.to_owned());
            let surplus = facts.delivered.len().saturating_sub(RECEIPTS);
            facts.delivered.drain(..surplus);
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
) -> Option<&'a ReceiverFacts> {
    match &*view.facts.get(&FactKind::Alerts)?.fact {
        Fact::Alerts(facts) => facts.receivers.iter().find(|facts| facts.name == name),
        _ => None,
    }
}

/// What speaks to the receiver, once it can be made: a file with authorities may be missing. That
/// is this receiver's trouble and nobody else's.
async fn made<T>(desk: &mut Desk, make: impl Fn() -> Result<T, String>) -> T {
    loop {
        match make() {
            Ok(made) => return made,
            Err(why) => {
                desk.failed(&SendError::Unready(why), Instant::now());
                tokio::time::sleep(pause(desk.failures, 0.0)).await;
            }
        }
    }
}

/// Tells a webhook of each event.
async fn tell_events(mut desk: Desk, make: impl Fn() -> Result<Webhook, String>) {
    let webhook = made(&mut desk, make).await;
    let mut log = desk.snapshots.events.subscribe();
    let mut outbox = Outbox::new(
        desk.own.clone(),
        Duration::from_secs(desk.config.deadline_s),
    );
    let mut cursor = Cursor { boot: None, seq: 0 };

    loop {
        let now = Instant::now();
        let page = log
            .borrow_and_update()
            .after(cursor, &desk.wanted, usize::MAX);

        cursor = page.next;
        let pushed = page
            .events
            .into_iter()
            .filter(|noticed| outbox.add(noticed.event.clone(), now))
            .count();

        desk.dropped("queue-full", pushed as u64);
        let board = desk.snapshots.board.borrow().clone();
        if !outbox.is_empty() {
            let others = board.agents.iter().filter(|(agent, _)| **agent != desk.own);
            let told = others.filter_map(|(_, view)| receiver(view, &desk.config.name));
            outbox.strike(
                &told
                    .flat_map(|facts| &facts.delivered)
                    .map(String::as_str)
                    .collect::<HashSet<_>>(),
            );
        }

        let is_on_duty = desk.is_on_duty(&board, now);
        outbox.set_duty(is_on_duty, now);
        desk.dropped("expired", outbox.expire(now));
        desk.queued(outbox.len());
        if desk.may_try(now)
            && let Some(event) = outbox.next(now)
        {
            let told = webhook.tell(&event).await;
            let now = Instant::now();
            match told {
                Ok(()) => {
                    outbox.done(&event.id);
                    desk.delivered(&event.id);
                    desk.sent(now);
                }
                Err(error @ SendError::Refused { .. }) => {
                    desk.metrics
                        .failed
                        .with_label_values(&[&desk.config.name, error.reason()])
                        .inc();

                    tracing::warn!(receiver = desk.config.name, event = event.id, %error, "an event was refused");
                    desk.dropped("refused", 1);
                    outbox.done(&event.id);

                    // Nobody else needs to try.
                    desk.delivered(&event.id);
                }
                Err(error) => desk.failed(&error, now),
            }

            continue;
        }

        tokio::select! {
            Ok(()) = log.changed() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Tells an Alertmanager what is the case.
async fn tell_alerts(mut desk: Desk, make: impl Fn() -> Result<Alertmanager, String>) {
    let alertmanager = made(&mut desk, make).await;
    let mut all = desk.snapshots.alerts.subscribe();
    let resend = Duration::from_secs(desk.config.resend_s);
    let mut last = None::<(Instant, Vec<Gist>)>;
    let mut duty_since = None::<Instant>;

    loop {
        let now = Instant::now();
        let board = desk.snapshots.board.borrow().clone();
        duty_since = desk
            .is_on_duty(&board, now)
            .then(|| duty_since.unwrap_or(now));

        // The one before may be telling it just now.
        let has_settled = duty_since.is_some_and(|since| now >= since + TAKEOVER);
        let is_ours = |alert: &&Alert| match &alert.witness {
            Some(witness) => *witness == desk.own,
            None => has_settled,
        };
        let known = all.borrow_and_update().clone();
        let ours: Vec<Alert> = known
            .iter()
            .filter(|alert| desk.admits(alert))
            .filter(is_ours)
            .cloned()
            .collect();

        let gist: Vec<Gist> = ours.iter().map(gist).collect();
        let is_told = last
            .as_ref()
            .is_some_and(|(at, told)| *told == gist && now < *at + resend);
        let is_due = !ours.is_empty() && !is_told;

        desk.queued(if is_due { ours.len() } else { 0 });
        if is_due && desk.may_try(now) {
            let told = alertmanager.tell(&ours, unix_ms()).await;
            let now = Instant::now();
            match told {
                Ok(()) => {
                    desk.sent(now);
                    last = Some((now, gist));
                }
                Err(error) => desk.failed(&error, now),
            }

            continue;
        }

        tokio::select! {
            Ok(()) = all.changed() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// What of an alert is worth telling at once when it changes: which it is, when it began, when it
/// ended.
type Gist = (Labels, u64, Option<u64>);

fn gist(alert: &Alert) -> Gist {
    (alert.labels.clone(), alert.starts_ms, alert.ended_ms)
}

impl Desk {
    fn admits(&self, alert: &Alert) -> bool {
        (self.wanted.kinds.is_empty() || self.wanted.kinds.contains(&alert.kind))
            && alert.severity >= self.wanted.severity
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{config::rig, snapshots::LeaderView};
    use prometheus::Registry;
    use regionmesh_core::gossip::{AgentView, SeenFact};
    use regionmesh_protocol::{register::ballot::Ballot, status::entry::EntryVersion};

    /// The place of agent `b/node-0`; `a/x` is alive as well and may have said that it is not
    /// heard.
    fn desk(leader: Option<&str>, is_other_unheard: bool) -> Desk {
        let receiver = r#"alerts.receivers = [{ name = "hook", kind = "webhook", url = "http://127.0.0.1:9/" }]"#;
        let config = Arc::new(rig::config(&[("b", "127.0.0.1")], receiver));
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

        let other = ReceiverFacts {
            name: "hook".into(),
            is_failing: is_other_unheard,
            delivered: Vec::new(),
        };
        let fact = Arc::new(Fact::Alerts(AlertFacts {
            receivers: vec![other],
        }));
        let seen = SeenFact {
            fact,
            version: EntryVersion::default(),
            seen_at: Instant::now(),
        };

        let view = AgentView {
            is_alive: true,
            facts: [(FactKind::Alerts, seen)].into(),
        };

        snapshots.board.send_modify(|board| {
            drop(
                Arc::make_mut(board)
                    .agents
                    .insert("a/x".parse().unwrap(), view),
            )
        });

        let facts = ReceiverFacts {
            name: "hook".into(),
            ..ReceiverFacts::default()
        };
        let arguments = AlertsArguments {
            config: config.clone(),
            live: watch::channel(config.clone()).1,
            snapshots,
            gossip: Address::vacant("gossip"),
            metrics: ReceiverMetrics::new(&Registry::new()).unwrap(),
        };

        Desk::new(
            &arguments,
            &config.alerts.receivers[0],
            watch::Sender::new(AlertFacts {
                receivers: vec![facts],
            }),
        )
    }

    fn duty(desk: &mut Desk, now: Instant) -> bool {
        let board = desk.snapshots.board.borrow().clone();
        desk.is_on_duty(&board, now)
    }

    fn says_unheard(desk: &Desk) -> bool {
        desk.told.borrow().receivers[0].is_failing
    }

    #[test]
    fn a_leader_that_is_not_heard_says_so_hands_over_and_tries_again_later() {
        let mut desk = desk(Some("b/node-0"), false);
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let error = SendError::Unanswered("refused".into());

        assert!(duty(&mut desk, start));
        desk.failed(&error, start);
        desk.failed(&error, after(9));
        assert!(!says_unheard(&desk) && duty(&mut desk, after(9)));
        desk.failed(&error, after(10));
        assert!(says_unheard(&desk) && !duty(&mut desk, after(10)));
        assert!(duty(&mut desk, after(310)) && !says_unheard(&desk));

        // It still is not, and says so at once.
        desk.failed(&error, after(311));
        assert!(says_unheard(&desk));
        desk.sent(after(312));
        assert!(!says_unheard(&desk) && duty(&mut desk, after(312)));
    }

    #[test]
    fn who_does_not_lead_speaks_for_a_leader_that_is_not_heard_or_is_not_there() {
        let (start, after) = (Instant::now(), |start: Instant, seconds| {
            start + Duration::from_secs(seconds)
        });
        assert!(!duty(&mut desk(Some("a/x"), false), start));
        assert!(duty(&mut desk(Some("a/x"), true), start));

        // Without a leader the first by name speaks, after a while.
        let mut leaderless = desk(None, true);
        assert!(!duty(&mut leaderless, start) && !duty(&mut leaderless, after(start, 9)));
        assert!(duty(&mut leaderless, after(start, 10)));

        let mut second = desk(None, false);
        assert!(!duty(&mut second, start) && !duty(&mut second, after(start, 60)));
    }

    #[test]
    fn pauses_grow_are_bounded_and_a_receivers_wish_is_heeded() {
        let pauses: Vec<_> = (0..12).map(|failures| pause(failures, 0.0)).collect();
        assert!(pauses.is_sorted() && pauses[0] == FIRST_PAUSE && pauses[11] == LONGEST_PAUSE);
        assert!((0..12).all(|failures| pause(failures, 1.0) * 2 == pause(failures, 0.0)));

        let mut desk = desk(Some("b/node-0"), false);
        let start = Instant::now();
        let retry_after = Some(Duration::from_secs(30));

        desk.failed(
            &SendError::NotNow {
                status: 503,
                said: String::new(),
                retry_after,
            },
            start,
        );

        assert!(
            !desk.may_try(start + Duration::from_secs(29))
                && desk.may_try(start + Duration::from_secs(30))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_receiver_that_cannot_be_made_is_tried_again_and_counted() {
        let mut desk = desk(Some("b/node-0"), false);
        let attempts = std::cell::Cell::new(0);
        let make = || {
            attempts.set(attempts.get() + 1);
            if attempts.get() < 4 {
                Err("cannot read /nowhere".to_owned())
            } else {
                Ok(7)
            }
        };

        assert_eq!(made(&mut desk, make).await, 7);
        assert_eq!(
            desk.metrics
                .failed
                .with_label_values(&["hook", "unready"])
                .get(),
            3
        );
    }

    #[test]
    fn receipts_are_bounded_and_keep_the_latest() {
        let desk = desk(Some("b/node-0"), false);
        for number in 0..RECEIPTS * 2 {
            desk.delivered(&number.to_string());
        }

        let told = desk.told.borrow().receivers[0].delivered.clone();
        assert_eq!(
            (told.len(), told.last().unwrap().as_str()),
            (RECEIPTS, (RECEIPTS * 2 - 1).to_string().as_str())
        );
    }
}
