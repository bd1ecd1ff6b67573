//! The way of an operator's order to the leader, from whichever agent was asked.
//!
//! An agent that leads takes it up; any other passes it on to the agent that it knows as the leader
//! or, where it is not connected to that one, to any agent of its region, which may pass it on once
//! more. On its way it carries the proof that an operator's token stands behind it, and who
//! authenticated them ([`crate::operators`]).

use crate::{
    actors::messages::LeaderMessage,
    address::Address,
    operators::{OperatorKey, Operators},
    snapshots::Snapshots,
};
use regionmesh_mesh::{Peer, PeerError, PeerLink};
use regionmesh_protocol::{
    identity::AgentId,
    plan::{CommittedPlan, Order},
    wire::{Attested, OrderOrigin, OrderRefusal, PeerReply, PeerRequest},
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// How often an order may be passed on in all.
pub const HOPS: u8 = 2;
/// How long our own leader may take to commit an order: longer than it takes it to find that it has
/// no majority.
const LOCAL_TIMEOUT: Duration = Duration::from_secs(8);
/// How long a peer may take.
const PEER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection to the leader may be missing, as it is right after a start; and how often
/// is looked.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const CONNECT_PAUSE: Duration = Duration::from_millis(100);

/// Takes orders and sees to it that the leader gets them. Cheap to clone.
#[derive(Clone)]
pub struct OrderHandler {
    /// Our own dns-leader actor.
    pub leader: Address<LeaderMessage>,
    /// Calls to other agents.
    pub peers: Arc<dyn PeerLink>,
    /// Who leads.
    pub snapshots: Snapshots,
    /// Proves that an operator stands behind what is passed on.
    pub operators: Operators,
}

impl OrderHandler {
    /// Carries out an `order` that this agent's API took from an operator whom it authenticated,
    /// here or where the leader is; passed on at most `hops_left` times. Answers the committed plan
    /// that it became part of.
    pub async fn carry_out(
        &self,
        order: Order,
        hops_left: u8,
    ) -> Result<CommittedPlan, OrderRefusal> {
        let origin = OrderOrigin {
            operator: order.by.clone(),
            agent: self.operators.id().clone(),
        };
        self.hand_on(order, hops_left, origin).await
    }

    /// The same for an order that another agent's API took.
    pub async fn hand_on(
        &self,
        order: Order,
        hops_left: u8,
        origin: OrderOrigin,
    ) -> Result<CommittedPlan, OrderRefusal> {
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

        self.pass_on(&leader, order, hops_left, origin).await
    }

    async fn pass_on(
        &self,
        leader: &AgentId,
        order: Order,
        hops_left: u8,
        origin: OrderOrigin,
    ) -> Result<CommittedPlan, OrderRefusal> {
        // Only the agent that was asked first waits; where nobody is connected nothing was sent, so
        // it may be repeated.
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

        // What it answers may be untrue, and was perhaps done.
        self.operators
            .check_reply(&key, &attested, reply)
            .map_err(|why| {
                PeerError::Malformed(to.clone(), format!("its answer is not believed: {why}"))
            })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{config::fixture, snapshots::LeaderView};
    use regionmesh_protocol::{plan::OrderAction, register::ballot::Ballot, wire::PeerRefusal};
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Connected after so many calls; then it refuses by name.
    struct Late {
        calls: AtomicUsize,
        connected_after: usize,
    }

    #[async_trait::async_trait]
    impl PeerLink for Late {
        async fn call(
            &self,
            to: &Peer,
            _: PeerRequest,
            _: Duration,
        ) -> Result<PeerReply, PeerError> {
            if self.calls.fetch_add(1, Ordering::Relaxed) < self.connected_after {
                return Err(PeerError::NotConnected(to.clone()));
            }
            Ok(PeerReply::Refused(PeerRefusal::NoProof))
        }
    }

    async fn order(connected_after: usize, hops: u8) -> (String, usize) {
        let late = Arc::new(Late {
            calls: AtomicUsize::new(0),
            connected_after,
        });
        let snapshots = Snapshots::default();
        let ballot = Ballot {
            number: 1,
            agent: "a/x".parse().unwrap(),
            boot: 1,
        };

        snapshots.leader.send_replace(LeaderView {
            ballot: Some(ballot),
            is_self: false,
        });

        let dir = tempfile::tempdir().unwrap();
        let id = "b/x".parse().unwrap();
        let token = dir.path().join("token");

        std::fs::write(&token, "a token").unwrap();
        let mut config = fixture::config(&[("b", "127.0.0.1")], "");
        config.api.token_file = Some(token);

        let live = tokio::sync::watch::channel(Arc::new(config)).1;
        let operators = Operators::new("m".parse().unwrap(), id, live);
        let handler = OrderHandler {
            leader: Address::vacant("dns-leader"),
            peers: late.clone(),
            snapshots,
            operators,
        };

        let order = Order {
            action: OrderAction::Restore,
            region: None,
            by: "ann".into(),
            why: String::new(),
            for_ms: 1_000,
            is_forced: false,
            is_immediate: false,
        };

        let refusal = handler.carry_out(order, hops).await.unwrap_err();
        (format!("{refusal:?}"), late.calls.load(Ordering::Relaxed))
    }

    #[tokio::test(start_paused = true)]
    async fn an_order_waits_for_a_connection_that_is_about_to_come_and_not_for_long() {
        let (reached, calls) = order(9, HOPS).await;
        assert!(
            reached.contains("must carry the proof") && calls == 10,
            "{reached} after {calls}"
        );

        let (refused, calls) = order(usize::MAX, HOPS).await;
        assert!(
            refused.contains("is not connected") && calls < 100,
            "{refused} after {calls}"
        );

        // Whoever only passes it on does not wait as well.
        let (_, calls) = order(usize::MAX, 1).await;
        assert_eq!(calls, 1);
    }
}
