//! Operators' orders.

use super::*;
use regionmesh_protocol::{
    plan::{Order, OrderAction, OrderProof, OverrideKind},
    wire::OrderRefusal,
};
use regionmesh_runtime::time::unix_ms;
use regionmesh_store::read_history;

impl Mesh {
    pub(super) fn others(&self, than: &RegionName) -> Vec<RegionName> {
        let regions = self.nodes.iter().map(|node| node.id.region.clone());
        regions.filter(|region| region != than).collect()
    }

    pub(super) async fn order(
        &self,
        to: &RegionName,
        action: OrderAction,
        region: &str,
    ) -> Result<CommittedPlan, OrderRefusal> {
        let order = Order {
            action,
            region: Some(region.parse().unwrap()),
            by: "ann".into(),
            why: "test".into(),
            for_ms: 600_000,
            is_forced: false,
            is_immediate: false,
            proof: Some(OrderProof {
                agent: self.node(to).id.clone(),
                given_ms: unix_ms(),
                nonce: rand::random(),
                mac: [0; 32],
            }),
        };

        let core = &self.node(to).home.core;
        let asked = |reply| CoreMessage::Order(Box::new(order), reply);
        core.call(asked, Duration::from_secs(20)).await.unwrap()
    }
}

#[tokio::test]
async fn an_order_is_answered_once_committed_and_survives_the_leader_that_took_it() {
    let mesh = Mesh::full().await;
    let leader = mesh.leader().await;
    mesh.plan(|_| true).await;

    let others = mesh.others(&leader);
    let drain = OrderAction::Set(OverrideKind::Drain);
    let refused = mesh.order(&others[0], drain.clone(), "eu-west-1").await;

    assert!(
        matches!(refused, Err(OrderRefusal::NotNow(_))),
        "{refused:?}"
    );

    let drained: RegionName = "eu-west-1".parse().unwrap();
    let committed = mesh.order(&leader, drain, "eu-west-1").await.unwrap();

    assert_eq!(committed.plan.regions[&drained].weight_bp, 0);
    let known = mesh.plan(|plan| plan.stamp >= committed.stamp).await;
    assert_eq!(known.plan.overrides, committed.plan.overrides);

    let node = mesh.node(&leader);
    let count = node.counter("regionmesh_failover_orders_total", "committed");
    assert_eq!(count, 1);
    let text = regionmesh_runtime::metrics::render(&node.registry).unwrap();
    assert!(text.contains("regionmesh_plan_overrides{kind=\"drain\"} 1"));
    for node in mesh.running() {
        let text = regionmesh_runtime::metrics::render(&node.registry).unwrap();
        assert!(text.contains("regionmesh_leader_known 1"), "{}", node.id);
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

    let dir = mesh.node(&next).data_dir();
    eventually("the history contains the order", || {
        read_history(dir)
            .unwrap()
            .iter()
            .any(|past| past.committed.stamp == committed.stamp)
            .then_some(())
    })
    .await;
}
