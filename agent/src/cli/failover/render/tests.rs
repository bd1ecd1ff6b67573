use super::*;
use serde_json::{Value, json};

const PLAIN: Paint = Paint { is_on: false };

fn part(region: &str, share: f64, traffic_state: &str) -> Value {
    json!({ "region": region, "weight_bp": 1, "share": share, "traffic_state": traffic_state,
        "since_ms": null, "ramp_percent": null, "addresses": [], "flaps": 0, "failed_ms": null })
}

fn plan(reason: &str) -> Value {
    json!({ "seq": 7, "ballot": { "number": 2, "agent": "a/x" }, "reason": reason,
        "made_ms": 1_000, "age_ms": 5_000,
        "regions": [part("a", 0.9, "serving"), part("b", 0.1, "limited")],
        "overrides": [{ "region": null, "kind": "hold", "by": "ann\u{1b}[2J", "why": "storm",
            "set_ms": 1_000, "expires_ms": 61_000 }],
        "yielded": [{ "order": "drain of a by ann (disks)", "region": "a", "since_ms": 1_000 }],
        "shortfall": { "load_rps": 100, "unmoved_rps": 30 } })
}

#[test]
fn a_status_lists_orders_guards_and_load_that_cannot_be_moved() {
    let answer = json!({ "answered_by": "a/x", "answered_ms": 6_000, "leader": null, "max_out": 1,
        "taken_out": ["c"], "plan": plan("b: failed"),
        "verdicts": [
            { "region": "a", "verdict": "healthy", "since_ms": 1, "reason": "2 of 2 say healthy" },
            { "region": "b", "verdict": "failed", "since_ms": 1,
                "reason": "2 of 2 observing regions say failed" },
        ],
        "frozen": { "since_ms": 1_000, "reachable": 1, "members": 3, "left_out": ["b"],
            "detail": "1 of 3 regions reachable" } });
    let text = status(&serde_json::from_value(answer).unwrap(), PLAIN);

    for part in [
        "leader  none\n",
        "plan    #7, made 5 s ago: b: failed\n",
        "guards  taken out by automation: c; at most 1 at a time\n",
        "capacity 30 of 100 requests/s cannot be moved",
        "b       10 %   failed   limited\n",
        "b is failed: 2 of 2 observing regions say failed\n",
        "frozen  the plan has been frozen for 5 s: 1 of 3 regions reachable\n",
        "warning drain of a by ann (disks) has had no effect for a for 5 s: users would be \
            left on a region",
        "hold   the whole mesh  ann [2J  55 s     storm\n",
    ] {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }

    assert!(!text.contains('\x1b'));
}

#[test]
fn a_what_if_shows_both_plans_and_that_nothing_changed() {
    let answer = json!({ "would_change": true, "reason": "b: failed: as assumed", "limited": ["b"],
        "shortfall": null, "regions": [part("a", 1.0, "serving"), part("b", 0.0, "out")],
        "before": [part("a", 0.5, "serving"), part("b", 0.5, "serving")] });
    let text = what_if(&serde_json::from_value(answer).unwrap(), PLAIN);

    assert!(
        text.contains("nothing was changed\n") && text.contains("b       50 %  0 %       out\n"),
        "{text}"
    );
}

#[test]
fn a_history_is_listed_oldest_first_with_its_shares() {
    let answer = json!({ "answered_by": "a/x", "plans": [
        { "seen_ms": 951_782_400_000u64, "plan": plan("first plan") },
        { "seen_ms": 951_782_401_000u64, "plan": plan("b: failed") },
    ] });
    let text = history(&serde_json::from_value(answer).unwrap(), 3, PLAIN);
    let first = text
        .find("2000-02-29 00:00:00 UTC  #7     first plan")
        .unwrap();

    assert!(
        first < text.find("b: failed").unwrap() && text.contains("a 90 %, b 10 %"),
        "{text}"
    );

    assert!(text.contains("3 plans not shown"), "{text}");
}
