//! The zone as seen from outside: a real recursive resolver that follows the delegation, and
//! clients that ask too often or for what is refused.

use regionmesh::config::Config;
use regionmesh_tests::{
    dig,
    mesh::{SERVICE, Setup, TestMesh},
    skip::{has_program, skip},
    wait::{claim, seconds, until},
};
use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::Path,
};
use tokio::process::{Child, Command};

const ZONE: &str = "regionmesh.test";

/// What dig prints, also when it fails.
async fn dig(server: SocketAddr, question: &str) -> String {
    dig::dig(server, 5, question).await.text
}

/// Delegations have no port: agents listen on the standard port.
fn on_port_53(config: &mut Config) {
    config.listen.dns.set_port(53);
}

fn limits_for_all(config: &mut Config) {
    config.dns.rate_limit.exempt.clear();
}

/// BIND as a recursive resolver that also has the parent zone, with its delegation and glue.
fn named(directory: &Path, at: SocketAddr, mesh: &TestMesh) -> Child {
    let mut parent = String::from(
        "$TTL 5\n@ IN SOA a.parent.test. b.parent.test. 1 60 60 600 5\n@ IN NS a.parent\n",
    );
    parent += &format!("a.parent IN A {}\n", at.ip());
    for (name, agent) in mesh.layout().regions.iter().zip(mesh.agents()) {
        parent += &format!(
            "regionmesh IN NS ns-{name}.regionmesh\nns-{name}.regionmesh IN A {}\n",
            agent.ip
        );
    }

    std::fs::write(directory.join("parent"), parent).unwrap();
    let config = format!(
        "options {{ directory \"{0}\"; pid-file none; session-keyfile none; \
         listen-on port {1} {{ {2}; }}; recursion yes; dnssec-validation no; \
         empty-zones-enable no; }};\ncontrols {{ }};\n\
         zone \"test\" {{ type primary; file \"{0}/parent\"; }};\n",
        directory.display(),
        at.port(),
        at.ip()
    );

    std::fs::write(directory.join("named.conf"), config).unwrap();
    let log = std::fs::File::create(directory.join("log")).unwrap();
    let mut command = Command::new("named");

    command
        .args(["-4", "-g", "-c"])
        .arg(directory.join("named.conf"))
        .stderr(log)
        .kill_on_drop(true);

    command
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recursive_resolver_follows_the_delegation_and_leaves_a_dead_region() {
    if !has_program("dig", "bind9-dnsutils") || !has_program("named", "bind9") {
        return;
    }
    if UdpSocket::bind((Ipv4Addr::new(127, 0, 103, 9), 53)).is_err() {
        return skip("port 53 is not allowed");
    }

    let mesh = TestMesh::start_with(Setup {
        adjust: Some(on_port_53),
        ..Setup::default()
    })
    .await;

    mesh.converged().await;
    let directory = tempfile::tempdir().unwrap();

    // named listens on addresses of interfaces alone, which the other loopback addresses are not.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let _named = named(directory.path(), port, &mesh);
    let question = format!("{SERVICE} A +short");
    let all: BTreeSet<String> = mesh
        .agents()
        .iter()
        .map(|agent| agent.ip.to_string())
        .collect();
    let mut answered = BTreeSet::new();

    until(
        "every region comes through the resolver",
        seconds(90),
        async || {
            // Anything but an address is an error of dig about a resolver that is still starting.
            let text = dig(port, &question).await;
            answered.extend(
                text.lines()
                    .filter(|line| line.parse::<Ipv4Addr>().is_ok())
                    .map(str::to_owned),
            );

            claim(answered == all, || format!("{answered:?}"))
        },
    )
    .await;

    let text = dig(port, &format!("nothing.{ZONE} A")).await;
    assert!(
        text.contains("status: NXDOMAIN") && text.contains("SOA"),
        "{text}"
    );

    let dead = mesh.agent(0).ip.to_string();
    mesh.kill_region(0).await;

    until_resolver_leaves(port, &question, &dead).await;
}

async fn until_resolver_leaves(port: SocketAddr, question: &str, dead: &str) {
    let mut without = 0;
    until(
        "the resolver no longer names the dead region",
        seconds(90),
        async || {
            let text = dig(port, question).await;
            without = if !text.is_empty() && !text.contains(dead) {
                without + 1
            } else {
                0
            };

            claim(without > 40, || {
                format!("{without} answers without {dead}; the last: {text}")
            })
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transfers_are_refused_floods_are_cut_and_cookies_lift_the_limit() {
    if !has_program("dig", "bind9-dnsutils") {
        return;
    }

    let mesh = TestMesh::start_with(Setup {
        adjust: Some(limits_for_all),
        ..Setup::default()
    })
    .await;

    mesh.converged().await;
    let server = mesh.agent(0).dns();
    let ask = async |question: &str| dig(server, question).await;

    assert!(
        ask(&format!("{ZONE} AXFR"))
            .await
            .contains("Transfer failed")
    );

    assert!(
        ask(&format!("+tcp {ZONE} IXFR=1"))
            .await
            .contains("Transfer failed")
    );

    for transport in ["+notcp", "+tcp"] {
        let text = ask(&format!("{transport} +norec +opcode=update {ZONE} SOA")).await;
        assert!(text.contains("status: NOTIMP"), "{text}");
    }

    // dig prints `(good)` for a valid returned cookie.
    assert!(
        ask(&format!("{SERVICE} A +cookie"))
            .await
            .contains("(good)")
    );

    assert_flood_is_cut(server);

    // TCP still works.
    let at = SocketAddr::from((Ipv4Addr::new(127, 0, 103, 10), 0)).ip();
    let text = ask(&format!("-b {at} +tcp {SERVICE} A")).await;
    assert!(
        text.contains("status: NOERROR") && text.contains("ANSWER: 1"),
        "{text}"
    );
}

/// The same question many times: about 20 whole answers, then every second one cut.
fn assert_flood_is_cut(server: SocketAddr) {
    let socket = UdpSocket::bind("127.0.103.10:0").unwrap();
    socket
        .set_read_timeout(Some(std::time::Duration::from_secs(1)))
        .unwrap();

    let packet = dig::address_query(SERVICE);
    for _ in 0..200 {
        socket.send_to(&packet, server).unwrap();
    }

    let mut whole = 0;
    let mut cut = 0;
    let mut buffer = [0; 512];

    while let Ok(length) = socket.recv(&mut buffer) {
        let is_cut = buffer[2] & 0x02 != 0;
        assert!(
            !is_cut || length == packet.len(),
            "a cut answer is as long as its query"
        );

        *(if is_cut { &mut cut } else { &mut whole }) += 1;
    }

    assert!(
        (20..60).contains(&whole) && (60..=90).contains(&cut),
        "{whole} whole, {cut} cut"
    );
}
