mod restarts;
mod spread;

use super::*;
use crate::address::Address;
use async_trait::async_trait;
use regionmesh_core::gossip::{BoardView, ExchangeReply};
use regionmesh_mesh::{LinkInfo, Peer, PeerError};
use regionmesh_protocol::status::{ServingStatus, StatusEntry, StatusKind};
use regionmesh_runtime::metrics::Registry;
use std::{collections::BTreeSet, time::Instant};

/// A toy key: a signature is a hash under a secret that only tests know.
struct Key(AgentId);

fn toy_signature(leaf: &[u8], message: &[u8]) -> Vec<u8> {
    blake3::hash(&[b"secret", leaf, message].concat())
        .as_bytes()
        .to_vec()
}

impl Signer for Key {
    fn chain(&self) -> Vec<Vec<u8>> {
        vec![format!("{}#0", self.0).into_bytes()]
    }
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        Ok(toy_signature(&self.chain()[0], message))
    }
}

struct Toy;

impl Verifier for Toy {
    fn check_chain(&self, owner: &AgentId, chain: &[Vec<u8>]) -> Result<(), String> {
        let leaf = chain.first().ok_or("empty")?;
        if leaf.starts_with(format!("{owner}#").as_bytes()) {
            Ok(())
        } else {
            Err("another's".into())
        }
    }
    fn check_signature(
        &self,
        chain: &[Vec<u8>],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), String> {
        let leaf = chain.first().ok_or("empty")?;
        if toy_signature(leaf, message) == signature {
            Ok(())
        } else {
            Err("forged".into())
        }
    }
}

/// The network of one process.
#[derive(Default)]
struct Wires {
    homes: BTreeMap<AgentId, Address<GossipMessage>>,
    links: BTreeSet<(AgentId, AgentId)>,
}

#[derive(Clone)]
struct Wire {
    own: AgentId,
    wires: Arc<Mutex<Wires>>,
}

const ONE_WAY: Duration = Duration::from_millis(30);

