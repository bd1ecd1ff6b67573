#![allow(clippy::unwrap_used)]

use super::*;
use crate::config::fixture;

fn hosts() -> Hosts {
    let more = "dns = { zone = \"mesh.example.org\", name_servers = [\"ns.example.net\"] }\n\
                api = { hosts = [\"Console.Example.org\", \".svc.cluster.local\"] }\n";
    let mut config = fixture::config(&[("a", "127.0.0.11")], more);

    config.regions[0].endpoint = "mesh.a.example.org:7443".into();
    config.local_peers.push("agents.regionmesh.svc:7443".into());
    Hosts::of(&config)
}

fn answered(version: Version, target: &str, host: Option<&str>) -> u16 {
    let mut headers = HeaderMap::new();
    if let Some(host) = host {
        headers.insert(header::HOST, host.parse().unwrap());
    }

    let checked = hosts().check(version, &target.parse().unwrap(), &headers);
    checked.map_or_else(|error| error.into_response().status().as_u16(), |()| 200)
}

#[test]
fn addresses_localhost_and_names_of_the_configuration_are_answered() {
    for host in [
        "127.0.0.11:9080",
        "203.0.113.9",
        "[2001:db8::1]:9080",
        "[::1]",
        "localhost:1",
        "LOCALHOST",
        "localhost.",
        "mesh.a.example.org",
        "agents.regionmesh.svc",
        "console.example.org:443",
        "regionmesh-api.regionmesh.svc.cluster.local",
        "serving.mesh.example.org",
        "ns.example.net",
    ] {
        assert_eq!(
            answered(Version::HTTP_11, "/v1/status", Some(host)),
            200,
            "{host}"
        );
    }
}

#[test]
fn other_names_are_misdirected() {
    for host in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "svc.cluster.local",
        "xsvc.cluster.local",
        "example.org",
        "evilmesh.example.org",
    ] {
        assert_eq!(
            answered(Version::HTTP_11, "/v1/status", Some(host)),
            421,
            "{host}"
        );
    }

    assert_eq!(
        answered(
            Version::HTTP_11,
            "http://evil.example/v1/status",
            Some("localhost")
        ),
        421
    );

    assert_eq!(
        answered(
            Version::HTTP_11,
            "http://localhost/v1/status",
            Some("evil.example")
        ),
        421
    );

    assert_eq!(
        answered(Version::HTTP_2, "https://evil.example/v1/status", None),
        421
    );

    assert_eq!(
        answered(Version::HTTP_2, "https://localhost/v1/status", None),
        200
    );
}

#[test]
fn a_request_with_a_missing_or_malformed_host_is_bad() {
    assert_eq!(answered(Version::HTTP_11, "/v1/status", None), 400);
    assert_eq!(answered(Version::HTTP_10, "/v1/status", None), 200);
    for host in [
        "",
        ":9080",
        "a b",
        "user@localhost",
        "localhost:port",
        "http://localhost",
    ] {
        assert_eq!(
            answered(Version::HTTP_11, "/v1/status", Some(host)),
            400,
            "{host:?}"
        );
    }
}
