//! What agents sign about plans, with X.509 certificates.

use super::*;
use crate::{actors::leader::Signing, address::Address};
use regionmesh_core::leader::{
    certificate::{check_answer, is_certified},
    confirm::Voters,
};
use regionmesh_protocol::register::acceptor::{AcceptorAnswer, AcceptorReply, AcceptorRequest};

/// A plan that was never committed, at the place of `plan`.
fn changed(plan: &CommittedPlan) -> CommittedPlan {
    let mut changed = plan.clone();
    let regions = changed.plan.regions.values_mut();
    regions.for_each(|region| region.addresses = vec!["127.66.66.66".parse().unwrap()]);

    changed
}

async fn ask(actor: &Address<LeaderMessage>, request: AcceptorRequest) -> AcceptorAnswer {
    let asked = |reply| LeaderMessage::Acceptor(request, reply);
    let answer = actor.call(asked, Duration::from_secs(5)).await;
    answer.unwrap().unwrap()
}

#[tokio::test]
async fn an_agent_signs_what_its_regions_acceptor_accepts_and_nothing_else() {
    let mesh = Mesh::full().await;
    let plan = mesh.plan(|_| true).await;
    let region = mesh.running()[0].id.region.clone();
    let actor = &mesh.node(&region).home.leader;
    let other = &mesh.node(&mesh.others(&region)[0]).leader.signing;

    let accept = AcceptorRequest::Accept(plan.stamp.clone(), plan.plan.clone());
    let answer = ask(actor, accept.clone()).await;
    let signed = answer.acceptance.clone().unwrap();
    assert_eq!(signed.signed.agent.region, region);
    let checked = check_answer(&other.mesh, &region, &*other.keys.verifier, &accept, answer);
    assert!(checked.is_ok());

    // A plan that is not the one it has at that place is refused.
    let changed = changed(&plan).plan;
    let refused = ask(actor, AcceptorRequest::Accept(plan.stamp.clone(), changed)).await;
    assert!(matches!(refused.reply, AcceptorReply::Refused { .. }));
    assert_eq!(refused.acceptance, None);

    let read = ask(actor, AcceptorRequest::Read).await;
    assert_eq!(read.acceptance, None);
}

#[tokio::test]
async fn every_agent_holds_a_plan_that_a_majority_signed() {
    let mesh = Mesh::full().await;
    let plan = mesh.plan(|plan| plan.certificate.len() >= 2).await;
    let regions = mesh.nodes.iter().map(|node| node.id.region.clone());
    let configured = regions.collect();
    let changed = changed(&plan);

    for node in &mesh.nodes {
        let voters = Voters {
            known: Some(&plan.plan.members),
            configured: &configured,
            own: &node.id.region,
        };
        let Signing { mesh, keys, .. } = &node.leader.signing;
        assert!(is_certified(&plan, &voters, mesh, &*keys.verifier));
        assert!(!is_certified(&changed, &voters, mesh, &*keys.verifier));
    }
}
