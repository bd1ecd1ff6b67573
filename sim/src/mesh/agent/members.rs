//! The register's members: orders about them, and repairs.

use super::{
    Agent, Turn,
    types::{Asker, Change},
};
use regionmesh_core::planning::{MemberStep, MemberView, check_membership, plan_membership};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{Order, OrderError},
    register::members::{Incarnation, MemberChange, Mend},
    wire::OrderRefusal,
};

/// Pause before a member that could not join is asked again.
const JOIN_AGAIN_MS: u64 = 10_000;

impl Agent {
    /// Carries out an order about members as far as possible; returns whether a commit is under
    /// way.
    pub(super) fn order_member(&mut self, order: Order, asker: Asker, turn: &mut Turn<'_>) -> bool {
        if self
            .change
            .as_ref()
            .is_some_and(|change| change.failed_ms.is_none())
        {
            let refusal = OrderRefusal::NotNow("another member is joining".into());
            self.end_order(asker, Err(refusal), turn);
            return false;
        }

        let answering = self.proposer.heard(turn.now_ms);
        let view = MemberView {
            leader: &self.config.id,
            configured: &self.configured,
            answering: &answering,
        };
        let step = match self.decided() {
            None => Err(OrderError::NoPlan),
            Some(plan) => check_membership(&plan, &order, view),
        };

        match step {
            Err(error) => {
                self.end_order(asker, Err(error.into()), turn);
                false
            }
            Ok(MemberStep::Join(region)) => {
                self.begin_join(region, Some(asker), turn);
                false
            }
            Ok(MemberStep::Commit(change)) => {
                self.ordered = Some(asker);
                self.commit_change(&change, turn)
            }
        }
    }

    fn begin_join(&mut self, region: RegionName, asker: Option<Asker>, turn: &mut Turn<'_>) {
        let incarnation = Incarnation(turn.random());
        match self.proposer.join(region.clone(), incarnation, turn.now_ms) {
            Ok(effects) => {
                self.change = Some(Change {
                    region,
                    asker,
                    joined: None,
                    failed_ms: None,
                });
                self.carry_out(effects, turn);
            }
            Err(error) => {
                if let Some(asker) = asker {
                    let refusal = OrderRefusal::NotNow(error.to_string());
                    self.end_order(asker, Err(refusal), turn);
                }
            }
        }
    }

    pub(super) fn joined(&mut self, region: &RegionName, incarnation: Incarnation) {
        if let Some(change) = self.change.as_mut()
            && change.region == *region
        {
            change.joined = Some(incarnation);
            self.planned_ms = 0;
        }
    }

    pub(super) fn not_joined(&mut self, region: &RegionName, why: &str, turn: &mut Turn<'_>) {
        let Some(mut change) = self.change.take_if(|change| change.region == *region) else {
            return;
        };
        match change.asker.take() {
            Some(asker) => {
                let refusal = OrderRefusal::NotNow(why.into());
                self.end_order(asker, Err(refusal), turn);
            }
            None => {
                change.failed_ms = Some(turn.now_ms);
                self.change = Some(change);
            }
        }
    }

    /// Commits a join, suspends an acceptor that lost its state, begins the join of one without a
    /// vote; returns whether a commit is under way.
    pub(super) fn mend_members(&mut self, turn: &mut Turn<'_>) -> bool {
        if let Some(change) = self.change.take_if(|change| change.joined.is_some()) {
            let incarnation = change.joined.unwrap_or_default();
            self.ordered = change.asker;
            return self.commit_change(&MemberChange::Join(change.region, incarnation), turn);
        }

        let heard = self.proposer.heard(turn.now_ms);
        let Some((_, plan)) = self.proposer.decided() else {
            return false;
        };
        match plan.members.mend(&heard) {
            None => false,
            Some(Mend::Suspend(region)) => self.commit_change(&MemberChange::Suspend(region), turn),
            Some(Mend::Join(region)) => {
                let waits = self.change.as_ref().is_some_and(|change| {
                    change
                        .failed_ms
                        .is_none_or(|at_ms| turn.now_ms - at_ms < JOIN_AGAIN_MS)
                });
                if !waits {
                    self.begin_join(region, None, turn);
                }
                false
            }
        }
    }

    fn commit_change(&mut self, change: &MemberChange, turn: &mut Turn<'_>) -> bool {
        let planned = self.decided().and_then(|current| {
            let members = current.members.after(change).ok()?;
            let inputs = self.acting_inputs(Some(&members));
            let reason = format!("members: {change:?}");
            plan_membership(&current, change, reason, &inputs, turn.now.unix_ms).ok()
        });

        match planned {
            Some(plan) => {
                self.propose(plan, turn);
                true
            }
            None => {
                if let Some(asker) = self.ordered.take() {
                    let refusal = OrderRefusal::NotNow("no longer possible".into());
                    self.end_order(asker, Err(refusal), turn);
                }
                false
            }
        }
    }
}
