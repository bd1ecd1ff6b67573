//! The law of overlap, held against every pair of majorities of small registers.

use super::*;
use proptest::prelude::*;

fn name(index: usize) -> RegionName {
    format!("r{index}").parse().unwrap()
}

/// Up to five members, some without a vote.
fn members() -> impl Strategy<Value = Members> {
    prop::collection::vec(prop::option::weighted(0.8, Just(())), 1..6).prop_map(|votes| {
        let acceptors = votes.iter().enumerate();
        let acceptors = acceptors
            .map(|(index, vote)| (name(index), vote.map(|()| Incarnation(index as u64 + 1))));

        Members {
            register: 7,
            acceptors: acceptors.collect(),
        }
    })
}

fn change() -> impl Strategy<Value = MemberChange> {
    prop_oneof![
        (0..8usize, 1..20u64).prop_map(|(index, incarnation)| MemberChange::Join(
            name(index),
            Incarnation(incarnation)
        )),
        (0..8usize).prop_map(|index| MemberChange::Suspend(name(index))),
        (0..8usize).prop_map(|index| MemberChange::Remove(name(index))),
        (0..8usize, 0..8usize).prop_map(|(old, new)| MemberChange::Rename(name(old), name(new))),
    ]
}

fn majorities(members: &Members) -> Vec<BTreeSet<Incarnation>> {
    let votes: Vec<Incarnation> = members.acceptors.values().flatten().copied().collect();
    let subsets = 0..1u32 << votes.len();
    let chosen = |subset: u32| -> BTreeSet<Incarnation> {
        votes
            .iter()
            .enumerate()
            .filter(|(index, _)| subset & (1 << index) != 0)
            .map(|(_, vote)| *vote)
            .collect()
    };

    subsets
        .map(chosen)
        .filter(|votes| members.has_majority(votes))
        .collect()
}

fn overlap(before: &Members, after: &Members) -> bool {
    let before = majorities(before);
    let after = majorities(after);
    before.iter().all(|ours| {
        after
            .iter()
            .all(|theirs| ours.intersection(theirs).next().is_some())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn every_majority_before_a_change_shares_an_acceptor_with_every_majority_after_it(
        before in members(),
        change in change(),
    ) {
        if let Ok(after) = before.after(&change) {
            prop_assert!(overlap(&before, &after), "{before:?} {change:?}");
        }
    }

    #[test]
    fn every_permitted_change_keeps_majorities_overlapping(
        before in members(),
        after in members(),
        swap in 0..6u64,
    ) {
        // Incarnations that differ under the same names, too.
        let mut after = after;
        for incarnation in after
            .acceptors
            .values_mut()
            .flatten()
            .filter(|incarnation| incarnation.0 == swap)
        {
            incarnation.0 += 100;
        }

        if before.check_change(&after).is_ok() {
            prop_assert!(overlap(&before, &after), "{before:?} {after:?}");
        }
    }

    #[test]
    fn repair_ends_with_a_vote_for_every_member_that_answers(
        before in members(),
        lost in 0..32u32,
    ) {
        let heard: BTreeMap<_, _> = before
            .acceptors
            .keys()
            .enumerate()
            .map(|(index, name)| {
                let survives = lost & (1 << index) == 0;
                let kept = before.acceptors[name].filter(|_| survives);
                (name.clone(), kept.unwrap_or(Incarnation(50 + index as u64)))
            })
            .collect();

        let mut now = before;
        for _ in 0..20 {
            let change = match now.mend(&heard) {
                None => break,
                Some(Mend::Suspend(name)) => MemberChange::Suspend(name),
                Some(Mend::Join(name)) => MemberChange::Join(name.clone(), heard[&name]),
            };

            now = now.after(&change).unwrap();
        }

        prop_assert_eq!(now.mend(&heard), None);
        prop_assert!(
            now.acceptors
                .iter()
                .all(|(name, counted)| *counted == heard.get(name).copied())
        );
    }
}

fn three() -> Members {
    let acceptors = (0..3)
        .map(|index| (name(index), Some(Incarnation(index as u64 + 1))))
        .collect();
    Members {
        register: 7,
        acceptors,
    }
}

#[test]
fn one_incarnation_does_not_take_the_place_of_another_in_one_step() {
    let mut replaced = three();
    replaced.acceptors.insert(name(2), Some(Incarnation(9)));
    assert!(matches!(
        three().check_change(&replaced),
        Err(MembersError::Jump { changed: 2 })
    ));

    let suspended = three().after(&MemberChange::Suspend(name(2))).unwrap();
    assert_eq!(
        suspended
            .after(&MemberChange::Join(name(2), Incarnation(9)))
            .unwrap(),
        replaced
    );
}

#[test]
fn half_of_the_members_plus_strangers_is_not_a_majority() {
    let votes = |votes: &[u64]| {
        votes
            .iter()
            .map(|vote| Incarnation(*vote))
            .collect::<BTreeSet<_>>()
    };
    let four = three()
        .after(&MemberChange::Join(name(3), Incarnation(4)))
        .unwrap();

    assert!(!four.has_majority(&votes(&[1, 2, 77])) && four.has_majority(&votes(&[1, 2, 4])));
    assert!(!Members::default().has_majority(&votes(&[1])));
}

#[test]
fn impossible_changes_are_refused_with_a_reason() {
    let refused = |change| three().after(&change).unwrap_err();
    assert_eq!(
        refused(MemberChange::Join(name(0), Incarnation(8))),
        MembersError::IsAMember(name(0))
    );

    assert_eq!(
        refused(MemberChange::Remove(name(5))),
        MembersError::NotAMember(name(5))
    );

    assert_eq!(
        refused(MemberChange::Rename(name(0), name(1))),
        MembersError::IsAMember(name(1))
    );

    assert_eq!(
        refused(MemberChange::Rename(name(0), WITNESS.parse().unwrap())),
        MembersError::Witness
    );

    let one = Members::first(7, [name(0), WITNESS.parse().unwrap()], &BTreeMap::new());
    assert_eq!(
        one.after(&MemberChange::Remove(name(0))),
        Err(MembersError::Last(name(0)))
    );

    // One acceptor under two names would vote twice.
    assert!(matches!(
        refused(MemberChange::Join(name(3), Incarnation(1))),
        MembersError::Jump { .. }
    ));
}

#[test]
fn an_even_number_of_regions_fails_over_automatically_only_with_a_witness() {
    let first = |count: usize, witness: bool| {
        Members::first(
            7,
            configured((0..count).map(name), witness).unwrap(),
            &BTreeMap::new(),
        )
        .why_not_automatic()
    };

    for (regions, witness, may) in [
        (1, false, true),
        (2, false, false),
        (2, true, true),
        (3, false, true),
        (4, false, false),
        (4, true, true),
    ] {
        assert_eq!(
            first(regions, witness).is_none(),
            may,
            "{regions} {witness}"
        );
    }
}
