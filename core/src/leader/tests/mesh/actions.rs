//! What a test does with a mesh, and what it asks of it.

use super::*;
use crate::testing::proof;
use regionmesh_protocol::{
    plan::{Order, OrderAction, OverrideKind},
    status::condition::Condition,
};

/// An order for a region.
pub(in crate::leader::tests) fn ordered(kind: OverrideKind, region: &str) -> Order {
    Order {
        action: OrderAction::Set(kind),
        region: Some(name(region)),
        by: "ann".into(),
        why: "test".into(),
        for_ms: 600_000,
        is_forced: false,
        is_immediate: false,
        proof: None,
    }
}

impl Mesh {
    pub(in crate::leader::tests) fn running(&self) -> impl Iterator<Item = &Agent> {
        self.agents.values().filter(|agent| agent.leader.is_some())
    }

    /// The leader, once exactly one running agent leads and all running agents follow it.
    pub(in crate::leader::tests) fn leader(&mut self) -> RegionName {
        self.until("one leader that all follow", |mesh| {
            let leaders: Vec<&Agent> = mesh.running().filter(|agent| agent.view.is_self).collect();
            let [leader] = leaders[..] else {
                return None;
            };

            mesh.running()
                .all(|other| other.view.ballot == leader.view.ballot)
                .then(|| leader.id.region.clone())
        })
    }

    /// The plan that all running agents hold.
    pub(in crate::leader::tests) fn plan(
        &mut self,
        is_wanted: impl Fn(&CommittedPlan) -> bool,
    ) -> Arc<CommittedPlan> {
        self.until("one plan that all know", |mesh| {
            let plans: Vec<_> = mesh
                .running()
                .map(|agent| agent.plan.clone())
                .collect::<Option<_>>()?;

            (plans.windows(2).all(|pair| pair[0] == pair[1]) && is_wanted(&plans[0]))
                .then(|| plans[0].clone())
        })
    }

    pub(in crate::leader::tests) fn others(&self, than: &RegionName) -> Vec<RegionName> {
        self.agents
            .keys()
            .filter(|region| *region != than)
            .cloned()
            .collect()
    }

    pub(in crate::leader::tests) fn cut_off_others(&mut self, than: &RegionName) {
        let others = self.others(than);
        self.cut.extend(others);
    }

    pub(in crate::leader::tests) fn set_verdict(
        &mut self,
        region: &RegionName,
        condition: Condition,
    ) {
        for agent in self.agents.values_mut() {
            let verdict = RegionVerdict {
                condition,
                since_ms: 1,
                votes: Vec::new(),
                reason: "test".into(),
                addresses: Vec::new(),
            };
            agent.verdicts.insert(region.clone(), verdict);
        }
    }

    pub(in crate::leader::tests) fn order(
        &mut self,
        to: &RegionName,
        kind: OverrideKind,
        region: &str,
    ) -> Ordered {
        self.send_order(to, ordered(kind, region))
    }

    pub(in crate::leader::tests) fn send_order(
        &mut self,
        to: &RegionName,
        order: Order,
    ) -> Ordered {
        let ticket = self.begin_order(to, order);
        self.until("the answer to an order", |mesh| {
            mesh.ordered[&ticket].clone()
        })
    }

    /// The same, but does not wait for the answer.
    pub(in crate::leader::tests) fn begin_order(
        &mut self,
        to: &RegionName,
        order: Order,
    ) -> Ticket {
        let nonce = u8::try_from(self.ordered.len()).unwrap();
        let order = Order {
            proof: Some(proof(self.now().unix_ms, nonce)),
            ..order
        };

        let ticket = self.ticket();
        self.ordered.insert(ticket, None);
        self.feed(to, Input::Order(Box::new(order), ticket));
        ticket
    }

    /// How many rounds of accepts this region's agent began.
    pub(in crate::leader::tests) fn rounds(&self, of: &RegionName) -> usize {
        let stamps = self.proposed.iter().filter(|(from, _)| from == of);
        stamps.count()
    }

    /// How many notices of an agent are wanted ones.
    pub(in crate::leader::tests) fn count(
        &self,
        region: &RegionName,
        is_wanted: impl Fn(&Notice) -> bool,
    ) -> usize {
        let notices = &self.agents[region].notices;
        notices.iter().filter(|notice| is_wanted(notice)).count()
    }
}
