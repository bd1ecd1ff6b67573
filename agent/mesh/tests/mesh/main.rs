//! The mesh's transport over real sockets: which peers are admitted, which are refused, and that
//! others are not affected.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bench;
mod outsider;

use bench::{Bench, Node, TIMEOUT, eventually, files};
use outsider::{certificate, is_served, outsider};
use ractor::Actor;
use regionmesh_core::gossip::Verifier;
use regionmesh_mesh::{GossipTransport, MeshActor, init_authority, issue_certificate};
use regionmesh_protocol::identity::AgentId;
use std::{
    net::UdpSocket,
    time::{Duration, Instant},
};

#[tokio::test(flavor = "multi_thread")]
async fn agents_connect_and_transfer_exchanges_datagrams_and_bulk_streams() {
    let bench = Bench::new(&["a/0", "b/0"]);
    let a = bench.start("a/0").await;
    let b = bench.start("b/0").await;

    eventually("both are linked", || {
        a.has_event("up b/0") && b.has_event("up a/0")
    })
    .await;
    let to_b: AgentId = "b/0".parse().unwrap();
    assert_eq!(a.ask("b/0", "abc").await, b"cba");

    a.mesh.send_datagram(&to_b, b"hello".to_vec());
    eventually("the datagram arrives", || b.has_event("a/0: hello")).await;

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
    eventually("through either path", || {
        a.mesh.send_datagram(&to, b"hello".to_vec());
        b1.has_event("a/0: hello")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_mesh_actor_recovers_its_port_and_peers() {
    let bench = Bench::new(&["a/0", "b/0"]);
    let a = bench.start("a/0").await;
    let b = bench.start("b/0").await;

    eventually("linked", || a.is_linked("b/0") && b.is_linked("a/0")).await;
    a.actor.kill_and_wait(None).await.unwrap();

    let (_actor, _) = Actor::spawn(None, MeshActor, a.mesh.clone()).await.unwrap();
    // The peer may see the new connection before it detects the loss of the old one: then it
    // reports no `down`.
    eventually("linked again", || a.event_count("up b/0") >= 2).await;
    let to: AgentId = "b/0".parse().unwrap();
    let start = Instant::now();

    while a
        .mesh
        .exchange(&to, b"again".to_vec(), Duration::from_secs(1))
        .await
        .is_err()
    {
        assert!(start.elapsed() < TIMEOUT);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn untrusted_clients_are_refused_and_counted_and_peers_are_unaffected() {
    let bench = Bench::new(&["a/0", "b/0"]);
    let a = bench.start("a/0").await;
    let b = bench.start("b/0").await;

    eventually("linked", || a.is_linked("b/0") && b.is_linked("a/0")).await;
    let dir = bench.dir.path();
    let target = bench.address("b/0");

    // Control: a client with a valid certificate is admitted.
    bench.issue("a/guest");
    assert!(is_served(&outsider(dir, "a.guest", b"regionmesh/1"), target).await);

    // A foreign authority that uses the same names.
    let other = tempfile::tempdir().unwrap();
    init_authority(&other.path().join("ca"), &"m".parse().unwrap(), 30).unwrap();
    issue_certificate(
        &other.path().join("ca"),
        &"a/0".parse().unwrap(),
        30,
        other.path(),
    )
    .unwrap();

    assert!(!is_served(&outsider(other.path(), "a.0", b"regionmesh/1"), target).await);
    eventually("counted", || b.refused("certificate") >= 1).await;

    // Another mesh's name, signed by our own authority's key.
    let renamed = tempfile::tempdir().unwrap();
    certificate(dir, renamed.path(), "spiffe://other/region/a/agent/0", 0, 1);
    assert!(!is_served(&outsider(renamed.path(), "x", b"regionmesh/1"), target).await);

    // No identity at all, and an expired one.
    certificate(dir, renamed.path(), "https://example.org/", 0, 1);
    assert!(!is_served(&outsider(renamed.path(), "x", b"regionmesh/1"), target).await);
    certificate(dir, renamed.path(), "spiffe://m/region/a/agent/0", -2, -1);
    assert!(!is_served(&outsider(renamed.path(), "x", b"regionmesh/1"), target).await);
    eventually("all three counted", || b.refused("certificate") >= 4).await;

    // Another ALPN protocol.
    assert!(!is_served(&outsider(dir, "a.guest", b"h3"), target).await);
    eventually("counted", || b.refused("handshake") >= 1).await;

    // Random bytes. Packets of real peers are not counted as such.
    assert_eq!(b.refused("not-quic"), 0);

    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for seed in 0..2_000u32 {
        let bytes: Vec<u8> = (0..200)
            .map(|i| (seed.wrapping_mul(2_654_435_761).rotate_left(i) >> 7) as u8)
            .collect();
        socket.send_to(&bytes, target).unwrap();
    }

    eventually("counted", || b.refused("not-quic") >= 1).await;

    assert!(
        !a.has_event("down b/0") && !b.has_event("down a/0"),
        "real peers are not affected"
    );

    assert_eq!(a.ask("b/0", "ok").await, b"ko");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_flood_is_shed_and_connected_peers_stay_connected() {
    let bench = Bench::new(&["a/0", "b/0"]);
    let a = bench.start("a/0").await;
    let b = bench.start("b/0").await;

    eventually("linked", || a.is_linked("b/0") && b.is_linked("a/0")).await;
    bench.issue("a/guest");

    let flood = outsider(bench.dir.path(), "a.guest", b"regionmesh/1");
    // Started and dropped: each sends an Initial packet and never completes.
    for _ in 0..10_000 {
        drop(flood.connect(bench.address("b/0"), "b.region.regionmesh.invalid"));
        tokio::task::yield_now().await;
    }

    eventually("most are shed", || {
        let count = |outcome: &str| b.metric("regionmesh_mesh_handshakes_total", outcome);
        count("shed") + count("retried") > 100
    })
    .await;

    assert!(!a.has_event("down b/0") && !b.has_event("down a/0"));
    assert_eq!(a.ask("b/0", "ok").await, b"ko");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_sends_garbage_on_a_stream_is_disconnected_with_a_reason() {
    let bench = Bench::new(&["a/0", "b/0"]);
    let b = bench.start("b/0").await;
    bench.issue("a/guest");

    let guest = outsider(bench.dir.path(), "a.guest", b"regionmesh/1");
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
    assert_eq!(b.refused("unknown-stream"), 1);

    let connection = connect().await;
    connection.send_datagram(vec![0xff; 100].into()).unwrap();
    connection.closed().await;
    assert_eq!(b.refused("datagram"), 1);

    let connection = connect().await;
    let (mut send, _recv) = connection.open_bi().await.unwrap();
    send.write_all(&[2]).await.unwrap();

    let chunk = vec![0; 1 << 20];
    while send.write_all(&chunk).await.is_ok() {}
    connection.closed().await;
    assert_eq!(b.refused("oversize"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_region_is_not_accepted_behind_an_endpoint() {
    let bench = Bench::new(&["a/0", "b/0"]);
    // The agent at b's endpoint has a certificate of region c.
    bench.issue("c/0");

    let mut setup = bench.setup("b/0");
    setup.id = "c/0".parse().unwrap();
    setup.tls = files(bench.dir.path(), &setup.id);

    // c does not dial: the test is whether a accepts it.
    setup.settings.regions.clear();
    setup.settings.local_peers.clear();

    let _c = Node::start(setup).await;
    let a = bench.start("a/0").await;
    eventually("a tries and refuses", || {
        a.metric("regionmesh_mesh_dial_failures_total", "b") >= 3
    })
    .await;

    assert!(a.has_no_links());
}

#[tokio::test(flavor = "multi_thread")]
async fn valid_new_certificates_are_used_without_a_restart_and_bad_ones_ignored() {
    let bench = Bench::new(&["a/0", "b/0"]);
    let a = bench.start("a/0").await;
    let b = bench.start("b/0").await;

    eventually("linked", || a.is_linked("b/0") && b.is_linked("a/0")).await;
    let expires_s = || a.metric("regionmesh_certificate_expiry_timestamp_seconds", "");
    let before = expires_s();
    assert!(before > 0);
    std::fs::write(bench.dir.path().join("a.0.pem"), "nonsense").unwrap();
    eventually("the fault is counted", || {
        a.metric("regionmesh_mesh_certificate_reloads_total", "refused") == 1
    })
    .await;

    assert_eq!(expires_s(), before);

    let fresh = tempfile::tempdir().unwrap();
    issue_certificate(
        &bench.dir.path().join("ca"),
        &"a/0".parse().unwrap(),
        60,
        fresh.path(),
    )
    .unwrap();

    for file in ["a.0.key", "a.0.pem"] {
        std::fs::rename(fresh.path().join(file), bench.dir.path().join(file)).unwrap();
    }
    eventually("gossip is notified", || a.has_event("reloaded")).await;
    assert!(expires_s() > before);
    assert!(!b.has_event("down a/0"), "connections live on");
}

#[tokio::test]
async fn a_signature_verifies_only_for_its_owner() {
    use regionmesh_core::gossip::Signer;

    let bench = Bench::new(&["a/0", "b/0"]);
    let a = bench.setup("a/0").identity();
    let b = bench.setup("b/0").identity();
    let signature = a.sign(b"entry").unwrap();

    assert_eq!(b.check_signature(&a.chain(), b"entry", &signature), Ok(()));
    assert!(b.check_signature(&a.chain(), b"fake", &signature).is_err());
    assert!(b.check_signature(&b.chain(), b"entry", &signature).is_err());
    assert!(b.check_signature(&a.chain(), b"entry", &[]).is_err());
    assert_eq!(b.check_chain(&"a/0".parse().unwrap(), &a.chain()), Ok(()));
    assert!(b.check_chain(&"a/1".parse().unwrap(), &a.chain()).is_err());
}
