//! Laws of the zone and its answers, then the server over real sockets, asked by stock clients.

mod abuse;
mod clients;

use super::{
    DnsArguments, DnsServer, Region, WhenAllDown,
    answer::UDP_PAYLOAD,
    metrics::DnsMetrics,
    wire::{Asker, Transport, respond as answer_into},
    zone::{Circumstances, Family, Zone},
};
use crate::config::{Config, fixture};
use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{DNSClass, Name, RData, RecordType, rdata::opt::EdnsCode},
};
use proptest::prelude::*;
use regionmesh_core::planning::freeze::LocalAnswer;
use regionmesh_protocol::{
    identity::RegionName,
    plan::{CommittedPlan, Plan, RegionPlan, TrafficState},
    register::ballot::{Ballot, Stamp},
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    sync::watch,
    time::timeout,
};
use tokio_util::sync::{CancellationToken, DropGuard};

const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const REGIONS: [(&str, &str); 3] = [
    ("us-west-2", "127.0.0.11"),
    ("eu-west-1", "127.0.0.12"),
    ("ap-south-1", "127.0.0.13"),
];

fn config() -> Config {
    fixture::config("regionmesh.test", &REGIONS)
}

fn plan(seq: u64, regions: &[(&str, u16, &[&str])]) -> CommittedPlan {
    let planned = |weight_bp, addresses: &[&str]| RegionPlan {
        weight_bp,
        traffic_state: TrafficState::Serving,
        addresses: addresses
            .iter()
            .map(|address| address.parse().unwrap())
            .collect(),
        flaps: 0,
        failed_ms: 0,
        ..RegionPlan::default()
    };

    let regions = regions
        .iter()
        .map(|(name, weight, addresses)| (name.parse().unwrap(), planned(*weight, addresses)))
        .collect();
    let ballot = Ballot {
        number: 7,
        agent: "us-west-2/node-0".parse().unwrap(),
        boot: 1,
    };

    CommittedPlan {
        stamp: Stamp { ballot, seq },
        plan: Plan {
            regions,
            reason: "because".into(),
            made_ms: 1,
            ..Plan::default()
        },
    }
}

/// The configuration, with just the regions and addresses of a plan.
fn knowing(plan: &CommittedPlan) -> Config {
    let mut config = config();
    let region = |(name, planned): (&RegionName, &RegionPlan)| Region {
        name: name.clone(),
        addresses: planned.addresses.clone(),
        ..config.regions[0].clone()
    };

    config.regions = plan.plan.regions.iter().map(region).collect();
    config
}

fn three(seq: u64, weights: [u16; 3]) -> CommittedPlan {
    let addresses: Vec<[&str; 1]> = REGIONS.iter().map(|(_, ip)| [*ip]).collect();
    let regions: Vec<(&str, u16, &[&str])> = (0..3)
        .map(|index| (REGIONS[index].0, weights[index], &addresses[index][..]))
        .collect();
    plan(seq, &regions)
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn query(text: &str, kind: RecordType) -> Message {
    let mut message = Message::new(4711, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name(text), kind));
    message
}

fn ask(zone: &Zone, text: &str, kind: RecordType, random: u32) -> Message {
    zone.answer(&query(text, kind), CLIENT, random).message
}

fn asker(source: IpAddr, transport: Transport, random: u32) -> Asker<'static> {
    Asker {
        source,
        transport,
        random,
        now_s: 1_700_000_000,
        secrets: None,
    }
}

struct Replied {
    packet: Vec<u8>,
    code: ResponseCode,
}

fn respond(
    zone: &Zone,
    packet: &[u8],
    source: IpAddr,
    transport: Transport,
    random: u32,
) -> Option<Replied> {
    let mut out = Vec::new();
    let reply = answer_into(zone, packet, &asker(source, transport, random), &mut out)?;
    Some(Replied {
        code: reply.code,
        packet: out,
    })
}

fn addresses(message: &Message) -> Vec<IpAddr> {
    message
        .answers
        .iter()
        .filter_map(|record| record.data.ip_addr())
        .collect()
}

