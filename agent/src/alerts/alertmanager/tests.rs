#![allow(clippy::unwrap_used)]

use super::*;
use regionmesh_protocol::event::{EventKind, Severity};

#[test]
fn an_alert_expires_unless_sent_again_and_never_ends_before_it_begins() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let text = "name = \"a\"\nkind = \"alertmanager\"\nurl = \
        \"http://127.0.0.1:1/prefix/\"\nresend_s = 30";
    let receiver =
        Alertmanager::new(&toml::from_str(text).unwrap(), "http://here/".into()).unwrap();

    assert_eq!(
        receiver.sender.url,
        "http://127.0.0.1:1/prefix/api/v2/alerts"
    );

    let alert = |ended_ms| Alert {
        labels: [("alertname", "A".into()), ("region", "r".into())].into(),
        kind: EventKind::Verdict,
        severity: Severity::Critical,
        summary: "s".into(),
        description: "d".into(),
        starts_ms: 1_500,
        ended_ms,
        reported_by: None,
    };

    assert_eq!(
        receiver.render(&alert(None), 10_000),
        json!({
            "labels": { "alertname": "A", "region": "r" },
            "annotations": { "summary": "s", "description": "d" },
            "startsAt": "1970-01-01T00:00:01.500Z",
            "endsAt": "1970-01-01T00:02:10.000Z",
            "generatorURL": "http://here/",
        })
    );

    assert_eq!(
        receiver.render(&alert(Some(7_000)), 10_000)["endsAt"],
        "1970-01-01T00:00:07.000Z"
    );

    assert_eq!(
        receiver.render(&alert(Some(1_000)), 10_000)["endsAt"],
        "1970-01-01T00:00:01.500Z"
    );
}
