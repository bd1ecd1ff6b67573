use super::*;
use proptest::{collection::vec, prelude::*};
use regionmesh_protocol::register::{acceptor::AcceptorState, ballot::STEP_MAX};

fn ballot(number: u64) -> Ballot {
    Ballot {
        number,
        agent: "r/a".parse().unwrap(),
        boot: 1,
    }
}

fn region(index: usize) -> RegionName {
    format!("r{index}").parse().unwrap()
}

fn promised(number: u64) -> AcceptorReply {
    AcceptorReply::State(AcceptorState {
        promised: Some(ballot(number)),
        ..AcceptorState::default()
    })
}

fn known(numbers: &[u64]) -> KnownBallots {
    let mut known = KnownBallots::default();
    known.set_members(&(0..numbers.len()).map(region).collect());
    numbers
        .iter()
        .enumerate()
        .for_each(|(at, number)| known.acceptor(&region(at), &promised(*number)));

    known
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..100u64, 0..STEP_MAX * 3, Just(u64::MAX), any::<u64>()]
}

proptest! {
    #[test]
    fn a_minority_of_acceptors_moves_the_believed_limit_by_two_steps_at_most(
        honest in vec(0..1_000u64, 2..4),
        liars in vec(number(), 1..3),
        heard in vec(number(), 0..10),
    ) {
        prop_assume!(liars.len() < honest.len());
        let all: Vec<u64> = honest.iter().chain(&liars).copied().collect();
        let mut known = known(&all);

        for number in &heard {
            known.hear(&ballot(*number));
        }

        let bound = honest.iter().max().unwrap() + 2 * STEP_MAX;
        prop_assert!(known.highest().is_none_or(|highest| highest.number < bound));
    }

    #[test]
    fn repeated_hearsay_moves_the_limit_by_one_step_at_most(
        numbers in vec(0..1_000u64, 1..5),
        heard in vec(number(), 0..50),
    ) {
        let mut known = known(&numbers);
        let limit = known.limit();
        for number in heard {
            known.hear(&ballot(number));
            prop_assert_eq!(known.limit(), limit);
            prop_assert!(
                known
                    .highest()
                    .is_none_or(|highest| highest.number < limit.number)
            );
        }
    }

    #[test]
    fn every_informed_acceptor_may_go_one_above_the_highest_believed_ballot(
        numbers in vec(number(), 1..6),
        heard in vec(number(), 0..5),
    ) {
        let mut known = known(&numbers);
        for number in &heard {
            known.hear(&ballot(*number));
        }

        let Some(next) = known
            .highest()
            .map_or(Some(1), |highest| highest.number.checked_add(1))
        else {
            return Ok(());
        };

        prop_assert!(next <= known.allowance().number, "{next} is too far");
    }
}

#[test]
fn an_acceptor_at_the_maximum_number_is_a_stray_and_counts_as_absent() {
    let known = known(&[50, 51, u64::MAX]);
    assert_eq!(known.highest(), Some(&ballot(51)));
    assert_eq!(
        known
            .strays()
            .map(|(region, _)| region.clone())
            .collect::<Vec<_>>(),
        [region(2)]
    );

    assert!(
        !known.believes(&promised(u64::MAX), None)
            && known.believes(&promised(50 + STEP_MAX), None)
    );

    // The last number that an acceptor takes: no candidate may ask for more.
    let last = ballot(51 + 2 * STEP_MAX);
    assert!(
        !known.believes(&promised(last.number), None)
            && known.believes(&promised(last.number), Some(&last))
    );
}

#[test]
fn a_long_absent_agent_believes_the_majority() {
    let mut known = known(&[3, 0, 0]);
    assert!(!known.hear(&ballot(STEP_MAX * 5)));
    known.acceptor(&region(1), &promised(STEP_MAX * 5));
    assert!(
        !known.hear(&ballot(STEP_MAX * 5)),
        "one acceptor is one vote"
    );

    known.acceptor(&region(2), &promised(STEP_MAX * 5));
    assert!(known.hear(&ballot(STEP_MAX * 5)));
    assert_eq!(known.highest(), Some(&ballot(STEP_MAX * 5)));
}
