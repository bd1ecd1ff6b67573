//! Candidates, votes and delays: laws, then the rules one by one.

use super::*;
use proptest::prelude::*;

const REGIONS: [&str; 3] = ["a", "b", "c"];

fn ballot(number: u64, agent: &str) -> Ballot {
    Ballot {
        number,
        agent: agent.parse().unwrap(),
        boot: 1,
    }
}

fn election(agent: &str) -> Election {
    Election::new(ElectionSettings::default(), agent.parse().unwrap(), 1)
}

fn view(leader: Option<(Ballot, bool)>, failed: &[&str]) -> ElectionView {
    ElectionView {
        leader: leader.map(|(ballot, is_alive)| KnownLeader { ballot, is_alive }),
        failed: failed
            .iter()
            .map(|region| region.parse().unwrap())
            .collect(),
        members: REGIONS
            .iter()
            .map(|region| region.parse().unwrap())
            .collect(),
        is_clock_off: false,
        candidacy: Some(0),
    }
}

fn grants(election: &mut Election, ballot: Ballot, view: &ElectionView, now_ms: u64) -> bool {
    let request = PreVoteRequest { ballot };
    election.vote(&request, view, now_ms).is_granted
}

fn asked(election: &mut Election, view: &ElectionView) -> Option<(u64, Ballot)> {
    (0..=3_000)
        .step_by(10)
        .find_map(|now_ms| match election.tick(view, now_ms, 77) {
            Some(ElectionEffect::RequestVotes(ballot, regions)) => {
                assert!(!regions.contains(&election.me.region));
                Some((now_ms, ballot))
            }
            _ => None,
        })
}

proptest! {
    #[test]
    fn the_first_attempt_comes_within_50_to_310_ms_with_a_ballot_one_above_the_highest(
        number in 0..u64::MAX - 1,
        random: u64,
    ) {
        let mut election = election("a/x");
        let view = view(None, &[]);
        for region in ["b", "c"] {
            election.acceptor_replied(
                &region.parse().unwrap(),
                &AcceptorReply::Refused {
                    promised: ballot(number, "c/x"),
                },
            );
        }

        let mut first = None;
        for now_ms in (0..=400).step_by(10) {
            let effect = election.tick(&view, now_ms, random);
            if let Some(ElectionEffect::RequestVotes(ballot, _)) = effect {
                first.get_or_insert((now_ms, ballot));
            }
        }

        let (at_ms, taken) = first.unwrap();
        prop_assert!((50..=310).contains(&at_ms));
        prop_assert_eq!(taken.number, number + 1);
    }
}

proptest! {
    #[test]
    fn of_two_simultaneous_candidates_exactly_one_proposes(
        (offset_ms, one_way_ms) in (1u64..300)
            .prop_flat_map(|one_way_ms| (0..one_way_ms, Just(one_way_ms))),
        names in prop::sample::select(vec![("a/x", "b/x"), ("b/x", "a/x")]),
    ) {
        // The third region is dead. The second asks while the first's question is on its way.
        let mut first = election(names.0);
        let mut second = election(names.1);
        let view = view(None, &[]);

        first.tick(&view, 0, 0);
        second.tick(&view, offset_ms, 0);

        let Some(ElectionEffect::RequestVotes(one, _)) = first.tick(&view, 50, 0) else {
            panic!("the first does not ask")
        };
        let effect = second.tick(&view, 50 + offset_ms, 0);
        let Some(ElectionEffect::RequestVotes(two, _)) = effect else {
            panic!("the second does not ask")
        };

        let from_second = second.vote(
            &PreVoteRequest {
                ballot: one.clone(),
            },
            &view,
            50 + one_way_ms,
        );

        let from_first = first.vote(
            &PreVoteRequest {
                ballot: two.clone(),
            },
            &view,
            50 + offset_ms + one_way_ms,
        );
        let back_ms = 50 + offset_ms + 2 * one_way_ms;
        let first_proposes = first.voted(
            &second.me.region.clone(),
            &one,
            Some(&from_second),
            &view,
            back_ms,
            0,
        );

        let second_proposes = second.voted(
            &first.me.region.clone(),
            &two,
            Some(&from_first),
            &view,
            back_ms,
            0,
        );

        prop_assert_eq!(first_proposes.is_some(), one > two);
        prop_assert_eq!(second_proposes.is_some(), two > one);
    }
}

