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
    }
}

fn grants(election: &mut Election, ballot: Ballot, view: &ElectionView, now_ms: u64) -> bool {
    let request = PreVoteRequest { ballot };
    election.vote(&request, view, now_ms).is_granted
}

fn asked(election: &mut Election, view: &ElectionView) -> Option<(u64, Ballot)> {
    (0..=400)
        .step_by(10)
        .find_map(|now_ms| match election.tick(view, now_ms, 77) {
            Some(ElectionEffect::AskVotes(ballot, regions)) => {
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
            election.acceptor_says(
                &region.parse().unwrap(),
                &AcceptorReply::Refused {
                    promised: ballot(number, "c/x"),
                },
            );
        }

        let mut first = None;
        for now_ms in (0..=400).step_by(10) {
            if let Some(ElectionEffect::AskVotes(ballot, _)) = election.tick(&view, now_ms, random)
            {
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
    fn of_two_that_ask_each_other_before_they_hear_of_it_exactly_one_stands(
        (apart_ms, way_ms) in (1u64..300).prop_flat_map(|way_ms| (0..way_ms, Just(way_ms))),
        names in prop::sample::select(vec![("a/x", "b/x"), ("b/x", "a/x")]),
    ) {
        // The third region is dead. The second asks while the first's question is on its way.
        let mut first = election(names.0);
        let mut second = election(names.1);
        let view = view(None, &[]);

        first.tick(&view, 0, 0);
        second.tick(&view, apart_ms, 0);

        let (Some(ElectionEffect::AskVotes(one, _)), Some(ElectionEffect::AskVotes(two, _))) = (
            first.tick(&view, 50, 0),
            second.tick(&view, 50 + apart_ms, 0),
        ) else {
            panic!("neither asks")
        };

        let from_second = second.vote(
            &PreVoteRequest {
                ballot: one.clone(),
            },
            &view,
            50 + way_ms,
        );

        let from_first = first.vote(
            &PreVoteRequest {
                ballot: two.clone(),
            },
            &view,
            50 + apart_ms + way_ms,
        );
        let back_ms = 50 + apart_ms + 2 * way_ms;
        let first_stands = first.voted(
            &second.me.region.clone(),
            &one,
            Some(&from_second),
            &view,
            back_ms,
            0,
        );

        let second_stands = second.voted(
            &first.me.region.clone(),
            &two,
            Some(&from_first),
            &view,
            back_ms,
            0,
        );

        prop_assert_eq!(first_stands.is_some(), one > two);
        prop_assert_eq!(second_stands.is_some(), two > one);
    }
}

proptest! {
    /// Whether it is a region's only member or has the votes of others: each attempt takes a ballot
    /// of its own, higher than all before, whatever became of them. Its number stays within what
    /// others accept.
    #[test]
    fn every_attempt_stands_with_a_higher_ballot_one_above_the_highest_seen(
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
        let mut stood: Vec<Ballot> = Vec::new();

        for (is_seen, pause_ms, random) in outcomes {
            let next = (0..1_000).find_map(|_| {
                now_ms += 10;
                match election.tick(&view, now_ms, random)? {
                    ElectionEffect::AskVotes(ballot, _) => election.voted(
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

            let Some(ElectionEffect::Stand(ballot)) = next else {
                panic!("it never stands again after {stood:?}")
            };
            let highest = election.highest().map_or(0, |highest| highest.number);

            prop_assert_eq!(ballot.number, highest + 1);
            prop_assert!(
                stood.last().is_none_or(|last| *last < ballot),
                "{:?} after {:?}",
                ballot,
                stood
            );

            if is_seen {
                election.observe(&ballot);
            }
            stood.push(ballot);
            now_ms += pause_ms;
            election.stepped_down(None, now_ms, random);
        }
    }
}

#[test]
fn an_agent_whose_clock_is_off_does_not_stand_and_still_votes() {
    let off = ElectionView {
        is_clock_off: true,
        ..view(None, &[])
    };

    assert_eq!(asked(&mut election("a/x"), &off), None);
    assert!(grants(&mut election("a/x"), ballot(4, "b/x"), &off, 0));
}

#[test]
fn a_vote_given_to_another_is_not_given_again_however_high_the_ballot() {
    let mut voter = election("a/x");
    let nobody_leads = view(None, &[]);
    assert!(grants(&mut voter, ballot(4, "b/x"), &nobody_leads, 0));

    assert!(!grants(&mut voter, ballot(9, "c/x"), &nobody_leads, 399));

    assert!(grants(&mut voter, ballot(9, "c/x"), &nobody_leads, 400));
}

#[test]
fn nobody_stands_against_a_living_leader_and_nobody_votes_against_it() {
    let led = view(Some((ballot(3, "c/x"), true)), &[]);
    assert_eq!(asked(&mut election("a/x"), &led), None);
    assert!(!grants(&mut election("a/x"), ballot(4, "b/x"), &led, 0));

    let gone = view(Some((ballot(3, "c/x"), false)), &[]);
    assert!(asked(&mut election("a/x"), &gone).is_some());
    assert!(grants(&mut election("a/x"), ballot(4, "b/x"), &gone, 0));
}

#[test]
fn a_leader_in_a_failed_region_makes_room_unless_the_candidate_is_no_better() {
    let leader = Some((ballot(3, "c/x"), true));
    assert!(asked(&mut election("a/x"), &view(leader.clone(), &["c"])).is_some());
    assert_eq!(
        asked(&mut election("a/x"), &view(leader, &["a", "b", "c"])),
        None
    );
}

#[test]
fn a_leader_that_lost_its_majority_may_stand_again() {
    let seen = view(Some((ballot(3, "c/x"), true)), &[]);
    assert!(grants(&mut election("a/x"), ballot(4, "c/x"), &seen, 0));
}

#[test]
fn a_majority_of_votes_and_no_less_makes_a_candidate_stand() {
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

    let stands = election.voted(&from("c"), &ballot, Some(&vote(true)), &view, now_ms, 0);
    assert_eq!(stands, Some(ElectionEffect::Stand(ballot)));
}

#[test]
fn a_candidate_waits_for_a_failed_region_only_as_long_as_others_could_elect_it() {
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
fn a_region_that_is_no_member_neither_stands_nor_is_voted_for() {
    let nobody_leads = view(None, &[]);
    assert_eq!(asked(&mut election("d/x"), &nobody_leads), None);

    let vote = election("a/x").vote(
        &PreVoteRequest {
            ballot: ballot(4, "d/x"),
        },
        &nobody_leads,
        0,
    );

    assert!(
        !vote.is_granted && vote.reason.contains("d is not a member"),
        "{vote:?}"
    );
}

#[test]
fn a_ballot_at_the_end_of_all_numbers_ends_no_election_whoever_tells_of_it() {
    let mut election = election("a/x");
    let nobody_leads = view(None, &[]);
    let last = ballot(u64::MAX, "c/x");

    election.tick(&nobody_leads, 0, 0);
    assert!(!election.observe(&last));
    for region in ["a", "c"] {
        election.heard(&ballot(6, "b/x"), 0);
        election.acceptor_says(
            &region.parse().unwrap(),
            &AcceptorReply::Refused {
                promised: ballot(6, "b/x"),
            },
        );
    }

    assert!(!election.acceptor_says(
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
        &nobody_leads,
        0,
        0,
    );

    election.stepped_down(Some(&last), 0, 0);
    assert!(!grants(&mut election, last, &nobody_leads, 0));

    assert_eq!(election.next_ballot().map(|ballot| ballot.number), Some(7));
}

#[test]
fn a_ballot_number_is_never_wrapped() {
    let mut election = election("a/x");
    let nobody_leads = view(None, &[]);
    for region in REGIONS {
        let last = AcceptorReply::Refused {
            promised: ballot(u64::MAX, "c/x"),
        };
        election.acceptor_says(&region.parse().unwrap(), &last);
    }

    assert_eq!(asked(&mut election, &nobody_leads), None);
}
