//! Latency answers: the nearest region with a share, by client subnet or resolver, and their scope.

use super::*;
use crate::{
    config::{Config, NetworkConfig, fixture},
    zone::{Zone, region::Family},
};
use hickory_proto::{
    op::{Edns, MessageType, OpCode, Query, ResponseCode},
    rr::{Name, RecordType},
};
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use regionmesh_protocol::{
    plan::{CommittedPlan, Plan, RegionPlan},
    register::ballot::{Ballot, Stamp},
};
use std::collections::BTreeSet;

const REGIONS: [(&str, &str); 3] = [
    ("east", "10.0.0.1"),
    ("south", "10.0.0.2"),
    ("west", "10.0.0.3"),
];
const RESOLVER: &str = "203.0.113.5";

fn config(networks: &[(&str, &[&str])]) -> Config {
    let network = |(cidr, regions): &(&str, &[&str])| NetworkConfig {
        cidr: cidr.parse().unwrap(),
        regions: regions.iter().map(|name| name.parse().unwrap()).collect(),
    };

    let mut config = fixture::config("m.test", &REGIONS);
    config.traffic.strategy = Strategy::Latency;
    config.traffic.networks = networks.iter().map(network).collect();
    config
}

fn zone(networks: &[(&str, &[&str])], weights: [u16; 3]) -> Zone {
    let regions = REGIONS.iter().zip(weights).map(|((name, ip), weight_bp)| {
        let part = RegionPlan {
            weight_bp,
            addresses: vec![ip.parse().unwrap()],
            ..RegionPlan::default()
        };

        (name.parse().unwrap(), part)
    });

    let plan = Plan {
        regions: regions.collect(),
        ..Plan::default()
    };
    let ballot = Ballot {
        number: 1,
        agent: "east/node-0".parse().unwrap(),
        boot: 1,
    };

    let committed = CommittedPlan {
        stamp: Stamp { ballot, seq: 1 },
        plan,
        certificate: Default::default(),
    };

    Zone::compile(&config(networks), Some(&committed)).unwrap()
}

const TABLE: [(&str, &[&str]); 4] = [
    ("198.51.100.0/24", &["west", "south"]),
    ("198.51.0.0/16", &["south"]),
    ("203.0.113.0/24", &["east"]),
    ("2001:db8::/32", &["west"]),
];
const FULL: [u16; 3] = [10_000; 3];

fn query(subnet: Option<ClientSubnet>) -> Message {
    let mut message = Message::new(1, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(
        Name::from_ascii("serving.m.test.").unwrap(),
        RecordType::A,
    ));

    if let Some(subnet) = subnet {
        let mut edns = Edns::new();
        edns.options_mut().insert(EdnsOption::Subnet(subnet));
        message.edns = Some(edns);
    }

    message
}

/// The regions answered over many draws, and the scope returned.
fn answered(zone: &Zone, subnet: Option<&str>) -> (BTreeSet<String>, Option<u8>) {
    let subnet = subnet.map(|text| text.parse::<ClientSubnet>().unwrap());
    let mut scope = None;
    let regions = (0..200u32).map(|draw| {
        let query = query(subnet);
        let answer = zone.answer(
            &query,
            RESOLVER.parse().unwrap(),
            draw.wrapping_mul(0x9e37_79b9),
        );

        assert_eq!(answer.message.answers.len(), 1);
        let option = answer
            .message
            .edns
            .as_ref()
            .and_then(|edns| edns.option(EdnsCode::Subnet))
            .cloned();

        if let Some(EdnsOption::Subnet(returned)) = option {
            let asked = subnet.as_ref().unwrap();
            assert_eq!(
                (returned.addr(), returned.source_prefix()),
                (asked.addr(), asked.source_prefix())
            );

            scope = Some(returned.scope_prefix());
        }

        answer.region.unwrap().name.to_string()
    });

    (regions.collect(), scope)
}

fn only(region: &str) -> BTreeSet<String> {
    BTreeSet::from([region.to_owned()])
}

fn all() -> BTreeSet<String> {
    REGIONS.iter().map(|(name, _)| (*name).to_owned()).collect()
}

#[test]
fn the_longest_matching_network_decides_and_limits_the_scope() {
    let zone = zone(&TABLE, FULL);
    assert_eq!(
        answered(&zone, Some("198.51.100.128/25")),
        (only("west"), Some(24))
    );

    assert_eq!(
        answered(&zone, Some("198.51.7.0/24")),
        (only("south"), Some(18)),
        "198.51.64.0/18 has another answer"
    );

    assert_eq!(
        answered(&zone, Some("2001:db8:1::/48")),
        (only("west"), Some(32))
    );

    // Too coarse: part of it is near west.
    assert_eq!(
        answered(&zone, Some("198.51.0.0/16")),
        (only("south"), Some(24))
    );

    assert_eq!(answered(&zone, Some("192.0.2.0/24")).0, all());
}

#[test]
fn without_a_usable_subnet_the_resolver_address_decides() {
    let zone = zone(&TABLE, FULL);
    assert_eq!(answered(&zone, None), (only("east"), None));
    assert_eq!(answered(&zone, Some("0.0.0.0/0")), (only("east"), Some(0)));
}

