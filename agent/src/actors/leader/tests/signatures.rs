//! What agents sign about plans, and which plans they adopt.

use super::{
    restarts::{forged, restarted},
    *,
};
use regionmesh_protocol::register::acceptor::AcceptorAnswer;

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
    let changed = forged(&plan, plan.stamp.ballot.number).plan;
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
    let known = &plan.plan.members;

    for agent in mesh.agents.values() {
        let configured = REGIONS.iter().map(|name| name.parse().unwrap()).collect();
        for known in [None, Some(known)] {
            let voters = regionmesh_core::leader::confirm::Voters {
                known,
                configured: &configured,
                own: &agent.id.region,
            };
            assert!(agent.signing.is_certified(&plan, &voters));
            let changed = forged(&plan, plan.stamp.ballot.number);
            assert!(!agent.signing.is_certified(&changed, &voters));
        }
    }
}

#[tokio::test]
async fn a_certified_plan_is_adopted_from_any_agent_without_reading_the_acceptors() {
    let mesh = Mesh::start().await;
    let plan = mesh.plan(|plan| plan.certificate.len() >= 2).await;

    // A new process without a disk, and without a connection to any region.
    let (fresh, _) = restarted(&mesh).await;
    let dir = tempfile::tempdir().unwrap();
    let fresh = LeaderArguments {
        config: Arc::new(Config {
            data_dir: dir.path().into(),
            ..(*fresh.config).clone()
        }),
        ..fresh
    };

    let other = mesh
        .agents
        .values()
        .map(|agent| &agent.id)
        .find(|id| **id != fresh.id && **id != plan.stamp.ballot.agent)
        .unwrap();
    publish_to(&fresh.snapshots, other, &StatusEntry::Plan((*plan).clone()));
    let (actor, _) = Actor::spawn(None, LeaderActor, fresh.clone())
        .await
        .unwrap();

    let mut known = fresh.snapshots.plan.subscribe();
    let known = known.wait_for(Option::is_some).await.unwrap().clone();
    assert_eq!(known, Some(plan));
    actor.stop(None);
}

#[tokio::test]
async fn not_even_the_leader_is_believed_without_signatures() {
    let mesh = Mesh::start().await;
    let plan = mesh.plan(|_| true).await;
    let leader = plan.stamp.ballot.agent.clone();
    let follower = mesh
        .agents
        .values()
        .find(|agent| agent.id != leader)
        .unwrap();

    // Under the very ballot that the follower's acceptor promised the leader.
    let lie = forged(&plan, plan.stamp.ballot.number);
    publish_to(
        &follower.snapshots,
        &leader,
        &StatusEntry::Plan(lie.clone()),
    );
    let is_refused = || (follower.refusals.count(reason::PLAN_NOT_COMMITTED) > 0).then_some(());
    eventually("the plan is refused", is_refused).await;

    let known = follower.snapshots.plan.borrow().clone().unwrap();
    assert!(known.stamp < lie.stamp, "{known:?}");
}

#[tokio::test]
async fn a_saved_plan_is_believed_with_this_agents_signature_or_a_certificate_only() {
    let mesh = Mesh::start().await;
    let (fresh, plan) = restarted(&mesh).await;
    let genuine = (*plan).clone();
    let unsigned = CommittedPlan {
        certificate: Default::default(),
        ..genuine.clone()
    };
    let other = &mesh.agents[&mesh.others(&fresh.id.region)[0]];

    let own = fresh.signing.confirm(&unsigned).ok();
    let of_another_agent = other.signing.confirm(&unsigned).ok();
    let cases = [
        (genuine, None, true),
        (unsigned.clone(), own.clone(), true),
        (unsigned.clone(), None, false),
        (unsigned, of_another_agent, false),
        (forged(&plan, plan.stamp.ballot.number), own, false),
    ];

    for (committed, confirmation, is_believed) in cases {
        let dir = tempfile::tempdir().unwrap();
        let saved = SavedPlan {
            committed,
            confirmation,
        };
        save_committed_plan(dir.path(), &saved).unwrap();

        let fresh = LeaderArguments {
            config: Arc::new(Config {
                data_dir: dir.path().into(),
                ..(*fresh.config).clone()
            }),
            snapshots: Snapshots::default(),
            ..fresh.clone()
        };
        let (actor, _) = Actor::spawn(None, LeaderActor, fresh.clone())
            .await
            .unwrap();

        // It is loaded before the actor runs.
        let known = fresh.snapshots.plan.borrow().clone();
        assert_eq!(known.is_some(), is_believed, "{saved:?}");
        actor.stop(None);
    }
}
