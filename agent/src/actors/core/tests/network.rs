//! The connections and endpoints of one process.

use crate::{
    actors::messages::{CoreMessage, LeaderMessage},
    address::Address,
    probe::{Prober, Target},
};
use async_trait::async_trait;
use parking_lot::Mutex;
use regionmesh_core::health::probe::ProbeResult;
use regionmesh_mesh::{GossipTransport, Peer, PeerError, Peers};
use regionmesh_protocol::{
    identity::AgentId,
    wire::{PeerReply, PeerRequest},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

const ONE_WAY: Duration = Duration::from_millis(30);

/// Where an agent's actors are reached.
#[derive(Clone)]
pub(super) struct Home {
    pub(super) core: Address<CoreMessage>,
    pub(super) leader: Address<LeaderMessage>,
}

#[derive(Default)]
pub(super) struct Wires {
    pub(super) homes: BTreeMap<AgentId, Home>,
    pub(super) links: BTreeSet<(AgentId, AgentId)>,
}

/// The connections of one agent.
#[derive(Clone)]
pub(super) struct Wire {
    pub(super) own: AgentId,
    pub(super) wires: Arc<Mutex<Wires>>,
}

impl Wire {
    /// Where `to` lives, if it is reached. Datagrams are relayed over one hop, exchanges
    /// are not.
    fn reach(&self, to: &AgentId, may_relay: bool) -> Option<Home> {
        let wires = self.wires.lock();
        let is_linked = |a: &AgentId, b: &AgentId| wires.links.contains(&(a.clone(), b.clone()));
        let by_relay = || {
            wires
                .homes
                .keys()
                .any(|relay| is_linked(&self.own, relay) && is_linked(relay, to))
        };

        if is_linked(&self.own, to) || (may_relay && by_relay()) {
            wires.homes.get(to).cloned()
        } else {
            None
        }
    }

    fn find(&self, to: &Peer) -> Option<Home> {
        let Peer::Region(region) = to else {
            return None;
        };
        let agents: Vec<AgentId> = self.wires.lock().homes.keys().cloned().collect();
        let agent = agents.iter().find(|agent| agent.region == *region)?;
        self.reach(agent, false)
    }
}

#[async_trait]
impl GossipTransport for Wire {
    fn send_datagram(&self, to: &AgentId, payload: Vec<u8>) {
        if let Some(home) = self.reach(to, true) {
            let from = self.own.clone();
            tokio::spawn(async move {
                tokio::time::sleep(ONE_WAY).await;
                let _ = home.core.cast(CoreMessage::Datagram { from, payload });
            });
        }
    }

    async fn exchange(
        &self,
        to: &AgentId,
        request: Vec<u8>,
        timeout: Duration,
    ) -> Result<Vec<u8>, PeerError> {
        let peer = Peer::Agent(to.clone());
        let Some(home) = self.reach(to, false) else {
            tokio::time::sleep(ONE_WAY).await;
            return Err(PeerError::Broken(peer, "lost".into()));
        };

        tokio::time::sleep(ONE_WAY).await;
        let from = self.own.clone();
        let asked = |reply| CoreMessage::Exchange {
            from,
            request,
            reply,
        };
        let reply = home.core.call(asked, timeout).await;

        tokio::time::sleep(ONE_WAY).await;
        reply.map_err(|_| PeerError::TimedOut(peer, timeout))
    }
}

#[async_trait]
impl Peers for Wire {
    async fn call(
        &self,
        to: &Peer,
        request: PeerRequest,
        timeout: Duration,
    ) -> Result<PeerReply, PeerError> {
        let home = self.find(to);
        let home = home.ok_or_else(|| PeerError::NotConnected(to.clone()))?;
        let broken = |error| PeerError::Broken(to.clone(), format!("{error}"));

        match request {
            PeerRequest::Acceptor(request) => {
                let asked = |reply| LeaderMessage::Acceptor(request, reply);
                let answer = home.leader.call(asked, timeout).await.map_err(broken)?;
                Ok(answer.map_or_else(PeerReply::Failed, PeerReply::Acceptor))
            }
            PeerRequest::PreVote(request) => {
                let asked = |reply| CoreMessage::PreVote(request, reply);
                let vote = home.core.call(asked, timeout).await.map_err(broken)?;
                Ok(PeerReply::PreVote(vote))
            }
            _ => Ok(PeerReply::Failed("not scripted".into())),
        }
    }
}

/// What an endpoint does.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Endpoint {
    Answers,
    Refuses,
    Hangs,
}

/// Endpoints by host; the others answer.
#[derive(Clone, Default)]
pub(super) struct Script(Arc<Mutex<HashMap<String, Endpoint>>>);

impl Script {
    pub(super) fn set(&self, host: &str, endpoint: Endpoint) {
        self.0.lock().insert(host.into(), endpoint);
    }
}

#[async_trait]
impl Prober for Script {
    async fn probe(&self, target: &Target) -> ProbeResult {
        let host = target
            .address
            .map_or_else(|| target.host.clone(), |address| address.to_string());
        let endpoint = self.0.lock().get(&host).copied();

        match endpoint.unwrap_or(Endpoint::Answers) {
            Endpoint::Answers => ProbeResult::Success {
                round_trip_us: 700,
                evidence: "200 in 0.7 ms".into(),
            },
            Endpoint::Refuses => ProbeResult::DefiniteFailure("connection refused".into()),
            Endpoint::Hangs => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                ProbeResult::Silence("no answer in 50 ms".into())
            }
        }
    }
}