#[test]
fn a_region_without_a_share_is_skipped_and_a_ramping_one_gets_its_part() {
    assert_eq!(
        answered(&zone(&TABLE, [10_000, 10_000, 0]), Some("198.51.100.0/24")).0,
        only("south")
    );

    assert_eq!(
        answered(&zone(&TABLE, [10_000, 0, 0]), Some("198.51.100.0/24")).0,
        only("east")
    );

    let ramping = zone(&TABLE, [10_000, 10_000, 2_500]);
    let client = Client::of(
        &query(Some("198.51.100.0/24".parse().unwrap())),
        RESOLVER.parse().unwrap(),
    )
    .unwrap();
    let west = (0..10_000u32)
        .filter(|draw| {
            let random = draw.wrapping_mul(0x9e37_79b9);
            ramping
                .nearest(&client, Family::V4, random)
                .unwrap()
                .name
                .as_str()
                == "west"
        })
        .count();

    assert!(
        (2_300..2_700).contains(&west),
        "{west} of 10000 at a quarter"
    );
}

#[test]
fn other_strategies_answer_by_weight_with_scope_zero() {
    let mut config = config(&[]);
    config.traffic.strategy = Strategy::Weighted;
    let zone = Zone::compile(&config, None).unwrap();
    assert_eq!(answered(&zone, Some("198.51.100.0/24")), (all(), Some(0)));
}

#[test]
fn a_subnet_with_bits_beyond_its_prefix_is_a_format_error() {
    let zone = zone(&TABLE, FULL);
    for subnet in [
        ClientSubnet::new("198.51.100.1".parse().unwrap(), 24, 0),
        ClientSubnet::new("10.0.0.0".parse().unwrap(), 8, 8),
    ] {
        let answer = zone.answer(&query(Some(subnet)), RESOLVER.parse().unwrap(), 0);
        assert_eq!(answer.message.metadata.response_code, ResponseCode::FormErr);
        assert!(answer.message.answers.is_empty());
    }
}

proptest! {
    #[test]
    fn all_clients_within_the_scope_get_the_same_answer(
        row in 0usize..3,
        noise: u32,
        far in 0u32..32,
        prefix in 1u8..=32,
        other: u32,
    ) {
        // Biased towards the table's rows.
        let IpAddr::V4(base) = TABLE[row].0.parse::<IpNet>().unwrap().network() else {
            unreachable!()
        };
        let client = base.to_bits() ^ (noise >> far);
        let zone = zone(&TABLE, FULL);
        let net = |address: u32, prefix| {
            IpNet::new(IpAddr::V4(address.into()), prefix)
                .unwrap()
                .trunc()
        };
        let asked = net(client, prefix);
        let scope = zone.networks.scope(&asked);

        // An answer is cached for what is within both the source and the scope prefix (RFC 7871
        // §7.3.1).
        let bits = scope.min(prefix);
        let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
        let neighbour = (client & mask) | (other & !mask);

        if scope <= prefix {
            let near = zone.networks.near(&net(neighbour, 32));
            prop_assert_eq!(
                zone.networks.near(&asked),
                near,
                "{} and {}",
                asked,
                net(neighbour, 32)
            );
        }
    }

    #[test]
    fn every_client_is_answered_with_a_region_that_has_a_share(
        address: u32,
        prefix in 0u8..=32,
        random in any::<u32>(),
        weights: [u16; 3],
    ) {
        let zone = zone(&TABLE, weights.map(|weight| weight % 10_001));
        let subnet = IpNet::new(IpAddr::V4(address.into()), prefix)
            .unwrap()
            .trunc();
        let answer = zone.answer(
            &query(Some(subnet.into())),
            RESOLVER.parse().unwrap(),
            random,
        );

        prop_assert!(!answer.message.answers.is_empty());
        if let Some(region) = answer.region {
            prop_assert!(region.weight_bp > 0);
        }
    }
}

#[test]
fn unlisted_regions_come_last_by_their_distance_from_the_first() {
    use crate::distances::tests_support::measured;

    let config = config(&[("198.51.100.0/24", &["west"])]);
    let near = |distances: &crate::distances::Distances, weights: [u16; 3]| {
        let regions = zone(&TABLE, weights).regions;
        let networks = Networks::compile(&config.traffic, &regions, distances);
        let places = networks.near(&"198.51.100.0/24".parse().unwrap()).to_vec();

        places
            .into_iter()
            .map(|place| regions[place].name.to_string())
            .collect::<Vec<_>>()
    };

    assert_eq!(
        near(&measured(&[]), FULL),
        ["west"],
        "nothing is measured: the others by weight"
    );

    assert_eq!(
        near(
            &measured(&[("west", "east", 90), ("west", "south", 30)]),
            FULL
        ),
        ["west", "south", "east"]
    );

    assert_eq!(
        near(
            &measured(&[
                ("west", "east", 9),
                ("west", "south", 30),
                ("east", "south", 1)
            ]),
            FULL
        ),
        ["west", "east", "south"]
    );

    // Only measurements by agents of the first region count.
    assert_eq!(near(&measured(&[("east", "south", 1)]), FULL), ["west"]);
}
