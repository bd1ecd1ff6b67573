//! Laws of addresses and configurations.

mod data_directory;
mod fixture;
mod processes;

use super::{
    children::Program,
    layout::{FIRST_ADDRESS, Layout, Ports, fast_recovery},
};
use crate::config::Config;
use proptest::prelude::*;
use regionmesh_core::planning::Strategy as TrafficStrategy;
use std::{collections::BTreeSet, path::Path};

fn layout(regions: usize, agents_per_region: u8, data_dir: &Path) -> Layout {
    Layout {
        domain: "regionmesh.test".parse().unwrap(),
        regions: (0..regions)
            .map(|index| format!("r{index}").parse().unwrap())
            .collect(),
        agents_per_region,
        data_dir: data_dir.into(),
        strategy: TrafficStrategy::Weighted,
        recovery: fast_recovery(),
        ports: Ports::default(),
        settings: toml::Table::new(),
        base: FIRST_ADDRESS,
    }
}

proptest! {
    #[test]
    fn no_two_agents_share_an_address_and_every_configuration_reads_back(
        regions in 1..=32usize,
        agents in 1..=16u8,
    ) {
        let layout = layout(regions, agents, Path::new("/a dir/with % and ü"));
        prop_assume!(layout.faults().is_empty());

        let all = layout.agents().unwrap();
        prop_assert_eq!(
            all.iter()
                .map(|agent| agent.ip)
                .collect::<BTreeSet<_>>()
                .len(),
            regions * usize::from(agents)
        );

        prop_assert!(all.iter().all(|agent| agent.ip.is_loopback()));
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("agent.toml");
        let tls = || regionmesh_mesh::TlsConfig {
            ca: "/ca".into(),
            certificate: "/c".into(),
            key: "/k".into(),
        };

        for agent in [&all[0], &all[all.len() - 1]] {
            let config = layout.config(agent, tls());
            std::fs::write(&file, toml::to_string(&config).unwrap()).unwrap();

            let read = Config::load(&file).unwrap();
            prop_assert_eq!(
                toml::to_string(&read).unwrap(),
                toml::to_string(&config).unwrap()
            );

            prop_assert_eq!(read.id(), agent.id.clone());
            prop_assert_eq!(
                read.witness.is_some(),
                regions % 2 == 0,
                "an even number needs a \
                witness"
            );

            prop_assert_eq!(read.local_peers.len(), usize::from(agents) - 1);
            prop_assert_eq!(read.regions[0].dns_addresses().len(), usize::from(agents));
        }
    }
}

#[test]
fn addresses_follow_the_documented_rule() {
    let agents = layout(3, 2, Path::new("/d")).agents().unwrap();
    let ips: Vec<String> = agents.iter().map(|agent| agent.ip.to_string()).collect();
    assert_eq!(
        ips,
        [
            "127.0.0.11",
            "127.0.1.11",
            "127.0.0.12",
            "127.0.1.12",
            "127.0.0.13",
            "127.0.1.13"
        ]
    );

    assert_eq!(agents[0].api_url(), "http://127.0.0.11:9080");
    let elsewhere = Layout {
        base: "10.77.5.250".parse().unwrap(),
        ..layout(3, 2, Path::new("/d"))
    };

    assert_eq!(elsewhere.agents().unwrap()[5].ip.to_string(), "10.77.6.252");
    assert!(elsewhere.faults().is_empty());
    assert!(
        !Layout {
            base: "10.77.5.253".parse().unwrap(),
            ..elsewhere
        }
        .faults()
        .is_empty(),
        "no addresses left"
    );
}

#[test]
fn a_launcher_runs_the_same_command() {
    let program = Program {
        executable: "/bin/agent".into(),
        arguments: vec!["--config".into()],
    };
    let launched = program.behind(&["ip".into(), "netns".into()]);

    assert_eq!(launched.executable, Path::new("ip"));
    assert_eq!(launched.arguments, ["netns", "/bin/agent", "--config"]);
}

#[test]
fn excess_duplicate_and_reserved_regions_are_refused() {
    let fails = |layout: Layout| !layout.faults().is_empty();
    let path = Path::new("/d");
    assert!(fails(layout(0, 1, path)) && fails(layout(33, 1, path)) && fails(layout(1, 0, path)));
    assert!(fails(layout(1, 17, path)) && fails(layout(32, 16, path)));

    let mut doubled = layout(2, 1, path);
    doubled.regions[1] = doubled.regions[0].clone();
    assert!(fails(doubled));

    let mut reserved = layout(2, 1, path);
    reserved.regions[1] = "witness".parse().unwrap();
    assert!(fails(reserved));
}

#[test]
fn a_path_becomes_a_url_without_unsafe_characters() {
    let layout = layout(2, 1, Path::new("/a b/%"));
    let agent = &layout.agents().unwrap()[0];
    let tls = regionmesh_mesh::TlsConfig {
        ca: "/ca".into(),
        certificate: "/c".into(),
        key: "/k".into(),
    };
    let config = layout.config(agent, tls);

    assert_eq!(config.store.url, "file:///a%20b/%25/regions/r0");
    assert_eq!(config.witness.unwrap().url, "file:///a%20b/%25/witness");
}
