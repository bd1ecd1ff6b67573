//! The successor of the value found: one round commits the predecessor's value and the new leader's
//! own.
//!
//! In CASPaxos a proposer writes `f(found)`, a function of the highest value that was accepted
//! before. Here `f` is the leader's next plan: it keeps the found value's orders and members, and
//! starts from its traffic states, so a caller that knows the found value to be committed finds it
//! continued. Whether the found value was committed does not matter: nothing is lost if it was, and
//! if not, its successor is judged by the last plan that is known to be.
//!
//! Agents may object to the successor, though they accept the value found: it is then committed
//! alone, under the next number.

use super::{
    Phase, Proposer,
    leading::Pending,
    preparing::Preparing,
    types::{Acceptors, Effect},
};
use regionmesh_protocol::{
    plan::Plan,
    register::{ballot::Stamp, members::Members},
};
use std::mem;

impl Preparing {
    /// Offers the value found to the leader, if a successor may take its place. A value that
    /// changes the members is committed alone: majorities of both lists must accept it, and only
    /// then do the new members decide. So is one that is found by an agent without a confirmed
    /// plan, which can't tell whether the members change.
    pub(super) fn offer(&self, stamp: &Stamp, value: &Plan, deciders: &Members) -> Option<Effect> {
        let is_known = matches!(self.acceptors, Acceptors::Known(_)) && self.known.is_some();
        let may_succeed = is_known && *deciders == value.members;
        may_succeed.then(|| Effect::Found(stamp.clone(), value.clone()))
    }
}

impl Proposer {
    /// Answers [`Effect::Found`]: proposes `next`, which contains the value found, or without it
    /// that value.
    pub fn succeed(&mut self, next: Option<Plan>, now_ms: u64) -> Vec<Effect> {
        // One stamp never carries two values: nothing was sent under this one.
        let is_unsent = self.asked_ms.is_empty();
        if let Phase::Leading(leading) = &mut self.phase
            && let Some(pending) = leading.pending.as_mut()
            && let Some(mut next) = next
            && is_unsent
            && !leading.is_elected
        {
            next.members = pending.value.members.clone();
            leading.succeeded = Some(mem::replace(&mut pending.value, next));
        }

        self.ask(now_ms)
    }

    /// Gives up the successor of the value found, if it is being committed, and proposes that
    /// value.
    pub(super) fn fall_back(&mut self, now_ms: u64) -> Option<Vec<Effect>> {
        let Phase::Leading(leading) = &mut self.phase else {
            return None;
        };
        let pending = leading.pending.as_ref()?;
        let found = leading.succeeded.take()?;

        let given_up = pending.stamp.clone();
        let again = Stamp {
            ballot: given_up.ballot.clone(),
            seq: given_up.seq.saturating_add(1),
        };
        let members = pending.members.clone();
        leading.given_up_seq = given_up.seq;
        leading.pending = Some(Pending::new(again, found, members, now_ms));

        self.asked_ms.clear();
        let mut effects = vec![Effect::Dropped(given_up)];
        effects.extend(self.ask(now_ms));
        Some(effects)
    }
}
