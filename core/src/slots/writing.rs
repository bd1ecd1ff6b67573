//! From a put to a state that is known to have advanced.

use super::{
    SlotMachine, UNKNOWN_ATTEMPTS, answer, compact, end,
    step::{Current, Purpose, Seen, Step, Turn},
    types::{Effect, Failure, Listing, Notice, Operation, Slot},
};
use regionmesh_protocol::register::acceptor::AcceptorReply;
use std::sync::Arc;

impl<T: Clone + PartialEq, E> SlotMachine<T, E> {
    pub(super) fn put<R>(
        &mut self,
        current: Current<T, E>,
        number: u64,
        slot: Arc<Slot>,
        purpose: Purpose,
        turn: &mut Turn<'_, R, E>,
    ) {
        let put = Operation::Put {
            number,
            slot: slot.clone(),
        };
        self.run(current, Step::Put(number, slot, purpose), put, turn);
    }

    pub(super) fn stored<R>(
        &mut self,
        current: Current<T, E>,
        number: u64,
        slot: Arc<Slot>,
        purpose: Purpose,
        turn: &mut Turn<'_, R, E>,
    ) {
        match purpose {
            Purpose::Next(reply) => {
                let step = Step::Confirm(number, slot, reply);
                self.run(current, step, Operation::List, turn);
            }
            Purpose::Begin => self.list(current, turn),
            Purpose::Discard { is_first } => {
                turn.out.push(Effect::Notice(Notice::Begun { is_first }));
                self.list(current, turn);
            }
        }
    }

    /// The slot holds another write (`is_taken`), or none.
    pub(super) fn not_stored<R>(
        &mut self,
        mut current: Current<T, E>,
        purpose: &Purpose,
        is_taken: bool,
        error: Option<E>,
        turn: &mut Turn<'_, R, E>,
    ) {
        if !matches!(purpose, Purpose::Next(_)) {
            return self.list(current, turn);
        }

        // A slot that existed and is missing was compacted, so we are far behind.
        let Some(error) = error.filter(|_| !is_taken) else {
            turn.out.push(Effect::Notice(Notice::Taken));
            return self.retry(current, turn);
        };

        turn.out.push(Effect::Notice(Notice::Unknown));
        current.unknown += 1;
        if current.unknown == UNKNOWN_ATTEMPTS {
            return end(Err(Failure::Store(error)), turn);
        }
        self.retry(current, turn);
    }

    /// Reads the slot that was just put again, if it is the newest and follows the last one: a
    /// store that forgot it may have taken another agent's in its place.
    pub(super) fn confirm<R>(
        &mut self,
        current: Current<T, E>,
        number: u64,
        slot: Arc<Slot>,
        reply: Box<AcceptorReply>,
        listing: &Listing<T>,
        turn: &mut Turn<'_, R, E>,
    ) {
        compact(listing, turn);

        let last = self.seen.as_ref().map(|seen| &seen.pair.1);
        let pair = listing
            .pair()
            .filter(|(before, _)| listing.newest() == number && last == Some(before));
        let Some(pair) = pair else {
            return self.outdated(current, turn);
        };

        let step = Step::Reread(number, slot, reply, pair);
        self.run(current, step, Operation::Get(number), turn);
    }

    pub(super) fn outdated<R>(&mut self, current: Current<T, E>, turn: &mut Turn<'_, R, E>) {
        turn.out.push(Effect::Notice(Notice::Outdated));
        self.retry(current, turn);
    }

    /// Answers the request: the state has advanced.
    pub(super) fn written<R>(
        &mut self,
        number: u64,
        slot: &Slot,
        reply: AcceptorReply,
        pair: (T, T),
        turn: &mut Turn<'_, R, E>,
    ) {
        let Some(state) = &slot.state else {
            return end(Err(Failure::Contended), turn);
        };

        self.seen = Some(Seen {
            number,
            state: state.clone(),
            mark: slot.mark,
            pair,
            since: turn.now,
        });
        turn.out.push(Effect::Notice(Notice::Written));
        end(Ok(answer(state, reply)), turn);
    }
}
