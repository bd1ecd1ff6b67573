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
fn texts_take_variables_of_the_environment_and_a_missing_one_is_one_fault() {
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
fn faults_of_form_and_of_meaning_are_reported_together() {
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
        "health.interval_ms: expected an integer, got \"fast\"",
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

/// A setting out of range, and the fault.
const OUT_OF_RANGE: &[(&str, &str)] = &[
    (
        "traffic.suspect_percent = 101",
        "101 is not within 0 to 100",
    ),
    ("health.interval_ms = 9", "9 is not within 10 to 60000"),
    (
        "health.confirm_interval_ms = 60_001",
        "60001 is not within 10 to 60000",
    ),
    (
        "health.evidence_ms = 60_001",
        "60001 is not within 0 to 60000",
    ),
    ("health.failures = 0", "0 is less than 1"),
    ("health.successes = 0", "0 is less than 1"),
    ("health.timeout_ms = 0", "0 is less than 1"),
    ("health.minimum_addresses = 0", "0 is not within 1 to 65535"),
    ("health.gray.window = 1", "1 is not within 2 to 1000"),
    (
        "health.gray.error_percent = 101",
        "101 is not within 0 to 100",
    ),
    (
        "health.gray.clear_percent = 101",
        "101 is not within 0 to 100",
    ),
    (
        "health.gray.quantile_percent = 0",
        "0 is not within 1 to 100",
    ),
    (
        "recovery.errors_floor_bp = 10_001",
        "10001 is not within 0 to 10000",
    ),
    ("dns.ttl_s = 0", "0 is not within 1 to 86400"),
    ("dns.workers = 65", "65 is not within 0 to 64"),
    (
        "dns.rate_limit.responses_per_second = 8_001",
        "8001 is not within 0 to 8000",
    ),
    ("dns.rate_limit.slip = 11", "11 is not within 0 to 10"),
    ("replication.rescan_ms = 99", "99 is less than 100"),
    ("replication.parallel_versions = 0", "0 is less than 1"),
    ("replication.parallel_streams = 0", "0 is less than 1"),
    ("replication.upload_idle_ms = 999", "999 is less than 1000"),
    (
        "replication.relay_wait_s = 3_601",
        "3601 is not within 0 to 3600",
    ),
    ("serving.parallel = 0", "0 is less than 1"),
    ("serving.max_tensor_bytes = 0", "0 is less than 1"),
    ("serving.load_timeout_ms = 0", "0 is less than 1"),
    ("serving.inference_timeout_ms = 0", "0 is less than 1"),
    (
        "serving.queue_timeout_ms = 600_001",
        "600001 is not within 0 to 600000",
    ),
    ("serving.body_limit = 0", "0 is less than 1"),
    ("serving.memory_limit = 0", "0 is less than 1"),
    ("cost.keep_months = 121", "121 is not within 2 to 120"),
    ("cost.late_after_h = 0", "0 is less than 1"),
    ("cost.optimiser.survive = 2", "2 is not within 0 to 1"),
];

#[test]
fn numbers_out_of_range_are_faults() {
    for (setting, fault) in OUT_OF_RANGE {
        let (place, _) = setting.split_once(" =").unwrap();
        assert_eq!(
            faults(&format!("{setting}\n{GOOD}")),
            [format!("{place}: {fault}")]
        );
    }

    let weight = GOOD.replace("endpoint", "weight_bp = 10_001, endpoint");
    assert_eq!(
        faults(&weight),
        ["regions[0].weight_bp: 10001 is not within 0 to 10000"]
    );

    let receiver = r#"alerts.receivers = [{ name = "c", kind = "webhook", url = "http://host/",
        timeout_ms = 1, deadline_s = 1, resend_s = 0 }]"#;
    assert_eq!(
        faults(&format!("{receiver}\n{GOOD}")),
        [
            "alerts.receivers[0].deadline_s: 1 is not within 10 to 86400",
            "alerts.receivers[0].resend_s: 0 is not within 1 to 3600",
            "alerts.receivers[0].timeout_ms: 1 is not within 100 to 60000",
        ]
    );
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

#[test]
fn tables_with_the_names_of_regions_as_keys_are_read() {
    let route53 = |key: &str| {
        format!("{GOOD}\n[dns.route53]\nzone_id = \"Z1\"\nagents = {{ {key} = \"a.example\" }}\n")
    };
    assert!(load(&route53("a")).is_ok());

    let found = faults(&route53("EU_1"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("dns.route53.agents"), "{found:?}");
}

#[test]
fn every_table_refuses_unknown_fields_or_takes_any_key() {
    fn check(node: schema::Node<'_>, path: &str) {
        let fields = node.properties().collect::<Vec<_>>();
        let is_open = !fields.is_empty() && !node.is_closed();
        assert!(!is_open, "{path}: unknown fields are not refused");

        for (name, field) in fields {
            check(field, &format!("{path}.{name}"));
        }
        for (node, what) in [(node.items(), "[]"), (node.entries(), ".*")] {
            node.iter()
                .for_each(|node| check(*node, &format!("{path}{what}")));
        }
    }

    check(schema::Node(&schema::of::<Config>()), "");
}
