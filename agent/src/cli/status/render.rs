//! The state of the mesh as text. Pure.

use crate::cli::{
    models::table,
    text::{Paint, Table, Tone, ago, moment, percent, plain, wrap},
};
use regionmesh_client::{FrozenStatus, PlanStatus, RegionStatus, Status};
use regionmesh_protocol::{event::Severity, identity::RegionName, status::condition::Condition};
use std::collections::BTreeSet;

/// Longest text of an agent's that is shown, characters.
const TEXT_MAX: usize = 1_000;

/// The status as text for people, within 100 columns for names of usual length.
pub(crate) fn render(status: &Status, paint: Paint) -> String {
    let mut text = head(status, paint);
    text += &orders(status, paint);
    text += &problems(status, paint);
    text += "\n";
    text += &regions(status, paint);
    text += "\n";
    text += &agents(status, paint);
    if !status.models.is_empty() {
        let names: Vec<&RegionName> = status.regions.iter().map(|region| &region.region).collect();
        text += "\n";
        text += &table::versions(&status.models, Some(&names), paint);
    }

    text
}

/// Who leads, and what stands.
fn head(status: &Status, paint: Paint) -> String {
    let mut text = wrap(
        "mesh    ",
        &plain(
            &format!("{}, as {} sees it", status.mesh, status.answered_by),
            TEXT_MAX,
        ),
    );

    text += &match &status.leader {
        Some(leader) => wrap(
            "leader  ",
            &plain(
                &format!("{}, ballot {}", leader.agent, leader.ballot),
                TEXT_MAX,
            ),
        ),
        None if status.frozen.is_some() => wrap("leader  ", &paint.tone(Tone::Bad, "none")),
        None => wrap(
            "leader  ",
            &paint.tone(Tone::Uneasy, "none; an election is due"),
        ),
    };

    text += &match &status.plan {
        Some(plan) => {
            let made = format!(
                "#{} of ballot {}, made {} ago: ",
                plan.seq,
                plan.ballot.number,
                ago(plan.age_ms)
            );

            wrap("plan    ", &(made + &plain(&plan.reason, TEXT_MAX)))
        }
        None => wrap(
            "plan    ",
            &paint.tone(Tone::Uneasy, "none is committed yet"),
        ),
    };

    let now_ms = now_ms(status);
    text += &frozen(status.frozen.as_ref(), now_ms, paint);
    text += &status
        .plan
        .as_ref()
        .map_or_else(String::new, |plan| suspended(plan, now_ms, paint));

    text
}

/// That the plan can't change, and why; nothing where it can.
pub(crate) fn frozen(frozen: Option<&FrozenStatus>, now_ms: u64, paint: Paint) -> String {
    let Some(frozen) = frozen else {
        return String::new();
    };
    let since = ago(now_ms.saturating_sub(frozen.since_ms));
    let said = format!(
        "the plan has been frozen for {since}: {}",
        plain(&frozen.detail, TEXT_MAX)
    );

    wrap("frozen  ", &paint.tone(Tone::Bad, said))
}

/// Orders that yield, and that every region failed; nothing where neither is so.
pub(crate) fn suspended(plan: &PlanStatus, now_ms: u64, paint: Paint) -> String {
    let mut text = String::new();
    if plan.all_failed_ms.is_some() {
        let said = "every region is failed: users get the last shares, or no address with \
            traffic.when_all_down = \"empty\"";
        text += &wrap("warning ", &paint.tone(Tone::Bad, said));
    }

    for yielded in &plan.yielded {
        let since = ago(now_ms.saturating_sub(yielded.since_ms));
        let order = plain(&yielded.order, TEXT_MAX);
        let said = format!(
            "{order} has had no effect for {} for {since}: users would be left on a region that \
                can't serve",
            yielded.region
        );

        text += &wrap("warning ", &paint.tone(Tone::Uneasy, said));
    }

    text
}

/// What operators ordered and stands.
fn orders(status: &Status, paint: Paint) -> String {
    let now_ms = now_ms(status);
    let mut text = String::new();
    for order in &status.orders {
        let of = order
            .region
            .as_ref()
            .map_or("the whole mesh", RegionName::as_str);
        let how = if order.immediate { ", immediate" } else { "" };
        let left = ago(order.expires_ms.saturating_sub(now_ms));
        let said = format!(
            "{} of {of}{how} by {} ({}), {left} left",
            order.kind, order.by, order.why
        );

        text += &wrap(
            &paint.tone(Tone::Uneasy, "order   "),
            &plain(&said, TEXT_MAX),
        );
    }

    text
}

