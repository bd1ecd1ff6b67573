//! Laws of the protocol, over a store in memory and in virtual time.

use super::*;
use crate::planning::judging::Objection;
use rand::{SeedableRng, rngs::StdRng};
use regionmesh_protocol::{
    plan::Plan,
    register::{
        acceptor::AcceptorRequest,
        ballot::{Ballot, Stamp},
    },
};
use std::{collections::BTreeMap, ops::ControlFlow};

type Machine = SlotMachine<Mark, &'static str>;
type Answer = Result<AcceptorReply, Failure<&'static str>>;

#[derive(Default)]
struct Store {
    slots: BTreeMap<u64, Arc<Slot>>,
    /// How many puts fail from now on, and whether they take place.
    failures: u32,
    keeps: bool,
    /// Whether the next put is confirmed and does not take place.
    forgets: bool,
}

impl Store {
    fn run(&mut self, operation: Operation) -> Input<Mark, &'static str> {
        match operation {
            Operation::List => Input::Listed(Listing(
                self.slots.iter().map(|(n, slot)| (*n, slot.mark)).collect(),
            )),
            Operation::Get(number) => Input::Got(self.slots.get(&number).cloned()),
            Operation::Put { number, .. } if self.slots.contains_key(&number) => Input::Exists,
            Operation::Put { .. } if std::mem::take(&mut self.forgets) => Input::Stored,
            Operation::Put { number, slot } => {
                let fails = self.failures > 0;
                self.failures = self.failures.saturating_sub(1);
                if !fails || self.keeps {
                    self.slots.insert(number, slot);
                }
                match fails {
                    true => Input::Unknown("no reply"),
                    false => Input::Stored,
                }
            }
        }
    }
}

struct World {
    store: Store,
    now: Instant,
    rng: StdRng,
    notices: Vec<Notice>,
    /// What agents have against proposals, and the proposals.
    objection: Option<Objection>,
    proposals: Vec<Proposal>,
}

impl World {
    fn new() -> Self {
        Self {
            store: Store::default(),
            now: Instant::now(),
            rng: StdRng::seed_from_u64(7),
            notices: Vec::new(),
            objection: None,
            proposals: Vec::new(),
        }
    }

    /// Steps a machine once; the next operation, or the answer.
    fn step(
        &mut self,
        machine: &mut Machine,
        input: Input<Mark, &'static str>,
    ) -> ControlFlow<Answer, Operation> {
        let mut effects = Vec::new();
        machine.handle(
            input,
            &Bounds::default(),
            self.now,
            &mut self.rng,
            &mut effects,
        );

        let last = effects.pop();
        for effect in effects {
            match effect {
                Effect::Delete(old) => self.store.slots.retain(|n, _| !old.contains(n)),
                Effect::Notice(notice) => self.notices.push(notice),
                other => panic!("{other:?} before the last effect"),
            }
        }

        match last {
            Some(Effect::Run(operation)) => ControlFlow::Continue(operation),
            Some(Effect::Answer(answer)) => ControlFlow::Break(answer.map(|answer| answer.reply)),
            Some(Effect::Judge(proposal)) => {
                self.proposals.push(*proposal);
                let judged = self.objection.clone().map_or(Ok(()), Err);
                self.step(machine, Input::Judged(judged))
            }
            other => panic!("{other:?} is the last effect"),
        }
    }

    fn apply(&mut self, machine: &mut Machine, request: AcceptorRequest) -> Answer {
        let mut input = Input::Request(Box::new(request));
        loop {
            match self.step(machine, input) {
                ControlFlow::Continue(operation) => input = self.store.run(operation),
                ControlFlow::Break(answer) => return answer,
            }
        }
    }

    fn numbers(&self) -> Vec<u64> {
        self.store.slots.keys().copied().collect()
    }
}

fn prepare(number: u64) -> AcceptorRequest {
    AcceptorRequest::Prepare(ballot(number))
}

