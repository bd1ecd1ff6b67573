//! The state of one receiver: who is responsible for it, its failures and its deliveries.

use super::arguments::AlertsArguments;
use crate::{
    alerts::{ReceiverMetrics, SendError},
    config::ReceiverConfig,
    events::Wanted,
    snapshots::Snapshots,
};
use regionmesh_core::{
    backoff::Backoff,
    gossip::BoardView,
    notify::{
        alert::Alert,
        notifier::{Candidate, responsible_agent},
    },
};
use regionmesh_protocol::{
    identity::AgentId,
    status::{AlertStatus, RECEIPTS, ReceiverStatus, StatusEntry, StatusKind},
};
use regionmesh_runtime::logging::Throttle;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Pause after the first failure; doubles up to [`LONGEST_PAUSE`], with up to half of it taken off
/// at random.
pub(super) const FIRST_PAUSE: Duration = Duration::from_secs(1);

pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// After failing for this long a receiver is published as failing, and another agent takes over.
const FAILING_AFTER: Duration = Duration::from_secs(10);
/// After this time this agent may be responsible again.
const FAILING_FOR: Duration = Duration::from_secs(300);
/// How often a failing receiver is logged.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// The state of one receiver.
pub(super) struct ReceiverTask {
    pub(super) own: AgentId,
    pub(super) config: ReceiverConfig,
    pub(super) wanted: Wanted,
    pub(super) snapshots: Snapshots,
    pub(super) metrics: ReceiverMetrics,
    pub(super) deliveries: watch::Sender<AlertStatus>,
    pub(super) leaderless_since: Option<Instant>,
    pub(super) failures: u32,
    pub(super) failing_since: Option<Instant>,
    pub(super) reported_failing_since: Option<Instant>,
    pub(super) retry_at: Option<Instant>,
    pub(super) throttle: Throttle,
}

impl ReceiverTask {
    pub(super) fn new(
        arguments: &AlertsArguments,
        config: &ReceiverConfig,
        deliveries: watch::Sender<AlertStatus>,
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
            deliveries,
            leaderless_since: None,
            failures: 0,
            failing_since: None,
            reported_failing_since: None,
            retry_at: None,
            throttle: Throttle::new(LOG_EVERY),
        }
    }

    /// Whether this agent is responsible for the receiver now.
    pub(super) fn is_responsible(&mut self, board: &BoardView, now: Instant) -> bool {
        if self
            .reported_failing_since
            .is_some_and(|since| now.saturating_duration_since(since) >= FAILING_FOR)
        {
            self.set_failing(false, now);
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
            let status = receiver(view, &self.config.name);
            Candidate {
                agent,
                is_unheard: status.is_some_and(|status| status.is_failing),
            }
        });

        let own = Candidate {
            agent: &self.own,
            is_unheard: self.reported_failing_since.is_some(),
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

    pub(super) fn may_try(&self, now: Instant) -> bool {
        self.retry_at.is_none_or(|at| now >= at)
    }

    pub(super) fn sent(&mut self, now: Instant) {
        self.metrics
            .sent
            .with_label_values(&[&self.config.name])
            .inc();

        if self.failures > 0 {
            tracing::info!(
                receiver = self.config.name,
                failures = self.failures,
                "alert delivery has recovered"
            );
        }

        (self.failures, self.failing_since, self.retry_at) = (0, None, None);
        self.set_failing(false, now);
    }

    pub(super) fn failed(&mut self, error: &SendError, now: Instant) {
        self.metrics
            .failed
            .with_label_values(&[&self.config.name, error.reason()])
            .inc();

        if let Some(left_out) = self.throttle.admit(now) {
            tracing::warn!(
                receiver = self.config.name,
                %error,
                left_out,
                "alert delivery failed"
            );
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
        if self.failures > 1 && now.saturating_duration_since(since) >= FAILING_AFTER {
            self.set_failing(true, now);
        }
    }

    fn set_failing(&mut self, is_failing: bool, now: Instant) {
        if is_failing != self.reported_failing_since.is_some() {
            self.reported_failing_since = is_failing.then_some(now);
            self.update_status(|status| status.is_failing = is_failing);
        }
    }

    fn update_status(&self, change: impl FnOnce(&mut ReceiverStatus)) {
        self.deliveries.send_modify(|status| {
            status
                .receivers
                .iter_mut()
                .find(|status| status.name == self.config.name)
                .map(change);
        });
    }

    pub(super) fn delivered(&self, id: &str) {
        self.update_status(|status| {
            status.delivered.push(id.to_owned());
            let surplus = status.delivered.len().saturating_sub(RECEIPTS);
            status.delivered.drain(..surplus);
        });
    }

    pub(super) fn dropped(&self, reason: &str, count: u64) {
        self.metrics
            .dropped
            .with_label_values(&[&self.config.name, reason])
            .inc_by(count);

        if count > 0 {
            tracing::warn!(
                receiver = self.config.name,
                reason,
                count,
                "events dropped for a receiver"
            );
        }
    }

    pub(super) fn queued(&self, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics
            .queued
            .with_label_values(&[&self.config.name])
            .set(count);
    }
}

impl ReceiverTask {
    pub(super) fn admits(&self, alert: &Alert) -> bool {
        (self.wanted.kinds.is_empty() || self.wanted.kinds.contains(&alert.kind))
            && alert.severity >= self.wanted.severity
    }
}

/// The pause after this many failures. `random` is from 0 to 1.
pub(super) fn pause(failures: u32, random: f64) -> Duration {
    let longest = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE).after(failures);
    longest.mul_f64(1.0 - random.clamp(0.0, 1.0) / 2.0)
}

/// What an agent publishes about one receiver.
pub(super) fn receiver<'a>(
    view: &'a regionmesh_core::gossip::AgentView,
    name: &str,
) -> Option<&'a ReceiverStatus> {
    match &*view.status_entries.get(&StatusKind::Alerts)?.status_entry {
        StatusEntry::Alerts(status) => status.receivers.iter().find(|status| status.name == name),
        _ => None,
    }
}
