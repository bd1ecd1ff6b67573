//! What agents sign about plans, with X.509 certificates.

use super::*;
use regionmesh_core::leader::{certificate::is_certified, confirm::Voters};
use regionmesh_protocol::register::acceptor::{AcceptorAnswer, AcceptorReply, AcceptorRequest};

/// A plan that was never committed, at the place of `plan`.
fn changed(plan: &CommittedPlan) -> CommittedPlan {
    let mut changed = plan.clone();
    let regions = changed.plan.regions.values_mut();
    regions.for_each(|region| region.addresses = vec!["127.66.66.66".parse().unwrap()]);

    changed
}

async fn ask(actor: &ActorRef<LeaderMessage>, request: AcceptorRequest) -> AcceptorAnswer {
    let asked = actor.call(
        |reply| LeaderMessage::Acceptor(request, reply),
        Some(Duration::from_secs(5)),
    );
    match asked.await.unwrap() {
        ractor::rpc::CallResult::Success(answer) => answer.unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_agent_signs_what_its_regions_acceptor_accepts_and_nothing_else() {
    let mesh = Mesh::start().await;
    let plan = mesh.plan(|_| true).await;
    let region = mesh.running()[0].id.region.clone();
    let actor = mesh.network.actors.lock()[&region].clone();
    let other = &mesh.agents[&mesh.others(&region)[0]];

    let accept = AcceptorRequest::Accept(plan.stamp.clone(), plan.plan.clone());
    let answer = ask(&actor, accept.clone()).await;
    let signed = answer.acceptance.clone().unwrap();
    assert_eq!(signed.signed.agent.region, region);
    assert!(other.signing.check(&region, &accept, answer).is_ok());

    // A plan that is not the one it has at that place is refused.
    let changed = changed(&plan).plan;
    let refused = ask(&actor, AcceptorRequest::Accept(plan.stamp.clone(), changed)).await;
    assert!(matches!(refused.reply, AcceptorReply::Refused { .. }));
    assert_eq!(refused.acceptance, None);

    let read = ask(&actor, AcceptorRequest::Read).await;
    assert_eq!(read.acceptance, None);
}

#[tokio::test]
async fn every_agent_holds_a_plan_that_a_majority_signed() {
    let mesh = Mesh::start().await;
    let plan = mesh.plan(|plan| plan.certificate.len() >= 2).await;
    let configured = REGIONS.iter().map(|name| name.parse().unwrap()).collect();
    let changed = changed(&plan);

    for agent in mesh.agents.values() {
        let voters = Voters {
            known: Some(&plan.plan.members),
            configured: &configured,
            own: &agent.id.region,
        };
        let Signing { mesh, verifier, .. } = &agent.signing;
        assert!(is_certified(&plan, &voters, mesh, &**verifier));
        assert!(!is_certified(&changed, &voters, mesh, &**verifier));
    }
}
