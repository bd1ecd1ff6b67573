//! An acceptor's store as agents see it: the steps of `SlotStore`, each at its own time.
//!
//! Modelled are put-if-absent, consistent listings, pairs of slots (a slot without its predecessor
//! does not count), late compaction, puts that fail or whose reply is lost, and slots that others
//! delete.

use super::{
    slots::{Asked, Slot, Step},
    world::{Agent, Event, World},
};
use regionmesh_protocol::register::{
    acceptor::{AcceptorAnswer, AcceptorReply, AcceptorState},
    ballot::Bounds,
    members::Incarnation,
};

/// Steps of one request before its agent gives up on it.
const STEPS: u32 = 60;
/// Consecutive listings that must show a loss before the state counts as lost.
const LOST_AFTER: u32 = 3;

impl World {
    pub(super) fn enqueue(&mut self, by: usize, asked: Asked) {
        self.agents[by].handler.waiting.push_back(asked);
        self.next_request(by);
    }

    fn next_request(&mut self, by: usize) {
        let handler = &mut self.agents[by].handler;
        if handler.current.is_some() {
            return;
        }

        let Some(asked) = handler.waiting.pop_front() else {
            return;
        };
        handler.current = Some(asked);
        handler.steps = 0;
        handler.lost = 0;
        self.later(by, Step::List);
    }

    fn later(&mut self, by: usize, step: Step) {
        let delay_ms = 1 + self.random.below(20);
        let run = self.agents[by].run;
        self.at(
            delay_ms,
            Event::Store {
                by,
                run,
                step: Box::new(step),
            },
        );
    }

    /// Decides the current request by the state that the agent remembers, which a listing just
    /// showed to be current.
    fn decide(&mut self, by: usize) {
        let decided = self.latest.clone();
        let bounds = Bounds {
            allowance: self.agents[by].election.known().allowance(),
            decided,
        };
        let handler = &mut self.agents[by].handler;
        let Some(asked) = &handler.current else {
            return;
        };
        let (reply, next) = handler.state.apply_within(&asked.request, &bounds);
        let number = handler.number + 1;
        let after = handler.mark;

        match next {
            Some(state) => {
                let slot = Box::new(Slot {
                    state: Some(state),
                    mark: self.random.draw(),
                    after,
                });

                self.later(
                    by,
                    Step::Put {
                        number,
                        slot,
                        reply: Box::new(reply),
                    },
                );
            }
            None => self.answer(by, reply),
        }
    }

    fn answer(&mut self, by: usize, reply: AcceptorReply) {
        let handler = &mut self.agents[by].handler;
        let incarnation = handler.state.incarnation;
        if let Some(asked) = handler.current.take() {
            self.reply(
                by,
                &asked,
                AcceptorAnswer {
                    incarnation,
                    reply,
                    acceptance: None,
                },
            );
        }
        self.next_request(by);
    }

    pub(super) fn store_step(&mut self, by: usize, run: u64, step: Step) {
        let is_alive = self.is_current_run(by, run);
        if let Step::Put {
            number,
            slot,
            reply,
        } = step
        {
            // A put may arrive after its writer's death.
            return self.put(by, is_alive, number, slot, reply);
        }

        if !is_alive {
            return;
        }

        let handler = &mut self.agents[by].handler;
        handler.steps += 1;
        if handler.steps > STEPS {
            handler.current = None;
            return self.next_request(by);
        }

        match step {
            Step::Put { .. } => {}
            Step::Confirm {
                number,
                slot,
                reply,
            } => self.confirm(by, number, *slot, *reply),
            Step::List => self.list(by),
            Step::Get { number } => self.get(by, number),
            Step::Begin { number, slot } => {
                let region = self.agents[by].region;
                self.slots[region].put(number, *slot);
                self.later(by, Step::List);
            }
        }
    }

    /// Answers the request if the slot that was just put is the newest.
    fn confirm(&mut self, by: usize, number: u64, slot: Slot, reply: AcceptorReply) {
        let region = self.agents[by].region;
        let slots = &self.slots[region];
        let newest = slots.newest();
        let is_ours = newest == number && slots.is_pair(number) && slots.mark(number) == slot.mark;

        self.compact_later(region, newest);
        let (true, Some(state)) = (is_ours, slot.state) else {
            return self.later(by, Step::List);
        };

        let handler = &mut self.agents[by].handler;
        handler.remember(number, slot.mark, slot.after, state);
        self.answer(by, reply);
    }

