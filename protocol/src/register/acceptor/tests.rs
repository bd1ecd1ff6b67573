use super::*;
use crate::register::ballot::STEP_MAX;
use crate::register::members::Members;
use proptest::prelude::*;

fn ballot(number: u64) -> Ballot {
    Ballot {
        number,
        agent: "r/a".parse().unwrap(),
        boot: 1,
    }
}

fn value(reason: u8) -> Plan {
    Plan {
        reason: reason.to_string(),
        members: members(7, &[1]),
        ..Plan::default()
    }
}

fn members(register: u64, votes: &[u64]) -> Members {
    let acceptors = votes.iter().map(|vote| {
        (
            format!("r{vote}").parse().unwrap(),
            Some(Incarnation(*vote)),
        )
    });

    Members {
        register,
        acceptors: acceptors.collect(),
    }
}

fn request() -> impl Strategy<Value = AcceptorRequest> {
    prop_oneof![
        (0..6u64).prop_map(|number| AcceptorRequest::Prepare(ballot(number))),
        (0..6u64, 1..4u64, 0..2u8).prop_map(|(number, seq, reason)| {
            AcceptorRequest::Accept(
                Stamp {
                    ballot: ballot(number),
                    seq,
                },
                value(reason),
            )
        }),
        Just(AcceptorRequest::Read),
    ]
}

fn accepted_stamp(state: &AcceptorState) -> Option<&Stamp> {
    state.accepted.as_ref().map(|(stamp, _)| stamp)
}

proptest! {
    #[test]
    fn promises_and_accepted_stamps_never_decrease(
        requests in prop::collection::vec(request(), 0..40),
    ) {
        let mut state = AcceptorState::default();
        for request in &requests {
            let (_, next) = state.apply(request);
            let Some(next) = next else { continue };
            prop_assert!(next.promised >= state.promised);
            prop_assert!(accepted_stamp(&next) >= accepted_stamp(&state));
            prop_assert!(
                next.promised.as_ref() >= accepted_stamp(&next).map(|stamp| &stamp.ballot)
            );
            if accepted_stamp(&next) == accepted_stamp(&state) {
                prop_assert_eq!(&next.accepted, &state.accepted);
            }

            state = next;
        }
    }

    #[test]
    fn after_a_promise_nothing_lower_is_accepted(
        requests in prop::collection::vec(request(), 0..40),
        number in 0..6u64,
        seq in 1..4u64,
    ) {
        let mut state = AcceptorState::default();
        for request in &requests {
            state = state.apply(request).1.unwrap_or(state);
        }

        let promised = state.promised.clone();
        let stamp = Stamp {
            ballot: ballot(number),
            seq,
        };
        let (reply, next) = state.apply(&AcceptorRequest::Accept(stamp.clone(), value(9)));

        if promised.is_some_and(|promised| promised > stamp.ballot) {
            let is_refused = matches!(reply, AcceptorReply::Refused { .. });
            prop_assert!(is_refused);
            prop_assert_eq!(next, None);
        }
    }

    #[test]
    fn repeating_a_request_changes_nothing_and_answers_the_same(
        requests in prop::collection::vec(request(), 0..40),
        last in request(),
    ) {
        let mut state = AcceptorState::default();
        for request in &requests {
            state = state.apply(request).1.unwrap_or(state);
        }

        let (first, next) = state.apply(&last);
        let state = next.unwrap_or(state);
        let (second, next) = state.apply(&last);

        prop_assert_eq!(next, None);
        prop_assert_eq!(first, second);
    }
}

proptest! {
    #[test]
    fn an_acceptor_never_exceeds_its_limit_however_often_it_is_asked(
        requests in prop::collection::vec((any::<u64>(), any::<u64>(), any::<bool>()), 0..20),
        number in 0..1u64 << 40,
    ) {
        let allowance = Reach { number, seq: 0 }.step();
        let bounds = Bounds {
            allowance,
            decided: None,
        };
        let mut state = AcceptorState::default();

        for (number, seq, is_prepare) in requests {
            let request = match is_prepare {
                true => AcceptorRequest::Prepare(ballot(number)),
                false => AcceptorRequest::Accept(
                    Stamp {
                        ballot: ballot(number),
                        seq,
                    },
                    value(1),
                ),
            };

            let (reply, next) = state.apply_within(&request, &bounds);
            let is_refused = matches!(reply, AcceptorReply::TooFar(_));
            prop_assert_eq!(is_refused, !request.reach().is_within(allowance));
            prop_assert!(!(is_refused && next.is_some()));
            state = next.unwrap_or(state);
            prop_assert!(state.reach().is_within(allowance));
        }
    }
}

