//! Which plans are proven to be committed by signatures alone.
//!
//! An agent adopts a plan of another agent, or one from its disk, only with a certificate:
//! signatures of acceptors of distinct regions, each by an agent of that very region, under a
//! certificate that is valid now. They must form two majorities, because a forged plan can name any
//! members: one of the members that the plan names, and one of those that this agent knows, from
//! the last plan that was confirmed or, failing that, from its configuration. A key of one region
//! counts once, so the keys of a minority of the known members prove nothing.
//!
//! Both majorities count incarnations, not names, where they are known: a plan of a register that
//! was reset is signed by acceptors that are gone.
//!
//! A majority of the members that a plan names suffices, although its predecessor's members decide:
//! by the rule of [`Members::check_change`] it shares an acceptor with each majority that can
//! promise a later ballot. A proposer waits for both majorities.
//!
//! The witness signs nothing. A plan that needs its vote is proven by reading the acceptors, see
//! [`crate::leader::confirm`].

mod renewal;

pub use renewal::{Presented, Renewal};

use crate::{
    gossip::{Signer, Verifier},
    leader::confirm::Voters,
};
use regionmesh_protocol::{
    identity::{AgentId, MeshName, RegionName},
    plan::{CommittedPlan, Plan},
    register::{
        acceptor::{AcceptorAnswer, AcceptorReply, AcceptorRequest},
        ballot::{Stamp, WITNESS},
        certificate::{ACCEPTANCES_MAX, Acceptance, AgentSignature},
        members::{Incarnation, Members},
        subject::PlanSubject,
    },
};
use std::collections::BTreeMap;

/// Signs the answer of the acceptor of `agent`'s region if it says that it accepted a plan. The
/// acceptance must be durable. Other answers stay as they are.
pub fn sign_answer(
    mesh: &MeshName,
    agent: &AgentId,
    signer: &dyn Signer,
    request: &AcceptorRequest,
    answer: AcceptorAnswer,
) -> Result<AcceptorAnswer, String> {
    let Some((stamp, plan)) = accepted(request, &answer.reply) else {
        return Ok(answer);
    };
    let incarnation = answer.incarnation;
    let message = PlanSubject::new(mesh, stamp, plan)
        .and_then(|subject| subject.acceptance(agent, incarnation))
        .map_err(|error| error.to_string())?;

    let acceptance = Acceptance {
        incarnation,
        signed: sign(agent, signer, &message)?,
    };

    Ok(AcceptorAnswer {
        acceptance: Some(acceptance),
        ..answer
    })
}

/// Checks the signature in an answer of the acceptor `from`, a region's: without a valid one, its
/// vote would not count for anyone else.
pub fn check_answer(
    mesh: &MeshName,
    from: &RegionName,
    verifier: &dyn Verifier,
    request: &AcceptorRequest,
    answer: AcceptorAnswer,
) -> Result<AcceptorAnswer, String> {
    let AcceptorReply::Accepted(_) = answer.reply else {
        return Ok(AcceptorAnswer {
            acceptance: None,
            ..answer
        });
    };
    let (stamp, plan) =
        accepted(request, &answer.reply).ok_or("it accepted what it was not asked to")?;
    let acceptance = answer.acceptance.as_ref().ok_or("it is not signed")?;

    if acceptance.region() != from || acceptance.incarnation != answer.incarnation {
        return Err(format!(
            "it is signed by {} for incarnation {}",
            acceptance.signed.agent, acceptance.incarnation
        ));
    }

    let subject = PlanSubject::new(mesh, stamp, plan).map_err(|error| error.to_string())?;
    check_acceptance(&subject, acceptance, verifier)?;
    Ok(answer)
}

/// What an acceptor was asked to accept, and did.
fn accepted<'a>(
    request: &'a AcceptorRequest,
    reply: &AcceptorReply,
) -> Option<(&'a Stamp, &'a Plan)> {
    match (request, reply) {
        (AcceptorRequest::Accept(stamp, plan), AcceptorReply::Accepted(accepted)) => {
            (stamp == accepted).then_some((stamp, plan))
        }
        _ => None,
    }
}

