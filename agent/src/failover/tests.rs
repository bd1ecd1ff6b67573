#![allow(clippy::unwrap_used)]

use super::*;
use crate::config::fixture;
use regionmesh_core::leader::LeaderView;
use regionmesh_protocol::{plan::OrderAction, register::ballot::Ballot, wire::PeerRefusal};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Not connected for a number of calls; then it refuses.
struct Late {
    calls: AtomicUsize,
    connected_after: usize,
}

#[async_trait::async_trait]
impl Peers for Late {
    async fn call(&self, to: &Peer, _: PeerRequest, _: Duration) -> Result<PeerReply, PeerError> {
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
        core: Address::vacant("core"),
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
        proof: None,
    };

    let refusal = handler.carry_out(order, hops).await.unwrap_err();
    (format!("{refusal:?}"), late.calls.load(Ordering::Relaxed))
}

#[tokio::test(start_paused = true)]
async fn an_order_waits_briefly_for_a_connection_to_the_leader() {
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

    // An agent that only forwards an order does not wait.
    let (_, calls) = order(usize::MAX, 1).await;
    assert_eq!(calls, 1);
}