fn is_negative(message: &Message, code: ResponseCode) {
    assert_eq!(message.metadata.response_code, code);
    assert!(message.answers.is_empty());
    assert_eq!(message.authorities.len(), 1);
    assert!(matches!(message.authorities[0].data, RData::SOA(_)));
    assert_eq!(message.authorities[0].name, name("regionmesh.test."));
}

fn weights() -> impl Strategy<Value = Vec<u16>> {
    proptest::collection::vec(prop_oneof![Just(0), 1..=10_000u16], 1..12)
}

fn zone_with(weights: &[u16]) -> Zone {
    let names: Vec<String> = (0..weights.len())
        .map(|index| format!("r{index}"))
        .collect();
    let ips: Vec<String> = (0..weights.len())
        .map(|index| format!("10.0.0.{index}"))
        .collect();
    let lists: Vec<[&str; 1]> = ips.iter().map(|ip| [ip.as_str()]).collect();
    let regions: Vec<(&str, u16, &[&str])> = (0..weights.len())
        .map(|index| (names[index].as_str(), weights[index], &lists[index][..]))
        .collect();
    let plan = plan(1, &regions);

    Zone::compile(&knowing(&plan), Some(&plan)).unwrap()
}

proptest! {
    #[test]
    fn serving_is_never_answered_with_nothing(weights in weights(), random: u32) {
        let answer = ask(
            &zone_with(&weights),
            "serving.regionmesh.test.",
            RecordType::A,
            random,
        );

        prop_assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
        prop_assert!(!addresses(&answer).is_empty());
    }

    #[test]
    fn a_region_without_a_share_is_not_answered_while_another_has_one(
        weights in weights(),
        random: u32,
    ) {
        prop_assume!(weights.iter().any(|weight| *weight > 0));
        let zone = zone_with(&weights);
        let answer = zone.answer(
            &query("serving.regionmesh.test.", RecordType::A),
            CLIENT,
            random,
        );
        let region = answer
            .region
            .unwrap()
            .name
            .as_str()
            .trim_start_matches('r')
            .parse::<usize>()
            .unwrap();

        prop_assert!(weights[region] > 0);
        let expected: IpAddr = format!("10.0.0.{region}").parse().unwrap();
        prop_assert_eq!(addresses(&answer.message), vec![expected]);
    }

    #[test]
    fn regions_come_up_in_proportion_to_their_shares(weights in weights()) {
        prop_assume!(weights.iter().any(|weight| *weight > 0));
        let zone = zone_with(&weights);
        let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
        let draws = 4_096;
        let mut counts = BTreeMap::<String, f64>::new();

        for draw in 0..draws {
            // Evenly over all random numbers: the law holds without a sampling error.
            let region = zone.draw(Family::V4, draw << 20).unwrap();
            *counts.entry(region.name.to_string()).or_default() += 1.0;
        }

        for (index, weight) in weights.iter().enumerate() {
            let share = counts
                .get(&format!("r{index}"))
                .copied()
                .unwrap_or_default()
                / f64::from(draws);

            prop_assert!(
                (share - f64::from(*weight) / total).abs() < 1e-3,
                "r{index}: {share}"
            );
        }
    }

    #[test]
    fn arbitrary_bytes_get_an_answer_or_silence(
        packet in proptest::collection::vec(any::<u8>(), 0..600),
        random: u32,
    ) {
        let zone = zone_with(&[1, 2]);
        if let Some(reply) = respond(&zone, &packet, CLIENT, Transport::Udp, random) {
            prop_assert_eq!(&reply.packet[..2], &packet[..2]);
            prop_assert!(reply.packet[2] & 0x80 != 0, "an answer is marked as one");
            prop_assert!(reply.packet.len() <= usize::from(UDP_PAYLOAD));
        }
    }

    #[test]
    fn a_damaged_query_gets_an_answer_or_silence(
        kind: u16,
        edns: bool,
        position: prop::sample::Index,
        byte: u8,
        cut: prop::sample::Index,
        random: u32,
    ) {
        let mut message = query("serving.regionmesh.test.", RecordType::from(kind));
        if edns {
            message.set_edns(Edns::new());
        }

        let mut packet = message.to_vec().unwrap();
        let at = position.index(packet.len());
        packet[at] = byte;
        packet.truncate(cut.index(packet.len()) + 1);
        if let Some(reply) = respond(&zone_with(&[1, 2]), &packet, CLIENT, Transport::Udp, random) {
            prop_assert!(Message::from_vec(&reply.packet).is_ok());
        }
    }

    #[test]
    fn names_are_found_in_any_case_and_spelled_back_as_asked(flips: u64, random: u32) {
        let spelled: String = "serving.regionmesh.test."
            .char_indices()
            .map(|(index, c)| {
                if flips >> index & 1 == 1 {
                    c.to_ascii_uppercase()
                } else {
                    c
                }
            })
            .collect();

        let packet = query(&spelled, RecordType::A).to_vec().unwrap();
        let zone = zone_with(&[1]);
        let reply = respond(&zone, &packet, CLIENT, Transport::Udp, random).unwrap();
        let answer = Message::from_vec(&reply.packet).unwrap();

        prop_assert_eq!(answer.queries[0].name().to_ascii(), spelled.clone());
        prop_assert_eq!(answer.answers[0].name.to_ascii(), spelled);
    }
}

