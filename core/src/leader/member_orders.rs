//! The register's members: orders that change them, acceptors that lost their state, and members
//! that join.

use super::{
    member_change::Change, notice::RegisterNotice, proposer::NoJoin, state::Leader, turn::Turn,
};
use crate::{
    gossip::BoardView,
    planning::{MemberStep, MemberView, check_membership, plan_membership},
    ticket::Ticket,
};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{MemberOrder, MemberOrderError, Order, OrderAction, OrderError},
    register::members::{Incarnation, MemberChange, Members, Mend},
    wire::OrderRefusal,
};
use std::{borrow::Cow, time::Duration};

/// Pause before a member that failed to join is tried again.
const JOIN_AGAIN: Duration = Duration::from_secs(10);

impl Leader {
    /// Performs an order about members as far as possible now. Returns whether a commit is under
    /// way.
    pub(super) fn order_member(
        &mut self,
        order: Order,
        ticket: Ticket,
        board: &BoardView,
        turn: &mut Turn<'_>,
    ) -> bool {
        if let Some(change) = self.change.take_if(|change| change.failed.is_none()) {
            let why = format!(
                "{} is joining the register; members change one at a time",
                change.region
            );

            self.change = Some(change);
            self.refuse_order(ticket, OrderRefusal::NotNow(why), turn);
            return false;
        }

        let answering = self.proposer.heard(self.now_ms(turn.now));
        let checked = match self.proposer.decided() {
            None => Err(OrderError::NoPlan),
            Some((_, plan)) => {
                let leader = &self.settings.id;
                let configured = &self.settings.configured;
                check_membership(
                    plan,
                    &order,
                    MemberView {
                        leader,
                        configured,
                        answering: &answering,
                    },
                )
            }
        };

        match checked {
            Err(error) => {
                self.refuse_order(ticket, error.into(), turn);
                false
            }
            Ok(MemberStep::Join(region)) => {
                self.begin_join(region, Some((order, ticket)), turn);
                false
            }
            Ok(MemberStep::Commit(change)) => {
                let reason = in_words(&change, Some(&order));
                self.ordered = Some(ticket);
                self.commit_change(&change, Some(order), reason, board, turn)
            }
        }
    }

    fn begin_join(
        &mut self,
        region: RegionName,
        order: Option<(Order, Ticket)>,
        turn: &mut Turn<'_>,
    ) {
        let now_ms = self.now_ms(turn.now);
        let incarnation = Incarnation(turn.rng.next_u64());
        match self.proposer.join(region.clone(), incarnation, now_ms) {
            Ok(effects) => {
                self.change = Some(Change {
                    region,
                    order,
                    joined: None,
                    failed: None,
                });

                self.carry_out(effects, turn);
            }
            Err(error) => {
                if let Some((_, ticket)) = order {
                    self.refuse_order(ticket, OrderRefusal::NotNow(error.to_string()), turn);
                }
            }
        }
    }

    /// An acceptor has joined: committed as soon as nothing else is under way.
    pub(super) fn joined(
        &mut self,
        region: RegionName,
        incarnation: Incarnation,
        turn: &mut Turn<'_>,
    ) {
        if let Some(change) = self
            .change
            .as_mut()
            .filter(|change| change.region == region)
        {
            change.joined = Some(incarnation);
        }

        turn.notice(RegisterNotice::CaughtUp {
            region,
            incarnation,
        });
    }

    pub(super) fn not_joined(&mut self, region: RegionName, why: NoJoin, turn: &mut Turn<'_>) {
        let Some(mut change) = self.change.take_if(|change| change.region == region) else {
            return;
        };
        match change.order.take() {
            Some((_, ticket)) => {
                let refusal = match &why {
                    NoJoin::Silent(_) => {
                        OrderRefusal::NotNow(format!("{region} can't join now: {why}"))
                    }
                    NoJoin::Votes(_) => {
                        let error = MemberOrderError::Votes {
                            region: region.clone(),
                            why: why.to_string(),
                        };
                        OrderRefusal::Wrong(OrderError::Member(error))
                    }
                };

                self.refuse_order(ticket, refusal, turn);
            }
            None => {
                turn.notice(RegisterNotice::NotJoined { region, why });
                change.failed = Some(turn.now.monotonic);
                self.change = Some(change);
            }
        }
    }

    /// The leader stepped down while a change was under way.
    pub(super) fn refuse_change(&mut self, why: &str, turn: &mut Turn<'_>) {
        if let Some((_, ticket)) = self.change.take().and_then(|change| change.order) {
            self.refuse_order(ticket, OrderRefusal::NotNow(why.into()), turn);
        }
    }

