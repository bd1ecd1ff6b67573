use super::*;
use crate::testing::{Key, Toy};
use proptest::{collection::vec, prelude::*, sample::subsequence};
use regionmesh_protocol::{
    codec,
    register::{ballot::Ballot, certificate::Certificate},
};

const INCARNATION: u64 = 100;

struct Expired;

impl Verifier for Expired {
    fn check_chain(&self, _: &AgentId, _: &[Vec<u8>]) -> Result<(), String> {
        Err("expired".into())
    }
    fn check_signature(&self, _: &[Vec<u8>], _: &[u8], _: &[u8]) -> Result<(), String> {
        Ok(())
    }
}

fn mesh() -> MeshName {
    "m".parse().unwrap()
}

fn name(index: usize) -> RegionName {
    format!("r{index}").parse().unwrap()
}

fn agent(region: &RegionName) -> AgentId {
    format!("{region}/a").parse().unwrap()
}

fn incarnation(index: usize) -> Incarnation {
    Incarnation(INCARNATION + index as u64)
}

fn members(indices: impl IntoIterator<Item = usize>) -> Members {
    Members {
        register: 7,
        acceptors: indices
            .into_iter()
            .map(|index| (name(index), Some(incarnation(index))))
            .collect(),
    }
}

fn unsigned(number: u64, seq: u64, members: Members) -> CommittedPlan {
    let ballot = Ballot {
        number,
        agent: "r0/a".parse().unwrap(),
        boot: 1,
    };

    CommittedPlan {
        stamp: Stamp { ballot, seq },
        plan: Plan {
            members,
            ..Plan::default()
        },
        certificate: Certificate::default(),
    }
}

/// What the agent of a region answers its leader when its acceptor accepts `plan`.
fn acceptance(plan: &CommittedPlan, region: &RegionName, incarnation: Incarnation) -> Acceptance {
    let answer = AcceptorAnswer {
        incarnation,
        reply: AcceptorReply::Accepted(plan.stamp.clone()),
        acceptance: None,
    };
    let id = agent(region);
    let request = AcceptorRequest::Accept(plan.stamp.clone(), plan.plan.clone());
    let signed = sign_answer(&mesh(), &id, &Key(id.clone(), 0), &request, answer).unwrap();

    signed.acceptance.unwrap()
}

fn signed_by(plan: CommittedPlan, regions: impl IntoIterator<Item = usize>) -> CommittedPlan {
    let certificate = regions
        .into_iter()
        .map(|index| acceptance(&plan, &name(index), incarnation(index)))
        .collect();
    CommittedPlan {
        certificate,
        ..plan
    }
}

/// Whether a plan is proven to an agent that is configured with three regions.
fn is_proven(plan: &CommittedPlan, mesh: &MeshName, verifier: &impl Verifier) -> bool {
    let configured = (0..3).map(name).collect();
    let own = name(0);
    let voters = Voters {
        known: None,
        configured: &configured,
        own: &own,
    };
    is_certified(plan, &voters, mesh, verifier)
}

fn is_valid(plan: &CommittedPlan, known: Option<&Members>, configured: usize) -> bool {
    let configured = (0..configured).map(name).collect();
    let own = name(0);
    let voters = Voters {
        known,
        configured: &configured,
        own: &own,
    };
    is_certified(plan, &voters, &mesh(), &Toy)
}

/// Something that holders of some regions' keys can put into a certificate.
fn forgery(
    plan: &CommittedPlan,
    honest: &CommittedPlan,
    key: usize,
    region: usize,
    run: usize,
    kind: u8,
) -> Acceptance {
    let own = acceptance(plan, &name(key), incarnation(run));
    let claimed = agent(&name(region));
    match kind {
        // Validly signed, with any incarnation.
        0 => own,
        // Another region's name over its own chain and signature.
        1 => Acceptance {
            signed: AgentSignature {
                agent: claimed,
                ..own.signed
            },
            ..own
        },
        // Another region's chain over its own signature.
        2 => Acceptance {
            signed: AgentSignature {
                agent: claimed.clone(),
                chain: Key(claimed, 0).chain(),
                ..own.signed
            },
            ..own
        },
        // A genuine signature, for another plan.
        _ => acceptance(honest, &name(region), incarnation(region)),
    }
}

