//! The signatures that a proposer collects.

use super::*;
use regionmesh_protocol::register::{
    ballot::WITNESS,
    certificate::{Acceptance, AgentSignature, Certificate},
};

/// The answer of an acceptor that accepted, signed by an agent of `by`; the proposer does not check
/// signatures.
fn accepted(by: &str, run: Incarnation, stamp: &Stamp, is_signed: bool) -> AcceptorAnswer {
    let signed = AgentSignature {
        agent: format!("{by}/n").parse().unwrap(),
        chain: Vec::new(),
        signature: Vec::new(),
    };

    AcceptorAnswer {
        incarnation: run,
        reply: AcceptorReply::Accepted(stamp.clone()),
        acceptance: is_signed.then_some(Acceptance {
            incarnation: run,
            signed,
        }),
    }
}

/// A leader of `list` that has just proposed a value with members `next`, and its stamp.
fn proposing(list: &str, next: &str) -> (Proposer, Stamp) {
    let mut all = acceptors(list);
    let (mut proposer, _) = lead(&mut all, 1, list);
    let effects = proposer.commit(value(list, "first"), 1).unwrap();
    converge(&mut proposer, &mut all, effects, 1);

    let effects = proposer.commit(value(next, "next"), 2).unwrap();
    let stamp = effects
        .iter()
        .find_map(|effect| match effect {
            Effect::Send {
                request: AcceptorRequest::Accept(stamp, _),
                ..
            } => Some(stamp.clone()),
            _ => None,
        })
        .unwrap();

    (proposer, stamp)
}

fn answer(proposer: &mut Proposer, by: &str, stamp: &Stamp) -> Vec<Effect> {
    let from: RegionName = by.parse().unwrap();
    let is_signed = by != WITNESS;
    proposer.answered(&from, accepted(by, incarnation(&from), stamp, is_signed), 3)
}

fn signers(certificate: &Certificate) -> Vec<String> {
    certificate
        .agents()
        .map(|agent| agent.region.to_string())
        .collect()
}

#[test]
fn a_committed_plan_carries_the_signatures_of_a_majority() {
    let (mut proposer, stamp) = proposing("a b c", "a b c");
    assert_eq!(answer(&mut proposer, "c", &stamp), []);

    let effects = answer(&mut proposer, "a", &stamp);
    let [Effect::Committed(plan)] = &effects[..] else {
        panic!("{effects:?}");
    };

    assert_eq!(signers(&plan.certificate), ["a", "c"]);
    assert_eq!(answer(&mut proposer, "b", &stamp), [], "it is complete");
}

#[test]
fn a_signature_of_another_region_or_incarnation_is_left_out() {
    let (mut proposer, stamp) = proposing("a b c", "a b c");
    let a: RegionName = "a".parse().unwrap();
    let b: RegionName = "b".parse().unwrap();
    let foreign = accepted("c", incarnation(&a), &stamp, true);
    let mut outdated = accepted("b", incarnation(&b), &stamp, true);
    outdated.acceptance.as_mut().unwrap().incarnation = Incarnation(1);

    assert_eq!(proposer.answered(&a, foreign, 3), []);
    let effects = proposer.answered(&b, outdated, 3);
    let [Effect::Committed(plan)] = &effects[..] else {
        panic!("{effects:?}");
    };

    assert!(plan.certificate.is_empty());
}

#[test]
fn a_plan_with_the_vote_of_the_witness_gets_its_last_signature_later() {
    let all = format!("a b {WITNESS}");
    let (mut proposer, stamp) = proposing(&all, &all);
    assert_eq!(answer(&mut proposer, "a", &stamp), []);

    let effects = answer(&mut proposer, WITNESS, &stamp);
    let [Effect::Committed(plan)] = &effects[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(signers(&plan.certificate), ["a"]);

    let effects = answer(&mut proposer, "b", &stamp);
    let [Effect::Certified(certified)] = &effects[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(signers(&certified.certificate), ["a", "b"]);
    assert_eq!(
        (&certified.stamp, &certified.plan),
        (&plan.stamp, &plan.plan)
    );

    assert_eq!(answer(&mut proposer, "b", &stamp), [], "once");
}

#[test]
fn a_change_of_members_needs_majorities_of_the_old_and_of_the_new_ones() {
    // Two of the smaller members are not a majority of the larger ones.
    for (old, new) in [("a b c", "a b c d"), ("a b c d", "a b c")] {
        let (mut proposer, stamp) = proposing(old, new);
        assert_eq!(answer(&mut proposer, "a", &stamp), []);
        assert_eq!(answer(&mut proposer, "b", &stamp), []);

        let effects = answer(&mut proposer, "d", &stamp);
        assert!(
            matches!(&effects[..], [Effect::Committed(_)]),
            "{effects:?}"
        );
    }
}

#[test]
fn a_joining_member_is_asked_to_accept_the_plan_that_names_it() {
    let (mut proposer, _) = proposing("a b c", "a b c d");
    let d: RegionName = "d".parse().unwrap();
    let repeated = proposer.tick(10_000 - 6_000);

    assert!(
        repeated
            .iter()
            .any(|effect| matches!(effect, Effect::Send { to, .. } if *to == d)),
        "{repeated:?}"
    );
}
