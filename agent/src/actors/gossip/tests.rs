use super::*;
use crate::address::Address;
use async_trait::async_trait;
use prometheus::Registry;
use regionmesh_mesh::{LinkInfo, Peer};
use regionmesh_protocol::status::{LeaderStatus, Links, ServingStatus, StatusKind};

/// A toy key: a signature is a hash under a secret that only tests know.
struct Key(AgentId, AtomicU64);

fn toy_signature(leaf: &[u8], message: &[u8]) -> Vec<u8> {
    blake3::hash(&[b"secret", leaf, message].concat())
        .as_bytes()
        .to_vec()
}

impl Signer for Key {
    fn chain(&self) -> Vec<Vec<u8>> {
        vec![format!("{}#{}", self.0, self.1.load(Ordering::Relaxed)).into_bytes()]
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

/// The network of one process: who is connected to whom, and how well.
#[derive(Default)]
struct Wires {
    homes: BTreeMap<AgentId, Address<GossipMessage>>,
    links: BTreeSet<(AgentId, AgentId)>,
    /// Loses one in so many; 0 loses none.
    lose_every: u64,
    sent: u64,
    exchanges: u64,
}

#[derive(Clone)]
struct Wire {
    own: AgentId,
    wires: Arc<Mutex<Wires>>,
}

const ONE_WAY: Duration = Duration::from_millis(30);

impl Wire {
    /// Where `to` lives, if the packet gets there. Datagrams are relayed over one hop, exchanges
    /// are not.
    fn reach(&self, to: &AgentId, may_relay: bool) -> Option<Address<GossipMessage>> {
        let mut wires = self.wires.lock().unwrap();
        wires.sent += 1;
        if wires.lose_every > 0 && wires.sent.is_multiple_of(wires.lose_every) {
            return None;
        }

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
        self.wires.lock().unwrap().exchanges += 1;

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
    key: Arc<Key>,
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

    /// Waits until the board shows `claim`; says how long it took.
    async fn sees(&self, claim: impl Fn(&BoardView) -> bool) -> Duration {
        let mut board = self.snapshots.board.subscribe();
        let begin = tokio::time::Instant::now();
        let waited =
            tokio::time::timeout(Duration::from_secs(60), board.wait_for(|view| claim(view))).await;

        assert!(waited.is_ok(), "{} never saw it", self.id);
        begin.elapsed()
    }

    fn metric(&self, name: &str, label: &str) -> u64 {
        let families = self.registry.gather();
        let metrics = families
            .iter()
            .filter(|family| family.name() == name)
            .flat_map(|family| family.get_metric());

        metrics
            .filter(|metric| {
                label.is_empty() || metric.get_label().iter().any(|pair| pair.value() == label)
            })
            .map(|metric| {
                metric.get_counter().get_value() as u64 + metric.get_gauge().get_value() as u64
            })
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
    fn node(index: usize, started_ms: u64, wires: &Arc<Mutex<Wires>>) -> Node {
        let id: AgentId = format!("region-{index}/node").parse().unwrap();
        let registry = Registry::new();
        let snapshots = Snapshots::default();
        let key = Arc::new(Key(id.clone(), AtomicU64::new(0)));
        let setup = GossipSetup {
            own: id.clone(),
            mesh: "test.mesh".parse().unwrap(),
            boot: index as u64,
            started_ms,
            transport: Arc::new(Wire {
                own: id.clone(),
                wires: wires.clone(),
            }),
            signer: key.clone(),
            verifier: Arc::new(Toy),
            snapshots: snapshots.clone(),
            metrics: GossipMetrics::new(&registry).unwrap(),
        };

        let home = Address::vacant("gossip");
        wires.lock().unwrap().homes.insert(id.clone(), home.clone());
        Node {
            id,
            arguments: setup.into(),
            home,
            snapshots,
            registry,
            key,
        }
    }

    /// Five nodes in a star: all know each other through the first.
    async fn star() -> Self {
        Self::star_of(5).await
    }

    async fn star_of(count: usize) -> Self {
        let wires = Arc::new(Mutex::new(Wires::default()));
        let nodes: Vec<Node> = (0..count)
            .map(|index| Self::node(index, 1000, &wires))
            .collect();

        for node in &nodes {
            node.start().await;
        }

        let mesh = Self { nodes, wires };
        for index in 1..count {
            mesh.link(0, index, true);
        }

        mesh
    }

    fn link(&self, a: usize, b: usize, is_up: bool) {
        for (from, to) in [(a, b), (b, a)] {
            let from = &self.nodes[from];
            let to = &self.nodes[to];
            let pair = (from.id.clone(), to.id.clone());
            let mut wires = self.wires.lock().unwrap();
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

#[tokio::test(start_paused = true)]
async fn a_fact_reaches_everybody_through_the_node_in_the_middle() {
    let mesh = Mesh::star().await;
    mesh.all_alive().await;
    mesh.nodes[1].publish(serving(7));

    let took = mesh
        .all_see(|view| has(view, &mesh.nodes[1].id, &serving(7)))
        .await;
    println!("to all, over two hops of 30 ms: {took:?}");
    assert!(took < Duration::from_millis(250), "{took:?}");

    let view = mesh.nodes[4].snapshots.board.borrow().clone();
    assert!(
        view.agents
            .values()
            .all(|agent| agent.status_entries.contains_key(&StatusKind::Certificate))
    );

    // A direct peer hears of it with the request itself.
    tokio::time::sleep(Duration::from_secs(3)).await;
    mesh.nodes[1].publish(serving(8));

    let took = mesh.nodes[0]
        .sees(|view| has(view, &mesh.nodes[1].id, &serving(8)))
        .await;
    assert!(took < Duration::from_millis(60), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_made_while_gossip_was_being_started_is_used_at_once() {
    let mesh = Mesh::star().await;
    mesh.all_alive().await;

    let restarted = &mesh.nodes[4];
    restarted.crash();

    // The other side still holds the connection to the life before, so it has no reason to speak
    // first.
    let links = restarted.snapshots.links.send_replace(Arc::default());
    let (actor, _) = Actor::spawn(None, GossipActor, restarted.arguments.clone())
        .await
        .unwrap();

    // Started, and not yet where messages go: nobody can tell it of this.
    restarted.snapshots.links.send_replace(links);
    restarted.home.occupy(actor);
    restarted.publish(serving(4));

    let took = mesh.nodes[0]
        .sees(|view| has(view, &restarted.id, &serving(4)))
        .await;
    assert!(took < Duration::from_millis(300), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn facts_arrive_although_packets_are_lost() {
    let mesh = Mesh::star().await;
    mesh.wires.lock().unwrap().lose_every = 3;
    for (index, node) in mesh.nodes.iter().enumerate() {
        node.publish(serving(index as u64));
    }

    let ids: Vec<_> = mesh.nodes.iter().map(|node| node.id.clone()).collect();
    let all = |view: &BoardView| {
        ids.iter()
            .zip(0..)
            .all(|(id, value)| has(view, id, &serving(value)))
    };
    let took = mesh.all_see(all).await;

    assert!(took < Duration::from_secs(20), "{took:?}");
    assert!(mesh.nodes[0].metric("regionmesh_gossip_exchanges_total", "broken") > 0);
}

#[tokio::test(start_paused = true)]
async fn a_killed_agent_is_shown_dead_and_its_facts_stay() {
    let mesh = Mesh::star().await;
    mesh.nodes[3].publish(serving(3));
    mesh.all_alive().await;
    mesh.all_see(|view| has(view, &mesh.nodes[3].id, &serving(3)))
        .await;
    mesh.nodes[3].crash();

    let took = mesh
        .all_see(|view| !is_alive(view, &mesh.nodes[3].id))
        .await;
    println!("shown dead after {took:?}");
    assert!(took < Duration::from_secs(4), "{took:?}");
    assert!(has(
        &mesh.nodes[4].snapshots.board.borrow(),
        &mesh.nodes[3].id,
        &serving(3)
    ));

    assert_eq!(
        mesh.nodes[4].metric("regionmesh_gossip_members_alive", ""),
        4
    );
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_kills_nobody() {
    let mesh = Mesh::star().await;
    mesh.link(1, 2, true);
    mesh.all_alive().await;
    mesh.link(0, 1, false);
    tokio::time::sleep(Duration::from_secs(10)).await;

    for node in &mesh.nodes[..3] {
        let view = node.snapshots.board.borrow().clone();
        assert!(
            is_alive(&view, &mesh.nodes[1].id) && is_alive(&view, &mesh.nodes[0].id),
            "{}",
            node.id
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_crashed_goes_on_with_its_board_and_nobody_sees_it_die() {
    let mesh = Mesh::star().await;
    mesh.nodes[2].publish(serving(1));
    mesh.all_alive().await;
    mesh.all_see(|view| has(view, &mesh.nodes[2].id, &serving(1)))
        .await;

    let before = mesh.nodes[2].arguments.board.lock().unwrap().digest();
    mesh.nodes[2].crash();
    tokio::time::sleep(Duration::from_millis(100)).await;
    mesh.nodes[2].start().await;
    assert_eq!(
        mesh.nodes[2].arguments.board.lock().unwrap().digest(),
        before
    );

    let mut watched = mesh.nodes[0].snapshots.board.subscribe();
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(is_alive(&watched.borrow_and_update(), &mesh.nodes[2].id));

        let own = mesh.nodes[2].snapshots.board.borrow().clone();
        assert!(
            mesh.nodes.iter().all(|node| is_alive(&own, &node.id)),
            "it forgot who is alive"
        );
    }

    mesh.nodes[2].publish(serving(2));
    mesh.all_see(|view| has(view, &mesh.nodes[2].id, &serving(2)))
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_restarted_process_replaces_its_facts() {
    let mut mesh = Mesh::star().await;
    mesh.nodes[2].publish(serving(1));
    mesh.nodes[2].publish(StatusEntry::Leader(LeaderStatus::default()));
    mesh.all_alive().await;
    mesh.all_see(|view| {
        has(
            view,
            &mesh.nodes[2].id,
            &StatusEntry::Leader(LeaderStatus::default()),
        )
    })
    .await;

    mesh.nodes[2].crash();
    // Its clock was even set back.
    mesh.nodes[2] = Mesh::node(2, 500, &mesh.wires);
    mesh.nodes[2].start().await;
    mesh.link(0, 2, true);
    mesh.nodes[2].publish(serving(9));

    let id = mesh.nodes[2].id.clone();
    mesh.all_see(|view| has(view, &id, &serving(9)) && is_alive(view, &id))
        .await;
    assert!(!has(
        &mesh.nodes[4].snapshots.board.borrow(),
        &id,
        &StatusEntry::Leader(LeaderStatus::default())
    ));
}

#[tokio::test(start_paused = true)]
async fn a_new_certificate_reaches_everybody_with_all_facts() {
    let mesh = Mesh::star().await;
    mesh.nodes[1].publish(serving(1));
    mesh.all_see(|view| has(view, &mesh.nodes[1].id, &serving(1)))
        .await;
    mesh.nodes[1].key.1.store(1, Ordering::Relaxed);
    mesh.nodes[1]
        .home
        .cast(GossipMessage::CertificateReloaded)
        .unwrap();

    let certificate = StatusEntry::Certificate(mesh.nodes[1].key.chain());
    let id = &mesh.nodes[1].id;
    mesh.all_see(|view| has(view, id, &certificate) && has(view, id, &serving(1)))
        .await;
    assert!(
        mesh.nodes.iter().all(|node| node
            .metric("regionmesh_gossip_entries_rejected_total", "bad_signature")
            == 0)
    );
}

#[tokio::test(start_paused = true)]
async fn garbage_is_refused_counted_and_harmless() {
    let mesh = Mesh::star().await;
    mesh.all_alive().await;

    let node = &mesh.nodes[0];
    let from = mesh.nodes[1].id.clone();
    let answer = node
        .home
        .call(
            |reply| GossipMessage::Exchange {
                from: from.clone(),
                request: vec![0xff; 1000],
                reply,
            },
            EXCHANGE_TIMEOUT,
        )
        .await
        .unwrap();

    assert!(matches!(
        ExchangeReply::decode(&answer),
        Ok(ExchangeReply::Refused(_))
    ));

    assert_eq!(
        node.metric("regionmesh_gossip_exchanges_total", "refused_malformed"),
        1
    );

    node.home
        .cast(GossipMessage::Datagram {
            from,
            payload: vec![0xff; 200],
        })
        .unwrap();

    node.publish(serving(1));
    node.sees(|view| has(view, &node.id, &serving(1))).await;
    assert_eq!(
        node.metric("regionmesh_gossip_datagrams_refused_total", "malformed"),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_was_dead_for_an_hour_is_forgotten_everywhere() {
    let mesh = Mesh::star_of(3).await;
    mesh.all_alive().await;
    mesh.nodes[2].crash();
    tokio::time::sleep(FORGET_AFTER - Duration::from_secs(30)).await;
    assert!(
        mesh.nodes[0]
            .snapshots
            .board
            .borrow()
            .agents
            .contains_key(&mesh.nodes[2].id)
    );

    tokio::time::sleep(Duration::from_secs(90)).await;
    mesh.all_see(|view| !view.agents.contains_key(&mesh.nodes[2].id))
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_quiet_mesh_stays_quiet() {
    let mesh = Mesh::star().await;
    mesh.all_alive().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    mesh.nodes[1].publish(StatusEntry::Links(Links::default()));
    mesh.nodes[1].publish(StatusEntry::Links(Links::default()));
    tokio::time::sleep(Duration::from_secs(5)).await;

    let before = mesh.wires.lock().unwrap().exchanges;
    tokio::time::sleep(Duration::from_secs(60)).await;

    let exchanges = mesh.wires.lock().unwrap().exchanges - before;
    // One in a second each: the anti-entropy, and nothing else.
    assert!(exchanges <= 5 * 61, "{exchanges} exchanges in a minute");
}
