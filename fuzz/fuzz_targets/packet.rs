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
use regionmesh::dns::{
    answer::UDP_PAYLOAD,
    cookies::Secrets,
    fast,
    wire::{Asker, QUERY_LIMIT, Transport, respond, respond_generally},
    zone::Zone,
};
use std::{net::IpAddr, sync::LazyLock};

/// How the input begins.
const CHOICES: usize = 8;
const NOW_S: u32 = 1_700_000_000;

/// By weight; by latency; no share at all; more addresses than UDP holds.
static ZONES: LazyLock<Vec<Zone>> = LazyLock::new(|| {
    let many: Vec<String> = (0..100).map(|host| format!("10.0.1.{host}")).collect();
    let few = ["10.0.0.1".to_owned(), "fd00::1".to_owned()];
    vec![
        zone("weighted", [1, 2, 3], &few),
        zone("latency", [10_000, 10_000, 100], &few),
        zone("weighted", [0, 0, 1], &[]),
        zone("weighted", [1, 1, 1], &many),
    ]
});

fn zone(strategy: &str, weights: [u16; 3], addresses: &[String]) -> Zone {
    let mut text = format!(
        r#"
        mesh = "m.test"
        region = "east"
        agent = "node-0"
        data_dir = "/nowhere"
        tls = {{ ca = "/nowhere", certificate = "/nowhere", key = "/nowhere" }}
        listen = {{ mesh = "127.0.0.1:0", dns = "127.0.0.1:0", api = "127.0.0.1:0", serving = "127.0.0.1:0" }}
        store = {{ url = "file:///nowhere" }}
        dns = {{ zone = "m.test" }}
        traffic.strategy = "{strategy}"
        "#
    );

    if strategy == "latency" {
        text += r#"
        traffic.networks = [
            { cidr = "198.51.100.0/24", regions = ["west", "south"] },
            { cidr = "198.51.0.0/16", regions = ["south"] },
            { cidr = "2001:db8::/32", regions = ["west"] },
        ]
        "#;
    }

    for (name, weight) in ["east", "south", "west"].iter().zip(weights) {
        text += &format!(
            "[[regions]]\nname = \"{name}\"\nendpoint = \"10.9.0.1:1\"\nserving_url = \"http://10.9.0.1:1\"\n\
             addresses = {addresses:?}\nweight_bp = {weight}\n"
        );
    }

    let config = toml::from_str(&text).expect("a configuration");
    Zone::compile(&config, None).expect("a zone")
}

fuzz_target!(|input: &[u8]| {
    let Some((&[choice, transport, source, secrets, r0, r1, r2, r3], packet)) =
        input.split_first_chunk::<CHOICES>()
    else {
        return;
    };
    let zone = &ZONES[usize::from(choice) % ZONES.len()];
    let transport = if transport & 1 == 0 {
        Transport::Udp
    } else {
        Transport::Tcp
    };
    let source: IpAddr = ["192.0.2.1", "198.51.100.7", "2001:db8::1"][usize::from(source) % 3]
        .parse()
        .expect("an address");
    let made = Secrets::new([7; 16]);
    let asker = Asker {
        source,
        transport,
        random: u32::from_be_bytes([r0, r1, r2, r3]),
        now_s: NOW_S,
        secrets: (secrets & 1 == 0).then_some(&made),
    };
    let mut out = Vec::new();
    let Some(mut reply) = respond(zone, packet, &asker, &mut out) else {
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
    check(&out, packet, zone, &asker, reply.code);

    let (mut fast, mut general) = (Vec::new(), Vec::new());
    if fast::respond(zone, packet, &asker, &mut fast).is_some() {
        respond_generally(zone, packet, &asker, &mut general).expect("an answer");
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

fn check(out: &[u8], packet: &[u8], zone: &Zone, asker: &Asker<'_>, code: ResponseCode) {
    assert_eq!(out[..2], packet[..2], "the identifier");
    assert!(out[2] & 0x80 != 0, "an answer is marked as one");
    if asker.transport == Transport::Udp {
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

    if asker.transport == Transport::Udp {
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
        let has_address = zone.regions.iter().any(|region| !region.v4.is_empty());
        assert!(
            !has_address || answer.metadata.truncation || !answer.answers.is_empty(),
            "serving has no answer"
        );
    }
}
