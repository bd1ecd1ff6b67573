//! The register's members: orders that change them, acceptors that lost their state, and members
//! that join.

use super::{
    driver::Driver,
    member_change::{Change, OrderReply},
};
use regionmesh_core::{
    gossip::BoardView,
    leader::proposer::NoJoin,
    planning::{MemberStep, MemberView, check_membership, plan_membership},
};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{MemberOrder, MemberOrderError, Order, OrderAction, OrderError},
    register::members::{Incarnation, MemberChange, Members, Mend},
    wire::OrderRefusal,
};
use regionmesh_runtime::time::unix_ms;
use std::{
    borrow::Cow,
    time::{Duration, Instant},
};

/// Pause before a member that failed to join is tried again.
const JOIN_AGAIN: Duration = Duration::from_secs(10);

impl Driver {
    /// Performs an order about members as far as possible now. Returns whether a commit is under
    /// way.
    pub(super) fn order_member(
        &mut self,
        order: Order,
        reply: OrderReply,
        board: &BoardView,
    ) -> bool {
        if let Some(change) = self.change.take_if(|change| change.failed.is_none()) {
            let why = format!(
                "{} is joining the register; members change one at a time",
                change.region
            );

            self.change = Some(change);
            self.refuse_member(reply, OrderRefusal::NotNow(why));
            return false;
        }

        let answering = self.proposer.heard(self.now_ms());
        let checked = match self.proposer.decided() {
            None => Err(OrderError::NoPlan),
            Some((_, plan)) => {
                let leader = &self.arguments.id;
                let configured = &self.configured;
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
                self.refuse_member(reply, error.into());
                false
            }
            Ok(MemberStep::Join(region)) => {
                self.begin_join(region, Some((order, reply)));
                false
            }
            Ok(MemberStep::Commit(change)) => {
                let reason = self.in_words(&change, Some(&order));
                self.ordered = Some(reply);
                self.commit_change(&change, reason, board)
            }
        }
    }

    fn refuse_member(&self, reply: OrderReply, why: OrderRefusal) {
        self.count_order("refused");

        tracing::info!(error = %why, "an order is refused");
        // The caller may have given up.
        let _ = reply.send(Err(why));
    }

    fn begin_join(&mut self, region: RegionName, order: Option<(Order, OrderReply)>) {
        let now_ms = self.now_ms();
        match self
            .proposer
            .join(region.clone(), Incarnation(rand::random()), now_ms)
        {
            Ok(effects) => {
                self.change = Some(Change {
                    region,
                    order,
                    joined: None,
                    failed: None,
                });

                self.carry_out(effects);
            }
            Err(error) => {
                if let Some((_, reply)) = order {
                    self.refuse_member(reply, OrderRefusal::NotNow(error.to_string()));
                }
            }
        }
    }

    /// An acceptor has joined: committed as soon as nothing else is under way.
    pub(super) fn joined(&mut self, region: RegionName, incarnation: Incarnation) {
        tracing::info!(%region, %incarnation, "an acceptor has caught up");
        if let Some(change) = self
            .change
            .as_mut()
            .filter(|change| change.region == region)
        {
            change.joined = Some(incarnation);
        }
    }