    fn list(&mut self, by: usize) {
        let region = self.agents[by].region;
        let slots = &self.slots[region];
        let handler = &self.agents[by].handler;
        let newest = slots.newest();
        let before = newest.checked_sub(1).map_or(0, |before| slots.mark(before));
        let is_known =
            (newest, slots.mark(newest), before) == (handler.number, handler.mark, handler.before);

        if newest > 0 && is_known {
            return self.decide(by);
        }
        self.compact_later(region, newest);
        self.later(by, Step::Get { number: newest });
    }

    fn get(&mut self, by: usize, number: u64) {
        let Agent {
            region, handler, ..
        } = &mut self.agents[by];
        let slots = &self.slots[*region];
        match slots.0.get(&number) {
            None if number > 0 => self.later(by, Step::List),
            Some(Slot {
                state: Some(state),
                mark,
                after,
            }) if slots.is_pair(number) && number >= handler.number => {
                handler.remember(number, *mark, *after, state.clone());
                self.later(by, Step::List);
            }
            Some(Slot {
                state: None, mark, ..
            }) if number >= handler.number => {
                let after = *mark;
                let begun = AcceptorState::begin(Incarnation(self.random.draw()));
                self.begin(by, number + 1, Some(begun), after);
            }
            _ => {
                handler.lost += 1;
                if number > 0 && handler.lost < LOST_AFTER {
                    return self.later(by, Step::List);
                }

                let number = number.max(handler.number) + 1;
                self.begin(by, number, None, 0);
            }
        }
    }

    /// Closes a lost state off, or begins one.
    fn begin(&mut self, by: usize, number: u64, state: Option<AcceptorState>, after: u64) {
        let slot = Box::new(Slot {
            state,
            mark: self.random.draw(),
            after,
        });

        self.later(by, Step::Begin { number, slot });
    }

    fn put(
        &mut self,
        by: usize,
        is_alive: bool,
        number: u64,
        slot: Box<Slot>,
        reply: Box<AcceptorReply>,
    ) {
        let region = self.agents[by].region;
        let is_failed = self.are_faults_on && self.random.chance(3);
        let is_done = !is_failed && self.slots[region].put(number, (*slot).clone());
        let slots = &self.slots[region];

        if let (true, Some(state)) = (
            is_done && slots.newest() == number && slots.is_pair(number),
            &slot.state,
        ) {
            self.note_accepted(state.incarnation, state.accepted.as_ref());
        }

        if !is_alive {
            return;
        }

        match (is_done, is_failed) {
            // After a lost reply the agent reads back, and others may write in the meantime.
            (true, _) if self.are_faults_on && self.random.chance(10) => {
                self.later(by, Step::List);
            }
            (true, _) => self.later(
                by,
                Step::Confirm {
                    number,
                    slot,
                    reply,
                },
            ),
            (false, _) => self.later(by, Step::List),
        }
    }

    fn compact_later(&mut self, region: usize, newest: u64) {
        let below = newest.saturating_sub(1);
        if self.slots[region].0.range(..below).next().is_some() {
            let delay_ms = 1 + self.random.below(60);
            self.at(delay_ms, Event::Compact { region, below });
        }
    }

    fn reply(&mut self, by: usize, asked: &Asked, answer: AcceptorAnswer) {
        let is_refused = matches!(
            answer.reply,
            AcceptorReply::Refused { .. } | AcceptorReply::TooFar(_)
        );

        if let Some(ballot) = asked.request.ballot().filter(|_| !is_refused) {
            self.agents[by].election.heard(ballot, self.now_ms);
        }
        if matches!(answer.reply, AcceptorReply::TooFar(_)) {
            self.ask_progress(by);
        }

        let region = self.agents[by].region;
        let to_region = self.agents[asked.from].region;
        let event = Event::Reply {
            to: asked.from,
            run: asked.from_run,
            from: asked.to.clone(),
            answer,
        };

        self.send(region, to_region, event);
    }
}
