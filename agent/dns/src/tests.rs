//! Laws of the zone and its answers, then the server over real sockets, queried by stock clients.

mod abuse;
mod answers;
mod clients;
mod server;
mod serving;

use super::{
    DnsArguments, DnsServer, Region, WhenAllDown,
    metrics::DnsMetrics,
    wire::{
        format::UDP_PAYLOAD,
        reply::{QueryContext, Transport},
        respond as answer_into,
    },
    zone::{Adjustments, Zone, region::Family},
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
        certificate: Default::default(),
    }
}

/// A configuration with just the regions and addresses of a plan.
fn config_for(plan: &CommittedPlan) -> Config {
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

fn packet(text: &str, kind: RecordType) -> Vec<u8> {
    query(text, kind).to_vec().unwrap()
}

fn ask(zone: &Zone, text: &str, kind: RecordType, random: u32) -> Message {
    zone.answer(&query(text, kind), CLIENT, random).message
}

fn context(source: IpAddr, transport: Transport, random: u32) -> QueryContext<'static> {
    QueryContext {
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
    let reply = answer_into(zone, packet, &context(source, transport, random), &mut out)?;
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

    Zone::compile(&config_for(&plan), Some(&plan)).unwrap()
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
    let metrics = DnsMetrics::new(&regionmesh_runtime::metrics::Registry::new()).unwrap();
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

/// Why a server with this configuration does not start.
async fn refusal_to_start(config: Config) -> String {
    let arguments = DnsArguments {
        config: Arc::new(config),
        plan: watch::channel(None).1,
        board: no_board(),
        metrics: DnsMetrics::new(&regionmesh_runtime::metrics::Registry::new()).unwrap(),
    };
    DnsServer::bind(arguments).await.unwrap_err().to_string()
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
