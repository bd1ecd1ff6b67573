use super::*;
use proptest::{collection::vec, prelude::*};
use regionmesh_protocol::register::members::Incarnation;

fn name(index: usize) -> RegionName {
    format!("r{index}").parse().unwrap()
}

fn members(count: usize) -> Members {
    let acceptors = (0..count)
        .map(|index| (name(index), Some(Incarnation(index as u64))))
        .collect();
    Members {
        register: 7,
        acceptors,
    }
}

fn plan(number: u64, seq: u64, members: Members) -> CommittedPlan {
    let ballot = Ballot {
        number,
        agent: "r0/a".parse().unwrap(),
        boot: 1,
    };

    CommittedPlan {
        stamp: Stamp { ballot, seq },
        plan: Plan {
            members,
            reason: seq.to_string(),
            ..Plan::default()
        },
        certificate: Default::default(),
    }
}

fn reading(accepted: &[Option<CommittedPlan>]) -> Reading {
    let mut reading = Reading::default();
    for (index, accepted) in accepted.iter().enumerate() {
        let accepted = accepted.clone().map(|plan| (plan.stamp, plan.plan));
        let promised = accepted.as_ref().map(|(stamp, _)| stamp.ballot.clone());
        reading.add(
            name(index),
            AcceptorState {
                incarnation: Incarnation(index as u64),
                promised,
                accepted,
            },
        );
    }

    reading
}

/// Voters of a register whose members are not known.
fn unknown<'a>(configured: &'a BTreeSet<RegionName>, own: &'a RegionName) -> Voters<'a> {
    Voters {
        known: None,
        configured,
        own,
    }
}

proptest! {
    #[test]
    fn a_plan_is_never_both_committed_and_refuted_and_a_minority_decides_neither(
        seqs in vec(prop::option::of(1..4u64), 0..6),
        seq in 1..5u64,
        total in 1..6usize,
        knows: bool,
    ) {
        let accepted: Vec<_> = seqs
            .iter()
            .take(total)
            .map(|seq| seq.map(|seq| plan(1, seq, members(total))))
            .collect();
        let reading = reading(&accepted);
        let claimed = plan(1, seq, members(total));
        let known = members(total);
        let configured = members(total).names();
        let own = name(0);

        let voters = Voters {
            known: knows.then_some(&known),
            configured: &configured,
            own: &own,
        };
        let same = accepted
            .iter()
            .flatten()
            .filter(|plan| **plan == claimed)
            .count();

        prop_assert_eq!(reading.is_committed(&claimed, &voters), same > total / 2);
        prop_assert!(
            !(reading.is_committed(&claimed, &voters) && reading.refutes(&claimed, &voters))
        );

        let earlier = accepted
            .iter()
            .filter(|plan| plan.as_ref().is_none_or(|plan| plan.stamp < claimed.stamp))
            .count();

        prop_assert_eq!(reading.refutes(&claimed, &voters), earlier > total / 2);
    }
}

#[test]
fn a_plan_that_names_its_own_voters_is_not_believed() {
    let known = members(5);
    let own = name(0);
    let configured = known.names();

    // One acceptor, a thief's, claims that it accepted the plan, which names no other member, or
    // none at all.
    for named in [
        Members {
            acceptors: [(name(1), Some(Incarnation(1)))].into(),
            ..members(0)
        },
        Members::default(),
    ] {
        let forged = plan(9, 9, named);
        let genuine = Some(plan(1, 1, members(5)));
        let reading = reading(&[
            genuine.clone(),
            Some(forged.clone()),
            genuine.clone(),
            genuine.clone(),
            genuine,
        ]);

        for known in [None, Some(&known)] {
            let voters = Voters {
                known,
                configured: &configured,
                own: &own,
            };

            assert!(!reading.is_committed(&forged, &voters) && reading.refutes(&forged, &voters));
            assert_eq!(reading.committed(&voters), Some(plan(1, 1, members(5))));
        }
    }
}

#[test]
fn a_region_that_is_not_yet_a_member_learns_from_the_members() {
    let claimed = plan(1, 1, members(3));
    let own = name(3);
    let reading = reading(&[Some(claimed.clone()), Some(claimed.clone())]);
    let configured = members(4).names();

    assert!(reading.is_committed(
        &claimed,
        &Voters {
            known: None,
            configured: &configured,
            own: &own
        }
    ));
}

#[test]
fn an_incarnation_without_a_vote_does_not_count() {
    let mut claimed = plan(1, 1, members(3));
    claimed
        .plan
        .members
        .acceptors
        .insert(name(1), Some(Incarnation(99)));

    let configured = members(3).names();
    let own = name(0);
    let reading = reading(&[Some(claimed.clone()), Some(claimed.clone())]);

    assert!(!reading.is_committed(
        &claimed,
        &Voters {
            known: None,
            configured: &configured,
            own: &own
        }
    ));
}

#[test]
fn a_ballot_leads_if_a_majority_promised_it_and_is_refuted_if_a_majority_is_below() {
    let low = plan(1, 1, members(3));
    let high = plan(2, 2, members(3));
    let configured = members(3).names();
    let own = name(0);
    let voters = unknown(&configured, &own);
    let reading = reading(&[Some(low.clone()), Some(low.clone()), Some(high.clone())]);

    assert!(
        reading.is_promised(&low.stamp.ballot, &voters)
            && !reading.refutes_ballot(&low.stamp.ballot, &voters)
    );

    assert!(
        !reading.is_promised(&high.stamp.ballot, &voters)
            && reading.refutes_ballot(&high.stamp.ballot, &voters)
    );
}

#[test]
fn an_acceptor_that_lost_its_state_refutes_nothing() {
    let claimed = plan(1, 3, members(3));
    let configured = members(3).names();
    let own = name(0);
    let voters = unknown(&configured, &own);

    let mut reading = reading(&[Some(claimed.clone()), Some(plan(1, 1, members(3)))]);
    reading.add(name(2), AcceptorState::begin(Incarnation(9)));
    assert!(!reading.refutes(&claimed, &voters));
    reading.add(name(2), AcceptorState::begin(Incarnation(2)));
    assert!(reading.refutes(&claimed, &voters));
}
