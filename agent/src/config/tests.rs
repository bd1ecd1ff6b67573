#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

const GOOD: &str = r#"
        mesh = "m"
        region = "a"
        agent = "0"
        data_dir = "/tmp/a"
        tls = { ca = "ca.pem", certificate = "a.pem", key = "a.key" }
        listen.mesh = "127.0.0.1:1"
        listen.dns = "127.0.0.1:2"
        listen.api = "127.0.0.1:3"
        listen.serving = "127.0.0.1:4"
        store = { url = "file:///tmp/a" }
        regions = [{ name = "a", endpoint = "a:1", serving_url = "http://127.0.0.1:4" }]
    "#;

fn load(text: &str) -> Result<Config, ConfigError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    Config::load(file.path())
}

fn faults(text: &str) -> Vec<String> {
    match load(text) {
        Err(ConfigError::Faulty { faults, .. }) => faults,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_good_configuration_is_read() {
    assert_eq!(load(GOOD).unwrap().id().to_string(), "a/0");
}

#[test]
fn texts_take_variables_of_the_environment_and_a_missing_one_is_told_once() {
    // Set by cargo for every test.
    let text = GOOD.replace("agent = \"0\"", "agent = \"${CARGO_PKG_NAME}\"");
    assert_eq!(load(&text).unwrap().id().to_string(), "a/regionmesh");

    let text = GOOD.replace("127.0.0.1:3", "${REGIONMESH_TEST_UNSET}:3");
    let found = faults(&text);
    assert_eq!(
        found,
        ["listen.api: the environment has no variable REGIONMESH_TEST_UNSET, or an empty one"]
    );
}

#[test]
fn faults_of_form_and_of_meaning_are_told_together() {
    let text = GOOD
        .replace(
            "mesh = \"m\"",
            "mesh = \"m\"\nmash = 1\nlocal_peers = [\"nowhere\"]",
        )
        .replace("\"127.0.0.1:3\"", "\"127.0.0.1:2\"")
        .replace("file:///tmp/a", "ftp://a")
        .replace("tls = { ca = \"ca.pem\",", "tls = {")
        + "dns = { ttl_s = 0, zone = \"\" }\nhealth = { interval_ms = \"fast\" }\nlog = \
            { filter = \"a=loud\" }\n";

    let found = faults(&text);
    for part in [
        "unknown field `mash`",
        "tls: missing field `ca`",
        "health.interval_ms: invalid type",
        "local_peers: \"nowhere\" is not host:port",
        "listen: api and dns are both 127.0.0.1:2/tcp",
        "store.url: \"ftp://a\" is not file:// or s3://",
        "dns.ttl_s: 0",
        "dns.zone: \"\"",
        "log.filter: \"a=loud\"",
    ] {
        assert!(
            found.iter().any(|fault| fault.starts_with(part)),
            "{part}\n{found:#?}"
        );
    }

    assert_eq!(found.len(), 9, "{found:#?}");
}

#[test]
fn a_missing_table_is_one_fault() {
    let text: String = GOOD
        .lines()
        .filter(|line| !line.contains("regions ="))
        .map(|line| format!("{line}\n"))
        .collect();

    assert_eq!(faults(&text), ["missing field `regions`"]);
}

#[test]
fn what_is_no_toml_is_shown_with_its_line() {
    let error = load("mesh = \n").unwrap_err().to_string();
    assert!(error.contains("line 1"), "{error}");
}
