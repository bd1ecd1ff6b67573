//! What this agent knows of the leader and the plan, for the board and the rest of the agent.

use super::{
    board,
    notice::{ElectionNotice, Notice, PlanNotice},
    state::Leader,
    turn::Turn,
    types::{Effect, LeaderView, Refusal},
};
use crate::{gossip::BoardView, planning::unknown_addresses, problem_change::ProblemChange};
use regionmesh_protocol::{
    plan::CommittedPlan,
    status::{LeaderStatus, StatusEntry, StatusKind, problem::ProblemKind},
};
use std::{sync::Arc, time::Duration};

/// How long an agent waits at its start for another region's plan.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(3);
/// A status that our own board entry does not show is published again after this long.
const REPUBLISH: Duration = Duration::from_secs(1);

impl Leader {
    /// A plan from before the start, or from before the process was suspended, may be outdated:
    /// that of a region that comes back shows the region serving. It is used once another region
    /// confirms it, or when no region can be reached in time.
    pub(super) fn judge_currency(&mut self, board: &BoardView, turn: &mut Turn<'_>) {
        let contact = self.seen.contact;
        if contact.is_current {
            return;
        }

        let has_elsewhere = self.settings.plan.regions.len() > 1;
        let is_heard = match contact.resumed {
            Some(resumed) => contact.heard >= Some(resumed),
            None => self.confirmed_plan().is_some_and(|known| {
                board::is_heard_elsewhere(board, self.own_region(), &known.stamp)
            }),
        };

        if has_elsewhere && !is_heard {
            let since = self.started.max(contact.resumed.unwrap_or(self.started));
            if turn.now.monotonic.saturating_duration_since(since) < CONFIRM_TIMEOUT {
                return;
            }
            if self.plan.is_some() {
                turn.notice(PlanNotice::Unconfirmed(CONFIRM_TIMEOUT));
            }
        }

        self.seen.contact.is_current = true;
        turn.emit(Effect::Current);
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
        turn: &mut Turn<'_>,
    ) {
        self.election.observe(&plan.stamp.ballot);
        let before = self.plan.clone();

        if let Some(known) = before.as_ref().filter(|known| known.stamp >= plan.stamp) {
            self.trust.is_plan_confirmed |= is_confirmed && known.stamp == plan.stamp;
            if is_fuller(known, plan) {
                self.hold(plan, turn);
                self.publish(StatusEntry::Plan(plan.clone()), turn);
            }
            return;
        }

        self.clocks.plan.learned(&plan.plan, age, turn.now);
        self.publish_plan_clock(turn);

        self.hold(plan, turn);
        let earlier = before.as_deref().map(|known| &known.plan);
        self.judging.learned(earlier, plan, turn.now);
        self.trust.is_plan_confirmed = is_confirmed;
        self.report_unknown_addresses(plan, turn);
        self.report_members(
            before.as_deref().map(|known| &known.plan.members),
            &plan.plan.members,
            turn,
        );

        if self.proposer.leading() != Some(&plan.stamp.ballot) {
            turn.notice(PlanNotice::Adopted {
                stamp: plan.stamp.clone(),
                reason: plan.plan.reason.clone(),
            });
        }

        self.publish(StatusEntry::Plan(plan.clone()), turn);
    }

    fn hold(&mut self, plan: &CommittedPlan, turn: &mut Turn<'_>) {
        let learned = Arc::new(plan.clone());
        self.plan = Some(learned.clone());
        turn.emit(Effect::AdoptPlan(learned));
    }

    /// Passes on how the other parts of the agent read the plan's times.
    pub(super) fn publish_plan_clock(&mut self, turn: &mut Turn<'_>) {
        if self.clocks.published != Some(self.clocks.plan) {
            self.clocks.published = Some(self.clocks.plan);
            turn.emit(Effect::PlanClock(self.clocks.plan));
        }
    }

