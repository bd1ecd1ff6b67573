//! Operators' orders.

use super::*;

#[tokio::test]
async fn an_order_is_answered_once_committed_and_survives_the_leader_that_took_it() {
    let mesh = Mesh::start().await;
    let leader = mesh.leader().await;
    mesh.plan(|_| true).await;

    let others = mesh.others(&leader);
    let refused = mesh
        .order(&others[0], OverrideKind::Drain, "eu-west-1")
        .await;

    assert!(
        matches!(refused, Err(OrderRefusal::NotNow(_))),
        "{refused:?}"
    );

    let drained: RegionName = "eu-west-1".parse().unwrap();
    let committed = mesh
        .order(&leader, OverrideKind::Drain, "eu-west-1")
        .await
        .unwrap();

    assert_eq!(committed.plan.regions[&drained].weight_bp, 0);
    let known = mesh.plan(|plan| plan.stamp >= committed.stamp).await;
    assert_eq!(known.plan.overrides, committed.plan.overrides);

    let metrics = &mesh.agents[&leader].metrics;
    assert_eq!(
        metrics
            .orders
            .orders
            .with_label_values(&["committed"])
            .get(),
        1
    );
    assert_eq!(
        metrics.orders.overrides.with_label_values(&["drain"]).get(),
        1
    );
    for agent in mesh.running() {
        assert_eq!(agent.metrics.election.leader_known.get(), 1, "{}", agent.id);
    }

    mesh.kill(&leader).await;
    let next = mesh.leader().await;
    let kept = mesh
        .plan(|plan| plan.stamp.ballot.agent.region == next)
        .await;

    assert_eq!(
        (&kept.plan.overrides, kept.plan.regions[&drained].weight_bp),
        (&committed.plan.overrides, 0)
    );

    let dir = &mesh.agents[&next].config.data_dir;
    eventually("the history contains the order", || {
        read_history(dir)
            .unwrap()
            .iter()
            .any(|past| past.committed.stamp == committed.stamp)
            .then_some(())
    })
    .await;
}
