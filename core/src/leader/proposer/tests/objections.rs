//! Values that agents of acceptors object to.

use super::*;
use regionmesh_protocol::plan::{CommittedPlan, Override, OverrideKind};

/// Like [`converge`], but agents object to values with the reason `bad`, except those of `for_it`.
pub(super) fn converge_judged(
    proposer: &mut Proposer,
    acceptors: &mut BTreeMap<RegionName, AcceptorState>,
    effects: Vec<Effect>,
    for_it: &str,
    now_ms: u64,
) -> Vec<Effect> {
    let for_it: BTreeSet<&str> = for_it.split(' ').collect();
    converge_unless(proposer, acceptors, effects, now_ms, |to, request| {
        let AcceptorRequest::Accept(stamp, plan) = request else {
            return None;
        };
        let objects = plan.reason == "bad" && !for_it.contains(to.as_str());
        objects.then(|| AcceptorReply::Unjustified {
            stamp: stamp.clone(),
            why: "why".into(),
            is_final: false,
        })
    })
}

fn committed_reasons(outcomes: &[Effect]) -> Vec<&str> {
    let reasons = outcomes.iter().filter_map(|effect| match effect {
        Effect::Committed(committed) => Some(committed.plan.reason.as_str()),
        _ => None,
    });
    reasons.collect()
}

#[test]
fn a_value_that_a_majority_objects_to_is_given_up_for_one_with_the_next_number() {
    let mut all = acceptors("a b c");
    let (mut leader, _) = lead(&mut all, 1, "a b c");
    let effects = leader.commit(value("a b c", "first"), 0).unwrap();
    converge(&mut leader, &mut all, effects, 0);

    let effects = leader.commit(value("a b c", "bad"), 0).unwrap();
    let outcomes = converge_judged(&mut leader, &mut all, effects, "a", 0);
    let objections = outcomes
        .iter()
        .filter(|effect| matches!(effect, Effect::Unjustified { .. }));
    assert_eq!(objections.count(), 2, "{outcomes:?}");
    assert!(!leader.is_ready());

    // It asks again: agents that have heard of the reason meanwhile may accept it.
    let effects = leader.tick(300);
    let outcomes = converge_judged(&mut leader, &mut all, effects, "a", 300);
    assert_eq!(outcomes, []);

    let effects = leader.tick(900);
    assert!(
        matches!(&effects[0], Effect::Dropped(stamp) if stamp.seq == 2),
        "{effects:?}"
    );
    let outcomes = converge_judged(&mut leader, &mut all, effects, "a", 900);
    assert_eq!(committed_reasons(&outcomes), ["first"]);
    let effects = leader.commit(value("a b c", "good"), 900).unwrap();
    let outcomes = converge_judged(&mut leader, &mut all, effects, "a", 900);
    assert_eq!(committed_reasons(&outcomes), ["good"]);
    assert_eq!(leader.decided().unwrap().0.seq, 4);
}

#[test]
fn a_value_that_agents_accept_after_all_is_committed() {
    let mut all = acceptors("a b c");
    let (mut leader, _) = lead(&mut all, 1, "a b c");
    let effects = leader.commit(value("a b c", "bad"), 1_000).unwrap();
    converge_judged(&mut leader, &mut all, effects, "a", 1_000);

    let effects = leader.tick(1_300);
    let outcomes = converge_judged(&mut leader, &mut all, effects, "a b", 1_300);
    assert_eq!(committed_reasons(&outcomes), ["bad"]);
}

/// Acceptors that accepted a value, of which `liar` claims to have accepted another one later.
fn with_a_lie(liar: &str, forged: Plan) -> BTreeMap<RegionName, AcceptorState> {
    let mut all = acceptors("a b c");
    let (mut first, _) = lead(&mut all, 1, "a b c");
    let effects = first.commit(value("a b c", "first"), 0).unwrap();
    converge(&mut first, &mut all, effects, 0);

    let state = all.get_mut(&liar.parse::<RegionName>().unwrap()).unwrap();
    let stamp = Stamp {
        ballot: ballot(2),
        seq: 2,
    };
    state.accepted = Some((stamp, forged));
    all
}

#[test]
fn a_forged_value_in_a_promise_is_passed_over() {
    for liar in ["a", "b", "c"] {
        for of in ["a b c", "a b", "a"] {
            let mut all = with_a_lie(liar, value(of, "bad"));
            let mut next = Proposer::new(ProposerSettings::default());
            let known = Acceptors::Known(members("a b c"));
            let effects = next.prepare(ballot(3), known, 0).unwrap();
            let outcomes = converge_judged(&mut next, &mut all, effects, liar, 0);

            assert_eq!(
                committed_reasons(&outcomes),
                ["first"],
                "{liar} {of}: {outcomes:?}"
            );
            assert_eq!(next.members(), Some(&members("a b c")));
        }
    }
}