proptest! {
    #[test]
    fn the_keys_of_a_minority_prove_nothing_whatever_members_a_plan_claims(
        total in 1..8usize,
        keys in subsequence((0..8usize).collect::<Vec<_>>(), 0..8),
        claimed in subsequence((0..10usize).collect::<Vec<_>>(), 0..10),
        runs in vec(0..10usize, 10),
        forged in vec((0..8usize, 0..10usize, 0..10usize, 0..4u8), 0..12),
        knows: bool,
    ) {
        // At most half of the members, and as many regions outside of them as the thief likes.
        let mut inside = 0;
        let keys: Vec<usize> = keys
            .into_iter()
            .filter(|key| {
                inside += usize::from(*key < total);
                *key >= total || inside <= total / 2
            })
            .collect();
        let mut claims = members(claimed);
        for (counted, run) in claims.acceptors.values_mut().zip(runs) {
            *counted = Some(incarnation(run));
        }

        let honest = unsigned(1, 1, members(0..total));
        let plan = unsigned(9, 9, claims);
        let forged: Vec<_> = forged
            .into_iter()
            .filter_map(|(key, region, run, kind)| {
                let key = *keys.get(key.checked_rem(keys.len())?)?;
                Some(forgery(&plan, &honest, key, region, run, kind))
            })
            .collect();
        let own = |key: &usize| acceptance(&plan, &name(*key), incarnation(*key));
        let every_key: Vec<_> = keys.iter().map(own).collect();
        let certificates = [
            forged.iter().cloned().collect::<Certificate>(),
            every_key.iter().cloned().collect(),
            forged.into_iter().chain(every_key).collect(),
        ];

        let known = members(0..total);
        for certificate in certificates {
            let plan = CommittedPlan { certificate, ..plan.clone() };
            prop_assert!(!is_valid(&plan, knows.then_some(&known), total));
        }
    }

    #[test]
    fn any_honest_majority_proves_a_plan_in_any_order(
        total in 1..8usize,
        order in Just((0..8usize).collect::<Vec<_>>()).prop_shuffle(),
        repeated in vec(0..8usize, 0..4),
        more in 0..8usize,
        knows: bool,
    ) {
        let order: Vec<usize> = order.into_iter().filter(|index| *index < total).collect();
        let count = (total / 2 + 1 + more).min(total);
        let signers = order[..count].to_vec();
        let repeated = repeated.iter().map(|index| signers[index % count]);
        let plan = unsigned(3, 5, members(0..total));
        let known = members(0..total);

        let once = signed_by(plan.clone(), signers.iter().rev().copied());
        let repeated = signed_by(plan.clone(), signers.iter().copied().chain(repeated));
        prop_assert_eq!(&once, &repeated);
        prop_assert!(is_valid(&once, knows.then_some(&known), total));

        let too_few = signed_by(plan, signers.into_iter().take(total / 2));
        prop_assert!(!is_valid(&too_few, knows.then_some(&known), total));
    }

    #[test]
    fn a_plan_with_any_flipped_bit_is_not_proven(total in 1..6usize, at: prop::sample::Index) {
        let plan = signed_by(unsigned(3, 5, members(0..total)), 0..=total / 2);
        let known = members(0..total);
        prop_assert!(is_valid(&plan, Some(&known), total));

        let mut bytes = codec::encode(&plan).unwrap();
        let bit = at.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);

        if let Ok(flipped) = codec::decode::<CommittedPlan>(&bytes) {
            prop_assert_ne!(&flipped, &plan);
            prop_assert!(!is_valid(&flipped, Some(&known), total));
            prop_assert!(!is_valid(&flipped, None, total));
        }
    }
}

#[test]
fn an_expired_signer_proves_nothing() {
    let plan = signed_by(unsigned(1, 1, members(0..3)), 0..3);
    assert!(is_proven(&plan, &mesh(), &Toy));
    assert!(!is_proven(&plan, &mesh(), &Expired));
}

#[test]
fn a_plan_signed_for_another_mesh_is_not_proven() {
    let plan = signed_by(unsigned(1, 1, members(0..3)), 0..2);
    let other = "other".parse().unwrap();
    assert!(!is_proven(&plan, &other, &Toy));
}

#[test]
fn a_plan_of_a_register_that_was_reset_is_not_proven_to_a_member_of_the_new_one() {
    let old = signed_by(unsigned(9, 90, members(0..3)), 0..3);
    let mut known = members(0..3);
    known
        .acceptors
        .values_mut()
        .for_each(|counted| *counted = counted.map(|Incarnation(run)| Incarnation(run + 50)));

    assert!(!is_valid(&old, Some(&known), 3));
}

#[test]
fn a_change_of_members_is_proven_to_those_who_know_the_old_ones_and_the_new_ones() {
    let old = members(0..3);
    let new = members(0..4);
    let added = unsigned(1, 2, new.clone());

    // A majority of both lists: three of the four.
    let proven = signed_by(added.clone(), [0, 1, 3]);
    assert!(is_valid(&proven, Some(&old), 3) && is_valid(&proven, Some(&new), 4));

    // A majority of the old list alone.
    let short = signed_by(added, [0, 1]);
    assert!(!is_valid(&short, Some(&old), 3) && !is_valid(&short, Some(&new), 4));

    // A new member can't outvote the old ones.
    let renamed = signed_by(unsigned(1, 2, members([0, 7, 8])), [7, 8]);
    assert!(!is_valid(&renamed, Some(&old), 3) && !is_valid(&renamed, None, 3));
}

