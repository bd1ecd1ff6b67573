//! Changes of the register's members.

use super::*;

#[tokio::test]
async fn an_acceptor_whose_store_was_emptied_is_suspended_and_rejoins() {
    let mesh = Mesh::start().await;
    let leader = mesh.leader().await;
    let lost = mesh.others(&leader).remove(0);
    let before = mesh
        .plan(|plan| plan.plan.members.acceptors.values().all(Option::is_some))
        .await;
    let objects = &mesh.objects[&lost];

    for slot in objects
        .list(None)
        .map_ok(|meta| meta.location)
        .try_collect::<Vec<_>>()
        .await
        .unwrap()
    {
        objects.delete(&slot).await.unwrap();
    }

    let vote = |plan: &CommittedPlan| plan.plan.members.acceptors[&lost];
    let after = mesh
        .plan(|plan| vote(plan).is_some() && vote(plan) != vote(&before))
        .await;

    assert!(
        after.plan.reason.contains("joined the register and votes"),
        "{}",
        after.plan.reason
    );

    let metrics = &mesh.agents[&leader].metrics;
    for change in ["suspend", "join"] {
        assert_eq!(
            metrics
                .register
                .member_changes
                .with_label_values(&[change])
                .get(),
            1,
            "{change}"
        );
    }
}

/// An order that removes a region from the register.
fn removal(region: &RegionName, force: bool) -> Order {
    Order {
        action: OrderAction::Member(MemberOrder::Remove { force }),
        region: Some(region.clone()),
        by: "ann".into(),
        why: "test".into(),
        for_ms: 0,
        is_forced: false,
        is_immediate: false,
    }
}

#[tokio::test]
async fn a_leader_whose_region_is_removed_steps_down_and_the_others_elect_a_new_one() {
    let mesh = Mesh::start().await;
    let leader = mesh.leader().await;
    mesh.plan(|plan| plan.plan.members.acceptors.values().all(Option::is_some))
        .await;

    let others = mesh.others(&leader);

    let refused = mesh.send_order(&leader, removal(&leader, false)).await;
    assert!(
        matches!(
            &refused,
            Err(OrderRefusal::Wrong(why)) if why.to_string().contains("of the traffic")
        ),
        "{refused:?}"
    );

    let committed = mesh
        .send_order(&leader, removal(&leader, true))
        .await
        .unwrap();
    assert!(!committed.plan.regions.contains_key(&leader) && !committed.plan.members.has(&leader));

    let metrics = &mesh.agents[&leader].metrics;
    eventually("it steps down", || {
        (metrics
            .election
            .step_downs
            .with_label_values(&["removed"])
            .get()
            == 1)
            .then_some(())
    })
    .await;

    // One of the others leads, with two votes and without automatic failover.
    let next = mesh.leader().await;
    assert!(others.contains(&next), "{next}");

    let plan = mesh
        .plan(|plan| plan.stamp.ballot.agent.region == next)
        .await;
    assert_eq!(plan.plan.members.len(), 2);
    mesh.set_verdict(others[0].as_str(), Condition::Failed);

    let metrics = &mesh.agents[&next].metrics;
    assert_eq!(metrics.frozen.is_refused.get(), 1);

    // No other region can serve, so the drain takes effect in name only and must be forced.
    let drain = Order {
        action: OrderAction::Set(OverrideKind::Drain),
        region: Some(others[1].clone()),
        for_ms: 600_000,
        is_forced: true,
        ..removal(&leader, false)
    };
    let drained = mesh.send_order(&next, drain).await.unwrap();

    assert!(
        drained.plan.regions[&others[0]].weight_bp > 0,
        "a verdict moved traffic although automation is refused"
    );
}