/// What agents report to be wrong; nothing where nothing is.
fn problems(status: &Status, paint: Paint) -> String {
    let now_ms = now_ms(status);
    let mut text = String::new();
    for problem in &status.problems {
        let tone = if problem.severity == Severity::Critical {
            Tone::Bad
        } else {
            Tone::Uneasy
        };
        let head = paint.tone(tone, format!("{:<9}", problem.severity.as_str()));
        let since = ago(now_ms.saturating_sub(problem.since_ms));
        let said = format!(
            "{}: {}: {}: {} (for {since})",
            problem.agent, problem.kind, problem.subject, problem.detail
        );

        text += &wrap(&head, &plain(&said, TEXT_MAX));
    }

    text
}

fn regions(status: &Status, paint: Paint) -> String {
    let now_ms = now_ms(status);
    let mut table = Table::new(&[
        "REGION",
        "CLOUD",
        "VERDICT",
        "SINCE",
        "VOTES",
        "SHARE",
        "STANDING",
        "ADDRESSES",
    ])
    .heading(paint);

    for region in &status.regions {
        let since = match region.verdict_since_ms {
            0 => "-".into(),
            since_ms => ago(now_ms.saturating_sub(since_ms)),
        };
        let addresses: Vec<_> = region.addresses.iter().map(ToString::to_string).collect();

        table.row(vec![
            region.region.to_string(),
            plain(&region.cloud, 12),
            paint.tone(Tone::of(region.verdict), region.verdict.as_str()),
            since,
            votes(region),
            percent(region.share),
            traffic_state(region, paint),
            addresses.join(" "),
        ]);
    }

    let mut text = table.render();
    // The reason is what one looks for where something is not as it should be; elsewhere it would
    // only be in the way.
    for region in &status.regions {
        if region.verdict != Condition::Healthy && !region.verdict_reason.is_empty() {
            let head = paint.tone(Tone::of(region.verdict), format!("{}: ", region.region));
            text += &wrap(&head, &plain(&region.verdict_reason, TEXT_MAX));
        }

        text += &way_back(region, now_ms, paint);
        if region.flaps > 0 {
            let times = if region.flaps == 1 {
                "once".into()
            } else {
                format!("{} times", region.flaps)
            };

            text += &format!(
                "{}: failed {times} lately, so its way back takes longer\n",
                region.region
            );
        }
    }

    text
}

/// When a region that has lost its traffic gets it back; nothing where it has not.
fn way_back(region: &RegionStatus, now_ms: u64, paint: Paint) -> String {
    let Some(full_ms) = region.full_share_ms else {
        return String::new();
    };
    let at = |ms: u64| {
        format!(
            "about {} (in {})",
            moment(ms.max(now_ms)),
            ago(ms.saturating_sub(now_ms))
        )
    };

    let told = match region.ramp_starts_ms {
        Some(ramp_ms) if ramp_ms > now_ms => {
            format!(
                "cool-down until {}, then a step at a time; full share at {}",
                at(ramp_ms),
                at(full_ms)
            )
        }
        // What it still waits for is a longer story.
        Some(_) => {
            format!(
                "cool-down is over, waits for its turn; see `regionmesh failover explain {}`",
                region.region
            )
        }
        None => format!("ramps up; full share at {}", at(full_ms)),
    };

    wrap(
        &paint.tone(Tone::Uneasy, format!("{}: ", region.region)),
        &told,
    )
}