#[test]
fn before_the_first_plan_all_regions_of_the_configuration_are_answered() {
    let zone = Zone::compile(&config(), None).unwrap();
    let mut seen: Vec<IpAddr> = (0..12)
        .flat_map(|n| {
            addresses(&ask(
                &zone,
                "serving.regionmesh.test.",
                RecordType::A,
                n * (u32::MAX / 12),
            ))
        })
        .collect();

    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 3);
    assert_eq!(zone.soa.serial, 0);
}

#[test]
fn before_the_first_plan_an_active_passive_mesh_answers_its_first_region() {
    let mut config = config();
    config.traffic.strategy = regionmesh_core::planning::Strategy::ActivePassive;
    config.regions[0].priority = 2;

    let zone = Zone::compile(&config, None).unwrap();
    for random in [0, u32::MAX / 2, u32::MAX] {
        let answer = ask(&zone, "serving.regionmesh.test.", RecordType::A, random);
        assert_eq!(
            addresses(&answer),
            ["127.0.0.12".parse::<IpAddr>().unwrap()]
        );
    }
}

#[test]
fn a_plan_without_any_share_is_answered_with_all_regions() {
    let zone = Zone::compile(&config(), Some(&three(1, [0, 0, 0]))).unwrap();
    assert_eq!(
        addresses(&ask(&zone, "serving.regionmesh.test.", RecordType::A, 7)).len(),
        3
    );
}

#[test]
fn a_plan_that_answers_nothing_is_answered_by_a_local_answer() {
    let mut config = config();
    config.traffic.when_all_down = WhenAllDown::Empty;

    let mut plan = three(1, [0, 0, 1]);
    plan.plan.all_failed_ms = Some(1);

    let answered = |local: Option<LocalAnswer>| {
        let circumstances = Circumstances {
            local: local.map(Arc::new),
            ..Circumstances::default()
        };
        let zone = Zone::compile_with(&config, Some(&plan), &circumstances).unwrap();

        addresses(&ask(&zone, "serving.regionmesh.test.", RecordType::A, 7)).len()
    };

    assert_eq!(answered(None), 0);
    let weights = plan
        .plan
        .regions
        .iter()
        .map(|(name, region)| (name.clone(), region.weight_bp))
        .collect();

    assert_eq!(
        answered(Some(LocalAnswer {
            weights,
            ..LocalAnswer::default()
        })),
        1
    );
}

#[test]
fn a_plan_without_any_address_is_answered_from_the_configuration() {
    let mut plan = plan(1, &[("nowhere", 1, &[])]);
    assert_eq!(
        addresses(&ask(
            &Zone::compile(&config(), Some(&plan)).unwrap(),
            "serving.regionmesh.test.",
            RecordType::A,
            7
        ))
        .len(),
        1
    );

    plan.plan.regions.clear();
    assert_eq!(
        addresses(&ask(
            &Zone::compile(&config(), Some(&plan)).unwrap(),
            "serving.regionmesh.test.",
            RecordType::A,
            7
        ))
        .len(),
        1
    );
}

