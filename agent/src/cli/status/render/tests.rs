use super::*;
use crate::cli::text::WIDTH;
use serde_json::{Value, json};

fn region(name: &str, verdict: &str, traffic_state: &str, address: u8) -> Value {
    json!({
        "region": name, "cloud": "local", "endpoint": "h:1", "serving_url": "http://h:2",
        "verdict": verdict, "verdict_since_ms": 1_700_000_000_000u64 - 12_000,
        "verdict_reason": format!(
            "2 of 2 observing regions say {verdict} (us-west-2 {verdict}: connection refused, \
                ap-south-1 {verdict}: no answer in 1 s)"
        ),
        "votes": [{"region": "a", "condition": verdict}, {"region": "b", "condition": "unknown"}],
        "weight_bp": 5_000, "share": 0.5, "traffic_state": traffic_state, "ramp_percent": null,
        "addresses": [format!("127.0.0.{address}")], "flaps": 0,
    })
}

fn agent(name: &str, address: u8, round_trip_us: Option<u64>) -> Value {
    json!({
        "agent": name, "alive": true, "version": "0.1.0 (abcdef0123)", "uptime_ms": 100_000_000u64,
        "api_url": format!("http://127.0.0.{address}:9080"), "cloud": "local",
        "round_trip_us": round_trip_us, "age_ms": 950, "serving_ready": true,
        "requests_total": 12_345_678,
        "holdings": {"versions": 12, "missing": 0, "lag_ms": 0},
    })
}

/// A mesh of three regions, of which one fails.
pub(in crate::cli::status) fn status() -> Status {
    let mut gone = agent("eu-west-1/node-0", 12, None);
    gone["alive"] = false.into();

    let mut lacking = agent("ap-south-1/node-0", 13, Some(181_250));
    lacking["holdings"] = json!({"versions": 9, "missing": 3, "lag_ms": 5_000});
    lacking["serving_ready"] = false.into();

    let mut ramping = region("ap-south-1", "healthy", "ramping", 13);
    ramping["ramp_percent"] = 5.into();
    ramping["flaps"] = 2.into();
    ramping["full_share_ms"] = (1_700_000_000_000u64 + 125_000).into();
    serde_json::from_value(json!({
        "mesh": "regionmesh.test", "answered_by": "us-west-2/node-0",
        "leader": {"agent": "us-west-2/node-0", "ballot": 3},
        "plan": {"seq": 7, "ballot": {"number": 3, "agent": "us-west-2/node-0"},
            "reason": "eu-west-1 out: ".to_owned()
                + &"2 of 2 observing regions say failed (us-west-2 failed: connection refused) \
                    ".repeat(3),
            "made_ms": 1_700_000_000_000u64 - 65_000, "age_ms": 65_000},
        "regions": [
            region("us-west-2", "healthy", "serving", 11),
            region("eu-west-1", "failed", "out", 12),
            ramping,
        ],
        "agents": [agent("us-west-2/node-0", 11, None), gone, lacking],
        "models": [{"model": "iris", "versions": [
            {"version": "1", "content": "abcdef0123456789", "size": 2_000_000,
                "published_ms": 1_690_000_000_000u64, "origin": "us-west-2",
                "regions": ["us-west-2", "eu-west-1", "ap-south-1"]},
            {"version": "2", "content": "1234567890abcdef", "size": null, "published_ms": null,
                "origin": null, "regions": ["eu-west-1"]}],
            "aliases": [{"alias": "production", "version": "1", "set_ms": 1, "by": "me"}]}],
    }))
    .unwrap()
}

const PLAIN: Paint = Paint { is_on: false };

