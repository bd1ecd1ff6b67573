//! Objections of acceptors' agents to a value ([`crate::planning::judging`]).
//!
//! A value of this proposer is given up for another one under the next number if so many object
//! that no majority can accept it, or if some object and too few answer for a while: its own stamp
//! never carries another value, and no acceptor that accepted the later one can accept it any more.
//! It may have been accepted by a few; a later proposer treats it like any value that it finds. The
//! value decided before it is committed again.
//!
//! The successor of a value that was found in promises is given up for the value itself.
//!
//! A value that was found in promises may be committed, so it is not given up as easily. It is
//! passed over only if the promises show that it never was: each majority contains an acceptor that
//! promised this ballot without having accepted it, and so never will. The same holds if a majority
//! finds an order in it that no operator gave: then at least one honest agent would have had to
//! accept what it never accepts. An order that was proven and no longer counts is not such a one,
//! and an agent with an old token is no majority. If too few answer to show that, it is passed over
//! too, after a while, provided that no order and no change of members can be lost: what automation
//! decided is decided again, from the same observations, and the value's number is not used again.
//! So what a thief lets its acceptor claim to have accepted delays an election, and does not stop
//! it.
//!
//! The latest value below it takes its place, of those found and of the one that this agent knows
//! to be committed; an acceptor holds only the last value that it accepted. What is known to be
//! committed is never passed over: agents that object to it have not heard of it yet.

use super::{
    Phase, Proposer,
    leading::{Pending, Unjustified},
    types::{Effect, StepDown},
};
use regionmesh_protocol::{
    identity::RegionName,
    plan::Plan,
    register::{acceptor::AcceptorRequest, ballot::Stamp},
};

/// Most consecutive values given up: the acceptors may have accepted what this proposer does not
/// know, which a new ballot finds.
const GIVEN_UP_MAX: u32 = 3;

impl Proposer {
    /// The agent of an acceptor objects to a value.
    pub(super) fn objected(
        &mut self,
        from: &RegionName,
        stamp: Stamp,
        objection: Unjustified,
        now_ms: u64,
    ) -> Vec<Effect> {
        let Phase::Leading(leading) = &mut self.phase else {
            return Vec::new();
        };
        let pending = leading.pending.as_mut();
        let Some(pending) = pending.filter(|pending| pending.stamp == stamp) else {
            return Vec::new();
        };
        let why = objection.why.clone();
        let is_news = pending.objections.get(from) != Some(&objection);
        pending.objections.insert(from.clone(), objection);

        let wait_ms = self.settings.objection_retry_ms.min(self.settings.retry_ms);
        let asked_ms = now_ms.saturating_sub(self.settings.retry_ms - wait_ms);
        self.asked_ms.insert(from.clone(), asked_ms);

        let from = from.clone();
        let objection = is_news.then_some(Effect::Unjustified { from, stamp, why });
        objection
            .into_iter()
            .chain(self.tick_objections(now_ms))
            .collect()
    }

    /// Ends a value that agents object to, or asks for the promises that are missing to do so.
    pub(super) fn tick_objections(&mut self, now_ms: u64) -> Vec<Effect> {
        let Phase::Leading(leading) = &mut self.phase else {
            return Vec::new();
        };
        let Some(pending) = &leading.pending else {
            return Vec::new();
        };
        let is_blocked = pending.is_blocked();
        // Others may have no vote, or be away: a value that anyone objects to does not wait for
        // them for long.
        let patience_ms = match (leading.is_elected, is_blocked) {
            (true, true) => self.settings.objection_ms,
            (true, false) => self.settings.stalled_ms,
            (false, _) => self.settings.pass_over_ms,
        };
        let lasted_ms = now_ms.saturating_sub(pending.since_ms);
        let is_stalled = !pending.objections.is_empty() && lasted_ms >= patience_ms;
        match leading.is_elected {
            true if is_stalled => self.give_up(now_ms),
            false if is_stalled || is_blocked => self.pass_over(now_ms),
            _ => Vec::new(),
        }
    }