#[test]
fn an_address_or_region_that_is_not_in_the_configuration_is_never_answered() {
    let strange: &[&str] = &["127.66.66.66", "fd00::66"];
    let mixed: &[&str] = &["127.66.66.66", "127.0.0.12"];
    let forged = plan(
        9,
        &[
            ("us-west-2", 0, strange),
            ("eu-west-1", 5, mixed),
            ("elsewhere", 10_000, strange),
        ],
    );

    let zone = Zone::compile(&config(), Some(&forged)).unwrap();
    for random in (0..16).map(|n| n * (u32::MAX / 16)) {
        let answer = ask(&zone, "serving.regionmesh.test.", RecordType::A, random);
        assert_eq!(
            addresses(&answer),
            ["127.0.0.12".parse::<IpAddr>().unwrap()]
        );

        let own = ask(
            &zone,
            "us-west-2.serving.regionmesh.test.",
            RecordType::A,
            random,
        );

        assert_eq!(addresses(&own), ["127.0.0.11".parse::<IpAddr>().unwrap()]);
    }

    is_negative(
        &ask(
            &zone,
            "elsewhere.serving.regionmesh.test.",
            RecordType::A,
            0,
        ),
        ResponseCode::NXDomain,
    );
}

#[test]
fn a_family_is_drawn_among_the_regions_that_have_it() {
    let both = plan(
        3,
        &[
            ("a", 10_000, &["10.0.0.1"]),
            ("b", 1, &["10.0.0.2", "fd00::2"]),
        ],
    );
    let zone = Zone::compile(&knowing(&both), Some(&both)).unwrap();

    for random in [0, u32::MAX / 2, u32::MAX] {
        let answer = ask(&zone, "serving.regionmesh.test.", RecordType::AAAA, random);
        assert_eq!(addresses(&answer), ["fd00::2".parse::<IpAddr>().unwrap()]);
    }

    let zone = Zone::compile(&config(), Some(&three(3, [1, 1, 1]))).unwrap();
    is_negative(
        &ask(&zone, "serving.regionmesh.test.", RecordType::AAAA, 0),
        ResponseCode::NoError,
    );
}

#[test]
fn all_addresses_of_the_drawn_region_are_answered_with_the_configured_ttl() {
    let plan = plan(3, &[("a", 1, &["10.0.0.1", "10.0.0.2", "fd00::1"])]);
    let zone = Zone::compile(&knowing(&plan), Some(&plan)).unwrap();
    let answer = ask(&zone, "serving.regionmesh.test.", RecordType::A, 0);

    assert_eq!(addresses(&answer).len(), 2);
    assert!(answer.answers.iter().all(|record| record.ttl == 5));
    assert!(answer.metadata.authoritative && !answer.metadata.recursion_available);
}

#[test]
fn a_regions_own_name_answers_whatever_its_share() {
    let zone = Zone::compile(&config(), Some(&three(1, [0, 1, 1]))).unwrap();
    let answer = ask(
        &zone,
        "us-west-2.serving.regionmesh.test.",
        RecordType::A,
        0,
    );

    assert_eq!(
        addresses(&answer),
        ["127.0.0.11".parse::<IpAddr>().unwrap()]
    );
}

#[test]
fn the_apex_has_a_serial_that_follows_the_plan_and_servers_with_glue() {
    let zone = Zone::compile(&config(), Some(&three(u64::from(u32::MAX) + 3, [1, 1, 1]))).unwrap();
    let soa = ask(&zone, "regionmesh.test.", RecordType::SOA, 0);
    assert!(
        matches!(&soa.answers[0].data, RData::SOA(soa) if soa.serial == 2),
        "wraps as RFC 1982 has it"
    );

    let servers = ask(&zone, "regionmesh.test.", RecordType::NS, 0);
    assert_eq!((servers.answers.len(), servers.additionals.len()), (3, 3));

    let glue = ask(&zone, "ns-eu-west-1.regionmesh.test.", RecordType::A, 0);
    assert_eq!(addresses(&glue), ["127.0.0.12".parse::<IpAddr>().unwrap()]);
}

#[test]
fn configured_name_servers_are_named_and_those_below_the_zone_have_addresses() {
    let mut config = config();
    config.settings.name_servers = vec!["ns1.dns.regionmesh.test".into(), "ns.example.org".into()];

    let zone = Zone::compile(&config, None).unwrap();
    let servers = ask(&zone, "regionmesh.test.", RecordType::NS, 0);
    assert_eq!((servers.answers.len(), servers.additionals.len()), (2, 3));
    is_negative(
        &ask(&zone, "dns.regionmesh.test.", RecordType::A, 0),
        ResponseCode::NoError,
    );
}

