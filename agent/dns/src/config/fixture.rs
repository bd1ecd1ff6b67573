//! A configuration for tests: agent `node-0` of the first region, on ports that the system chooses.

use super::{Config, Region, Settings, Traffic, WhenAllDown};
use regionmesh_core::planning::Strategy;
use regionmesh_protocol::plan::FULL_WEIGHT_BP;
use std::net::{Ipv4Addr, SocketAddr};

/// With this zone, and these regions and addresses.
pub(crate) fn config(zone: &str, regions: &[(&str, &str)]) -> Config {
    let region = |(name, ip): &(&str, &str)| Region {
        name: name.parse().unwrap(),
        endpoint: format!("{ip}:7443"),
        addresses: vec![ip.parse().unwrap()],
        weight_bp: FULL_WEIGHT_BP,
        priority: 0,
    };

    Config {
        settings: Settings {
            zone: zone.into(),
            ..Settings::default()
        },
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        mesh: zone.to_ascii_lowercase().parse().unwrap(),
        own: format!("{}/node-0", regions[0].0).parse().unwrap(),
        regions: regions.iter().map(region).collect(),
        traffic: Traffic {
            strategy: Strategy::Weighted,
            when_all_down: WhenAllDown::Last,
            networks: Vec::new(),
        },
    }
}
