//! An acceptor's store as agents meet it: step by step as `SlotStore` goes, each step at a time of
//! its own.
//!
//! What is modelled: put-if-absent, listings that are consistent, a pair of slots without which
//! nothing counts, compaction that comes late, puts that fail or whose reply is lost, and slots
//! that are deleted by others.

use super::{Event, World};
use regionmesh_protocol::{
    identity::RegionName,
    register::{
        acceptor::{AcceptorAnswer, AcceptorReply, AcceptorRequest, AcceptorState},
        ballot::{Ballot, Bounds},
        members::Incarnation,
    },
};
use std::collections::{BTreeMap, VecDeque};

/// Steps of one request before its agent gives up.
const STEPS: u32 = 60;
/// Listings in a row that must show that state was lost.
const LOST_AFTER: u32 = 3;

/// What one write put.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    /// `None`: an empty one, before a state that begins.
    state: Option<AcceptorState>,
    /// Unlike that of any other write.
    mark: u64,
    /// The mark of the slot that it follows.
    after: u64,
}

/// A region's slots.
#[derive(Debug, Clone, Default)]
pub(super) struct Slots(BTreeMap<u64, Slot>);

impl Slots {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    fn newest(&self) -> u64 {
        self.0.last_key_value().map_or(0, |(number, _)| *number)
    }

    /// The mark of a slot; 0: it is not there.
    fn mark(&self, number: u64) -> u64 {
        self.0.get(&number).map_or(0, |slot| slot.mark)
    }

    /// Whether the slot that `number` follows is there.
    fn is_pair(&self, number: u64) -> bool {
        let before = number.checked_sub(1).map_or(0, |before| self.mark(before));
        before > 0 && self.0.get(&number).is_some_and(|slot| slot.after == before)
    }

    /// The state that counts.
    pub(super) fn state(&self) -> Option<&AcceptorState> {
        self.0
            .get(&self.newest())
            .filter(|_| self.is_pair(self.newest()))?
            .state
            .as_ref()
    }

    /// Rewrites the newest slot with another promise, as somebody with the store's credentials
    /// could.
    pub(super) fn forge_promise(&mut self, ballot: Ballot) {
        let newest = self.newest();
        if let Some(state) = self.0.get_mut(&newest).and_then(|slot| slot.state.as_mut()) {
            state.promised = Some(ballot);
        }
    }

    fn put(&mut self, number: u64, slot: Slot) -> bool {
        let is_free = !self.0.contains_key(&number);
        if is_free {
            self.0.insert(number, slot);
        }
        is_free
    }

    pub(super) fn compact(&mut self, below: u64) {
        self.0 = self.0.split_off(&below);
    }

    /// All, the newest, the one before it, or all but the newest.
    pub(super) fn lose(&mut self, kind: u64) {
        let newest = self.newest();
        match kind {
            0 => self.0.clear(),
            1 => drop(self.0.remove(&newest)),
            2 => drop(self.0.remove(&newest.saturating_sub(1))),
            _ => self.compact(newest),
        }
    }
}

/// A request and where its answer goes.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) request: AcceptorRequest,
    pub(super) from: usize,
    pub(super) from_life: u64,
    /// The name that it was asked under.
    pub(super) to: RegionName,
}

/// What an agent knows of its region's slots, and the requests that take turns there.
#[derive(Debug, Default)]
pub(super) struct StoreHandler {
    number: u64,
    /// The marks of that slot and of the one before it.
    mark: u64,
    before: u64,
    state: AcceptorState,
    waiting: VecDeque<Asked>,
    at_work: Option<Asked>,
    steps: u32,
    lost: u32,
}

impl StoreHandler {
    pub(super) fn is_idle(&self) -> bool {
        self.at_work.is_none()
    }
}

/// The next operation of an agent's store, carried out when its time has come.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Put {
        number: u64,
        slot: Box<Slot>,
        reply: Box<AcceptorReply>,
    },
    Confirm {
        number: u64,
        slot: Box<Slot>,
        reply: Box<AcceptorReply>,
    },
    List,
    Get {
        number: u64,
    },
    /// Close a lost state off, or begin one.
    Begin {
        number: u64,
        slot: Box<Slot>,
    },
}

impl World {
    pub(super) fn ask_handler(&mut self, by: usize, asked: Asked) {
        self.agents[by].handler.waiting.push_back(asked);
        self.next_request(by);
    }

