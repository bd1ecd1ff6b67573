//! From arbitrary bytes to an answer: what the DNS server does with a packet, without the sockets.
//!
//! The first eight bytes of the input choose who asks and which zone answers, the rest is the
//! packet. Whatever comes in: no panic; silence for what is no query only; an answer that parses,
//! has the query's identifier and fits; records for `serving`; the same bytes on the fast way and
//! the general one; and next to no amplification once the rate is limited.

#![no_main]

use hickory_proto::{
    op::{Message, OpCode, ResponseCode},
    rr::{DNSClass, Name, RecordType},
};
use libfuzzer_sys::fuzz_target;
use regionmesh_core::planning::Strategy;
use regionmesh_dns::{
    Config, NetworkConfig, Region, Settings, Traffic, WhenAllDown,
    packet::{
        QueryContext, QUERY_LIMIT, Secrets, Transport, UDP_PAYLOAD, Zone, respond, respond_fast,
        respond_generally,
    },
};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::LazyLock,
};

/// How the input begins.
const CHOICES: usize = 8;
const NOW_S: u32 = 1_700_000_000;

/// A zone to answer from.
struct Case {
    zone: Zone,
    /// Whether `serving` has an address of IPv4.
    has_v4: bool,
}

/// By weight; by latency; no share but of one region; more addresses than UDP holds.
static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let many: Vec<IpAddr> = (0..100)
        .map(|host| IpAddr::from([10, 0, 1, host]))
        .collect();
    let few = ["10.0.0.1", "fd00::1"].map(|ip| ip.parse().expect("an address"));
    let one = [IpAddr::from([10, 9, 0, 1])];
    vec![
        case(Strategy::Weighted, [1, 2, 3], &few),
        case(Strategy::Latency, [10_000, 10_000, 100], &few),
        case(Strategy::Weighted, [0, 0, 1], &one),
        case(Strategy::Weighted, [1, 1, 1], &many),
    ]
});

fn case(strategy: Strategy, weights: [u16; 3], addresses: &[IpAddr]) -> Case {
    let region = |(name, weight_bp): (&str, u16)| Region {
        name: name.parse().expect("a region"),
        endpoint: "10.9.0.1:1".into(),
        addresses: addresses.to_vec(),
        weight_bp,
        priority: 0,
    };
    let network = |(cidr, regions): (&str, &[&str])| NetworkConfig {
        cidr: cidr.parse().expect("a network"),
        regions: regions
            .iter()
            .map(|name| name.parse().expect("a region"))
            .collect(),
    };

    let networks: &[(&str, &[&str])] = match strategy {
        Strategy::Latency => &[
            ("198.51.100.0/24", &["west", "south"]),
            ("198.51.0.0/16", &["south"]),
            ("2001:db8::/32", &["west"]),
        ],
        _ => &[],
    };
    let config = Config {
        settings: Settings {
            zone: "m.test".into(),
            ..Settings::default()
        },
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        mesh: "m.test".parse().expect("a mesh"),
        own: "east/node-0".parse().expect("an agent"),
        regions: ["east", "south", "west"]
            .into_iter()
            .zip(weights)
            .map(region)
            .collect(),
        traffic: Traffic {
            strategy,
            when_all_down: WhenAllDown::Last,
            networks: networks.iter().copied().map(network).collect(),
        },
    };

    Case {
        zone: Zone::compile(&config, None).expect("a zone"),
        has_v4: addresses.iter().any(IpAddr::is_ipv4),
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&[choice, transport, source, secrets, r0, r1, r2, r3], packet)) =
        input.split_first_chunk::<CHOICES>()
    else {
        return;
    };
    let case = &CASES[usize::from(choice) % CASES.len()];
    let zone = &case.zone;
    let transport = if transport & 1 == 0 {
        Transport::Udp
    } else {
        Transport::Tcp
    };
    let source: IpAddr = ["192.0.2.1", "198.51.100.7", "2001:db8::1"][usize::from(source) % 3]
        .parse()
        .expect("an address");
    let made = Secrets::new([7; 16]);
    let context = QueryContext {
        source,
        transport,
        random: u32::from_be_bytes([r0, r1, r2, r3]),
        now_s: NOW_S,
        secrets: (secrets & 1 == 0).then_some(&made),
    };
    let mut out = Vec::new();
    let Some(mut reply) = respond(zone, packet, &context, &mut out) else {
        assert!(
            packet.len() < 12 || packet[2] & 0x80 != 0,
            "a query was not answered"
        );
        return;
    };
    assert!(
        packet.len() >= 12 && packet[2] & 0x80 == 0,
        "what is no query was answered"
    );
    check(&out, packet, case, &context, reply.code);

    let (mut fast, mut general) = (Vec::new(), Vec::new());
    if respond_fast(zone, packet, &context, &mut fast).is_some() {
        respond_generally(zone, packet, &context, &mut general).expect("an answer");
        assert_eq!(fast, general, "the two ways differ");
    }

    reply.cut(&mut out);
    let message = Message::from_vec(&out).expect("a cut answer that parses");
    assert!(message.answers.is_empty() && message.authorities.is_empty());
    assert_eq!(out[..2], packet[..2]);
    assert!(
        out.len() <= packet.len() + 16,
        "{} bytes for {}",
        out.len(),
        packet.len()
    );
});

fn check(out: &[u8], packet: &[u8], case: &Case, context: &QueryContext<'_>, code: ResponseCode) {
    assert_eq!(out[..2], packet[..2], "the identifier");
    assert!(out[2] & 0x80 != 0, "an answer is marked as one");
    if context.transport == Transport::Udp {
        assert!(
            out.len() <= usize::from(UDP_PAYLOAD),
            "{} bytes over UDP",
            out.len()
        );
    }

    let answer = Message::from_vec(out).expect("an answer that parses");
    if packet.len() > QUERY_LIMIT {
        return;
    }

    let Ok(query) = Message::from_vec(packet) else {
        assert!(
            matches!(code, ResponseCode::FormErr | ResponseCode::NotImp),
            "{code}"
        );
        return;
    };

    if context.transport == Transport::Udp {
        assert!(
            out.len() <= usize::from(query.max_payload()),
            "{} bytes",
            out.len()
        );
    }

    let [question] = &query.queries[..] else {
        return;
    };
    let is_lookup = query.metadata.op_code == OpCode::Query && code == ResponseCode::NoError;
    let serving = Name::from_ascii("serving.m.test.").expect("a name");

    if is_lookup && *question.name() == serving && question.query_type() == RecordType::A {
        assert_eq!(question.query_class(), DNSClass::IN);
        assert!(
            !case.has_v4 || answer.metadata.truncation || !answer.answers.is_empty(),
            "serving has no answer"
        );
    }
}