proptest! {
    /// Whether it is a region's only member or has the votes of others: each attempt takes a ballot
    /// of its own, higher than all before, whatever became of them. Its number stays within what
    /// others accept.
    #[test]
    fn every_attempt_uses_a_higher_ballot_one_above_the_highest_seen(
        is_alone: bool,
        outcomes in prop::collection::vec((any::<bool>(), 0u64..5_000, any::<u64>()), 1..20),
    ) {
        let mut election = election("a/x");
        let mut view = view(None, &[]);
        if is_alone {
            view.members.retain(|region| region.as_str() == "a");
        }

        let grant = PreVoteReply {
            is_granted: true,
            highest: None,
            reason: String::new(),
        };
        let mut now_ms: u64 = 0;
        let mut proposed: Vec<Ballot> = Vec::new();

        for (is_seen, pause_ms, random) in outcomes {
            let next = (0..1_000).find_map(|_| {
                now_ms += 10;
                match election.tick(&view, now_ms, random)? {
                    ElectionEffect::RequestVotes(ballot, _) => election.voted(
                        &"b".parse().unwrap(),
                        &ballot,
                        Some(&grant),
                        &view,
                        now_ms,
                        random,
                    ),
                    effect => Some(effect),
                }
            });

            let Some(ElectionEffect::Propose(ballot)) = next else {
                panic!("it never campaigns again after {proposed:?}")
            };
            let highest = election.highest().map_or(0, |highest| highest.number);

            prop_assert_eq!(ballot.number, highest + 1);
            prop_assert!(
                proposed.last().is_none_or(|last| *last < ballot),
                "{:?} after {:?}",
                ballot,
                proposed
            );

            if is_seen {
                election.observe(&ballot);
            }
            proposed.push(ballot);
            now_ms += pause_ms;
            election.stepped_down(None, now_ms, random);
        }
    }
}

fn assert_only_votes(view: &ElectionView) {
    assert_eq!(asked(&mut election("a/x"), view), None);
    assert!(grants(&mut election("a/x"), ballot(4, "b/x"), view, 0));
}

#[test]
fn an_agent_with_a_skewed_clock_votes_but_is_not_a_candidate() {
    let off = ElectionView {
        is_clock_off: true,
        ..view(None, &[])
    };

    assert_only_votes(&off);
}

#[test]
fn an_agent_that_reaches_other_regions_through_others_votes_but_is_not_a_candidate() {
    let indirect = ElectionView {
        candidacy: None,
        ..view(None, &[])
    };

    assert_only_votes(&indirect);
}

#[test]
fn agents_of_a_region_stand_for_election_one_after_another() {
    let turn_ms = ElectionSettings::default().turn_ms;
    let begun_ms = |before: u64| {
        let view = ElectionView {
            candidacy: Some(before),
            ..view(None, &[])
        };
        asked(&mut election("a/x"), &view).unwrap().0
    };

    let first_ms = begun_ms(0);
    assert_eq!(begun_ms(1), first_ms + turn_ms);
    assert_eq!(begun_ms(2), first_ms + 2 * turn_ms);
}

#[test]
fn a_granted_vote_is_not_granted_again_whatever_the_ballot() {
    let mut voter = election("a/x");
    let leaderless = view(None, &[]);
    assert!(grants(&mut voter, ballot(4, "b/x"), &leaderless, 0));

    assert!(!grants(&mut voter, ballot(9, "c/x"), &leaderless, 399));

    assert!(grants(&mut voter, ballot(9, "c/x"), &leaderless, 400));
}

#[test]
fn a_working_leader_is_neither_challenged_nor_voted_against() {
    let led = view(Some((ballot(3, "c/x"), true)), &[]);
    assert_eq!(asked(&mut election("a/x"), &led), None);
    assert!(!grants(&mut election("a/x"), ballot(4, "b/x"), &led, 0));

    let gone = view(Some((ballot(3, "c/x"), false)), &[]);
    assert!(asked(&mut election("a/x"), &gone).is_some());
    assert!(grants(&mut election("a/x"), ballot(4, "b/x"), &gone, 0));
}