#[test]
fn a_value_with_an_order_that_may_be_committed_is_not_passed_over() {
    // Without c it can't be told whether b and c accepted the value.
    let mut ordered = value("a b c", "bad");
    ordered.overrides.push(Override {
        region: None,
        kind: OverrideKind::Hold,
        by: "ann".into(),
        why: "why".into(),
        is_immediate: false,
        set_ms: 1,
        expires_ms: 2,
    });
    let mut all = with_a_lie("b", ordered);
    all.remove(&"c".parse().unwrap());
    let mut next = Proposer::new(ProposerSettings::default());
    let known = Acceptors::Known(members("a b c"));
    let effects = next.prepare(ballot(3), known, 0).unwrap();
    let outcomes = converge_judged(&mut next, &mut all, effects, "b", 0);
    assert_eq!(committed_reasons(&outcomes), Vec::<&str>::new());

    for now_ms in (100..3_000).step_by(100) {
        let effects = next.tick(now_ms);
        let outcomes = converge_judged(&mut next, &mut all, effects, "b", now_ms);
        assert_eq!(outcomes, [], "{now_ms}");
    }
    let effects = next.tick(3_000);
    assert!(
        matches!(&effects[..], [Effect::SteppedDown(..)]),
        "{effects:?}"
    );
}

#[test]
fn a_value_of_automation_is_passed_over_even_if_an_acceptor_is_away() {
    let mut all = with_a_lie("b", value("a b c", "bad"));
    all.remove(&"c".parse().unwrap());
    let mut next = Proposer::new(ProposerSettings::default());
    let known = Acceptors::Known(members("a b c"));
    let effects = next.prepare(ballot(3), known, 0).unwrap();
    converge_judged(&mut next, &mut all, effects, "b", 0);

    let effects = next.tick(900);
    let outcomes = converge_judged(&mut next, &mut all, effects, "b", 900);
    assert_eq!(committed_reasons(&outcomes), ["first"], "{outcomes:?}");
}

#[test]
fn after_a_value_is_given_up_the_last_decided_one_is_committed_again_until_the_leader_gives_up() {
    let mut all = acceptors("a b c");
    let (mut leader, _) = lead(&mut all, 1, "a b c");
    let effects = leader.commit(value("a b c", "first"), 1_000).unwrap();
    converge(&mut leader, &mut all, effects, 1_000);

    for start_ms in [2_000, 3_000] {
        let effects = leader.commit(value("a b c", "bad"), start_ms).unwrap();
        converge_judged(&mut leader, &mut all, effects, "a", start_ms);
        let end_ms = start_ms + 800;
        let effects = leader.tick(end_ms);
        assert!(matches!(effects[0], Effect::Dropped(_)), "{effects:?}");

        let outcomes = converge_judged(&mut leader, &mut all, effects, "a", end_ms);
        assert_eq!(committed_reasons(&outcomes), ["first"]);
        let held = all.values().filter_map(|state| state.accepted.as_ref());
        assert!(held.into_iter().all(|(_, value)| value.reason == "first"));
    }

    // Perhaps the acceptors hold what it does not know: a new ballot finds that.
    let effects = leader.commit(value("a b c", "bad"), 4_000).unwrap();
    converge_judged(&mut leader, &mut all, effects, "a", 4_000);
    let effects = leader.tick(4_800);
    assert!(
        matches!(&effects[..], [Effect::SteppedDown(_, StepDown::Objections)]),
        "{effects:?}"
    );
}

#[test]
fn a_plan_that_is_known_to_be_committed_is_not_lost_to_a_lie() {
    let mut all = with_a_lie("b", value("a b c", "bad"));
    let known = CommittedPlan {
        stamp: Stamp {
            ballot: ballot(1),
            seq: 7,
        },
        plan: value("a b c", "known"),
        certificate: Default::default(),
    };
    let mut next = Proposer::new(ProposerSettings::default());
    next.learn(&known);
    let acceptors_asked = Acceptors::Known(members("a b c"));
    let effects = next.prepare(ballot(3), acceptors_asked, 0).unwrap();
    let outcomes = converge_judged(&mut next, &mut all, effects, "b", 0);

    assert_eq!(committed_reasons(&outcomes), ["known"], "{outcomes:?}");
}
