//! From a current state and a request to the answer, or to the next state.

use super::{
    REWRITE, SlotMachine, answer, end,
    step::{Current, Purpose, Step, Turn},
    types::{Effect, Failure, Proposal},
};
use crate::planning::judging::Objection;
use regionmesh_protocol::register::{
    acceptor::{AcceptorReply, AcceptorRequest, AcceptorState},
    ballot::Bounds,
};

impl<T: Clone + PartialEq, E> SlotMachine<T, E> {
    /// Applies the request to the state, which a listing just showed to be current. Has it judged
    /// before if it is to accept a plan.
    pub(super) fn decide<R>(&mut self, mut current: Current<T, E>, turn: &mut Turn<'_, R, E>) {
        let state = self.seen.as_ref().map(|seen| &seen.state);
        let proposal = state.and_then(|state| proposal(state, &current.request, turn.bounds));
        let Some(proposal) = proposal else {
            return self.apply(current, turn);
        };

        current.step = Step::Judge;
        self.current = Some(current);
        turn.out.push(Effect::Judge(Box::new(proposal)));
    }

    pub(super) fn judged<R>(
        &mut self,
        current: Current<T, E>,
        judged: Result<(), Objection>,
        turn: &mut Turn<'_, R, E>,
    ) {
        let Err(objection) = judged else {
            return self.apply(current, turn);
        };
        let (Some(seen), AcceptorRequest::Accept(stamp, _)) = (&self.seen, &current.request) else {
            return end(Err(Failure::Contended), turn);
        };

        let reply = AcceptorReply::Unjustified {
            stamp: stamp.clone(),
            why: objection.to_string(),
            is_final: objection.is_final(),
        };
        end(Ok(answer(&seen.state, reply)), turn);
    }

    fn apply<R>(&mut self, current: Current<T, E>, turn: &mut Turn<'_, R, E>) {
        let Some(seen) = &self.seen else {
            return self.list(current, turn);
        };
        let (reply, next) = seen.state.apply_within(&current.request, turn.bounds);
        let is_old = turn.now.saturating_duration_since(seen.since) >= REWRITE;
        let Some(next) = next.or_else(|| is_old.then(|| seen.state.clone())) else {
            return end(Ok(answer(&seen.state, reply)), turn);
        };

        let number = seen.number + 1;
        let after = Some(seen.mark);
        let slot = self.slot(Some(next), after);
        self.put(current, number, slot, Purpose::Next(Box::new(reply)), turn);
    }
}

/// The plan that a state would newly hold after the request.
fn proposal(state: &AcceptorState, request: &AcceptorRequest, bounds: &Bounds) -> Option<Proposal> {
    let AcceptorRequest::Accept(stamp, plan) = request else {
        return None;
    };
    if state.has_accepted(plan) {
        return None;
    }

    let (reply, _) = state.apply_within(request, bounds);
    matches!(reply, AcceptorReply::Accepted(_)).then(|| Proposal {
        stamp: stamp.clone(),
        plan: plan.clone(),
        incarnation: state.incarnation,
        accepted: state.accepted.clone(),
    })
}