#[test]
fn an_absent_acceptor_accepts_up_to_the_majoritys_progress() {
    let far = AcceptorRequest::Prepare(ballot(STEP_MAX * 9));
    let state = AcceptorState::default();
    let bounds = Bounds::default();

    assert_eq!(
        state.apply_within(&far, &bounds),
        (AcceptorReply::TooFar(bounds.allowance), None)
    );

    let bounds = Bounds {
        allowance: Reach {
            number: STEP_MAX * 8,
            seq: 0,
        }
        .step(),
        decided: None,
    };

    assert!(state.apply_within(&far, &bounds).1.is_some());
}

#[test]
fn an_acceptor_forgets_an_accepted_value_only_for_a_decided_one() {
    let stamp = |seq| Stamp {
        ballot: ballot(2),
        seq,
    };
    let (_, accepted) =
        AcceptorState::begin(Incarnation(9)).apply(&AcceptorRequest::Accept(stamp(1), value(1)));
    let join = AcceptorRequest::Join(Incarnation(5), stamp(2), value(2));
    let bounds = |seq, plan| Bounds {
        decided: Some((stamp(seq), value(plan))),
        ..Bounds::default()
    };
    let accepted = accepted.unwrap();

    assert_eq!(
        accepted.apply_within(&join, &bounds(1, 2)),
        (AcceptorReply::Undecided(stamp(2)), None)
    );

    assert_eq!(
        accepted.apply_within(&join, &bounds(2, 1)),
        (AcceptorReply::Undecided(stamp(2)), None)
    );

    assert_eq!(
        accepted.apply_within(&join, &bounds(2, 2)).0,
        AcceptorReply::Joined(Incarnation(5))
    );

    let new = AcceptorState::begin(Incarnation(9));
    assert_eq!(
        new.apply_within(&join, &bounds(1, 1)).0,
        AcceptorReply::Joined(Incarnation(5))
    );
}

#[test]
fn one_stamp_never_takes_a_second_value() {
    let stamp = Stamp {
        ballot: ballot(1),
        seq: 1,
    };
    let state = AcceptorState::default()
        .apply(&AcceptorRequest::Accept(stamp.clone(), value(1)))
        .1
        .unwrap();
    let (reply, next) = state.apply(&AcceptorRequest::Accept(stamp, value(2)));

    assert!(matches!(reply, AcceptorReply::Refused { .. }) && next.is_none());
}

fn voter(votes: &[u64], seq: u64) -> AcceptorState {
    let plan = Plan {
        members: members(7, votes),
        ..Plan::default()
    };
    let state = AcceptorState::begin(Incarnation(1));

    state
        .apply(&AcceptorRequest::Accept(
            Stamp {
                ballot: ballot(2),
                seq,
            },
            plan,
        ))
        .1
        .unwrap()
}

fn join(
    state: &AcceptorState,
    register: u64,
    votes: &[u64],
    number: u64,
    seq: u64,
) -> AcceptorReply {
    let plan = Plan {
        members: members(register, votes),
        ..Plan::default()
    };
    let request = AcceptorRequest::Join(
        Incarnation(9),
        Stamp {
            ballot: ballot(number),
            seq,
        },
        plan.clone(),
    );

    let (reply, next) = state.apply(&request);
    if let Some(next) = next {
        assert_eq!(
            (next.incarnation, next.accepted.as_ref().unwrap().1.clone()),
            (Incarnation(9), plan)
        );

        assert_eq!(
            next.apply(&request),
            (AcceptorReply::Joined(Incarnation(9)), None)
        );
    }

    reply
}

#[test]
fn an_acceptor_resets_only_where_none_of_its_promises_can_count() {
    let joined = AcceptorReply::Joined(Incarnation(9));
    let fresh = AcceptorState::begin(Incarnation(1));
    let promised = fresh
        .apply(&AcceptorRequest::Prepare(ballot(50)))
        .1
        .unwrap();

    assert_eq!(
        [join(&fresh, 7, &[2], 3, 9), join(&promised, 7, &[2], 3, 9)],
        [joined.clone(), joined.clone()]
    );

    // It votes: by what it is asked to take, or, in a register that the asker does not know, by
    // what it has.
    assert_eq!(
        join(&voter(&[1, 2], 4), 7, &[1, 2], 3, 9),
        AcceptorReply::Votes { register: 7 }
    );

    assert_eq!(
        join(&voter(&[1, 2], 4), 8, &[2], 3, 9),
        AcceptorReply::Votes { register: 7 }
    );

    // Removed or suspended in between.
    assert_eq!(join(&voter(&[1, 2], 4), 7, &[2], 3, 9), joined);

    // Of another register, where it never had a vote.
    assert_eq!(join(&voter(&[2], 4), 8, &[2], 3, 9), joined);

    // A late request of an older leader, or from before something that it knows.
    for (number, seq) in [(1, 9), (2, 3)] {
        assert!(matches!(
            join(&voter(&[1, 2], 4), 7, &[2], number, seq),
            AcceptorReply::Refused { .. }
        ));
    }
}
