//! One process's part in an acceptor: the real machine, and the requests that wait for it.

use super::{
    node::{StoreFailed, Ticket},
    store::{Operation, Outcome},
};
use rand::rngs::StdRng;
use regionmesh_core::{
    planning::judging::Objection,
    slots::{self, Effect, Input, Mark, Notice, Proposal, SlotMachine},
};
use regionmesh_protocol::register::{
    acceptor::{AcceptorAnswer, AcceptorRequest},
    ballot::Bounds,
};
use std::{collections::VecDeque, time::Instant};

/// Most requests that may wait.
const WAITING_MAX: usize = 64;

/// What the world must do.
#[derive(Debug, Clone)]
pub(crate) enum SlotEffect {
    /// Hand the outcome to [`Slots::ran`], unless this is a deletion.
    Run(Operation),
    Answered(Ticket, Result<Box<AcceptorAnswer>, StoreFailed>),
    /// Hand the judgement to [`Slots::judged`].
    Judge(Box<Proposal>),
    Notice(Notice),
}

/// What a step comes with, and where its effects go.
pub(crate) struct Step<'a> {
    pub(crate) now: Instant,
    pub(crate) rng: &'a mut StdRng,
    pub(crate) out: &'a mut Vec<SlotEffect>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Slots {
    machine: SlotMachine<Mark, StoreFailed>,
    bounds: Bounds,
    /// Whether the agent judges proposals.
    judges: bool,
    waiting: VecDeque<(Ticket, AcceptorRequest)>,
    current: Option<Ticket>,
    /// Emptied and used again.
    effects: Vec<Effect<StoreFailed>>,
}

impl Slots {
    /// `writer` is unique to the process.
    pub(crate) fn new(writer: u64, judges: bool) -> Self {
        Self {
            machine: SlotMachine::new(writer),
            bounds: Bounds::default(),
            judges,
            waiting: VecDeque::new(),
            current: None,
            effects: Vec::new(),
        }
    }

    pub(crate) fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.current.is_none()
    }

    /// Whether a write is on its way.
    pub(crate) fn is_writing(&self) -> bool {
        self.machine.is_writing()
    }

    pub(crate) fn request(&mut self, ticket: Ticket, request: AcceptorRequest, step: &mut Step) {
        if self.waiting.len() >= WAITING_MAX {
            step.out
                .push(SlotEffect::Answered(ticket, Err(StoreFailed)));
            return;
        }

        self.waiting.push_back((ticket, request));
        if self.current.is_none() {
            self.next(step);
        }
    }

    fn next(&mut self, step: &mut Step) {
        if let Some((ticket, request)) = self.waiting.pop_front() {
            self.current = Some(ticket);
            self.handle(Input::Request(Box::new(request)), step);
        }
    }

    /// Takes in the outcome of the last operation.
    pub(crate) fn ran(&mut self, outcome: Outcome, step: &mut Step) {
        let input = match outcome {
            Outcome::Listed(listing) => Input::Listed(listing),
            Outcome::Got(slot) => Input::Got(slot),
            Outcome::Stored => Input::Stored,
            Outcome::Exists => Input::Exists,
            Outcome::Failed if self.is_writing() => Input::Unknown(StoreFailed),
            Outcome::Failed => Input::Failed(StoreFailed),
        };
        self.handle(input, step);
    }

    /// Takes in what there is against the last proposal.
    pub(crate) fn judged(&mut self, judged: Result<(), Objection>, step: &mut Step) {
        self.handle(Input::Judged(judged), step);
    }

    fn handle(&mut self, input: Input<Mark, StoreFailed>, step: &mut Step) {
        let mut effects = std::mem::take(&mut self.effects);
        self.machine
            .handle(input, &self.bounds, step.now, step.rng, &mut effects);

        let mut answer = None;
        let mut is_accepted = false;
        for effect in effects.drain(..) {
            step.out.push(match effect {
                Effect::Run(operation) => SlotEffect::Run(Operation::Slots(operation)),
                Effect::Delete(old) => SlotEffect::Run(Operation::Delete(old)),
                Effect::Notice(notice) => SlotEffect::Notice(notice),
                Effect::Judge(proposal) if self.judges => SlotEffect::Judge(proposal),
                Effect::Judge(_) => {
                    is_accepted = true;
                    continue;
                }
                Effect::Answer(ended) => {
                    answer = Some(ended.map_err(|_: slots::Failure<_>| StoreFailed));
                    continue;
                }
            });
        }

        self.effects = effects;
        if is_accepted {
            return self.judged(Ok(()), step);
        }
        let ended = answer.and_then(|answer| Some((self.current.take()?, answer)));
        if let Some((ticket, answer)) = ended {
            step.out.push(SlotEffect::Answered(ticket, answer));
            self.next(step);
        }
    }
}
