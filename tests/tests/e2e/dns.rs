//! The zone as third-party tools see it: dig, and a stock resolver that has all agents as name
//! servers.

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
    proto::rr::RecordType,
};
use regionmesh::config::Config;
use regionmesh_tests::{
    dig,
    mesh::{SERVICE, Setup, TestMesh},
    skip::has_program,
    wait::{claim, seconds, until},
};
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

const ZONE: &str = "regionmesh.test";

/// Gives each region an IPv6 address too, which is never connected to.
fn with_ipv6(config: &mut Config) {
    config.health.each_address = false;
    for (index, region) in (0u16..).zip(&mut config.regions) {
        region.addresses.push(v6(index));
    }
}

fn v6(index: u16) -> IpAddr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, index).into()
}

/// What dig prints, its columns separated by one space; fails if dig complains.
async fn dig(server: SocketAddr, question: &str) -> String {
    let output = dig::dig(server, 10, &format!("+norec +nocookie {question}")).await;
    let text = output.text;
    let is_content = output.is_success && !text.to_ascii_lowercase().contains("warning");

    assert!(
        is_content,
        "{server} {question}: {}\n{text}",
        output.is_success
    );
    let lines = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.collect::<Vec<_>>().join("\n")
}

/// The data of the records of `kind` among the lines of an answer, and that each has the name and
/// time to live given.
fn records(text: &str, name: &str, ttl_s: u32, kind: &str) -> BTreeSet<String> {
    let head = format!("{name}. {ttl_s} IN {kind} ");
    text.lines()
        .filter_map(|line| line.strip_prefix(&head).map(str::to_owned))
        .collect()
}

/// How many records each section of an answer has.
fn counts(text: &str) -> &str {
    let flags = text
        .lines()
        .find(|line| line.starts_with(";; flags:"))
        .unwrap_or_default();
    flags.find("QUERY:").map_or("", |begin| &flags[begin..])
}

#[tokio::test(flavor = "multi_thread")]
async fn dig_reads_the_whole_zone_from_every_agent_over_udp_and_tcp() {
    if !has_program("dig", "bind9-dnsutils") {
        return;
    }

    let mesh = TestMesh::start_with(Setup {
        adjust: Some(with_ipv6),
        ..Setup::default()
    })
    .await;

    mesh.converged().await;
    let seq = mesh.api(0).plan_seq().await.unwrap();
    let own = |index: usize| own(&mesh, index);
    let all: (BTreeSet<_>, BTreeSet<_>) = (0..3).map(own).unzip();

    let servers: BTreeSet<String> = mesh
        .layout()
        .regions
        .iter()
        .map(|name| format!("ns-{name}.{ZONE}."))
        .collect();

    for agent in mesh.agents() {
        until("all agents answer one plan", seconds(20), async || {
            let found = mesh.api_of(agent).plan_seq().await?;
            claim(found == seq, || format!("{found}, and {seq} elsewhere"))
        })
        .await;

        for transport in ["+notcp", "+tcp"] {
            let ask =
                async |question: &str| dig(agent.dns(), &format!("{transport} {question}")).await;
            assert_start_of_authority(&ask, seq).await;

            assert_name_servers_and_regions(&mesh, &ask, &servers).await;

            assert_service(&ask, &all).await;

            assert_denials_and_special_questions(&ask, seq).await;
        }
    }
}

/// The addresses of a region: IPv4 and IPv6.
fn own(mesh: &TestMesh, index: usize) -> (String, String) {
    (
        mesh.agent(index).ip.to_string(),
        v6(index as u16).to_string(),
    )
}

async fn assert_start_of_authority(ask: &impl AsyncFn(&str) -> String, seq: u64) {
    let text = ask(&format!("{ZONE} SOA")).await;

    assert!(
        text.contains("status: NOERROR") && text.contains("flags: qr aa;"),
        "{text}"
    );

    let soa = records(&text, ZONE, 300, "SOA")
        .pop_first()
        .unwrap_or_default();
    assert!(
        soa.contains(&format!(
            ".{ZONE}. hostmaster.{ZONE}. {seq} 3600 600 604800 5"
        )),
        "{text}"
    );
}

async fn assert_name_servers_and_regions(
    mesh: &TestMesh,
    ask: &impl AsyncFn(&str) -> String,
    servers: &BTreeSet<String>,
) {
    let text = ask(&format!("{ZONE} NS")).await;
    assert_eq!(records(&text, ZONE, 300, "NS"), *servers, "{text}");
    for (index, name) in mesh.layout().regions.iter().enumerate() {
        let server = format!("ns-{name}.{ZONE}");
        assert!(
            !records(&text, &server, 300, "A").is_empty(),
            "no glue for {server}: {text}"
        );

        // A region's own name: its addresses, whatever its share.
        let name = format!("{name}.{SERVICE}");
        let (v4, v6) = own(mesh, index);

        assert_eq!(
            records(&ask(&format!("{name} A")).await, &name, 5, "A"),
            BTreeSet::from([v4])
        );

        assert_eq!(
            records(&ask(&format!("{name} AAAA")).await, &name, 5, "AAAA"),
            BTreeSet::from([v6])
        );
    }
}