    /// Commits a join, suspends an acceptor that lost its state, starts the join of one without a
    /// vote. Returns whether a commit is under way.
    pub(super) fn mend_members(&mut self, board: &BoardView, turn: &mut Turn<'_>) -> bool {
        if let Some(change) = self.change.take_if(|change| change.joined.is_some()) {
            return self.commit_join(change, board, turn);
        }

        let Some((_, plan)) = self.proposer.decided() else {
            return false;
        };
        match plan
            .members
            .mend(&self.proposer.heard(self.now_ms(turn.now)))
        {
            None => false,
            Some(Mend::Suspend(region)) => {
                turn.notice(RegisterNotice::LostState(region.clone()));

                let change = MemberChange::Suspend(region);
                let reason = in_words(&change, None);
                self.commit_change(&change, None, reason, board, turn)
            }
            Some(Mend::Join(region)) => {
                let elapsed = |at| turn.now.monotonic.saturating_duration_since(at);
                let is_waiting = self
                    .change
                    .as_ref()
                    .is_some_and(|change| change.failed.is_none_or(|at| elapsed(at) < JOIN_AGAIN));

                if !is_waiting {
                    self.begin_join(region, None, turn);
                }
                false
            }
        }
    }

    fn commit_join(&mut self, change: Change, board: &BoardView, turn: &mut Turn<'_>) -> bool {
        let Some(incarnation) = change.joined else {
            return false;
        };
        let Change { region, order, .. } = &change;
        let join = MemberChange::Join(region.clone(), incarnation);
        let reason = in_words(&join, order.as_ref().map(|(order, _)| order));

        let (order, ticket) = change.order.unzip();
        self.ordered = ticket;
        self.commit_change(&join, order, reason, board, turn)
    }

    fn commit_change(
        &mut self,
        change: &MemberChange,
        order: Option<Order>,
        reason: String,
        board: &BoardView,
        turn: &mut Turn<'_>,
    ) -> bool {
        let current = self.decided_by_own_clock(turn.now).map(Cow::into_owned);
        let Some(current) = current else {
            return false;
        };
        let planned = current
            .members
            .after(change)
            .map_err(|error| error.to_string())
            .and_then(|members| {
                let inputs = self.inputs_of(board, &current, &members);
                plan_membership(&current, change, reason, &inputs, turn.now.unix_ms)
                    .map_err(|error| error.to_string())
            });

        match planned {
            Ok(mut plan) => {
                if let Some(order) = order {
                    plan.add_order(order);
                }
                turn.notice(RegisterNotice::Changing(change.clone()));
                self.propose(plan, turn);
                true
            }
            Err(error) => {
                turn.notice(RegisterNotice::NotChanged(error.clone()));
                if let Some(ticket) = self.ordered.take() {
                    self.refuse_order(ticket, OrderRefusal::NotNow(error), turn);
                }
                false
            }
        }
    }

    /// Reports a change of the members and what it means for automatic failover.
    pub(super) fn report_members(
        &self,
        before: Option<&Members>,
        now: &Members,
        turn: &mut Turn<'_>,
    ) {
        if before == Some(now) {
            return;
        }

        let members: Vec<RegionName> = now.acceptors.keys().cloned().collect();
        let configured: Vec<RegionName> = self.settings.configured.iter().cloned().collect();
        let without_vote = now
            .acceptors
            .iter()
            .filter(|(_, counted)| counted.is_none())
            .map(|(name, _)| name.clone())
            .collect();

        turn.notice(RegisterNotice::Members {
            members: members.clone(),
            without_vote,
        });

        if members != configured {
            turn.notice(RegisterNotice::NotAsConfigured {
                members,
                configured,
            });
        }

        if now.len().is_multiple_of(2) {
            turn.notice(RegisterNotice::Even(now.len()));
        }
        if let Some(why) = now.why_not_automatic() {
            turn.notice(RegisterNotice::NotAutomatic(why));
        }
    }
}

fn in_words(change: &MemberChange, order: Option<&Order>) -> String {
    let by = order
        .map(|order| format!(" by {} ({})", order.by, order.why))
        .unwrap_or_default();
    match change {
        MemberChange::Join(region, _) if order.is_some() => {
            format!("ordered: {region} becomes a member{by}")
        }
        MemberChange::Join(region, _) => {
            format!("{region}: its acceptor joined the register and votes")
        }
        MemberChange::Suspend(region) => {
            format!("{region}: its acceptor lost its state and has no vote")
        }
        MemberChange::Remove(region) => {
            let is_forced = order.is_some_and(|order| {
                matches!(
                    order.action,
                    OrderAction::Member(MemberOrder::Remove { force: true })
                )
            });

            format!(
                "ordered: {region} is no longer a member{by}{}",
                if is_forced { ", forced" } else { "" }
            )
        }
        MemberChange::Rename(old, new) => format!("ordered: {old} is renamed {new}{by}"),
    }
}
