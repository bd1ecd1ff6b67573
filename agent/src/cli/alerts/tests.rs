use super::*;
use serde_json::json;

#[test]
fn alerts_are_listed_with_their_state_and_cannot_move_the_cursor() {
    let labels = json!({ "alertname": "RegionMeshClockSkew", "severity": "warning" });
    let list = json!({ "answered_by": "a/x", "alerts": [
        { "labels": labels, "summary": "clock", "description": "behind\u{1b}[2J", "state": "firing",
            "starts_ms": 951_782_400_000u64, "ended_ms": null }] });
    let text = render(
        &serde_json::from_value(list).unwrap(),
        Paint { is_on: false },
    );
    let row = "2000-02-29 00:00:00 UTC  firing  warning   RegionMeshClockSkew  clock: behind [2J";

    assert!(text.contains(row), "{text}");
    let none = AlertList {
        answered_by: "a/x".into(),
        alerts: Vec::new(),
    };

    assert_eq!(
        render(&none, Paint { is_on: false }),
        "no alerts, as a/x sees it\n"
    );
}
