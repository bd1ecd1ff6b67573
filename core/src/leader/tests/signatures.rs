//! Which plans agents adopt, and when a leader has them signed again.

use super::{
    mesh::{Mesh, REGIONS, mesh_name, name},
    restarts::{follower, forged, stopped},
};
use crate::{
    gossip::Signer,
    leader::{
        Notice, Refusal, RegisterNotice,
        certificate::{confirm, is_certified},
        confirm::Voters,
    },
    testing::{Key, Toy},
};
use regionmesh_protocol::{plan::CommittedPlan, status::StatusEntry};

#[test]
fn every_agent_holds_a_plan_that_a_majority_signed() {
    let mut mesh = Mesh::start();
    let plan = mesh.plan(|plan| plan.certificate.len() >= 2);
    let changed = forged(&plan, plan.stamp.ballot.number);
    let configured = REGIONS.map(name).into();

    for agent in mesh.running() {
        for known in [None, Some(&plan.plan.members)] {
            let voters = Voters {
                known,
                configured: &configured,
                own: &agent.id.region,
            };
            assert!(is_certified(&plan, &voters, &mesh_name(), &Toy));
            assert!(!is_certified(&changed, &voters, &mesh_name(), &Toy));
        }
    }
}

#[test]
fn a_certified_plan_is_adopted_from_any_agent_without_reading_the_acceptors() {
    // A new process without a disk, and without a connection to any region.
    let (mut mesh, fresh, plan) = stopped();
    mesh.cut.insert(fresh.clone());

    let other = follower(&mesh, &fresh, &plan);
    mesh.publish_to(&fresh, &other, &StatusEntry::Plan((*plan).clone()));
    mesh.spawn(&fresh, None);

    let known = mesh.until("the plan is adopted", |mesh| {
        mesh.agents[&fresh].plan.clone()
    });
    assert_eq!(known, plan);
}

#[test]
fn not_even_the_leader_is_believed_without_signatures() {
    let mut mesh = Mesh::start();
    let plan = mesh.plan(|_| true);
    let leader = plan.stamp.ballot.agent.clone();
    let follower = mesh.others(&leader.region).remove(0);

    // Under the very ballot that the follower's acceptor promised the leader.
    let lie = forged(&plan, plan.stamp.ballot.number);
    mesh.publish_to(&follower, &leader, &StatusEntry::Plan(lie.clone()));
    mesh.until("the plan is refused", |mesh| {
        mesh.agents[&follower]
            .refusals
            .contains(&Refusal::PlanNotCommitted)
            .then_some(())
    });

    let known = mesh.agents[&follower].plan.clone().unwrap();
    assert!(known.stamp < lie.stamp, "{known:?}");
}

#[test]
fn a_saved_plan_is_believed_with_this_agents_signature_or_a_certificate_only() {
    let (mut mesh, fresh, plan) = stopped();
    let genuine = (*plan).clone();
    let unsigned = CommittedPlan {
        certificate: Default::default(),
        ..genuine.clone()
    };

    let signed_by = |region| {
        let id = &mesh.agents[region].id;
        confirm(&mesh_name(), id, &Key(id.clone(), 0), &unsigned).ok()
    };
    let own = signed_by(&fresh);
    let of_another_agent = signed_by(&mesh.others(&fresh)[0]);
    let cases = [
        (genuine, None, true),
        (unsigned.clone(), own.clone(), true),
        (unsigned.clone(), None, false),
        (unsigned, of_another_agent, false),
        (forged(&plan, plan.stamp.ballot.number), own, false),
    ];

    for (committed, confirmation, is_believed) in cases {
        mesh.spawn_with(&fresh, Some(committed.clone()), confirmation);
        let known = &mesh.agents[&fresh].plan;
        assert_eq!(known.is_some(), is_believed, "{committed:?}");
    }
}

#[test]
fn a_leader_commits_its_plan_again_once_a_signer_has_a_newer_certificate() {
    let mut mesh = Mesh::start();
    let leader = mesh.leader();
    let before = mesh.plan(|plan| plan.certificate.len() >= 2);

    let signer = before.certificate.agents().next().unwrap().clone();
    let newer = Key(signer.clone(), 1).chain();
    mesh.publish_to(&leader, &signer, &StatusEntry::Certificate(newer));

    let after = mesh.plan(|plan| plan.stamp > before.stamp);
    assert_eq!(after.stamp.seq, before.stamp.seq + 1);
    assert_eq!(after.plan, before.plan);

    let is_renewal =
        |notice: &Notice| matches!(notice, Notice::Register(RegisterNotice::Renewing(_)));
    assert!(mesh.count(&leader, is_renewal) > 0);
}