/// Whether the certificate of `plan` proves that it is committed. One invalid signature is
/// enough to refuse it: the proposer checked each of them.
pub fn is_certified(
    plan: &CommittedPlan,
    voters: &Voters<'_>,
    mesh: &MeshName,
    verifier: &dyn Verifier,
) -> bool {
    let claimed = plan.certificate.incarnations();
    if claimed.len() > ACCEPTANCES_MAX || !is_majority(&claimed, &plan.plan.members, voters) {
        return false;
    }

    // Only now the expensive part.
    let Ok(subject) = PlanSubject::new(mesh, &plan.stamp, &plan.plan) else {
        return false;
    };
    plan.certificate
        .acceptances()
        .all(|acceptance| check_acceptance(&subject, &acceptance, verifier).is_ok())
}

fn is_majority(
    signed: &BTreeMap<RegionName, Incarnation>,
    members: &Members,
    voters: &Voters<'_>,
) -> bool {
    let is_known = match voters.known {
        Some(known) => has_majority(known, signed),
        // Unlike in a round of reading, this agent's own region counts even if the plan does not
        // name it: otherwise a forged plan could lower the number of signatures that it needs.
        None => {
            let is_region = |name: &&RegionName| name.as_str() != WITNESS;
            let regions = voters.configured.iter().filter(is_region);
            let count = regions.clone().filter(|name| signed.contains_key(*name));
            count.count() > regions.count() / 2
        }
    };

    is_known && has_majority(members, signed)
}

/// Whether more than half of the regions of `members` signed with the incarnation that counts. The
/// witness does not sign. Every majority of members, the witness among them, contains one of these
/// regions, so that each later leader finds what they accepted (Howard, Malkhi and Spiegelman
/// 2016).
pub(crate) fn has_majority(members: &Members, signed: &BTreeMap<RegionName, Incarnation>) -> bool {
    let counts = |name: &&RegionName| {
        let counted = members.acceptors.get(*name).copied().flatten();
        counted.is_some() && counted == signed.get(*name).copied()
    };
    members.regions().filter(counts).count() > members.regions().count() / 2
}

/// Signs that `agent` knows `plan` to be committed, so that it believes its own disk after a
/// restart even if the acceptors' signatures are too few (a witness voted) or have expired.
pub fn confirm(
    mesh: &MeshName,
    agent: &AgentId,
    signer: &dyn Signer,
    plan: &CommittedPlan,
) -> Result<AgentSignature, String> {
    let message = PlanSubject::new(mesh, &plan.stamp, &plan.plan)
        .and_then(|subject| subject.confirmation(agent))
        .map_err(|error| error.to_string())?;
    sign(agent, signer, &message)
}

/// Whether `signed` is what [`confirm`] returned for this agent and plan.
pub fn is_confirmed(
    mesh: &MeshName,
    agent: &AgentId,
    verifier: &dyn Verifier,
    plan: &CommittedPlan,
    signed: &AgentSignature,
) -> bool {
    let message = PlanSubject::new(mesh, &plan.stamp, &plan.plan)
        .and_then(|subject| subject.confirmation(agent));

    signed.agent == *agent && message.is_ok_and(|message| check(signed, &message, verifier).is_ok())
}

fn check_acceptance(
    subject: &PlanSubject<'_>,
    acceptance: &Acceptance,
    verifier: &dyn Verifier,
) -> Result<(), String> {
    let message = subject
        .acceptance(&acceptance.signed.agent, acceptance.incarnation)
        .map_err(|error| error.to_string())?;
    check(&acceptance.signed, &message, verifier)
}

fn sign(agent: &AgentId, signer: &dyn Signer, message: &[u8]) -> Result<AgentSignature, String> {
    // A key may be replaced between the two calls; the check then fails, and the proposer repeats
    // its request.
    Ok(AgentSignature {
        agent: agent.clone(),
        chain: signer.chain(),
        signature: signer.sign(message)?,
    })
}

fn check(signed: &AgentSignature, message: &[u8], verifier: &dyn Verifier) -> Result<(), String> {
    verifier.check_chain(&signed.agent, &signed.chain)?;
    verifier.check_signature(&signed.chain, message, &signed.signature)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
