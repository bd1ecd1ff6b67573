//! One proposer and acceptors that answer immediately.

use super::*;
use regionmesh_protocol::{
    plan::CommittedPlan,
    register::{
        acceptor::{AcceptorRequest, AcceptorState},
        members::{MemberChange, MembersError, Mend},
    },
};
use std::collections::BTreeSet;

mod certificates;
mod objections;
mod succession;

fn names(text: &str) -> BTreeSet<RegionName> {
    text.split(' ').map(|name| name.parse().unwrap()).collect()
}

fn ballot(number: u64) -> Ballot {
    Ballot {
        number,
        agent: "a/x".parse().unwrap(),
        boot: 1,
    }
}

/// The incarnation of an acceptor that never lost its state: its name's first letter.
fn incarnation(name: &RegionName) -> Incarnation {
    Incarnation(u64::from(name.as_str().as_bytes()[0]))
}

fn members(text: &str) -> Members {
    let acceptors = names(text)
        .into_iter()
        .map(|name| (name.clone(), Some(incarnation(&name))))
        .collect();

    Members {
        register: 7,
        acceptors,
    }
}

fn value(of: &str, reason: &str) -> Plan {
    Plan {
        reason: reason.into(),
        members: members(of),
        ..Plan::default()
    }
}

fn committed(stamp: Stamp, plan: Plan) -> CommittedPlan {
    CommittedPlan {
        stamp,
        plan,
        certificate: Default::default(),
    }
}

/// Acceptors that answer immediately, except absent ones; returns all effects that are not sent.
fn converge(
    proposer: &mut Proposer,
    acceptors: &mut BTreeMap<RegionName, AcceptorState>,
    effects: Vec<Effect>,
    now_ms: u64,
) -> Vec<Effect> {
    converge_unless(proposer, acceptors, effects, now_ms, |_, _| None)
}

/// The same, but `objection` may answer in place of an acceptor.
fn converge_unless(
    proposer: &mut Proposer,
    acceptors: &mut BTreeMap<RegionName, AcceptorState>,
    mut effects: Vec<Effect>,
    now_ms: u64,
    objection: impl Fn(&RegionName, &AcceptorRequest) -> Option<AcceptorReply>,
) -> Vec<Effect> {
    let mut outcomes = Vec::new();
    while !effects.is_empty() {
        let mut next = Vec::new();
        for effect in effects {
            if matches!(effect, Effect::Found(..)) {
                next.extend(proposer.succeed(None, now_ms));
                continue;
            }
            let Effect::Send { to, request } = effect else {
                outcomes.push(effect);
                continue;
            };
            let Some(state) = acceptors.get_mut(&to) else {
                continue;
            };
            let reply = objection(&to, &request).unwrap_or_else(|| {
                let (reply, changed) = state.apply(&request);
                *state = changed.unwrap_or(state.clone());
                reply
            });
            let answer = AcceptorAnswer {
                incarnation: state.incarnation,
                reply,
                acceptance: None,
            };

            next.extend(proposer.answered(&to, answer, now_ms));
        }

        effects = next;
    }

    outcomes
}

fn acceptors(text: &str) -> BTreeMap<RegionName, AcceptorState> {
    names(text)
        .into_iter()
        .map(|name| (name.clone(), AcceptorState::begin(incarnation(&name))))
        .collect()
}

fn lead(
    acceptors: &mut BTreeMap<RegionName, AcceptorState>,
    number: u64,
    members: &str,
) -> (Proposer, Vec<Effect>) {
    let mut proposer = Proposer::new(ProposerSettings::default());
    let acceptors_asked = Acceptors::First {
        names: names(members),
        register: 7,
    };
    let effects = proposer
        .prepare(ballot(number), acceptors_asked, 0)
        .unwrap();
    let outcomes = converge(&mut proposer, acceptors, effects, 0);

    (proposer, outcomes)
}