fn ballot(number: u64) -> Ballot {
    Ballot {
        number,
        agent: "r/a".parse().unwrap(),
        boot: 1,
    }
}

fn promised(number: u64) -> Answer {
    Ok(AcceptorReply::Promised {
        ballot: ballot(number),
        accepted: None,
    })
}

#[test]
fn a_first_request_begins_a_state_after_an_empty_slot() {
    let mut world = World::new();
    let mut machine = Machine::new(1);

    assert_eq!(world.apply(&mut machine, prepare(1)), promised(1));
    assert_eq!(world.numbers(), [2, 3]);
    assert!(world.notices.contains(&Notice::Begun { is_first: true }));
    assert_eq!(world.notices.last(), Some(&Notice::Written));
}

#[test]
fn a_write_to_a_number_that_was_compacted_away_counts_for_nothing() {
    let mut world = World::new();
    let mut stale = Machine::new(1);
    let mut busy = Machine::new(2);
    world.apply(&mut stale, prepare(1)).unwrap();

    // The stale writer has listed the slots, and is paused before its put.
    let list = world.step(&mut stale, Input::Request(Box::new(prepare(2))));
    let listed = world.store.run(list.continue_value().unwrap());
    let put = world.step(&mut stale, listed).continue_value().unwrap();
    for number in 3..9 {
        world.apply(&mut busy, prepare(number)).unwrap();
    }

    let mut outcome = world.store.run(put);
    assert!(matches!(outcome, Input::Stored), "its number is free again");
    let answer = loop {
        match world.step(&mut stale, outcome) {
            ControlFlow::Continue(operation) => outcome = world.store.run(operation),
            ControlFlow::Break(answer) => break answer,
        }
    };
    let refused = AcceptorReply::Refused {
        promised: ballot(8),
    };
    assert_eq!(answer, Ok(refused));
    assert!(world.notices.contains(&Notice::Outdated));
}

#[test]
fn a_put_without_reply_is_read_back_and_one_that_was_not_done_is_repeated() {
    for keeps in [true, false] {
        let mut world = World::new();
        let mut machine = Machine::new(1);
        world.apply(&mut machine, prepare(1)).unwrap();

        world.store.failures = 1;
        world.store.keeps = keeps;
        assert_eq!(world.apply(&mut machine, prepare(2)), promised(2));
        assert_eq!(world.notices.contains(&Notice::ReadBack), keeps);
        assert_eq!(world.notices.contains(&Notice::Unknown), !keeps);
    }
}

#[test]
fn a_store_that_takes_no_writes_ends_the_request_with_its_error() {
    let mut world = World::new();
    let mut machine = Machine::new(1);
    world.apply(&mut machine, prepare(1)).unwrap();

    world.store.failures = 9;
    let answer = world.apply(&mut machine, prepare(2));
    assert_eq!(answer, Err(Failure::Store("no reply")));
    assert!(machine.is_idle());
}

#[test]
fn a_read_rewrites_a_newest_slot_of_six_hours() {
    let mut world = World::new();
    let mut machine = Machine::new(1);
    world.apply(&mut machine, prepare(1)).unwrap();

    world.now += REWRITE - Duration::from_secs(1);
    world.apply(&mut machine, AcceptorRequest::Read).unwrap();
    assert_eq!(world.numbers(), [2, 3]);

    world.now += Duration::from_secs(1);
    world.apply(&mut machine, AcceptorRequest::Read).unwrap();
    assert_eq!(world.numbers(), [3, 4]);
    assert_eq!(world.apply(&mut machine, prepare(1)), promised(1));
}

#[test]
fn a_missing_slot_of_the_pair_discards_the_state() {
    for lost in [2, 3] {
        let mut world = World::new();
        let mut machine = Machine::new(1);
        world.apply(&mut machine, prepare(9)).unwrap();
        world.store.slots.remove(&lost);

        assert_eq!(world.apply(&mut machine, prepare(1)), promised(1));
        let lost = |notice: &Notice| matches!(notice, Notice::Lost { seen: 3, .. });
        assert!(world.notices.iter().any(lost), "{:?}", world.notices);
    }
}