fn agents(status: &Status, paint: Paint) -> String {
    let headings = [
        "AGENT",
        "STATE",
        "UPTIME",
        "ROUND TRIP",
        "HEARD",
        "REQUESTS",
        "VERSIONS",
        "API",
    ];

    let mut table = Table::new(&headings).heading(paint);
    for agent in &status.agents {
        let is_self = agent.agent == status.answered_by;
        let round_trip = match agent.round_trip_us {
            Some(us) => format!("{:.1} ms", us as f64 / 1e3),
            None if is_self => "self".into(),
            None => "-".into(),
        };

        table.row(vec![
            plain(&agent.agent, 60),
            match (agent.alive, agent.serving_ready) {
                (true, true) => paint.tone(Tone::Good, "serving"),
                (true, false) => paint.tone(Tone::Uneasy, "alive"),
                (false, _) => paint.tone(Tone::Bad, "gone"),
            },
            if agent.alive {
                ago(agent.uptime_ms)
            } else {
                "-".into()
            },
            round_trip,
            if is_self {
                "-".into()
            } else {
                ago(agent.age_ms)
            },
            agent.requests_total.to_string(),
            agent.holdings.versions.to_string(),
            plain(&agent.api_url, 60),
        ]);
    }

    let mut text = table.render();
    for agent in status
        .agents
        .iter()
        .filter(|agent| agent.alive && agent.holdings.missing > 0)
    {
        let lacks = format!(
            "lacks {} of the mesh's versions, the oldest for {}",
            agent.holdings.missing,
            ago(agent.holdings.lag_ms)
        );

        text += &format!(
            "{}: {}\n",
            plain(&agent.agent, 60),
            paint.tone(Tone::Uneasy, lacks)
        );
    }

    let versions: BTreeSet<&str> = status
        .agents
        .iter()
        .filter(|agent| agent.alive)
        .map(|agent| agent.version.as_str())
        .collect();

    let list = |separator: &str| {
        plain(
            &versions.iter().copied().collect::<Vec<_>>().join(separator),
            200,
        )
    };

    text += &match versions.len() {
        0 => String::new(),
        1 => format!("all of version {}\n", list("")),
        _ => paint.tone(Tone::Uneasy, "agents of different versions: ") + &list(", ") + "\n",
    };

    text
}

/// How many of the observing regions are of the verdict's opinion.
fn votes(region: &RegionStatus) -> String {
    let agreeing = region
        .votes
        .iter()
        .filter(|vote| vote.condition == region.verdict)
        .count();

    if region.votes.is_empty() {
        "-".into()
    } else {
        format!("{agreeing} of {}", region.votes.len())
    }
}

fn traffic_state(region: &RegionStatus, paint: Paint) -> String {
    let text = match region.ramp_percent {
        Some(percent) => format!("{} {percent} %", plain(&region.traffic_state, 20)),
        None => plain(&region.traffic_state, 20),
    };

    match region.traffic_state.as_str() {
        "serving" => text,
        "out" => paint.tone(Tone::Bad, text),
        _ => paint.tone(Tone::Uneasy, text),
    }
}

