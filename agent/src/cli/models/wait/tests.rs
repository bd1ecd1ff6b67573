use super::*;
use serde_json::{Value, json};

fn status(agents: &[(&str, bool)], versions: Value) -> Status {
    let agents: Vec<_> = agents
        .iter()
        .map(|(agent, alive)| {
            json!({"agent": agent, "alive": alive, "version": "1", "uptime_ms": 1, "api_url": "",
                "cloud": "", "round_trip_us": null, "age_ms": 1, "serving_ready": true,
                "requests_total": 0, "holdings": {"versions": 0, "missing": 0, "lag_ms": 0}})
        })
        .collect();

    let regions: Vec<_> = ["a", "b", "c"]
        .iter()
        .map(|region| {
            json!({"region": region, "cloud": "", "endpoint": "", "serving_url": "",
                "verdict": "healthy", "verdict_since_ms": 0, "verdict_reason": "", "votes": [],
                "weight_bp": 1, "share": 0.3, "traffic_state": "serving",
                "ramp_percent": null, "addresses": [], "flaps": 0})
        })
        .collect();

    let models = json!([{"model": "iris", "versions": versions, "aliases": []}]);
    let status = json!({"mesh": "m", "answered_by": "a/0", "plan": null, "leader": null,
        "regions": regions, "agents": agents, "models": models});
    serde_json::from_value(status).unwrap()
}

fn held(version: &str, content: &str, regions: &[&str]) -> Value {
    json!({"version": version, "content": content, "size": null, "published_ms": null,
        "origin": null, "regions": regions})
}

fn brief() -> VersionBrief {
    let text = |text: &str| text.to_owned();
    let model = text("iris");
    let version = text("1");
    let content = text("x");
    let origin = text("a");

    VersionBrief {
        model,
        version,
        content,
        size: 1,
        published_ms: 1,
        origin,
    }
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn only_regions_with_a_live_agent_are_awaited() {
    let agents = [("a/0", true), ("b/0", false), ("b/1", true), ("c/0", false)];
    let seen = spread(
        &status(&agents, json!([held("1", "x", &["a", "c"])])),
        &brief(),
    );

    assert_eq!(
        (seen.holding, seen.missing, seen.silent),
        (set(&["a"]), set(&["b"]), set(&["c"]))
    );
}

#[test]
fn other_content_of_the_same_name_does_not_count() {
    let agents = [("a/0", true), ("b/0", true)];
    let seen = spread(
        &status(&agents, json!([held("1", "y", &["a", "b"])])),
        &brief(),
    );

    assert_eq!((seen.holding, seen.differs), (set(&[]), true));
}

#[test]
fn a_version_is_awaited_until_it_was_tested_and_a_failure_is_reported() {
    let mut version = held("1", "x", &["a", "b"]);
    version["servable"] = json!(["a"]);
    version["untested"] = json!(["b"]);

    let agents = [("a/0", true), ("b/0", true)];
    let seen = spread(&status(&agents, json!([version.clone()])), &brief());
    assert_eq!(
        (seen.missing.clone(), seen.untested.clone(), refused(&seen)),
        (set(&[]), set(&["b"]), None)
    );

    version["untested"] = json!([]);
    version["unservable"] = json!([{"region": "b", "reason": "not an ONNX file"}]);

    let seen = spread(&status(&agents, json!([version])), &brief());
    assert_eq!(refused(&seen).as_deref(), Some("b: not an ONNX file"));
}

#[test]
fn a_name_lost_to_an_earlier_version_is_detected() {
    let versions = json!([held("1", "y", &["b"]), held("1+conflict.a", "x", &["a"])]);
    let seen = spread(&status(&[("a/0", true)], versions), &brief());
    assert_eq!(
        (seen.renamed.as_deref(), seen.differs),
        (Some("1+conflict.a"), true)
    );
}