#[test]
fn a_new_leader_first_recommits_what_any_acceptor_has() {
    let mut all = acceptors("a b c");
    let old = Stamp {
        ballot: ballot(1),
        seq: 4,
    };

    all.insert(
        "b".parse().unwrap(),
        AcceptorState {
            promised: Some(ballot(1)),
            accepted: Some((old, value("a b c", "kept"))),
            ..AcceptorState::begin(Incarnation(u64::from(b'b')))
        },
    );

    let (proposer, outcomes) = lead(&mut all, 2, "a b");
    let stamp = Stamp {
        ballot: ballot(2),
        seq: 5,
    };

    assert_eq!(
        outcomes,
        [
            Effect::Elected(ballot(2)),
            Effect::Committed(committed(stamp, value("a b c", "kept")))
        ]
    );

    assert!(proposer.is_ready());
}

#[test]
fn an_uncertain_accept_is_repeated_unchanged_while_the_latest_request_waits() {
    let mut all = acceptors("a b c");
    let (mut proposer, _) = lead(&mut all, 1, "a b c");
    let first = proposer.commit(value("a b c", "1"), 10).unwrap();

    assert_eq!(first.len(), 3);
    assert_eq!(proposer.commit(value("a b c", "2"), 11).unwrap(), []);
    assert_eq!(proposer.commit(value("a b c", "3"), 12).unwrap(), []);
    assert_eq!(proposer.tick(100), []);

    let repeated = proposer.tick(600);
    assert_eq!(repeated, first);

    let outcomes = converge(&mut proposer, &mut all, repeated, 600);
    let committed: Vec<_> = outcomes
        .iter()
        .map(|effect| match effect {
            Effect::Committed(plan) => (plan.stamp.seq, plan.plan.reason.as_str()),
            other => panic!("{other:?}"),
        })
        .collect();

    assert_eq!(committed, [(1, "1"), (2, "3")]);
}

#[test]
fn a_leader_without_a_majority_steps_down_and_one_with_a_majority_stays() {
    let mut all = acceptors("a b c");
    let (mut proposer, _) = lead(&mut all, 1, "a b c");
    all.remove(&"c".parse().unwrap());
    for now_ms in (0..20_000).step_by(100) {
        let effects = proposer.tick(now_ms);
        assert_eq!(converge(&mut proposer, &mut all, effects, now_ms), []);
    }

    all.remove(&"b".parse().unwrap());
    let lost = (20_000..30_000).step_by(100).find_map(|now_ms| {
        let effects = proposer.tick(now_ms);
        converge(&mut proposer, &mut all, effects, now_ms)
            .pop()
            .map(|effect| (now_ms, effect))
    });
    let (at_ms, effect) = lost.unwrap();

    assert!((23_000..26_000).contains(&at_ms), "{at_ms}");
    assert!(matches!(
        effect,
        Effect::SteppedDown(_, StepDown::NoMajority { members: 3, .. })
    ));
}

#[test]
fn a_refusal_names_the_ballot_that_outranks_and_an_older_one_is_ignored() {
    let mut all = acceptors("a b c");
    let (mut proposer, _) = lead(&mut all, 2, "a b c");
    let from: RegionName = "b".parse().unwrap();
    let refused = |by| AcceptorAnswer {
        incarnation: incarnation(&"b".parse().unwrap()),
        reply: AcceptorReply::Refused {
            promised: ballot(by),
        },
        acceptance: None,
    };

    assert_eq!(proposer.answered(&from, refused(2), 1), []);
    let outcomes = proposer.answered(&from, refused(3), 1);
    assert_eq!(
        outcomes,
        [Effect::SteppedDown(
            ballot(2),
            StepDown::Outranked(ballot(3))
        )]
    );

    let again = proposer.prepare(ballot(2), Acceptors::Known(members("a b c")), 2);
    assert!(matches!(again, Err(ProposerError::BallotNotHigher { .. })));
}