#[test]
fn the_plan_is_told_to_operators() {
    let zone = Zone::compile(&config(), Some(&three(12, [1, 1, 1]))).unwrap();
    let answer = ask(&zone, "_plan.regionmesh.test.", RecordType::TXT, 0);
    let text = answer.answers[0].data.to_string();

    assert!(
        text.contains("seq=12") && text.contains("ballot=7") && answer.answers[0].ttl == 0,
        "{text}"
    );
}

#[test]
fn what_is_not_there_is_denied_with_the_soa() {
    let zone = Zone::compile(&config(), None).unwrap();
    is_negative(
        &ask(&zone, "nothing.regionmesh.test.", RecordType::A, 0),
        ResponseCode::NXDomain,
    );

    is_negative(
        &ask(&zone, "nowhere.serving.regionmesh.test.", RecordType::A, 0),
        ResponseCode::NXDomain,
    );

    for (text, kind) in [
        ("serving", RecordType::MX),
        ("_plan", RecordType::A),
        ("ns-eu-west-1", RecordType::AAAA),
    ] {
        is_negative(
            &ask(&zone, &format!("{text}.regionmesh.test."), kind, 0),
            ResponseCode::NoError,
        );
    }
}

#[test]
fn what_is_not_ours_is_refused_without_authority() {
    let zone = Zone::compile(&config(), None).unwrap();
    let mut chaos = query("regionmesh.test.", RecordType::TXT);
    chaos.queries[0].set_query_class(DNSClass::CH);

    let elsewhere = [
        query("example.org.", RecordType::A),
        query("test.", RecordType::NS),
        query(".", RecordType::NS),
    ];
    let transfers = [
        query("regionmesh.test.", RecordType::AXFR),
        query("regionmesh.test.", RecordType::IXFR),
    ];

    for query in elsewhere.iter().chain(&transfers).chain([&chaos]) {
        let answer = zone.answer(query, CLIENT, 0).message;
        assert_eq!(
            answer.metadata.response_code,
            ResponseCode::Refused,
            "{query}"
        );

        assert!(!answer.metadata.authoritative && answer.answers.is_empty());
    }
}

#[test]
fn any_gets_one_small_record() {
    let zone = Zone::compile(&config(), None).unwrap();
    let answer = ask(&zone, "serving.regionmesh.test.", RecordType::ANY, 0);
    assert!(matches!(&answer.answers[..], [record] if record.record_type() == RecordType::HINFO));
}

#[test]
fn edns_is_answered_in_kind_and_other_versions_are_refused() {
    let zone = Zone::compile(&config(), None).unwrap();
    let mut asked = query("serving.regionmesh.test.", RecordType::A);
    assert!(zone.answer(&asked, CLIENT, 0).message.edns.is_none());

    let mut edns = Edns::new();
    edns.set_max_payload(4_096).set_dnssec_ok(true);
    edns.options_mut()
        .insert(hickory_proto::rr::rdata::opt::EdnsOption::Unknown(
            3,
            Vec::new(),
        ));

    asked.set_edns(edns);
    let packet = respond(&zone, &asked.to_vec().unwrap(), CLIENT, Transport::Udp, 0)
        .unwrap()
        .packet;
    let edns = Message::from_vec(&packet).unwrap().edns.unwrap();

    assert_eq!(
        (edns.max_payload(), edns.version(), edns.flags().dnssec_ok),
        (UDP_PAYLOAD, 0, true)
    );

    assert!(
        edns.option(EdnsCode::NSID).is_some(),
        "who answers is told on request"
    );

    asked.edns.as_mut().unwrap().set_version(1);
    let packet = respond(&zone, &asked.to_vec().unwrap(), CLIENT, Transport::Udp, 0)
        .unwrap()
        .packet;
    let answer = Message::from_vec(&packet).unwrap();

    // 16 is BADVERS here and BADSIG with TSIG (RFC 6895 §2.3); the library reads it as the latter.
    assert_eq!(u16::from(answer.metadata.response_code), 16);
    assert_eq!(answer.edns.unwrap().version(), 0);
}