async fn assert_service(
    ask: &impl AsyncFn(&str) -> String,
    all: &(BTreeSet<String>, BTreeSet<String>),
) {
    let text = ask(&format!("{SERVICE} A")).await;
    assert!(
        text.contains("flags: qr aa;") && text.contains("EDNS: version: 0, flags:; udp: 1232"),
        "{text}"
    );

    let found = records(&text, SERVICE, 5, "A");
    assert!(found.len() == 1 && found.is_subset(&all.0), "{text}");

    let found = records(&ask(&format!("{SERVICE} AAAA")).await, SERVICE, 5, "AAAA");
    assert!(found.len() == 1 && found.is_subset(&all.1), "{found:?}");
}

async fn assert_denials_and_special_questions(ask: &impl AsyncFn(&str) -> String, seq: u64) {
    // Nothing of that kind, and nothing of that name: both with the SOA, whose time to live
    // is that of the denial.
    for (question, status) in [
        ("serving", "NOERROR"),
        ("us-west-2.serving", "NOERROR"),
        ("nothing", "NXDOMAIN"),
        ("a.b", "NXDOMAIN"),
    ] {
        let text = ask(&format!("{question}.{ZONE} TYPE65280")).await;
        let is_denial = text.contains(&format!("status: {status}"))
            && counts(&text) == "QUERY: 1, ANSWER: 0, AUTHORITY: 1, ADDITIONAL: 1"
            && records(&text, ZONE, 5, "SOA").len() == 1;
        assert!(is_denial, "{question}: {text}");
    }

    let text = ask(&format!("+noedns {SERVICE} ANY")).await;
    assert!(
        text.contains("HINFO \"RFC8482\" \"\"") && !text.contains("EDNS"),
        "{text}"
    );

    assert!(
        counts(&text).starts_with("QUERY: 1, ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 0"),
        "{text}"
    );

    let text = ask(&format!("_plan.{ZONE} TXT")).await;
    assert!(text.contains(&format!("\"seq={seq}\"")), "{text}");
    assert!(ask("example.org A").await.contains("status: REFUSED"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_resolver_works_while_one_of_its_name_servers_is_dead() {
    let mesh = TestMesh::start().await;
    mesh.converged().await;

    let resolver = stock_resolver(&mesh);
    let service = format!("{SERVICE}.");
    let ask = async || -> Result<BTreeSet<IpAddr>, String> {
        let found = resolver
            .lookup_ip(service.as_str())
            .await
            .map_err(|error| error.to_string())?;
        Ok(found.iter().collect())
    };

    let all: BTreeSet<IpAddr> = mesh.agents().iter().map(|agent| agent.ip.into()).collect();
    let mut answered = BTreeSet::new();
    until("every region is answered", seconds(30), async || {
        answered.extend(ask().await.unwrap());
        claim(answered == all, || format!("{answered:?}"))
    })
    .await;

    assert_eq!(
        resolver
            .lookup(format!("{ZONE}."), RecordType::NS)
            .await
            .unwrap()
            .answers()
            .len(),
        3
    );

    assert_denied(&resolver).await;

    let dead = IpAddr::from(mesh.agent(0).ip);
    mesh.kill_region(0).await;

    // From the first moment on every question is answered; soon, no answer is the dead one's
    // address.
    let mut without = 0;
    until(
        "the dead region is no longer answered",
        seconds(60),
        async || {
            let found = ask().await.unwrap();
            assert!(!found.is_empty());
            without = if found.contains(&dead) {
                0
            } else {
                without + 1
            };

            claim(without > 50, || format!("{without} answers without {dead}"))
        },
    )
    .await;

    assert_denied(&resolver).await;
}

/// A stock resolver that has every agent as a name server, and no cache: each query is sent.
fn stock_resolver(mesh: &TestMesh) -> TokioResolver {
    let server = |address: SocketAddr| {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
        let connections = connections.into_iter().map(|mut connection| {
            connection.port = address.port();
            connection
        });

        NameServerConfig::new(address.ip(), true, connections.collect())
    };

    let servers = mesh
        .agents()
        .iter()
        .map(|agent| server(agent.dns()))
        .collect();
    let provider = TokioRuntimeProvider::default();
    let mut builder =
        TokioResolver::builder_with_config(ResolverConfig::from_name_servers(servers), provider);
    let options = builder.options_mut();

    (
        options.cache_size,
        options.case_randomization,
        options.ip_strategy,
    ) = (0, true, LookupIpStrategy::Ipv4Only);

    builder.build().unwrap()
}

async fn assert_denied(resolver: &TokioResolver) {
    let error = resolver
        .lookup_ip(format!("nothing.{ZONE}."))
        .await
        .unwrap_err();

    assert!(error.is_nx_domain(), "{error}");
}