#[test]
fn members_change_one_at_a_time_and_an_old_list_leads_to_the_new_one() {
    let mut all = acceptors("a b c d");
    let (mut proposer, _) = lead(&mut all, 1, "a b c");
    let jump = proposer.commit(value("a d", "jump"), 1);

    assert!(
        matches!(jump, Err(ProposerError::Members(MembersError::Jump { .. }))),
        "{jump:?}"
    );

    for (members, reason) in [("a b c d", "add"), ("b c d", "remove")] {
        let effects = proposer.commit(value(members, reason), 1).unwrap();
        converge(&mut proposer, &mut all, effects, 1);
    }

    // Who still thinks of the old list asks a and b, and is led to c and d.
    all.remove(&"c".parse().unwrap());
    for old in [
        Acceptors::Known(members("a b c")),
        Acceptors::First {
            names: names("a b c"),
            register: 8,
        },
    ] {
        let mut all = all.clone();
        let mut successor = Proposer::new(ProposerSettings::default());
        let effects = successor.prepare(ballot(2), old, 0).unwrap();
        let outcomes = converge(&mut successor, &mut all, effects, 0);

        assert_recommitted(&outcomes, "remove");

        assert_eq!(successor.members(), Some(&members("b c d")));
    }
}

/// Asserts that a new leader was elected and committed the plan of this reason again.
fn assert_recommitted(outcomes: &[Effect], reason: &str) {
    assert!(
        matches!(
            outcomes,
            [Effect::Elected(_), Effect::Committed(value)] if value.plan.reason == reason
        ),
        "{outcomes:?}"
    );
}

/// Commits `change` of the proposer's members, and runs it to completion.
fn change_members(
    proposer: &mut Proposer,
    all: &mut BTreeMap<RegionName, AcceptorState>,
    change: MemberChange,
    now_ms: u64,
) {
    let members = proposer.members().unwrap().after(&change).unwrap();
    let changed = Plan {
        members,
        ..Plan::default()
    };

    let effects = proposer.commit(changed, now_ms).unwrap();
    converge(proposer, all, effects, now_ms);
}

/// A mesh of a, b and c in which c lost its state.
fn with_lost_state_at_c() -> (BTreeMap<RegionName, AcceptorState>, RegionName) {
    let mut all = acceptors("a b c");
    let (mut proposer, _) = lead(&mut all, 1, "a b c");
    let effects = proposer.commit(value("a b c", "kept"), 1).unwrap();

    converge(&mut proposer, &mut all, effects, 1);
    let c: RegionName = "c".parse().unwrap();
    all.insert(c.clone(), AcceptorState::begin(Incarnation(1)));
    (all, c)
}

#[test]
fn an_acceptor_without_state_does_not_count_towards_a_majority() {
    let (mut all, _) = with_lost_state_at_c();
    all.remove(&"b".parse().unwrap()).unwrap();

    // It does not lead, and no first plan replaces the existing one.
    for acceptors in [
        Acceptors::Known(members("a b c")),
        Acceptors::First {
            names: names("a b c"),
            register: 8,
        },
    ] {
        let mut all = all.clone();
        let mut candidate = Proposer::new(ProposerSettings::default());
        let mut effects = candidate.prepare(ballot(2), acceptors, 0).unwrap();

        for now_ms in (0..2_900).step_by(100) {
            assert_eq!(converge(&mut candidate, &mut all, effects, now_ms), []);
            effects = candidate.tick(now_ms);
        }

        assert!(candidate.leading().is_none());
    }
}

#[test]
fn an_acceptor_without_state_has_no_vote_until_it_rejoins() {
    let (mut all, c) = with_lost_state_at_c();
    let (mut proposer, _) = lead(&mut all, 3, "a b c");
    assert_eq!(
        proposer.members().unwrap().mend(&proposer.heard(1)),
        Some(Mend::Suspend(c.clone()))
    );

    let suspend = MemberChange::Suspend(c.clone());
    change_members(&mut proposer, &mut all, suspend, 2);

    let effects = proposer.join(c.clone(), Incarnation(9), 3).unwrap();
    let outcomes = converge(&mut proposer, &mut all, effects, 3);
    assert_eq!(outcomes, [Effect::Joined(c.clone(), Incarnation(9))]);

    let join = MemberChange::Join(c.clone(), Incarnation(9));
    change_members(&mut proposer, &mut all, join, 4);

    // Now c and a are a majority.
    all.remove(&"b".parse().unwrap());
    let (successor, _) = lead(&mut all, 4, "a b c");
    assert!(
        successor.is_ready() && successor.members().unwrap().acceptors[&c] == Some(Incarnation(9))
    );
}