    fn next_request(&mut self, by: usize) {
        let handler = &mut self.agents[by].handler;
        if handler.at_work.is_some() {
            return;
        }

        let Some(asked) = handler.waiting.pop_front() else {
            return;
        };
        (handler.at_work, handler.steps, handler.lost) = (Some(asked), 0, 0);
        self.later(by, Step::List);
    }

    fn later(&mut self, by: usize, step: Step) {
        let delay_ms = 1 + self.random.below(20);
        let life = self.agents[by].life;
        self.at(
            delay_ms,
            Event::Store {
                by,
                life,
                step: Box::new(step),
            },
        );
    }

    /// Judges the request at work by what the agent remembers, which a listing just showed to be
    /// current.
    fn judge(&mut self, by: usize) {
        let decided = self.latest.clone();
        let bounds = Bounds {
            allowance: self.agents[by].election.known().allowance(),
            decided,
        };
        let handler = &mut self.agents[by].handler;
        let Some(asked) = &handler.at_work else {
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
        if let Some(asked) = handler.at_work.take() {
            self.reply(by, &asked, AcceptorAnswer { incarnation, reply });
        }
        self.next_request(by);
    }

    pub(super) fn store_step(&mut self, by: usize, life: u64, step: Step) {
        let region = self.agents[by].region;
        let is_alive = self.is_life(by, life);
        if let Step::Put {
            number,
            slot,
            reply,
        } = step
        {
            // What was sent may arrive after its writer's death.
            return self.put(by, is_alive, number, slot, reply);
        }

        if !is_alive {
            return;
        }

        let handler = &mut self.agents[by].handler;
        handler.steps += 1;
        if handler.steps > STEPS {
            handler.at_work = None;
            return self.next_request(by);
        }

        let slots = &self.slots[region];
        let newest = slots.newest();
        match step {
            Step::Put { .. } => {}
            Step::Confirm {
                number,
                slot,
                reply,
            } => {
                let is_ours =
                    newest == number && slots.is_pair(number) && slots.mark(number) == slot.mark;
                self.compact_later(region, newest);

                let (true, Some(state)) = (is_ours, slot.state) else {
                    return self.later(by, Step::List);
                };
                let handler = &mut self.agents[by].handler;

                (handler.number, handler.mark, handler.before, handler.state) =
                    (number, slot.mark, slot.after, state);
                self.answer(by, *reply);
            }
            Step::List => {
                let before = newest.checked_sub(1).map_or(0, |before| slots.mark(before));
                let is_known = (newest, slots.mark(newest), before)
                    == (handler.number, handler.mark, handler.before);

                if newest > 0 && is_known {
                    return self.judge(by);
                }
                self.compact_later(region, newest);
                self.later(by, Step::Get { number: newest });
            }
            Step::Get { number } => match (number, slots.0.get(&number)) {
                (1.., None) => self.later(by, Step::List),
                (
                    _,
                    Some(Slot {
                        state: Some(state),
                        mark,
                        after,
                    }),
                ) if slots.is_pair(number) && number >= handler.number => {
                    (handler.number, handler.mark, handler.before, handler.state) =
                        (number, *mark, *after, state.clone());
                    self.later(by, Step::List);
                }
                (
                    _,
                    Some(Slot {
                        state: None, mark, ..
                    }),
                ) if number >= handler.number => {
                    let after = *mark;
                    let begun = AcceptorState::begin(Incarnation(self.random.draw()));
                    let slot = Box::new(Slot {
                        state: Some(begun),
                        mark: self.random.draw(),
                        after,
                    });

                    self.later(
                        by,
                        Step::Begin {
                            number: number + 1,
                            slot,
                        },
                    );
                }
                _ => {
                    handler.lost += 1;
                    if number > 0 && handler.lost < LOST_AFTER {
                        return self.later(by, Step::List);
                    }

                    let number = number.max(handler.number) + 1;
                    let slot = Box::new(Slot {
                        state: None,
                        mark: self.random.draw(),
                        after: 0,
                    });

                    self.later(by, Step::Begin { number, slot });
                }
            },
            Step::Begin { number, slot } => {
                self.slots[region].put(number, *slot);
                self.later(by, Step::List);
            }
        }
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
            // A lost reply is resolved by reading back, which takes time, and others may move on
            // meanwhile.
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
            self.ask_how_far(by);
        }

        let (region, to_region) = (self.agents[by].region, self.agents[asked.from].region);
        let event = Event::Reply {
            to: asked.from,
            life: asked.from_life,
            from: asked.to.clone(),
            answer,
        };

        self.send(region, to_region, event);
    }
}
