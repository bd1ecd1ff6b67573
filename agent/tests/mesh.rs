//! The mesh's transport over real sockets: who gets in, who does not, and what nobody else notices.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use async_trait::async_trait;
use prometheus::Registry;
use quinn::{Endpoint, RecvStream, SendStream};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use regionmesh::{
    actors::messages::GossipMessage,
    address::Address,
    config::Config,
    mesh::{
        actor::MeshActor,
        ca,
        handle::{BulkService, GossipTransport},
        links::{Mesh, MeshArguments},
        metrics::MeshMetrics,
        tls::{Identity, provider, server_name},
    },
    snapshots::Snapshots,
};
use regionmesh_core::gossip::Verifier;
use regionmesh_protocol::identity::AgentId;
use std::{
    net::{SocketAddr, UdpSocket},
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `claim` holds.
async fn eventually(what: &str, claim: impl Fn() -> bool) {
    let start = Instant::now();
    while !claim() {
        assert!(
            start.elapsed() < PATIENCE,
            "not within {PATIENCE:?}: {what}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[derive(Clone, Default)]
struct Mail(Arc<Mutex<Vec<String>>>);

/// Stands where gossip would: writes down what the mesh tells, answers exchanges with their request
/// reversed.
struct Listener;

impl Actor for Listener {
    type Msg = GossipMessage;
    type State = Mail;
    type Arguments = Mail;
    async fn pre_start(
        &self,
        _: ActorRef<GossipMessage>,
        mail: Mail,
    ) -> Result<Mail, ActorProcessingErr> {
        Ok(mail)
    }
    async fn handle(
        &self,
        _: ActorRef<GossipMessage>,
        message: GossipMessage,
        mail: &mut Mail,
    ) -> Result<(), ActorProcessingErr> {
        let line = match message {
            GossipMessage::LinkUp(peer) => format!("up {peer}"),
            GossipMessage::LinkDown(peer) => format!("down {peer}"),
            GossipMessage::Datagram { from, payload } => {
                format!("{from}: {}", String::from_utf8_lossy(&payload))
            }
            GossipMessage::CertificateReloaded => "reloaded".into(),
            GossipMessage::Exchange {
                mut request, reply, ..
            } => {
                request.reverse();
                reply.send(request)?;
                return Ok(());
            }
            _ => return Ok(()),
        };

        mail.0.lock().unwrap().push(line);
        Ok(())
    }
}

/// Answers a bulk stream with what came in.
struct Echo;

#[async_trait]
impl BulkService for Echo {
    async fn serve(
        &self,
        _: AgentId,
        mut send: SendStream,
        mut recv: RecvStream,
    ) -> Result<(), String> {
        let bytes = recv
            .read_to_end(1 << 20)
            .await
            .map_err(|error| error.to_string())?;

        send.write_all(&bytes)
            .await
            .map_err(|error| error.to_string())?;
        send.finish().map_err(|error| error.to_string())
    }
}

struct Node {
    mesh: Mesh,
    mail: Mail,
    metrics: MeshMetrics,
    identity: Arc<Identity>,
    actor: ActorRef<regionmesh::mesh::actor::MeshMessage>,
    snapshots: Snapshots,
}

impl Node {
    fn heard(&self, line: &str) -> bool {
        self.mail
            .0
            .lock()
            .unwrap()
            .iter()
            .any(|heard| heard == line)
    }

    fn is_linked(&self, peer: &str) -> bool {
        self.snapshots
            .links
            .borrow()
            .contains_key(&peer.parse().unwrap())
    }
}

/// A mesh named `m` with an authority, and free ports for its agents.
struct Bench {
    dir: TempDir,
    ports: Vec<(AgentId, SocketAddr)>,
}

impl Bench {
    fn new(agents: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        ca::init(&dir.path().join("ca"), &"m".parse().unwrap(), 30).unwrap();

        let ports = agents
            .iter()
            .map(|agent| {
                let id: AgentId = agent.parse().unwrap();
                ca::issue(&dir.path().join("ca"), &id, 30, dir.path()).unwrap();
                (
                    id,
                    UdpSocket::bind("127.0.0.1:0")
                        .unwrap()
                        .local_addr()
                        .unwrap(),
                )
            })
            .collect();

        Self { dir, ports }
    }

    fn address(&self, agent: &str) -> SocketAddr {
        self.ports
            .iter()
            .find(|(id, _)| id.to_string() == agent)
            .unwrap()
            .1
    }

    fn config(&self, id: &AgentId) -> Config {
        let mut regions: Vec<&AgentId> = self.ports.iter().map(|(id, _)| id).collect();
        regions.dedup_by_key(|id| id.region.clone());

        let regions = regions.iter().map(|first| {
            format!(
                "[[regions]]\nname = \"{}\"\nendpoint = \"{}\"\nserving_url = \
                    \"http://127.0.0.1:9\"\n",
                first.region,
                self.address(&first.to_string())
            )
        });

        let locals: Vec<String> = self
            .ports
            .iter()
            .filter(|(other, _)| other.region == id.region)
            .map(|(_, address)| format!("{:?}", address.to_string()))
            .collect();
        let dir = self.dir.path().display();
        let stem = format!("{}.{}", id.region, id.agent);
        let text = format!(
            "mesh = \"m\"\nregion = \"{}\"\nagent = \"{}\"\ndata_dir = \"{dir}\"\nlocal_peers = [{}]\n\
             [tls]\nca = \"{dir}/ca.pem\"\ncertificate = \"{dir}/{stem}.pem\"\nkey = \
             \"{dir}/{stem}.key\"\n\
             [listen]\nmesh = \"{}\"\ndns = \"127.0.0.1:0\"\napi = \"127.0.0.1:0\"\nserving = \
             \"127.0.0.1:0\"\n\
             [store]\nurl = \"file://{dir}/store\"\n{}",
            id.region,
            id.agent,
            locals.join(", "),
            self.address(&id.to_string()),
            regions.collect::<String>(),
        );

        let path = self.dir.path().join(format!("{stem}.toml"));
        std::fs::write(&path, text).unwrap();
        Config::load(&path).unwrap()
    }

    async fn start(&self, agent: &str) -> Node {
        let config = Arc::new(self.config(&agent.parse().unwrap()));
        let identity = Identity::load(config.clone()).unwrap();
        let mail = Mail::default();
        let gossip = Address::vacant("gossip");

        gossip.occupy(Actor::spawn(None, Listener, mail.clone()).await.unwrap().0);
        let metrics = MeshMetrics::new(&Registry::new()).unwrap();
        let snapshots = Snapshots::default();
        let mesh = Mesh::new(MeshArguments {
            config,
            identity: identity.clone(),
            snapshots: snapshots.clone(),
            gossip,
            bulk: Arc::new(Echo),
            metrics: metrics.clone(),
        });

        let (actor, _) = Actor::spawn(None, MeshActor, mesh.clone()).await.unwrap();
        Node {
            mesh,
            mail,
            metrics,
            identity,
            actor,
            snapshots,
        }
    }
}

/// A client that is no agent: shows the certificate in `dir/<stem>`, trusts nobody's name.
fn stranger(dir: &Path, stem: &str, alpn: &[u8]) -> Endpoint {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

    let mut tls = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Gullible))
        .with_client_auth_cert(
            vec![CertificateDer::from_pem_file(dir.join(format!("{stem}.pem"))).unwrap()],
            PrivateKeyDer::from_pem_file(dir.join(format!("{stem}.key"))).unwrap(),
        )
        .unwrap();

    tls.alpn_protocols = vec![alpn.to_vec()];
    let tls = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
    let mut endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();

    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(tls)));
    endpoint
}