/// What `of` accepted in register 99, under ballot `number`.
fn accepted_elsewhere(of: &RegionName, number: u64, seq: u64) -> AcceptorState {
    let stamp = Stamp {
        ballot: ballot(number),
        seq,
    };
    let plan = Plan {
        members: Members {
            register: 99,
            ..members(of.as_str())
        },
        ..Plan::default()
    };

    AcceptorState {
        accepted: Some((stamp, plan)),
        ..AcceptorState::begin(incarnation(of))
    }
}

#[test]
fn values_from_another_register_are_never_adopted() {
    let mut all = acceptors("a b c");
    let (mut proposer, _) = lead(&mut all, 1, "a b c");
    let effects = proposer.commit(value("a b c", "ours"), 1).unwrap();
    converge(&mut proposer, &mut all, effects, 1);

    let c: RegionName = "c".parse().unwrap();
    all.insert(c.clone(), accepted_elsewhere(&c, 1, 70));
    let mut successor = Proposer::new(ProposerSettings::default());
    let effects = successor
        .prepare(ballot(5), Acceptors::Known(members("a b c")), 0)
        .unwrap();
    let outcomes = converge(&mut successor, &mut all, effects, 0);
    assert_recommitted(&outcomes, "ours");

    // A voter of another register differs from an acceptor that only kept something of it.
    let d: RegionName = "d".parse().unwrap();
    all.insert(d.clone(), accepted_elsewhere(&d, 9, 3));
    let effects = successor.join(d.clone(), Incarnation(9), 1).unwrap();
    let outcomes = converge(&mut successor, &mut all, effects, 1);
    assert_eq!(outcomes, [Effect::NotJoined(d.clone(), NoJoin::Votes(99))]);

    let e: RegionName = "e".parse().unwrap();
    let effects = successor.join(e.clone(), Incarnation(9), 1).unwrap();
    assert_eq!(
        successor.join(d, Incarnation(9), 2),
        Err(ProposerError::Joining(e.clone()))
    );

    converge(&mut successor, &mut all, effects, 1);
    let outcomes: Vec<_> = (1..4_000)
        .step_by(100)
        .flat_map(|now_ms| {
            let effects = successor.tick(now_ms);
            converge(&mut successor, &mut all, effects, now_ms)
        })
        .collect();

    assert_eq!(outcomes, [Effect::NotJoined(e, NoJoin::Silent(3_000))]);
}

#[test]
fn the_first_leader_waits_briefly_for_all_acceptors() {
    let mut all = acceptors("a b");
    let mut proposer = Proposer::new(ProposerSettings::default());
    let effects = proposer
        .prepare(
            ballot(1),
            Acceptors::First {
                names: names("a b c"),
                register: 7,
            },
            0,
        )
        .unwrap();

    assert_eq!(converge(&mut proposer, &mut all, effects, 0), []);
    let asked: Vec<_> = proposer.tick(1_900);
    assert_eq!(
        asked.len(),
        3,
        "acceptors that promised keep being asked: {asked:?}"
    );

    assert_eq!(proposer.tick(2_000), [Effect::Elected(ballot(1))]);
    assert_eq!(
        proposer.members().unwrap().acceptors[&"c".parse().unwrap()],
        None
    );

    let effects = proposer.commit(Plan::default(), 2_000).unwrap();
    let outcomes = converge(&mut proposer, &mut all, effects, 2_000);
    assert!(matches!(&outcomes[..], [Effect::Committed(value)] if value.plan.members.len() == 3));

    // A member without a vote is asked for its state.
    let asked = proposer.tick(2_600);
    assert!(
        asked.contains(&Effect::Send {
            to: "c".parse().unwrap(),
            request: AcceptorRequest::Read
        }),
        "{asked:?}"
    );
}
