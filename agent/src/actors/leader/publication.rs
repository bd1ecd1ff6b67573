//! What this agent knows of the leader and the plan, for the board and the snapshots.

use super::{board, driver::Driver};
use crate::{actors::messages::GossipMessage, snapshots::LeaderView};
use regionmesh_core::gossip::BoardView;
use regionmesh_protocol::{
    plan::CommittedPlan,
    status::{LeaderStatus, StatusEntry},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How long an agent waits at its start for another region's plan.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(3);
/// A status that our own board entry does not show is published again after this long.
const REPUBLISH: Duration = Duration::from_secs(1);

impl Driver {
    /// A plan from before the start, or from before the process was suspended, may be outdated:
    /// that of a region that comes back shows the region serving. It is used once another region
    /// confirms it, or when no region can be reached in time.
    pub(super) fn judge_currency(&self, board: &BoardView) {
        let is_current = &self.arguments.snapshots.is_current;
        if *is_current.borrow() {
            return;
        }

        let has_elsewhere = self.arguments.config.regions.len() > 1;
        let resumed = *self.arguments.snapshots.resumed.borrow();
        let heard = *self.arguments.snapshots.heard.borrow();
        let known = self.confirmed_plan();

        let is_heard = match resumed {
            Some(resumed) => heard >= Some(resumed),
            None => known.is_some_and(|known| {
                board::is_heard_elsewhere(board, &self.arguments.id.region, &known.stamp)
            }),
        };

        if has_elsewhere && !is_heard {
            if self.started.max(resumed.unwrap_or(self.started)).elapsed() < CONFIRM_TIMEOUT {
                return;
            }
            if self.arguments.snapshots.plan.borrow().is_some() {
                tracing::warn!(
                    waited = ?CONFIRM_TIMEOUT,
                    "no other region confirms the plan; continuing with the saved one"
                );
            }
        }

        is_current.send_replace(true);
    }

    /// Adopts a committed plan if it is newer than the one known, or the same with a certificate of
    /// more signatures. The caller has checked its proof: a certificate or a round of reading.
    /// `is_confirmed`: the proof rests on members that are known, not on the configuration. `age`:
    /// time since the proposal, if this agent made it.
    pub(super) fn learn_plan(
        &mut self,
        plan: &CommittedPlan,
        is_confirmed: bool,
        age: Option<Duration>,
    ) {
        self.election.observe(&plan.stamp.ballot);
        let snapshots = &self.arguments.snapshots;
        let before = snapshots.plan.borrow().clone();

        if let Some(known) = before.as_ref().filter(|known| known.stamp >= plan.stamp) {
            self.trust.is_plan_confirmed |= is_confirmed && known.stamp == plan.stamp;
            if is_fuller(known, plan) {
                snapshots.plan.send_replace(Some(Arc::new(plan.clone())));
                self.publish(StatusEntry::Plan(plan.clone()));
            }
            return;
        }

        snapshots.clocks.learned(&plan.plan, age);
        snapshots.plan.send_replace(Some(Arc::new(plan.clone())));
        self.trust.is_plan_confirmed = is_confirmed;
        self.report_unknown_addresses(plan);
        self.log_members(
            before.as_deref().map(|known| &known.plan.members),
            &plan.plan.members,
        );

        let metrics = &self.arguments.metrics;
        metrics
            .committed
            .plan_seq
            .set(i64::try_from(plan.stamp.seq).unwrap_or(i64::MAX));
        metrics.update(&plan.plan);
        if self.proposer.leading() != Some(&plan.stamp.ballot) {
            metrics.committed.adopted.inc();
            tracing::info!(stamp = %plan.stamp, reason = %plan.plan.reason, "plan adopted");
        }

        self.publish(StatusEntry::Plan(plan.clone()));
    }

    pub(super) fn publish_changes(&mut self) {
        let leading = self.proposer.leading().cloned();
        let highest = self.election.highest().cloned();
        let metrics = &self.arguments.metrics;

        metrics.election.is_leader.set(i64::from(leading.is_some()));
        metrics.register.ballot.set(
            highest
                .as_ref()
                .map_or(0, |ballot| i64::try_from(ballot.number).unwrap_or(i64::MAX)),
        );

        let board = self.board();
        let other = self.known_leader(&board).filter(|leader| leader.is_alive);
        let is_self = leading.is_some();
        let view = LeaderView {
            ballot: leading.clone().or(other.map(|leader| leader.ballot)),
            is_self,
        };

        metrics
            .election
            .leader_known
            .set(i64::from(view.ballot.is_some()));
        self.arguments.snapshots.leader.send_if_modified(|known| {
            let is_news = *known != view;
            *known = view;
            is_news
        });

        self.publish(StatusEntry::Leader(LeaderStatus { leading, highest }));
        let plan = self.arguments.snapshots.plan.borrow().clone();
        if let Some(plan) = plan {
            self.publish(StatusEntry::Plan((*plan).clone()));
        }
    }

    /// Publishes a status until our own entry on the board shows it: the gossip actor may have been
    /// restarted.
    pub(super) fn publish(&mut self, status_entry: StatusEntry) {
        let kind = status_entry.kind();
        let board = self.board();
        let own_entry = board
            .agents
            .get(&self.arguments.id)
            .and_then(|view| view.status_entries.get(&kind));

        if own_entry.is_some_and(|seen| *seen.status_entry == status_entry) {
            self.published.remove(&kind);
            return;
        }

        if self
            .published
            .get(&kind)
            .is_some_and(|(at, last)| at.elapsed() < REPUBLISH && *last == status_entry)
        {
            return;
        }

        self.published
            .insert(kind, (Instant::now(), status_entry.clone()));
        // If the address is vacant, the next call publishes again.
        let _ = self
            .arguments
            .gossip
            .cast(GossipMessage::Publish(Box::new(status_entry)));
    }
}

/// Whether `plan` is the plan known, with more signatures.
pub(super) fn is_fuller(known: &CommittedPlan, plan: &CommittedPlan) -> bool {
    known.stamp == plan.stamp
        && known.plan == plan.plan
        && known.certificate.len() < plan.certificate.len()
}