#[test]
fn a_write_that_the_store_forgot_does_not_count_even_if_another_took_its_number() {
    let mut world = World::new();
    let mut forgotten = Machine::new(1);
    let mut other = Machine::new(2);
    world.apply(&mut forgotten, prepare(1)).unwrap();

    let list = world.step(&mut forgotten, Input::Request(Box::new(prepare(2))));
    let listed = world.store.run(list.continue_value().unwrap());
    let put = world.step(&mut forgotten, listed).continue_value().unwrap();
    world.store.forgets = true;
    let stored = world.store.run(put);
    world.apply(&mut other, prepare(3)).unwrap();
    assert_eq!(world.numbers(), [3, 4]);

    let mut step = world.step(&mut forgotten, stored);
    while let ControlFlow::Continue(operation) = step {
        let outcome = world.store.run(operation);
        step = world.step(&mut forgotten, outcome);
    }
    let promised = ballot(3);
    let refused = Ok(AcceptorReply::Refused { promised });
    assert_eq!(step, ControlFlow::Break(refused));
}

fn accept(number: u64, reason: &str) -> AcceptorRequest {
    let stamp = Stamp {
        ballot: ballot(number),
        seq: 1,
    };
    let plan = Plan {
        reason: reason.into(),
        ..Plan::default()
    };
    AcceptorRequest::Accept(stamp, plan)
}

#[test]
fn a_new_plan_is_accepted_only_if_its_agent_has_nothing_against_it() {
    let mut world = World::new();
    let mut machine = Machine::new(1);
    let accepted = world.apply(&mut machine, accept(1, "first"));
    assert!(matches!(accepted, Ok(AcceptorReply::Accepted(_))));
    assert_eq!(world.proposals[0].accepted, None);

    world.objection = Some(Objection::Empty);
    let slots = world.numbers();
    let refused = world.apply(&mut machine, accept(2, "second"));
    let Ok(AcceptorReply::Unjustified { why, .. }) = &refused else {
        panic!("{refused:?}");
    };
    assert_eq!(*why, Objection::Empty.to_string());
    assert_eq!(world.numbers(), slots, "nothing is written");
    let before = world.proposals[1].accepted.as_ref();
    assert_eq!(before.map(|(_, plan)| plan.reason.as_str()), Some("first"));

    // What was accepted already is accepted again, under any ballot.
    let again = world.apply(&mut machine, accept(2, "first"));
    assert!(matches!(again, Ok(AcceptorReply::Accepted(_))));
    // And what must be refused anyway is not judged.
    let fenced = world.apply(&mut machine, accept(1, "third"));
    assert!(matches!(fenced, Ok(AcceptorReply::Refused { .. })));
    assert_eq!(world.proposals.len(), 2);
}

#[test]
fn writers_that_always_lose_give_up() {
    let mut world = World::new();
    let mut unlucky = Machine::new(1);
    let mut lucky = Machine::new(2);
    world.apply(&mut unlucky, prepare(1)).unwrap();

    let mut number = 2;
    let mut input = Input::Request(Box::new(prepare(1_000)));
    let answer = loop {
        match world.step(&mut unlucky, input) {
            ControlFlow::Continue(put @ Operation::Put { .. }) => {
                world.apply(&mut lucky, prepare(number)).unwrap();
                number += 1;
                input = world.store.run(put);
            }
            ControlFlow::Continue(operation) => input = world.store.run(operation),
            ControlFlow::Break(answer) => break answer,
        }
    };
    assert_eq!(answer, Err(Failure::Contended));
    assert_eq!(number, 2 + u64::from(ATTEMPTS));
}
