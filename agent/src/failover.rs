//! Forwarding of operators' orders to the leader.
//!
//! The leader carries out an order; any other agent forwards it to the leader or, if it is not
//! connected to it, to any agent of the leader's region, which may forward it once more. A
//! forwarded order carries the proof of an operator's token, and the agent that authenticated the
//! operator ([`crate::operators`]).

use crate::{
    actors::messages::CoreMessage,
    address::Address,
    operators::{OperatorKey, Operators},
    snapshots::Snapshots,
};
use regionmesh_mesh::{Peer, PeerError, Peers};
use regionmesh_protocol::{
    identity::AgentId,
    plan::{CommittedPlan, Order},
    wire::{Attested, OrderOrigin, OrderRefusal, PeerReply, PeerRequest},
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Limit on forwarding an order.
pub(crate) const HOPS: u8 = 2;
/// Timeout for our own leader to commit an order: longer than it needs to detect that it has no
/// majority.
const LOCAL_TIMEOUT: Duration = Duration::from_secs(8);
/// Timeout of a peer.
const PEER_TIMEOUT: Duration = Duration::from_secs(10);
/// Time to wait for a connection to the leader, which is missing right after a start.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const CONNECT_PAUSE: Duration = Duration::from_millis(100);

/// Forwards orders to the leader. Cheap to clone.
#[derive(Clone)]
pub(crate) struct OrderHandler {
    /// Our own core.
    pub core: Address<CoreMessage>,
    /// Calls to other agents.
    pub peers: Arc<dyn Peers>,
    pub snapshots: Snapshots,
    /// Creates the proofs of forwarded orders.
    pub operators: Operators,
}

impl OrderHandler {
    /// Carries out an `order` from an operator whom this agent's API authenticated, here or at the
    /// leader; it is forwarded at most `hops_left` times. Returns the committed plan that includes
    /// it.
    pub(crate) async fn carry_out(
        &self,
        order: Order,
        hops_left: u8,
    ) -> Result<CommittedPlan, OrderRefusal> {
        let origin = OrderOrigin {
            operator: order.by.clone(),
            agent: self.operators.id().clone(),
        };
        let proven = self.operators.prove(order).await;
        let order = proven.map_err(OrderRefusal::NotNow)?;
        self.hand_on(order, hops_left, origin).await
    }

    /// Carries out an order that another agent's API accepted.
    pub(crate) async fn hand_on(
        &self,
        order: Order,
        hops_left: u8,
        origin: OrderOrigin,
    ) -> Result<CommittedPlan, OrderRefusal> {
        let leader = self.snapshots.leader.borrow().clone();
        if leader.is_self {
            let asked = |reply| CoreMessage::Order(Box::new(order), reply);
            // Without an answer the outcome of the order is unknown.
            return self
                .core
                .call(asked, LOCAL_TIMEOUT)
                .await
                .unwrap_or_else(|error| Err(OrderRefusal::Unknown(error.to_string())));
        }

        let none =
            "no leader is known: an election is due, or this agent sees no majority of regions";
        let leader = leader
            .ballot
            .map(|ballot| ballot.agent)
            .ok_or_else(|| OrderRefusal::NotNow(none.into()))?;
        let Some(hops_left) = hops_left.checked_sub(1) else {
            return Err(OrderRefusal::NotNow(format!(
                "the order was passed on {HOPS} times and found no leader"
            )));
        };

        self.forward(&leader, order, hops_left, origin).await
    }

    async fn forward(
        &self,
        leader: &AgentId,
        order: Order,
        hops_left: u8,
        origin: OrderOrigin,
    ) -> Result<CommittedPlan, OrderRefusal> {
        // Only the first agent waits. Without a connection nothing was sent, so it may retry.
        let timeout = if hops_left > 0 {
            CONNECT_TIMEOUT
        } else {
            Duration::ZERO
        };
        let begin = Instant::now();
        let answer = loop {
            let answer = self
                .try_once(leader, order.clone(), hops_left, &origin)
                .await;
            if !matches!(answer, Err(PeerError::NotConnected(_))) || begin.elapsed() >= timeout {
                break answer;
            }
            tokio::time::sleep(CONNECT_PAUSE).await;
        };

        match answer {
            Ok(PeerReply::Order(answer)) => answer,
            Ok(PeerReply::Failed(error)) => Err(OrderRefusal::Unknown(format!(
                "the leader {leader} says: {error}"
            ))),
            Ok(PeerReply::Refused(why)) => Err(OrderRefusal::NotNow(format!(
                "the leader {leader} refuses: {why}"
            ))),
            Ok(_) => Err(OrderRefusal::Unknown(format!(
                "the leader {leader} answered another question"
            ))),
            Err(error @ (PeerError::NotConnected(_) | PeerError::Busy(_))) => Err(
                OrderRefusal::NotNow(format!("the leader can't be reached: {error}")),
            ),
            Err(error) => Err(OrderRefusal::Unknown(format!(
                "the leader did not answer: {error}"
            ))),
        }
    }

    async fn try_once(
        &self,
        leader: &AgentId,
        order: Order,
        hops_left: u8,
        origin: &OrderOrigin,
    ) -> Result<PeerReply, PeerError> {
        let direct = PeerRequest::Order {
            order: order.clone(),
            hops_left: 0,
        };
        let answer = self
            .send(&Peer::Agent(leader.clone()), &direct, origin)
            .await;

        if !matches!(answer, Err(PeerError::NotConnected(_))) || hops_left == 0 {
            return answer;
        }

        let by_region = PeerRequest::Order { order, hops_left };
        self.send(&Peer::Region(leader.region.clone()), &by_region, origin)
            .await
    }

    /// Sends an order with its proof.
    async fn send(
        &self,
        to: &Peer,
        order: &PeerRequest,
        origin: &OrderOrigin,
    ) -> Result<PeerReply, PeerError> {
        let attested = match self.operators.attest(order, Some(origin.clone())).await {
            Ok(attested) => attested,
            // Nothing was sent.
            Err(why) => return Ok(PeerReply::Order(Err(OrderRefusal::NotNow(why)))),
        };
        let (attested, key): (Attested, OperatorKey) = attested;
        let reply = self
            .peers
            .call(
                to,
                PeerRequest::Attested(Box::new(attested.clone())),
                PEER_TIMEOUT,
            )
            .await?;

        // An answer without proof may be false, but the order may have been carried out.
        self.operators
            .check_reply(&key, &attested, reply)
            .map_err(|why| {
                PeerError::Malformed(to.clone(), format!("its answer was rejected: {why}"))
            })
    }
}

#[cfg(test)]
mod tests;
