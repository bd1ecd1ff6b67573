#![allow(clippy::unwrap_used)]

use super::*;
use serde::Deserialize;
use std::net::SocketAddr;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Document {
    name: String,
    listen: Listen,
    #[serde(default)]
    limits: Limits,
    parts: Vec<Part>,
}
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Listen {
    api: SocketAddr,
    dns: SocketAddr,
}
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(dead_code)]
struct Limits {
    most: u16,
    is_on: bool,
}
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Part {
    weight: u8,
    at: String,
}

fn faults(text: &str) -> Vec<String> {
    read::<Document>(text.parse().unwrap()).faults
}

const GOOD: &str = r#"
        name = "n"
        listen = { api = "127.0.0.1:1", dns = "127.0.0.1:2" }
        parts = [{ weight = 1, at = "a" }]
    "#;

#[test]
fn a_good_document_has_no_faults() {
    let reading = read::<Document>(GOOD.parse().unwrap());
    assert_eq!(
        (reading.value.unwrap().name.as_str(), reading.faults.len()),
        ("n", 0)
    );
}

#[test]
fn every_fault_is_told_with_its_place() {
    let found = faults(
        r#"
            nam = "n"
            parts = [
                { weight = 1000, at = "a" },
                { weight = 1, at = 7, colour = "red" },
                { weight = 2 },
            ]
            [listen]
            api = "here"
            port = 1
            [limits]
            most = "many"
            is_on = 3
            "#,
    );

    for part in [
        "unknown field `nam`, expected one of",
        "missing field `name`",
        "listen.api: invalid socket address",
        "listen: unknown field `port`",
        "listen: missing field `dns`",
        "limits.most: invalid type: string \"many\", expected u16",
        "limits.is_on: invalid type: integer `3`, expected a boolean",
        "parts[0].weight: invalid value: integer `1000`, expected u8",
        "parts[1].at: invalid type: integer `7`, expected a string",
        "parts[1]: unknown field `colour`",
        "parts[2]: missing field `at`",
    ] {
        assert_eq!(
            found.iter().filter(|fault| fault.starts_with(part)).count(),
            1,
            "{part}\n{found:#?}"
        );
    }

    assert_eq!(found.len(), 11, "{found:#?}");
}

#[test]
fn what_follows_from_a_fault_is_not_told_again() {
    assert_eq!(
        faults("name = \"n\"\nparts = []"),
        ["missing field `listen`"]
    );

    assert_eq!(
        faults("name = \"n\"\nparts = 7\nlisten = \"x\""),
        [
            "listen: invalid type: string \"x\", expected struct Listen",
            "parts: invalid type: integer `7`, expected a sequence"
        ]
    );

    let reading = read::<Document>(
        "name = \"n\"\nparts = [{ weight = 1, at = 1 }]"
            .parse()
            .unwrap(),
    );

    assert!(
        reading.is_in_doubt("parts[0]: too light")
            && reading.is_in_doubt("listen: the same port twice")
    );

    assert!(!reading.is_in_doubt("name: too short"));
}

#[test]
fn endless_faults_end() {
    let text: String = (0..1_000)
        .map(|number| format!("x{number} = 1\n"))
        .collect();
    assert_eq!(faults(&text).len(), FAULTS_MAX);
}
