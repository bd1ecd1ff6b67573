#![allow(clippy::unwrap_used)]

use super::*;
use crate::config::fixture;

const TABLE: [(&str, &[&str]); 4] = [
    ("198.51.100.0/24", &["west", "south"]),
    ("198.51.0.0/16", &["south"]),
    ("203.0.113.0/24", &["east"]),
    ("2001:db8::/32", &["west"]),
];

fn config(networks: &[(&str, &[&str])]) -> Config {
    let rows: Vec<_> = networks
        .iter()
        .map(|(cidr, regions)| format!("{{ cidr = \"{cidr}\", regions = {regions:?} }}"))
        .collect();
    let traffic = format!(
        "traffic.strategy = \"latency\"\ntraffic.networks = [{}]\n",
        rows.join(", ")
    );
    let regions = [
        ("east", "10.0.0.1"),
        ("south", "10.0.0.2"),
        ("west", "10.0.0.3"),
    ];

    fixture::config(&regions, &traffic)
}

#[test]
fn the_table_is_checked_with_the_configuration() {
    let text = |networks: &[(&str, &[&str])]| toml::to_string(&config(networks)).unwrap();
    let load = |text: String| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Config::load(file.path()).map_err(|error| error.to_string())
    };

    assert!(load(text(&TABLE)).is_ok());
    for (network, why) in [
        (("198.51.100.1/24", &["west"][..]), "bits beyond its prefix"),
        (("198.51.100.0/24", &["nowhere"][..]), "which is no region"),
        (("198.51.100.0/24", &[][..]), "names no region"),
    ] {
        let error = load(text(&[network])).unwrap_err();
        assert!(error.contains(why), "{error}");
    }

    let weighted = text(&TABLE).replace("\"latency\"", "\"weighted\"");
    assert!(load(weighted).unwrap_err().contains("only counts with"));
}
