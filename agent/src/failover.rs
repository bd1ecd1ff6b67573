//! The way of an operator's order to the leader, from whichever agent was asked.
//!
//! An agent that leads takes it up; any other passes it on to the agent that it knows as the leader or, where it is not
//! connected to that one, to any agent of its region, which may pass it on once more.

use crate::{
    actors::messages::LeaderMessage,
    address::Address,
    mesh::handle::{Peer, PeerError, PeerLink},
    snapshots::Snapshots,
};
use regionmesh_protocol::{
    identity::AgentId,
    plan::{CommittedPlan, Order},
    wire::{OrderRefusal, PeerReply, PeerRequest},
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// How often an order may be passed on in all.
pub const HOPS: u8 = 2;
/// How long our own leader may take to commit an order: longer than it takes it to find that it has no majority.
const LOCAL_TIMEOUT: Duration = Duration::from_secs(8);
/// How long a peer may take.
const PEER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait for a connection with the leader's region: a dial takes a round trip or two.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often to look for it meanwhile.
const CONNECT_RETRY: Duration = Duration::from_millis(50);

/// Takes orders and sees to it that the leader gets them. Cheap to clone.
#[derive(Clone)]
pub struct OrderDesk {
    /// Our own dns-leader actor.
    pub leader: Address<LeaderMessage>,
    /// Calls to other agents.
    pub peers: Arc<dyn PeerLink>,
    /// Who leads.
    pub snapshots: Snapshots,
}

impl OrderDesk {
    /// Carries out `order`, here or where the leader is; passed on at most `hops_left` times. Answers the committed plan
    /// that it became part of.
    pub async fn carry_out(&self, order: Order, hops_left: u8) -> Result<CommittedPlan, OrderRefusal> {
        let leader = self.snapshots.leader.borrow().clone();
        if leader.is_self {
            let asked = |reply| LeaderMessage::Order(Box::new(order), reply);
            // The address tells why nobody answered; what became of the order then is not known.
            return self
                .leader
                .call(asked, LOCAL_TIMEOUT)
                .await
                .unwrap_or_else(|error| Err(OrderRefusal::Unknown(error.to_string())));
        }
        let none = "no leader is known: an election is due, or this agent sees no majority of regions";
        let leader = leader.ballot.map(|ballot| ballot.agent).ok_or_else(|| OrderRefusal::NotNow(none.into()))?;
        let Some(hops_left) = hops_left.checked_sub(1) else {
            return Err(OrderRefusal::NotNow(format!("the order was passed on {HOPS} times and found no leader")));
        };
        self.pass_on(&leader, order, hops_left).await
    }

    async fn pass_on(&self, leader: &AgentId, order: Order, hops_left: u8) -> Result<CommittedPlan, OrderRefusal> {
        // While no way is open nothing was sent: it is safe to ask again. Right after a start gossip knows the leader
        // before the session with it stands.
        let connected_by = Instant::now() + CONNECT_TIMEOUT;
        let answer = loop {
            let answer = self.ask(leader, order.clone(), hops_left).await;
            if !matches!(answer, Err(PeerError::NotConnected(_))) || Instant::now() >= connected_by {
                break answer;
            }
            tokio::time::sleep(CONNECT_RETRY).await;
        };
        match answer {
            Ok(PeerReply::Order(answer)) => answer,
            Ok(PeerReply::Failed(error)) => Err(OrderRefusal::Unknown(format!("the leader {leader} says: {error}"))),
            Ok(_) => Err(OrderRefusal::Unknown(format!("the leader {leader} answered another question"))),
            Err(error @ (PeerError::NotConnected(_) | PeerError::Busy(_))) => {
                Err(OrderRefusal::NotNow(format!("the leader can't be reached: {error}")))
            }
            Err(error) => Err(OrderRefusal::Unknown(format!("the leader did not answer: {error}"))),
        }
    }

    /// Asks the leader itself or, where this agent is not connected to it, an agent of its region.
    async fn ask(&self, leader: &AgentId, order: Order, hops_left: u8) -> Result<PeerReply, PeerError> {
        let direct = PeerRequest::Order { order: order.clone(), hops_left: 0 };
        let answer = self.peers.call(&Peer::Agent(leader.clone()), direct, PEER_TIMEOUT).await;
        if !matches!(answer, Err(PeerError::NotConnected(_))) || hops_left == 0 {
            return answer;
        }
        let by_region = PeerRequest::Order { order, hops_left };
        self.peers.call(&Peer::Region(leader.region.clone()), by_region, PEER_TIMEOUT).await
    }
}