impl Wire {
    /// Where `to` lives, if it is reached. Datagrams are relayed over one hop, exchanges
    /// are not.
    fn reach(&self, to: &AgentId, may_relay: bool) -> Option<Address<GossipMessage>> {
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
}

#[async_trait]
impl GossipTransport for Wire {
    fn send_datagram(&self, to: &AgentId, payload: Vec<u8>) {
        if let Some(home) = self.reach(to, true) {
            let from = self.own.clone();
            tokio::spawn(async move {
                tokio::time::sleep(ONE_WAY).await;
                let _ = home.cast(GossipMessage::Datagram { from, payload });
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
        let reply = home
            .call(
                |reply| GossipMessage::Exchange {
                    from,
                    request,
                    reply,
                },
                timeout,
            )
            .await;

        tokio::time::sleep(ONE_WAY).await;
        reply.map_err(|_| PeerError::TimedOut(peer, timeout))
    }
}

struct Node {
    id: AgentId,
    arguments: GossipArguments,
    home: Address<GossipMessage>,
    snapshots: Snapshots,
    registry: Registry,
}

impl Node {
    async fn start(&self) {
        let (actor, _) = Actor::spawn(None, GossipActor, self.arguments.clone())
            .await
            .unwrap();
        self.home.occupy(actor);
    }

    fn crash(&self) {
        self.home.actor().unwrap().kill();
        self.home.vacate();
    }

    fn publish(&self, status_entry: StatusEntry) {
        self.home
            .cast(GossipMessage::Publish(Box::new(status_entry)))
            .unwrap();
    }

    /// Waits until the board shows `claim`; returns how long it took.
    async fn sees(&self, claim: impl Fn(&BoardView) -> bool) -> Duration {
        let mut board = self.snapshots.board.subscribe();
        let begin = tokio::time::Instant::now();
        let waited =
            tokio::time::timeout(Duration::from_secs(60), board.wait_for(|view| claim(view))).await;

        assert!(waited.is_ok(), "{} never saw it", self.id);
        begin.elapsed()
    }

    fn counter(&self, name: &str, label: &str) -> u64 {
        let families = self.registry.gather();
        let metrics = families
            .iter()
            .filter(|family| family.name() == name)
            .flat_map(|family| family.get_metric());

        metrics
            .filter(|metric| metric.get_label().iter().any(|pair| pair.value() == label))
            .map(|metric| metric.get_counter().get_value() as u64)
            .sum()
    }
}

struct Mesh {
    nodes: Vec<Node>,
    wires: Arc<Mutex<Wires>>,
}

fn serving(requests_total: u64) -> StatusEntry {
    StatusEntry::Serving(ServingStatus {
        requests_total,
        ..ServingStatus::default()
    })
}

fn has(view: &BoardView, owner: &AgentId, status_entry: &StatusEntry) -> bool {
    view.agents
        .get(owner)
        .and_then(|agent| agent.status_entries.get(&status_entry.kind()))
        .is_some_and(|seen| *seen.status_entry == *status_entry)
}

fn is_alive(view: &BoardView, agent: &AgentId) -> bool {
    view.agents.get(agent).is_some_and(|view| view.is_alive)
}

impl Mesh {
    fn node(index: usize, wires: &Arc<Mutex<Wires>>) -> Node {
        let id: AgentId = format!("region-{index}/node").parse().unwrap();
        let registry = Registry::new();
        let snapshots = Snapshots::default();
        let setup = GossipSetup {
            own: id.clone(),
            mesh: "test.mesh".parse().unwrap(),
            boot: index as u64,
            started_ms: 1000,
            transport: Arc::new(Wire {
                own: id.clone(),
                wires: wires.clone(),
            }),
            signer: Arc::new(Key(id.clone())),
            verifier: Arc::new(Toy),
            snapshots: snapshots.clone(),
            metrics: GossipMetrics::new(&registry).unwrap(),
        };

        let home = Address::vacant("gossip");
        wires.lock().homes.insert(id.clone(), home.clone());
        Node {
            id,
            arguments: setup.into(),
            home,
            snapshots,
            registry,
        }
    }

    /// Five nodes in a star: all know each other through the first.
    async fn star() -> Self {
        let wires = Arc::new(Mutex::new(Wires::default()));
        let nodes: Vec<Node> = (0..5).map(|index| Self::node(index, &wires)).collect();

        for node in &nodes {
            node.start().await;
        }

        let mesh = Self { nodes, wires };
        for index in 1..mesh.nodes.len() {
            mesh.link(0, index, true);
        }

        mesh
    }

    fn link(&self, a: usize, b: usize, is_up: bool) {
        for (from, to) in [(a, b), (b, a)] {
            let from = &self.nodes[from];
            let to = &self.nodes[to];
            let pair = (from.id.clone(), to.id.clone());
            let mut wires = self.wires.lock();
            let _ = if is_up {
                wires.links.insert(pair)
            } else {
                wires.links.remove(&pair)
            };

            drop(wires);
            from.snapshots.links.send_modify(|links| {
                let links = Arc::make_mut(links);
                if is_up {
                    links.insert(
                        to.id.clone(),
                        LinkInfo {
                            round_trip_us: 1,
                            since: Instant::now(),
                        },
                    );
                } else {
                    links.remove(&to.id);
                }
            });

            let id = to.id.clone();
            let _ = from.home.cast(if is_up {
                GossipMessage::LinkUp(id)
            } else {
                GossipMessage::LinkDown(id)
            });
        }
    }

    async fn all_see(&self, claim: impl Fn(&BoardView) -> bool) -> Duration {
        let mut longest = Duration::ZERO;
        for node in self.nodes.iter().filter(|node| node.home.actor().is_some()) {
            longest += node.sees(&claim).await;
        }
        longest
    }

    async fn all_alive(&self) {
        let ids: Vec<_> = self.nodes.iter().map(|node| node.id.clone()).collect();
        self.all_see(|view| ids.iter().all(|id| is_alive(view, id)))
            .await;
    }
}