#[derive(Debug)]
struct Gullible;

impl rustls::client::danger::ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Whether the agent at `address` lets the stranger do anything: a refused client learns it with
/// its first round trip.
async fn is_let_in(stranger: &Endpoint, address: SocketAddr) -> bool {
    let Ok(connecting) = stranger.connect(address, &server_name(&"b".parse().unwrap())) else {
        return false;
    };
    let Ok(connection) = connecting.await else {
        return false;
    };
    let exchange = async {
        let (mut send, mut recv) = connection.open_bi().await.ok()?;
        send.write_all(&[2, b'x']).await.ok()?;
        send.finish().ok()?;
        recv.read_to_end(64).await.ok()
    };

    tokio::time::timeout(Duration::from_secs(5), exchange)
        .await
        .ok()
        .flatten()
        .is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_connect_exchange_send_datagrams_and_bulk() {
    let bench = Bench::new(&["a/0", "b/0"]);
    let a = bench.start("a/0").await;
    let b = bench.start("b/0").await;

    eventually("both are linked", || a.heard("up b/0") && b.heard("up a/0")).await;
    let to_b: AgentId = "b/0".parse().unwrap();
    assert_eq!(
        a.mesh
            .exchange(&to_b, b"abc".to_vec(), PATIENCE)
            .await
            .unwrap(),
        b"cba"
    );

    a.mesh.send_datagram(&to_b, b"hello".to_vec());
    eventually("the datagram arrives", || b.heard("a/0: hello")).await;

    let (mut send, mut recv) = a.mesh.open_bulk(&to_b).await.unwrap();
    send.write_all(b"bulk").await.unwrap();
    send.finish().unwrap();
    assert_eq!(recv.read_to_end(64).await.unwrap(), b"bulk");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_datagram_reaches_an_agent_behind_its_regions_endpoint() {
    let bench = Bench::new(&["a/0", "b/0", "b/1"]);
    let a = bench.start("a/0").await;
    let b0 = bench.start("b/0").await;
    let b1 = bench.start("b/1").await;

    eventually("the region's agents are linked", || {
        b0.is_linked("b/1") && b0.is_linked("a/0")
    })
    .await;

    eventually("and a is linked to its nearest", || a.is_linked("b/0")).await;
    let to: AgentId = "b/1".parse().unwrap();
    eventually("through whichever way", || {
        a.mesh.send_datagram(&to, b"hello".to_vec());
        b1.heard("a/0: hello")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_mesh_actor_has_its_port_and_its_peers_again() {
    let bench = Bench::new(&["a/0", "b/0"]);
    let a = bench.start("a/0").await;
    let b = bench.start("b/0").await;

    eventually("linked", || a.is_linked("b/0") && b.is_linked("a/0")).await;
    a.actor.kill_and_wait(None).await.unwrap();

    let (_actor, _) = Actor::spawn(None, MeshActor, a.mesh.clone()).await.unwrap();
    // The peer may see the new connection before it misses the old one: then that one was never
    // down.
    let links = || {
        a.mail
            .0
            .lock()
            .unwrap()
            .iter()
            .filter(|line| *line == "up b/0")
            .count()
    };

    eventually("linked anew", || links() >= 2).await;
    let to: AgentId = "b/0".parse().unwrap();
    let start = Instant::now();

    while a
        .mesh
        .exchange(&to, b"again".to_vec(), Duration::from_secs(1))
        .await
        .is_err()
    {
        assert!(start.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_refused_counted_and_disturb_nobody() {
    let bench = Bench::new(&["a/0", "b/0"]);
    let a = bench.start("a/0").await;
    let b = bench.start("b/0").await;

    eventually("linked", || a.is_linked("b/0") && b.is_linked("a/0")).await;
    let dir = bench.dir.path();
    let target = bench.address("b/0");

    // The control: one of ours is let in.
    ca::issue(&dir.join("ca"), &"a/guest".parse().unwrap(), 30, dir).unwrap();
    assert!(is_let_in(&stranger(dir, "a.guest", b"regionmesh/1"), target).await);

    // An authority of another's, under the same names.
    let other = tempfile::tempdir().unwrap();
    ca::init(&other.path().join("ca"), &"m".parse().unwrap(), 30).unwrap();
    ca::issue(
        &other.path().join("ca"),
        &"a/0".parse().unwrap(),
        30,
        other.path(),
    )
    .unwrap();

    assert!(!is_let_in(&stranger(other.path(), "a.0", b"regionmesh/1"), target).await);
    eventually("counted", || b.metrics.refused("certificate") >= 1).await;

    // Another mesh's name, signed by our own authority's key.
    let renamed = tempfile::tempdir().unwrap();
    certificate(dir, renamed.path(), "spiffe://other/region/a/agent/0", 0, 1);
    assert!(!is_let_in(&stranger(renamed.path(), "x", b"regionmesh/1"), target).await);

    // No identity at all, and an expired one.
    certificate(dir, renamed.path(), "https://example.org/", 0, 1);
    assert!(!is_let_in(&stranger(renamed.path(), "x", b"regionmesh/1"), target).await);
    certificate(dir, renamed.path(), "spiffe://m/region/a/agent/0", -2, -1);
    assert!(!is_let_in(&stranger(renamed.path(), "x", b"regionmesh/1"), target).await);
    eventually("all three counted", || {
        b.metrics.refused("certificate") >= 4
    })
    .await;

    // A protocol that is not ours.
    assert!(!is_let_in(&stranger(dir, "a.guest", b"h3"), target).await);
    eventually("counted", || b.metrics.refused("handshake") >= 1).await;

    // Random bytes. What good peers send is not taken for such.
    assert_eq!(b.metrics.refused("not-quic"), 0);

    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for seed in 0..2_000u32 {
        let bytes: Vec<u8> = (0..200)
            .map(|i| (seed.wrapping_mul(2_654_435_761).rotate_left(i) >> 7) as u8)
            .collect();
        socket.send_to(&bytes, target).unwrap();
    }

    eventually("counted", || b.metrics.refused("not-quic") >= 1).await;

    assert!(
        !a.heard("down b/0") && !b.heard("down a/0"),
        "the good peers never noticed"
    );

    assert_eq!(
        a.mesh
            .exchange(&"b/0".parse().unwrap(), b"ok".to_vec(), PATIENCE)
            .await
            .unwrap(),
        b"ko"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_handshakes_is_shed_and_a_good_peer_stays() {
    let bench = Bench::new(&["a/0", "b/0"]);
    let a = bench.start("a/0").await;
    let b = bench.start("b/0").await;

    eventually("linked", || a.is_linked("b/0") && b.is_linked("a/0")).await;
    ca::issue(
        &bench.dir.path().join("ca"),
        &"a/guest".parse().unwrap(),
        30,
        bench.dir.path(),
    )
    .unwrap();

    let flood = stranger(bench.dir.path(), "a.guest", b"regionmesh/1");
    // Begun and dropped: each leaves an Initial packet behind and never finishes.
    for _ in 0..10_000 {
        drop(flood.connect(bench.address("b/0"), &server_name(&"b".parse().unwrap())));
        tokio::task::yield_now().await;
    }

    eventually("most are shed", || {
        let count = |outcome: &str| b.metrics.handshakes.with_label_values(&[outcome]).get();
        count("shed") + count("retried") > 100
    })
    .await;

    assert!(!a.heard("down b/0") && !b.heard("down a/0"));
    assert_eq!(
        a.mesh
            .exchange(&"b/0".parse().unwrap(), b"ok".to_vec(), PATIENCE)
            .await
            .unwrap(),
        b"ko"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_sends_garbage_on_a_stream_is_disconnected_with_a_reason() {
    let bench = Bench::new(&["a/0", "b/0"]);
    let b = bench.start("b/0").await;
    ca::issue(
        &bench.dir.path().join("ca"),
        &"a/guest".parse().unwrap(),
        30,
        bench.dir.path(),
    )
    .unwrap();

    let guest = stranger(bench.dir.path(), "a.guest", b"regionmesh/1");
    let connect = async || {
        guest
            .connect(bench.address("b/0"), "b.region.regionmesh.invalid")
            .unwrap()
            .await
            .unwrap()
    };

    let connection = connect().await;
    let (mut send, _recv) = connection.open_bi().await.unwrap();
    send.write_all(&[250, 1, 2, 3]).await.unwrap();
    connection.closed().await;
    assert_eq!(b.metrics.refused("unknown-stream"), 1);

    let connection = connect().await;
    connection.send_datagram(vec![0xff; 100].into()).unwrap();
    connection.closed().await;
    assert_eq!(b.metrics.refused("datagram"), 1);

    let connection = connect().await;
    let (mut send, _recv) = connection.open_bi().await.unwrap();
    send.write_all(&[2]).await.unwrap();

    let chunk = vec![0; 1 << 20];
    while send.write_all(&chunk).await.is_ok() {}
    connection.closed().await;
    assert_eq!(b.metrics.refused("oversize"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_region_is_not_accepted_behind_an_endpoint() {
    let bench = Bench::new(&["a/0", "b/0"]);
    // At b's endpoint answers an agent whose certificate says region c.
    ca::issue(
        &bench.dir.path().join("ca"),
        &"c/0".parse().unwrap(),
        30,
        bench.dir.path(),
    )
    .unwrap();

    let mut config = bench.config(&"b/0".parse().unwrap());
    config.region = "c".parse().unwrap();
    config.tls.certificate = bench.dir.path().join("c.0.pem");
    config.tls.key = bench.dir.path().join("c.0.key");

    // c dials nobody: the question is whether a accepts it.
    config.regions.clear();
    config.local_peers.clear();

    let identity = Identity::load(Arc::new(config.clone())).unwrap();
    let mesh = Mesh::new(MeshArguments {
        config: Arc::new(config),
        identity,
        snapshots: Snapshots::default(),
        gossip: Address::vacant("gossip"),
        bulk: Arc::new(Echo),
        metrics: MeshMetrics::new(&Registry::new()).unwrap(),
    });

    let (_c, _) = Actor::spawn(None, MeshActor, mesh).await.unwrap();
    let a = bench.start("a/0").await;
    eventually("a tries and is not content", || {
        a.metrics.dial_failures.with_label_values(&["b"]).get() >= 3
    })
    .await;

    assert!(a.snapshots.links.borrow().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn new_certificate_files_are_used_without_a_restart_and_bad_ones_are_not() {
    let bench = Bench::new(&["a/0", "b/0"]);
    let a = bench.start("a/0").await;
    let b = bench.start("b/0").await;

    eventually("linked", || a.is_linked("b/0") && b.is_linked("a/0")).await;
    let before = a.identity.expires_s();
    std::fs::write(bench.dir.path().join("a.0.pem"), "nonsense").unwrap();
    eventually("the fault is counted", || {
        a.metrics.reloads.with_label_values(&["refused"]).get() == 1
    })
    .await;

    assert_eq!(a.identity.expires_s(), before);

    let fresh = tempfile::tempdir().unwrap();
    ca::issue(
        &bench.dir.path().join("ca"),
        &"a/0".parse().unwrap(),
        60,
        fresh.path(),
    )
    .unwrap();

    for file in ["a.0.key", "a.0.pem"] {
        std::fs::rename(fresh.path().join(file), bench.dir.path().join(file)).unwrap();
    }
    eventually("gossip is told", || a.heard("reloaded")).await;
    assert!(a.identity.expires_s() > before);
    assert!(!b.heard("down a/0"), "connections live on");
}

#[tokio::test]
async fn a_signature_is_the_owners_and_nobody_elses() {
    use regionmesh_core::gossip::Signer;

    let bench = Bench::new(&["a/0", "b/0"]);
    let identity =
        |agent: &str| Identity::load(Arc::new(bench.config(&agent.parse().unwrap()))).unwrap();
    let a = identity("a/0");
    let b = identity("b/0");
    let signature = a.sign(b"fact").unwrap();

    assert_eq!(b.check_signature(&a.chain(), b"fact", &signature), Ok(()));
    assert!(b.check_signature(&a.chain(), b"fake", &signature).is_err());
    assert!(b.check_signature(&b.chain(), b"fact", &signature).is_err());
    assert!(b.check_signature(&a.chain(), b"fact", &[]).is_err());
    assert_eq!(b.check_chain(&"a/0".parse().unwrap(), &a.chain()), Ok(()));
    assert!(b.check_chain(&"a/1".parse().unwrap(), &a.chain()).is_err());
}

/// Signs a certificate with the URI name `uri`, valid from and to the given days from now, with the
/// bench's own authority.
fn certificate(dir: &Path, out: &Path, uri: &str, from_days: i64, to_days: i64) {
    let ca_dir = dir.join("ca");
    let key =
        rcgen::KeyPair::from_pem(&std::fs::read_to_string(ca_dir.join("ca.key")).unwrap()).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(
        &std::fs::read_to_string(ca_dir.join("ca.pem")).unwrap(),
        key,
    )
    .unwrap();
    let mut params = rcgen::CertificateParams::default();

    params.subject_alt_names = vec![rcgen::SanType::URI(uri.try_into().unwrap())];
    params.extended_key_usages = vec![
        rcgen::ExtendedKeyUsagePurpose::ServerAuth,
        rcgen::ExtendedKeyUsagePurpose::ClientAuth,
    ];

    let now = time::OffsetDateTime::now_utc();
    params.not_before = now + time::Duration::days(from_days) - time::Duration::minutes(5);
    params.not_after = now + time::Duration::days(to_days);

    let pair = rcgen::KeyPair::generate().unwrap();
    std::fs::write(
        out.join("x.pem"),
        params.signed_by(&pair, &issuer).unwrap().pem(),
    )
    .unwrap();

    std::fs::write(out.join("x.key"), pair.serialize_pem()).unwrap();
}
