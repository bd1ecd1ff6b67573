#![allow(clippy::unwrap_used)]

use super::*;

fn faults(text: &str) -> Vec<String> {
    toml::from_str::<AlertsConfig>(text).unwrap().faults()
}

#[test]
fn a_receiver_needs_a_name_a_kind_and_a_url() {
    let text = r#"
            [[receivers]]
            name = "ops"
            kind = "alertmanager"
            url = "https://alertmanager.example:9093/prefix"
            [[receivers]]
            name = "chat"
            kind = "webhook"
            url = "http://127.0.0.1:1/hook?room=7"
            severity = "warning"
            kinds = ["verdict", "fence-lost"]
            token_file = "/t"
            secret_file = "/s"
        "#;

    let config: AlertsConfig = toml::from_str(text).unwrap();
    assert_eq!(config.faults(), [""; 0]);

    let [ops, chat] = &config.receivers[..] else {
        unreachable!("two")
    };
    assert_eq!(
        (ops.severity, ops.resend_s, ops.kinds.len()),
        (Severity::Info, 60, 0)
    );

    assert_eq!(chat.kinds, [EventKind::Verdict, EventKind::FenceLost]);
    let again: AlertsConfig = toml::from_str(&toml::to_string(&config).unwrap()).unwrap();
    assert_eq!(again.receivers.len(), 2);
}

#[test]
fn every_fault_is_reported_and_no_url_is_quoted() {
    let text = r#"
            generator_url = "dashboard"
            [[receivers]]
            name = "a b"
            kind = "alertmanager"
            url = "https://user:hush@host/"
            secret_file = "/s"
            [[receivers]]
            name = "c"
            kind = "webhook"
            url = "ftp://host/hush"
            [[receivers]]
            name = "c"
            kind = "webhook"
            url = "http://host/"
        "#;

    let found = faults(text);
    for part in [
        "generator_url",
        "receivers.a b: name",
        "receivers.a b: url",
        "receivers.a b: secret_file",
        "receivers.c: url",
        "\"c\" is listed twice",
    ] {
        assert_eq!(
            found.iter().filter(|fault| fault.contains(part)).count(),
            1,
            "{part}: {found:#?}"
        );
    }

    assert_eq!(found.len(), 6, "{found:#?}");
    assert!(
        !found.iter().any(|fault| fault.contains("hush")),
        "{found:#?}"
    );
}