#[test]
fn a_leader_in_a_failed_region_yields_only_to_a_better_candidate() {
    let leader = Some((ballot(3, "c/x"), true));
    assert!(asked(&mut election("a/x"), &view(leader.clone(), &["c"])).is_some());
    assert_eq!(
        asked(&mut election("a/x"), &view(leader, &["a", "b", "c"])),
        None
    );
}

#[test]
fn a_leader_that_lost_its_majority_may_be_a_candidate_again() {
    let seen = view(Some((ballot(3, "c/x"), true)), &[]);
    assert!(grants(&mut election("a/x"), ballot(4, "c/x"), &seen, 0));
}

#[test]
fn a_candidate_proposes_only_with_a_majority_of_votes() {
    let mut election = election("a/x");
    let view = view(None, &[]);
    let (now_ms, ballot) = asked(&mut election, &view).unwrap();
    let vote = |is_granted| PreVoteReply {
        is_granted,
        highest: None,
        reason: String::new(),
    };
    let from = |name: &str| name.parse::<RegionName>().unwrap();

    assert_eq!(
        election.voted(&from("b"), &ballot, Some(&vote(false)), &view, now_ms, 0),
        None
    );

    let effect = election.voted(&from("c"), &ballot, Some(&vote(true)), &view, now_ms, 0);
    assert_eq!(effect, Some(ElectionEffect::Propose(ballot)));
}

#[test]
fn a_candidate_waits_only_briefly_for_failed_regions() {
    let vote = PreVoteReply {
        is_granted: false,
        highest: None,
        reason: String::new(),
    };
    let timeout = |failed: &[&str]| {
        let mut election = election("a/x");
        let view = view(None, failed);
        let (asked_ms, ballot) = asked(&mut election, &view).unwrap();

        election.voted(
            &"b".parse().unwrap(),
            &ballot,
            Some(&vote),
            &view,
            asked_ms,
            0,
        );

        let is_waiting = |now_ms: &u64| {
            election.tick(&view, *now_ms, 0);
            matches!(election.phase, Phase::Asking { .. })
        };

        (asked_ms..).step_by(10).take_while(is_waiting).count() * 10
    };

    assert_eq!(
        (timeout(&[]), timeout(&["c"]), timeout(&["a", "b", "c"])),
        (1_000, 300, 1_000)
    );
}

#[test]
fn a_region_that_is_not_a_member_is_never_a_candidate() {
    let leaderless = view(None, &[]);
    assert_eq!(asked(&mut election("d/x"), &leaderless), None);

    let vote = election("a/x").vote(
        &PreVoteRequest {
            ballot: ballot(4, "d/x"),
        },
        &leaderless,
        0,
    );

    assert!(
        !vote.is_granted && vote.reason.contains("d is not a member"),
        "{vote:?}"
    );
}

#[test]
fn a_ballot_at_the_maximum_number_does_not_block_elections() {
    let mut election = election("a/x");
    let leaderless = view(None, &[]);
    let last = ballot(u64::MAX, "c/x");

    election.tick(&leaderless, 0, 0);
    assert!(!election.observe(&last));
    for region in ["a", "c"] {
        election.heard(&ballot(6, "b/x"), 0);
        election.acceptor_replied(
            &region.parse().unwrap(),
            &AcceptorReply::Refused {
                promised: ballot(6, "b/x"),
            },
        );
    }

    assert!(!election.acceptor_replied(
        &"c".parse().unwrap(),
        &AcceptorReply::Refused {
            promised: last.clone()
        }
    ));

    let vote = PreVoteReply {
        is_granted: false,
        highest: Some(last.clone()),
        reason: String::new(),
    };

    election.voted(
        &"c".parse().unwrap(),
        &ballot(7, "a/x"),
        Some(&vote),
        &leaderless,
        0,
        0,
    );

    election.stepped_down(Some(&last), 0, 0);
    assert!(!grants(&mut election, last, &leaderless, 0));

    assert_eq!(election.next_ballot().map(|ballot| ballot.number), Some(7));
}

#[test]
fn a_ballot_number_is_never_wrapped() {
    let mut election = election("a/x");
    let leaderless = view(None, &[]);
    for region in REGIONS {
        let last = AcceptorReply::Refused {
            promised: ballot(u64::MAX, "c/x"),
        };
        election.acceptor_replied(&region.parse().unwrap(), &last);
    }

    assert_eq!(asked(&mut election, &leaderless), None);
}