#[test]
fn other_operations_several_questions_and_garbage_are_answered_by_their_codes() {
    let zone = Zone::compile(&config(), None).unwrap();
    let code =
        |packet: &[u8]| respond(&zone, packet, CLIENT, Transport::Udp, 0).map(|reply| reply.code);
    let good = query("serving.regionmesh.test.", RecordType::A);

    for op_code in [
        OpCode::Status,
        OpCode::Notify,
        OpCode::Update,
        OpCode::Unknown(9),
    ] {
        let mut other = good.clone();
        other.metadata.op_code = op_code;
        assert_eq!(code(&other.to_vec().unwrap()), Some(ResponseCode::NotImp));
    }

    let mut two = good.clone();
    two.add_query(good.queries[0].clone());
    assert_eq!(code(&two.to_vec().unwrap()), Some(ResponseCode::FormErr));

    let packet = good.to_vec().unwrap();
    assert_eq!(
        code(&packet[..packet.len() - 1]),
        Some(ResponseCode::FormErr)
    );

    assert_eq!(code(&packet[..11]), None, "too short to be a message");
    let mut response = good;
    response.metadata.message_type = MessageType::Response;
    assert_eq!(
        code(&response.to_vec().unwrap()),
        None,
        "a response is never answered"
    );
}

#[test]
fn an_answer_too_long_for_udp_is_cut_and_marked_and_whole_over_tcp() {
    let many: Vec<String> = (0..100).map(|n| format!("10.0.1.{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let plan = plan(1, &[("a", 1, &many)]);
    let zone = Zone::compile(&knowing(&plan), Some(&plan)).unwrap();
    let packet = query("serving.regionmesh.test.", RecordType::A)
        .to_vec()
        .unwrap();
    let answer = |transport| {
        Message::from_vec(
            &respond(&zone, &packet, CLIENT, transport, 0)
                .unwrap()
                .packet,
        )
        .unwrap()
    };

    let cut = answer(Transport::Udp);
    assert!(cut.metadata.truncation && cut.answers.is_empty() && cut.queries.len() == 1);

    let whole = answer(Transport::Tcp);
    assert!(!whole.metadata.truncation && whole.answers.len() == 100);
}

#[test]
fn a_name_too_long_for_dns_is_named_in_the_error() {
    let mut config = config();
    config.settings.zone = ["a"; 125].join(".");
    assert!(matches!(
        Zone::compile(&config, None),
        Err(super::DnsError::Name { .. })
    ));
}

fn no_board() -> watch::Receiver<Arc<regionmesh_core::gossip::BoardView>> {
    watch::channel(Arc::default()).1
}

struct Running {
    address: SocketAddr,
    plans: watch::Sender<Option<Arc<CommittedPlan>>>,
    metrics: DnsMetrics,
    _stop: DropGuard,
}

async fn running(first: Option<CommittedPlan>) -> Running {
    running_with(config(), first).await
}

async fn running_with(config: Config, first: Option<CommittedPlan>) -> Running {
    let (plans, plan) = watch::channel(first.map(Arc::new));
    let metrics = DnsMetrics::new(&prometheus::Registry::new()).unwrap();
    let arguments = DnsArguments {
        config: Arc::new(config),
        plan,
        board: no_board(),
        metrics: metrics.clone(),
    };
    let server = DnsServer::bind(arguments).await.unwrap();
    let address = server.local_addr();
    let stop = CancellationToken::new();

    tokio::spawn(server.serve(stop.clone()));
    Running {
        address,
        plans,
        metrics,
        _stop: stop.drop_guard(),
    }
}

async fn ask_udp(server: SocketAddr, packet: &[u8]) -> Option<Message> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(packet, server).await.unwrap();

    let mut buffer = [0; 4_096];
    let (length, _) = timeout(Duration::from_secs(5), socket.recv_from(&mut buffer))
        .await
        .ok()?
        .unwrap();

    Some(Message::from_vec(&buffer[..length]).unwrap())
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let poll = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };

    assert!(
        timeout(Duration::from_secs(10), poll).await.is_ok(),
        "not within 10 s: {what}"
    );
}