    pub(super) fn not_joined(&mut self, region: &RegionName, why: &NoJoin) {
        let Some(mut change) = self.change.take_if(|change| change.region == *region) else {
            return;
        };
        match change.order.take() {
            Some((_, reply)) => {
                let refusal = match why {
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

                self.refuse_member(reply, refusal);
            }
            None => {
                tracing::warn!(%region, %why, "a member without a vote could not join; retrying");
                change.failed = Some(Instant::now());
                self.change = Some(change);
            }
        }
    }

    /// The leader stepped down while a change was under way.
    pub(super) fn refuse_change(&mut self, why: &str) {
        if let Some((_, reply)) = self.change.take().and_then(|change| change.order) {
            self.refuse_member(reply, OrderRefusal::NotNow(why.into()));
        }
    }

    /// Commits a join, suspends an acceptor that lost its state, starts the join of one without a
    /// vote. Returns whether a commit is under way.
    pub(super) fn mend_members(&mut self, board: &BoardView) -> bool {
        if let Some(change) = self.change.take_if(|change| change.joined.is_some()) {
            return self.commit_join(change, board);
        }

        let Some((_, plan)) = self.proposer.decided() else {
            return false;
        };
        match plan.members.mend(&self.proposer.heard(self.now_ms())) {
            None => false,
            Some(Mend::Suspend(region)) => {
                tracing::error!(
                    %region,
                    "the acceptor of this region lost its state (slots of the register were \
                        deleted from its store): it has no vote until it has joined again"
                );

                let change = MemberChange::Suspend(region);
                let reason = self.in_words(&change, None);
                self.commit_change(&change, reason, board)
            }
            Some(Mend::Join(region)) => {
                let is_waiting = self
                    .change
                    .as_ref()
                    .is_some_and(|change| change.failed.is_none_or(|at| at.elapsed() < JOIN_AGAIN));

                if !is_waiting {
                    self.begin_join(region, None);
                }
                false
            }
        }
    }

    fn commit_join(&mut self, change: Change, board: &BoardView) -> bool {
        let (Change { region, order, .. }, Some(incarnation)) = (&change, change.joined) else {
            return false;
        };
        let join = MemberChange::Join(region.clone(), incarnation);
        let reason = self.in_words(&join, order.as_ref().map(|(order, _)| order));

        self.ordered = change.order.map(|(_, reply)| reply);
        self.commit_change(&join, reason, board)
    }

    fn commit_change(&mut self, change: &MemberChange, reason: String, board: &BoardView) -> bool {
        let Some(current) = self.decided_by_own_clock().map(Cow::into_owned) else {
            return false;
        };
        let planned = current
            .members
            .after(change)
            .map_err(|error| error.to_string())
            .and_then(|members| {
                let inputs = self.inputs_of(board, &current, &members);
                plan_membership(&current, change, reason, &inputs, unix_ms())
                    .map_err(|error| error.to_string())
            });

        match planned {
            Ok(plan) => {
                let name = match change {
                    MemberChange::Join(..) => "join",
                    MemberChange::Suspend(_) => "suspend",
                    MemberChange::Remove(_) => "remove",
                    MemberChange::Rename(..) => "rename",
                };

                self.arguments
                    .metrics
                    .register
                    .member_changes
                    .with_label_values(&[name])
                    .inc();

                self.propose(plan);
                true
            }
            Err(error) => {
                tracing::warn!(%error, "a change of members is no longer possible");
                if let Some(reply) = self.ordered.take() {
                    self.refuse_member(reply, OrderRefusal::NotNow(error));
                }
                false
            }
        }
    }

    fn in_words(&self, change: &MemberChange, order: Option<&Order>) -> String {
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

    /// Logs a change of the members and what it means for automatic failover.
    pub(super) fn log_members(&self, before: Option<&Members>, now: &Members) {
        if before == Some(now) {
            return;
        }

        let known: Vec<&str> = now.acceptors.keys().map(RegionName::as_str).collect();
        let configured: Vec<&str> = self.configured.iter().map(RegionName::as_str).collect();
        let voteless: Vec<&str> = now
            .acceptors
            .iter()
            .filter(|(_, counted)| counted.is_none())
            .map(|(name, _)| name.as_str())
            .collect();

        tracing::info!(members = ?known, without_vote = ?voteless, "the register's members");
        if known != configured {
            tracing::warn!(
                members = ?known, ?configured,
                "the register's members are not those of the configuration: the register says \
                    who votes and gets traffic; see `regionmesh failover members`"
            );
        }

        if now.len().is_multiple_of(2) {
            tracing::warn!(
                members = now.len(),
                "the register has an even number of acceptors; the last one adds no fault tolerance"
            );
        }

        if let Some(why) = now.why_not_automatic() {
            tracing::error!("{why}");
        }
    }
}
