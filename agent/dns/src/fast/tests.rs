//! Fast and general path give the same bytes, and typical queries take the fast path.

use super::*;
use crate::{
    config::{NetworkConfig, fixture},
    cookies::Secrets,
    wire::{reply::Transport, respond_generally},
};
use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query as Question},
    rr::{Name, RecordType, rdata::opt::EdnsOption},
};
use ipnet::IpNet;
use proptest::prelude::*;
use regionmesh_core::planning::Strategy as Sharing;

const SOURCE: &str = "203.0.113.5";
const NOW_S: u32 = 1_700_000_000;

/// Three regions of one, two and no addresses of IPv6, by weight or by latency.
fn zone(strategy: Sharing, weights: [u16; 3]) -> Zone {
    let network = |cidr: &str, region: &str| NetworkConfig {
        cidr: cidr.parse().unwrap(),
        regions: vec![region.parse().unwrap()],
    };
    let addresses: [&[&str]; 3] = [
        &["10.0.0.1", "fd00::1"],
        &["10.0.0.2", "fd00::2", "10.0.1.2", "fd00::1:2"],
        &["10.0.0.3"],
    ];

    let mut config = fixture::config(
        "M.test",
        &["east", "south", "west"].map(|name| (name, "10.0.0.1")),
    );
    for ((region, addresses), weight_bp) in config.regions.iter_mut().zip(addresses).zip(weights) {
        region.endpoint = "a:1".into();
        region.addresses = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
        region.weight_bp = weight_bp;
    }

    config.traffic.strategy = strategy;
    if strategy == Sharing::Latency {
        config.traffic.networks = vec![
            network("198.51.100.0/24", "west"),
            network("2001:db8::/32", "south"),
        ];
    }

    Zone::compile(&config, None).unwrap()
}

fn subnets() -> impl Strategy<Value = ClientSubnet> {
    let v4 = (any::<u32>(), 0u8..=32).prop_map(|(bits, prefix)| (IpAddr::V4(bits.into()), prefix));
    let near = (any::<u8>(), 0u8..=32)
        .prop_map(|(host, prefix)| (IpAddr::V4(Ipv4Addr::new(198, 51, 100, host)), prefix));
    let v6 =
        (any::<u128>(), 0u8..=128).prop_map(|(bits, prefix)| (IpAddr::V6(bits.into()), prefix));

    // Some with bits beyond the prefix, which are format errors.
    (prop_oneof![v4, near, v6], any::<bool>()).prop_map(|((address, prefix), is_clean)| {
        let network = IpNet::new(address, prefix).unwrap();
        ClientSubnet::new(
            if is_clean { network.network() } else { address },
            prefix,
            0,
        )
    })
}

prop_compose! {
    fn messages()(
        id: u16,
        name in prop_oneof![
            9 => Just("serving.m.test."),
            1 => Just("west.serving.m.test."),
            1 => Just("m.test."),
        ],
        flips: u64,
        kind in prop_oneof![Just(RecordType::A), Just(RecordType::AAAA), Just(RecordType::TXT)],
        flags: [bool; 4],
        edns: Option<(u16, bool)>,
        subnet in proptest::option::of(subnets()),
        cookie in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..42)),
        is_cookie_good: bool,
        unknown in proptest::option::weighted(0.1, 3u16..20),
    ) -> Vec<u8> {
        let spelled: String = name
            .char_indices()
            .map(|(index, c)| if flips >> index & 1 == 1 { c.to_ascii_uppercase() } else { c })
            .collect();
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = flags[0];
        message.metadata.checking_disabled = flags[1];
        message.metadata.authentic_data = flags[2];
        message.add_query(Question::query(Name::from_ascii(&spelled).unwrap(), kind));
        if let Some((payload, dnssec_ok)) = edns {
            let mut edns = Edns::new();
            edns.set_max_payload(payload).set_dnssec_ok(dnssec_ok);
            if let Some(subnet) = subnet {
                edns.options_mut().insert(EdnsOption::Subnet(subnet));
            }
            if let Some(cookie) = cookie {
                let good = Secrets::new([7; 16])
                    .check(&[1; 8], SOURCE.parse().unwrap(), NOW_S - 60)
                    .unwrap()
                    .1;
                let cookie = if is_cookie_good { good.to_vec() } else { cookie };
                edns.options_mut().insert(EdnsOption::Unknown(COOKIE_CODE, cookie));
            }
            if let Some(code) = unknown {
                edns.options_mut().insert(EdnsOption::Unknown(code, vec![0; 3]));
            }
            message.set_edns(edns);
        }
        message.to_vec().unwrap()
    }
}

fn both(zone: &Zone, packet: &[u8], context: &QueryContext<'_>) -> Option<[(String, Vec<u8>); 2]> {
    let mut fast = Vec::new();
    let mut general = Vec::new();
    let one = respond(zone, packet, context, &mut fast)?;
    let other = respond_generally(zone, packet, context, &mut general);

    Some([
        (format!("{:?}", Some(one)), fast),
        (format!("{other:?}"), general),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn fast_and_general_path_give_the_same_bytes(
        packet in messages(),
        is_latency: bool,
        weights: [u16; 3],
        random: u32,
        is_tcp: bool,
        has_secrets: bool,
        damage: Option<(prop::sample::Index, u8)>,
    ) {
        let mut packet = packet;
        if let Some((at, byte)) = damage {
            let at = at.index(packet.len());
            packet[at] = byte;
        }

        let zone = zone(
            if is_latency { Sharing::Latency } else { Sharing::Weighted },
            weights.map(|weight| weight % 10_001),
        );
        let secrets = Secrets::new([7; 16]);
        let transport = if is_tcp {
            Transport::Tcp
        } else {
            Transport::Udp
        };
        let secrets = has_secrets.then_some(&secrets);

        let context = QueryContext {
            source: SOURCE.parse().unwrap(),
            transport,
            random,
            now_s: NOW_S,
            secrets,
        };

        if let Some([fast, general]) = both(&zone, &packet, &context) {
            prop_assert_eq!(fast, general);
        }
    }
}

#[test]
fn typical_resolver_queries_take_the_fast_path() {
    let zone = zone(Sharing::Latency, [1, 1, 1]);
    let secrets = Secrets::new([7; 16]);
    let context = |random| QueryContext {
        source: SOURCE.parse().unwrap(),
        transport: Transport::Udp,
        random,
        now_s: NOW_S,
        secrets: Some(&secrets),
    };

    let mut edns = Edns::new();
    edns.set_max_payload(1_232);

    let mut message = Message::new(1, MessageType::Query, OpCode::Query);
    message.add_query(Question::query(
        Name::from_ascii("SERVING.m.test.").unwrap(),
        RecordType::A,
    ));

    let mut is_fast = |edns: Option<&Edns>| {
        message.edns = edns.cloned();
        let mut out = Vec::new();
        respond(&zone, &message.to_vec().unwrap(), &context(9), &mut out).is_some()
    };

    assert!(is_fast(None) && is_fast(Some(&edns)));
    edns.options_mut()
        .insert(EdnsOption::Subnet("198.51.100.0/24".parse().unwrap()));
    assert!(is_fast(Some(&edns)));
    edns.options_mut()
        .insert(EdnsOption::Unknown(COOKIE_CODE, vec![1; 8]));
    assert!(is_fast(Some(&edns)));
}