#[tokio::test]
async fn a_new_plan_is_answered_and_an_older_one_is_not() {
    let server = running(Some(three(5, [1, 0, 0]))).await;
    let packet = query("serving.regionmesh.test.", RecordType::A)
        .to_vec()
        .unwrap();
    let now = async || addresses(&ask_udp(server.address, &packet).await.unwrap())[0].to_string();

    assert_eq!(now().await, "127.0.0.11");
    server
        .plans
        .send_replace(Some(Arc::new(three(6, [0, 1, 0]))));
    until("the new plan is answered", async || {
        now().await == "127.0.0.12"
    })
    .await;

    assert_eq!(server.metrics.plan_seq.get(), 6);
    server
        .plans
        .send_replace(Some(Arc::new(three(4, [0, 0, 1]))));
    until("the older plan is refused", async || {
        server
            .metrics
            .refused_plans
            .with_label_values(&["older"])
            .get()
            == 1
    })
    .await;

    server.plans.send_replace(None);
    for _ in 0..20 {
        assert_eq!(now().await, "127.0.0.12");
    }

    // The writer goes away: the last plan stays.
    drop(server.plans);

    let packet = query("serving.regionmesh.test.", RecordType::A)
        .to_vec()
        .unwrap();
    assert_eq!(
        addresses(&ask_udp(server.address, &packet).await.unwrap())[0].to_string(),
        "127.0.0.12"
    );

    assert!(
        server
            .metrics
            .answers
            .with_label_values(&["eu-west-1"])
            .get()
            > 20
    );
}

#[tokio::test]
async fn garbage_does_not_stop_the_answers() {
    let server = running(None).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for length in 0..400usize {
        let garbage: Vec<u8> = (0..length).map(|_| rand::random()).collect();
        socket.send_to(&garbage, server.address).await.unwrap();
        if length % 40 == 0 {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            let _ = stream.write_all(&garbage).await;
        }
    }

    let packet = query("serving.regionmesh.test.", RecordType::A)
        .to_vec()
        .unwrap();
    until("an answer", async || {
        ask_udp(server.address, &packet).await.is_some()
    })
    .await;
}

#[tokio::test]
async fn tcp_answers_several_queries_and_keeps_the_eight_newest_connections_of_a_client() {
    let server = running(None).await;
    let packet = query("serving.regionmesh.test.", RecordType::A)
        .to_vec()
        .unwrap();
    let framed = [
        &u16::try_from(packet.len()).unwrap().to_be_bytes()[..],
        &packet,
    ]
    .concat();

    let ask = async |stream: &mut TcpStream| {
        stream.write_all(&framed).await?;
        let length = stream.read_u16().await?;
        let mut answer = vec![0; usize::from(length)];
        stream.read_exact(&mut answer).await?;
        std::io::Result::Ok(Message::from_vec(&answer).unwrap())
    };
    let mut open = Vec::new();

    for _ in 0..8 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        for _ in 0..2 {
            assert_eq!(addresses(&ask(&mut stream).await.unwrap()).len(), 1);
        }
        open.push(stream);
    }

    assert!(ask(&mut open[0]).await.is_ok());
    let mut ninth = TcpStream::connect(server.address).await.unwrap();
    assert!(ask(&mut ninth).await.is_ok(), "the ninth is answered");
    assert!(
        ask(&mut open[1]).await.is_err(),
        "the one that asked longest ago gave way"
    );

    assert!(ask(&mut open[0]).await.is_ok());
    let count = |reason| {
        server
            .metrics
            .dropped
            .with_label_values(&["tcp", reason])
            .get()
    };

    assert_eq!((count("too_many_of_one_client"), count("too_many")), (1, 0));
}

#[tokio::test]
async fn a_port_in_use_is_reported_with_what_to_do() {
    let server = running(None).await;
    let mut config = config();
    config.listen = server.address;

    let metrics = DnsMetrics::new(&prometheus::Registry::new()).unwrap();
    let (_plans, plan) = watch::channel(None);
    let error = DnsServer::bind(DnsArguments {
        config: Arc::new(config),
        plan,
        board: no_board(),
        metrics,
    })
    .await
    .unwrap_err()
    .to_string();

    assert!(
        error.contains(&server.address.to_string()) && error.contains("stop what listens there"),
        "{error}"
    );
}