#[test]
fn a_forged_plan_cannot_lower_the_number_of_signatures_by_leaving_out_the_readers_region() {
    // Region 0 has no plan yet; its configuration has regions 0 and 1.
    let forged = signed_by(unsigned(9, 9, members([1])), [1]);
    assert!(!is_valid(&forged, None, 2));
}

#[test]
fn the_witness_cannot_sign() {
    let mut members = members(0..2);
    let witness: RegionName = WITNESS.parse().unwrap();
    members
        .acceptors
        .insert(witness.clone(), Some(Incarnation(1)));
    let plan = unsigned(1, 1, members.clone());

    let certificate = [
        acceptance(&plan, &name(0), incarnation(0)),
        acceptance(&plan, &witness, Incarnation(1)),
    ];
    let short = CommittedPlan {
        certificate: certificate.into_iter().collect(),
        ..plan.clone()
    };

    assert!(!is_valid(&short, Some(&members), 2));
    assert!(is_valid(&signed_by(plan, 0..2), Some(&members), 2));
}

#[test]
fn with_a_witness_a_majority_of_the_regions_proves_a_plan() {
    let mut with_witness = members(0..3);
    let witness: RegionName = WITNESS.parse().unwrap();
    let vote = Some(Incarnation(9));
    with_witness.acceptors.insert(witness, vote);
    let plan = unsigned(1, 1, with_witness.clone());

    let one = signed_by(plan.clone(), 0..1);
    assert!(!is_valid(&one, Some(&with_witness), 3));
    let two = signed_by(plan, 0..2);
    assert!(is_valid(&two, Some(&with_witness), 3));
    assert!(is_valid(&two, None, 3));
}

#[test]
fn only_an_acceptance_of_what_was_asked_is_signed_and_only_a_signed_one_counts() {
    let plan = unsigned(1, 1, members(0..3));
    let region = name(1);
    let id = agent(&region);
    let request = AcceptorRequest::Accept(plan.stamp.clone(), plan.plan.clone());
    let answer = |reply| AcceptorAnswer {
        incarnation: incarnation(1),
        reply,
        acceptance: None,
    };
    let sign = |request: &AcceptorRequest, reply| {
        sign_answer(&mesh(), &id, &Key(id.clone(), 0), request, answer(reply)).unwrap()
    };
    let check = |from: &RegionName, answer| check_answer(&mesh(), from, &Toy, &request, answer);

    let accepted = AcceptorReply::Accepted(plan.stamp.clone());
    let signed = sign(&request, accepted.clone());
    assert_eq!(check(&region, signed.clone()), Ok(signed.clone()));

    // Not asked for, of another stamp, or refused.
    assert_eq!(
        sign(&AcceptorRequest::Read, accepted.clone()).acceptance,
        None
    );
    let later = unsigned(1, 2, members(0..3)).stamp;
    assert_eq!(
        sign(&request, AcceptorReply::Accepted(later.clone())).acceptance,
        None
    );
    let refused = AcceptorReply::Refused {
        promised: plan.stamp.ballot.clone(),
    };
    assert_eq!(sign(&request, refused.clone()).acceptance, None);

    // Unsigned, of another region, of another incarnation, of another plan.
    assert!(check(&region, answer(accepted)).is_err());
    assert!(check(&name(2), signed.clone()).is_err());
    let other_run = AcceptorAnswer {
        incarnation: incarnation(2),
        ..signed.clone()
    };
    assert!(check(&region, other_run).is_err());
    let other_stamp = AcceptorAnswer {
        reply: AcceptorReply::Accepted(later),
        ..signed.clone()
    };
    assert!(check(&region, other_stamp).is_err());

    // A signature has no place in other answers.
    let strange = AcceptorAnswer {
        reply: refused.clone(),
        ..signed
    };
    assert_eq!(check(&region, strange), Ok(answer(refused)));
}

#[test]
fn an_agent_believes_only_its_own_confirmation_of_a_plan() {
    let plan = unsigned(1, 1, members(0..3));
    let id = agent(&name(1));
    let other = agent(&name(2));
    let signed = confirm(&mesh(), &id, &Key(id.clone(), 0), &plan).unwrap();

    assert!(is_confirmed(&mesh(), &id, &Toy, &plan, &signed));
    assert!(!is_confirmed(&mesh(), &other, &Toy, &plan, &signed));
    assert!(!is_confirmed(&mesh(), &id, &Expired, &plan, &signed));

    let later = unsigned(1, 2, members(0..3));
    assert!(!is_confirmed(&mesh(), &id, &Toy, &later, &signed));
    let theirs = confirm(&mesh(), &other, &Key(other.clone(), 0), &plan).unwrap();
    assert!(!is_confirmed(&mesh(), &id, &Toy, &plan, &theirs));

    // An acceptance says less than a confirmation.
    let accepted = acceptance(&plan, &name(1), incarnation(1)).signed;
    assert!(!is_confirmed(&mesh(), &id, &Toy, &plan, &accepted));
}