    /// Gives up a value of this proposer.
    fn give_up(&mut self, now_ms: u64) -> Vec<Effect> {
        let Phase::Leading(leading) = &mut self.phase else {
            return Vec::new();
        };
        let Some(pending) = &leading.pending else {
            return Vec::new();
        };

        leading.given_up += 1;
        let has_clear_members = pending.value.members == *leading.members();
        if !has_clear_members || leading.given_up == GIVEN_UP_MAX {
            return self.step_down(StepDown::Objections);
        }

        let stamp = pending.stamp.clone();
        leading.given_up_seq = stamp.seq;
        leading.pending = None;
        leading.queued = None;

        let mut effects = vec![Effect::Dropped(stamp)];
        if let Some((_, value)) = leading.decided.clone() {
            effects.extend(self.repeat(value, now_ms));
        }
        effects
    }

    /// Commits the last decided value again, so that those who read the acceptors find it at a
    /// majority.
    fn repeat(&mut self, value: Plan, now_ms: u64) -> Vec<Effect> {
        let effects = self.propose(value, now_ms).unwrap_or_default();
        if let Phase::Leading(leading) = &mut self.phase
            && let Some(pending) = &mut leading.pending
        {
            pending.is_repeated = true;
        }
        effects
    }

    fn pass_over(&mut self, now_ms: u64) -> Vec<Effect> {
        if let Some(effects) = self.fall_back(now_ms) {
            return effects;
        }
        let Phase::Leading(leading) = &mut self.phase else {
            return Vec::new();
        };
        let Some((pending, repeated)) = leading.pending.as_ref().zip(leading.repeated.clone())
        else {
            return Vec::new();
        };

        let is_known = |(stamp, _): &(Stamp, Plan)| *stamp == repeated;
        if self.known.as_ref().is_some_and(is_known) {
            return Vec::new();
        }

        let members = pending.members.clone();
        let found = leading.found.values().flatten();
        let lower = found.chain(&self.known).filter(|(stamp, value)| {
            *stamp < repeated && members.check_change(&value.members).is_ok()
        });
        let next = lower.max_by(|(a, _), (b, _)| a.cmp(b)).cloned();

        let lasted_ms = now_ms.saturating_sub(pending.since_ms);
        let is_expendable = lasted_ms >= self.settings.pass_over_ms
            && next
                .as_ref()
                .is_some_and(|(_, lower)| pending.value.adds_no_order_to(lower));
        let is_refuted =
            pending.is_impossible() || leading.was_never_committed(&repeated, &members);
        if !is_expendable && !is_refuted {
            return self.ask_for_promises(now_ms);
        }

        leading.given_up_seq = pending.stamp.seq;
        let ballot = leading.ballot.clone();
        let mut effects = vec![Effect::PassedOver(repeated)];
        match next {
            Some((stamp, value)) => {
                let seq = leading.given_up_seq.max(stamp.seq).saturating_add(1);
                let again = Stamp { ballot, seq };
                leading.first_members = value.members.clone();
                leading.repeated = Some(stamp);
                leading.pending = Some(Pending::new(again, value, members, now_ms));
                self.asked_ms.clear();
                effects.extend(self.ask(now_ms));
            }
            None => {
                leading.first_members = members;
                leading.repeated = None;
                leading.pending = None;
                leading.is_elected = true;
                effects.push(Effect::Elected(ballot));
            }
        }
        effects
    }

    /// Asks members that have not promised yet for what they accepted.
    fn ask_for_promises(&mut self, now_ms: u64) -> Vec<Effect> {
        let retry_ms = self.settings.retry_ms;
        let Phase::Leading(leading) = &mut self.phase else {
            return Vec::new();
        };
        let Some(pending) = &leading.pending else {
            return Vec::new();
        };
        if leading.polled_ms + retry_ms > now_ms {
            return Vec::new();
        }

        leading.polled_ms = now_ms;
        let silent = pending.members.acceptors.iter().filter(|(_, counted)| {
            counted.is_some_and(|counted| !leading.found.contains_key(&counted))
        });
        silent
            .map(|(name, _)| Effect::Send {
                to: name.clone(),
                request: AcceptorRequest::Prepare(leading.ballot.clone()),
            })
            .collect()
    }
}