    pub(super) fn publish_changes(&mut self, turn: &mut Turn<'_>) {
        let leading = self.proposer.leading().cloned();
        let highest = self.election.highest().cloned();
        if self.published.highest.as_ref() != Some(&highest) {
            self.published.highest = Some(highest.clone());
            turn.notice(ElectionNotice::Highest(highest.clone()));
        }

        let board = self.board();
        let other = self.known_leader(&board).filter(|leader| leader.is_alive);
        let view = LeaderView {
            ballot: leading.clone().or(other.map(|leader| leader.ballot)),
            is_self: leading.is_some(),
        };

        if self.published.leader.as_ref() != Some(&view) {
            self.published.leader = Some(view.clone());
            turn.emit(Effect::LeaderView(view));
        }

        self.publish(StatusEntry::Leader(LeaderStatus { leading, highest }), turn);
        if let Some(plan) = self.plan.clone() {
            // Compared before it is copied: this runs at each tick, and a plan is large.
            match self.own_entry(StatusKind::Plan) {
                Some(StatusEntry::Plan(known)) if *known == *plan => {
                    self.published.entries.remove(&StatusKind::Plan);
                }
                _ => self.publish(StatusEntry::Plan((*plan).clone()), turn),
            }
        }
    }

    /// Our own entry on the board.
    fn own_entry(&self, kind: StatusKind) -> Option<&StatusEntry> {
        let view = self.seen.board.agents.get(&self.settings.id)?;
        Some(&view.status_entries.get(&kind)?.status_entry)
    }

    /// Publishes a status until our own entry on the board shows it: the gossip part may have been
    /// restarted.
    fn publish(&mut self, status_entry: StatusEntry, turn: &mut Turn<'_>) {
        let kind = status_entry.kind();
        if self.own_entry(kind) == Some(&status_entry) {
            self.published.entries.remove(&kind);
            return;
        }

        let now = turn.now.monotonic;
        let last = self.published.entries.get(&kind);
        if last.is_some_and(|(at, last)| {
            now.saturating_duration_since(*at) < REPUBLISH && *last == status_entry
        }) {
            return;
        }

        self.published
            .entries
            .insert(kind, (now, status_entry.clone()));
        turn.emit(Effect::Publish(Box::new(status_entry)));
    }

    /// Reports the regions and addresses of a plan that are not in our configuration, and so not
    /// answered.
    fn report_unknown_addresses(&self, plan: &CommittedPlan, turn: &mut Turn<'_>) {
        let known = &self.settings.plan.regions;
        let addresses = |region: &_| known.get(region).map(|known| &known.addresses[..]);
        let unknown = unknown_addresses(addresses, &plan.plan);

        let kind = ProblemKind::PlanAddressUnknown;
        let subjects = unknown.keys().map(ToString::to_string).collect();
        turn.emit(Effect::Problem(ProblemChange::Retain { kind, subjects }));

        for (region, addresses) in unknown {
            turn.count_refusal(Refusal::UnknownAddress);
            let detail = match &addresses[..] {
                [] => format!(
                    "plan {} names a region that is not in this agent's configuration",
                    plan.stamp
                ),
                some => {
                    format!(
                        "plan {} names {some:?}, which this agent's configuration does not have \
                            there",
                        plan.stamp
                    )
                }
            };
            let subject = region.to_string();

            turn.notice(Notice::Plan(PlanNotice::UnknownAddress {
                region,
                addresses,
                stamp: plan.stamp.clone(),
            }));

            let advice = "left out of its DNS answers; run the same [[regions]] on all agents";
            let detail = format!("{detail}; {advice}");
            turn.emit(Effect::Problem(ProblemChange::Set {
                kind,
                subject,
                detail,
            }));
        }
    }
}

/// Whether `plan` is the plan known, with more signatures.
pub(super) fn is_fuller(known: &CommittedPlan, plan: &CommittedPlan) -> bool {
    known.stamp == plan.stamp
        && known.certificate.len() < plan.certificate.len()
        && known.plan == plan.plan
}