#[test]
fn the_status_contains_what_an_operator_needs() {
    let text = render(&status(), PLAIN);
    for part in [
        "mesh    regionmesh.test, as us-west-2/node-0 sees it\n",
        "leader  us-west-2/node-0, ballot 3\n",
        "plan    #7 of ballot 3, made 1 min ago: eu-west-1 out: 2 of 2",
        "us-west-2   local  healthy  12 s   1 of 2  50 %   serving      127.0.0.11\n",
        "eu-west-1: 2 of 2 observing regions say failed (us-west-2 failed: connection refused,",
        "ramping 5 %",
        "ap-south-1: failed 2 times recently",
        "ap-south-1: ramps up; full share at about 2023-11-14 22:15:25 UTC (in 2 min)\n",
        "us-west-2/node-0   serving  27 h    self        -       12345678  12        \
            http://127.0.0.11:9080\n",
        "eu-west-1/node-0   gone     -       -           950 ms  ",
        "ap-south-1/node-0  alive    27 h    181.2 ms    950 ms  12345678  9  ",
        "ap-south-1/node-0: lacks 3 of the mesh's versions, the oldest for 5 s\n",
        "all agents run 0.1.0 (abcdef0123)\n",
        "production",
        "2.0 MB",
        "all 3",
        "1 of 3: eu-west-1",
    ] {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }

    assert!(!text.contains('\x1b'));
    assert!(
        !text.contains("ap-south-1: 2 of 2"),
        "the reason of what is well is in the way:\n{text}"
    );
}

#[test]
fn the_status_fits_into_a_hundred_columns() {
    for line in render(&status(), PLAIN).lines() {
        assert!(
            line.chars().count() <= WIDTH,
            "{} columns: {line}",
            line.chars().count()
        );
    }
}

#[test]
fn a_cooling_down_region_is_listed_with_the_end_of_its_cool_down() {
    let mut status = status();
    let region = &mut status.regions[1];
    (region.ramp_starts_ms, region.full_share_ms) =
        (Some(1_700_000_060_000), Some(1_700_002_160_000));

    let text = render(&status, PLAIN);
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        flat.contains("eu-west-1: cool-down until about 2023-11-14 22:14:20 UTC (in 1 min), then"),
        "{text}"
    );

    assert!(
        flat.contains("full share at about 2023-11-14 22:49:20 UTC (in 36 min)"),
        "{text}"
    );
}

#[test]
fn colours_do_not_move_columns() {
    let coloured = render(&status(), Paint { is_on: true });
    assert!(coloured.contains("\x1b[31mfailed\x1b[0m"));

    let stripped = console::strip_ansi_codes(&coloured)
        .lines()
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join("\n");

    assert_eq!(stripped, render(&status(), PLAIN).trim_end());
}

#[test]
fn active_orders_are_listed_with_author_reason_and_time_left() {
    let orders = json!([
        { "region": "eu-west-1", "kind": "drain", "by": "ann", "why": "disks\u{1b}", "set_ms": 1,
            "expires_ms": 3_600_005 },
        { "region": null, "kind": "hold", "by": "bob", "why": "storm", "set_ms": 1,
            "expires_ms": 60_005 },
    ]);
    let status = Status {
        orders: serde_json::from_value(orders).unwrap(),
        answered_ms: 5,
        ..status()
    };
    let text = render(&status, PLAIN);

    assert!(
        text.contains("order   drain of eu-west-1 by ann (disks ), 1 h left\n"),
        "{text}"
    );

    assert!(
        text.contains("order   hold of the whole mesh by bob (storm), 1 min left\n"),
        "{text}"
    );
}

#[test]
fn a_mesh_without_plan_leader_or_models_says_so() {
    let text = render(
        &Status {
            leader: None,
            plan: None,
            models: Vec::new(),
            ..status()
        },
        PLAIN,
    );

    assert!(
        text.contains("leader  none; an election is due\nplan    none is committed yet\n"),
        "{text}"
    );

    assert!(!text.contains("MODEL"), "{text}");
}

#[test]
fn different_versions_of_agents_are_reported() {
    let mut status = status();
    status.agents[2].version = "0.2.0".into();

    let text = render(&status, PLAIN);
    assert!(
        text.contains("agents run different versions: 0.1.0 (abcdef0123), 0.2.0\n"),
        "{text}"
    );
}

#[test]
fn text_from_an_agent_cannot_move_the_cursor() {
    let mut status = status();
    status.regions[1].verdict_reason = "\x1b[2J\r\nall is well".into();
    status.agents[2].version = "\x1b[H".into();
    status.agents[2].api_url = "http://\x07".into();
    assert!(!render(&status, PLAIN).contains(['\x1b', '\r', '\x07']));
}