/// The answering agent's clock, as far as its answer tells it: ours may be wrong, and its points in
/// time are its own.
fn now_ms(status: &Status) -> u64 {
    if status.answered_ms > 0 {
        return status.answered_ms;
    }
    status
        .plan
        .as_ref()
        .map_or_else(regionmesh_runtime::time::unix_ms, |plan| {
            plan.made_ms.saturating_add(plan.age_ms)
        })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use super::*;
    use crate::cli::text::WIDTH;
    use serde_json::{Value, json};

    fn region(name: &str, verdict: &str, traffic_state: &str, address: u8) -> Value {
        json!({
            "region": name, "cloud": "local", "endpoint": "h:1", "serving_url": "http://h:2", "verdict": verdict,
            "verdict_since_ms": 1_700_000_000_000u64 - 12_000, "verdict_reason": format!("2 of 2 observing regions say {verdict} \
            (us-west-2 {verdict}: connection refused, ap-south-1 {verdict}: no answer in 1 s)"),
            "votes": [{"region": "a", "condition": verdict}, {"region": "b", "condition": "unknown"}],
            "weight_bp": 5_000, "share": 0.5, "traffic_state": traffic_state, "ramp_percent": null,
            "addresses": [format!("127.0.0.{address}")], "flaps": 0,
        })
    }

    fn agent(name: &str, address: u8, round_trip_us: Option<u64>) -> Value {
        json!({
            "agent": name, "alive": true, "version": "0.1.0 (abcdef0123)", "uptime_ms": 100_000_000u64,
            "api_url": format!("http://127.0.0.{address}:9080"), "cloud": "local", "round_trip_us": round_trip_us,
            "age_ms": 950, "serving_ready": true, "requests_total": 12_345_678,
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
            "plan": {"seq": 7, "ballot": {"number": 3, "agent": "us-west-2/node-0"}, "reason": "eu-west-1 out: ".to_owned()
                + &"2 of 2 observing regions say failed (us-west-2 failed: connection refused) \
                    ".repeat(3),
                "made_ms": 1_700_000_000_000u64 - 65_000, "age_ms": 65_000},
            "regions": [region("us-west-2", "healthy", "serving", 11), region("eu-west-1", "failed", "out", 12), ramping],
            "agents": [agent("us-west-2/node-0", 11, None), gone, lacking],
            "models": [{"model": "iris", "versions": [
                {"version": "1", "content": "abcdef0123456789", "size": 2_000_000, "published_ms": 1_690_000_000_000u64,
                    "origin": "us-west-2", "regions": ["us-west-2", "eu-west-1", "ap-south-1"]},
                {"version": "2", "content": "1234567890abcdef", "size": null, "published_ms": null, "origin": null,
                    "regions": ["eu-west-1"]}],
                "aliases": [{"alias": "production", "version": "1", "set_ms": 1, "by": "me"}]}],
        }))
        .unwrap()
    }

    const PLAIN: Paint = Paint { is_on: false };

    #[test]
    fn everything_an_operator_asks_for_is_shown() {
        let text = render(&status(), PLAIN);
        for part in [
            "mesh    regionmesh.test, as us-west-2/node-0 sees it\n",
            "leader  us-west-2/node-0, ballot 3\n",
            "plan    #7 of ballot 3, made 1 min ago: eu-west-1 out: 2 of 2",
            "us-west-2   local  healthy  12 s   1 of 2  50 %   serving      127.0.0.11\n",
            "eu-west-1: 2 of 2 observing regions say failed (us-west-2 failed: connection refused,",
            "ramping 5 %",
            "ap-south-1: failed 2 times lately",
            "ap-south-1: ramps up; full share at about 2023-11-14 22:15:25 UTC (in 2 min)\n",
            "us-west-2/node-0   serving  27 h    self        -       12345678  12        \
                http://127.0.0.11:9080\n",
            "eu-west-1/node-0   gone     -       -           950 ms  ",
            "ap-south-1/node-0  alive    27 h    181.2 ms    950 ms  12345678  9  ",
            "ap-south-1/node-0: lacks 3 of the mesh's versions, the oldest for 5 s\n",
            "all of version 0.1.0 (abcdef0123)\n",
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
    fn it_is_readable_in_a_hundred_columns() {
        for line in render(&status(), PLAIN).lines() {
            assert!(
                line.chars().count() <= WIDTH,
                "{} columns: {line}",
                line.chars().count()
            );
        }
    }

    #[test]
    fn a_region_that_cools_down_says_until_when() {
        let mut status = status();
        let region = &mut status.regions[1];
        (region.ramp_starts_ms, region.full_share_ms) =
            (Some(1_700_000_060_000), Some(1_700_002_160_000));

        let text = render(&status, PLAIN);
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            flat.contains(
                "eu-west-1: cool-down until about 2023-11-14 22:14:20 UTC (in 1 min), then"
            ),
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
    fn standing_orders_are_told_with_who_why_and_how_long() {
        let orders = json!([
            { "region": "eu-west-1", "kind": "drain", "by": "ann", "why": "disks\u{1b}", "set_ms": 1, "expires_ms": 3_600_005 },
            { "region": null, "kind": "hold", "by": "bob", "why": "storm", "set_ms": 1, "expires_ms": 60_005 },
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
    fn agents_of_different_versions_are_told() {
        let mut status = status();
        status.agents[2].version = "0.2.0".into();

        let text = render(&status, PLAIN);
        assert!(
            text.contains("agents of different versions: 0.1.0 (abcdef0123), 0.2.0\n"),
            "{text}"
        );
    }

    #[test]
    fn what_an_agent_says_cannot_move_the_cursor() {
        let mut status = status();
        status.regions[1].verdict_reason = "\x1b[2J\r\nall is well".into();
        status.agents[2].version = "\x1b[H".into();
        status.agents[2].api_url = "http://\x07".into();
        assert!(!render(&status, PLAIN).contains(['\x1b', '\r', '\x07']));
    }
}
