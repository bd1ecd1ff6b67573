//! The state of the mesh as text. Pure.

mod agents;

use crate::cli::{
    models::table,
    text::{Paint, Table, Tone, ago, moment, percent, plain, wrap},
};
use regionmesh_client::{FrozenStatus, PlanStatus, RegionStatus, Status};
use regionmesh_protocol::{event::Severity, identity::RegionName, status::condition::Condition};

/// Longest shown text that an agent wrote, characters.
const TEXT_MAX: usize = 1_000;

/// The status as text for people, within 100 columns for names of usual length.
pub(crate) fn render(status: &Status, paint: Paint) -> String {
    let mut text = head(status, paint);
    text += &orders(status, paint);
    text += &problems(status, paint);
    text += "\n";
    text += &regions(status, paint);
    text += "\n";
    text += &agents::table(status, paint);
    if !status.models.is_empty() {
        let names: Vec<&RegionName> = status.regions.iter().map(|region| &region.region).collect();
        text += "\n";
        text += &table::versions(&status.models, Some(&names), paint);
    }

    text
}

/// The leader, the plan, and what keeps the plan from changing.
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

/// Why the plan can't change; empty if it can.
pub(crate) fn frozen(frozen: Option<&FrozenStatus>, now_ms: u64, paint: Paint) -> String {
    let Some(frozen) = frozen else {
        return String::new();
    };
    let since = ago(now_ms.saturating_sub(frozen.since_ms));
    let message = format!(
        "the plan has been frozen for {since}: {}",
        plain(&frozen.detail, TEXT_MAX)
    );

    wrap("frozen  ", &paint.tone(Tone::Bad, message))
}

/// Orders without effect, and a warning if every region failed; empty if there is neither.
pub(crate) fn suspended(plan: &PlanStatus, now_ms: u64, paint: Paint) -> String {
    let mut text = String::new();
    if plan.all_failed_ms.is_some() {
        let message = "every region is failed: users get the last shares, or no address with \
            traffic.when_all_down = \"empty\"";
        text += &wrap("warning ", &paint.tone(Tone::Bad, message));
    }

    for yielded in &plan.yielded {
        let since = ago(now_ms.saturating_sub(yielded.since_ms));
        let order = plain(&yielded.order, TEXT_MAX);
        let message = format!(
            "{order} has had no effect for {} for {since}: users would be left on a region that \
                can't serve",
            yielded.region
        );

        text += &wrap("warning ", &paint.tone(Tone::Uneasy, message));
    }

    text
}

/// Orders in force.
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
        let message = format!(
            "{} of {of}{how} by {} ({}), {left} left",
            order.kind, order.by, order.why
        );

        text += &wrap(
            &paint.tone(Tone::Uneasy, "order   "),
            &plain(&message, TEXT_MAX),
        );
    }

    text
}

/// Problems that agents report.
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
        let message = format!(
            "{}: {}: {}: {} (for {since})",
            problem.agent, problem.kind, problem.subject, problem.detail
        );

        text += &wrap(&head, &plain(&message, TEXT_MAX));
    }

    text
}

fn regions(status: &Status, paint: Paint) -> String {
    let now_ms = now_ms(status);
    let mut table =
        Table::new("REGION, CLOUD, VERDICT, SINCE, VOTES, SHARE, STATE, ADDRESSES").heading(paint);

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
    // Operators look for the reason of a bad verdict; that of a good one is noise.
    for region in &status.regions {
        if region.verdict != Condition::Healthy && !region.verdict_reason.is_empty() {
            let head = paint.tone(Tone::of(region.verdict), format!("{}: ", region.region));
            text += &wrap(&head, &plain(&region.verdict_reason, TEXT_MAX));
        }

        text += &recovery(region, now_ms, paint);
        if region.flaps > 0 {
            let times = if region.flaps == 1 {
                "once".into()
            } else {
                format!("{} times", region.flaps)
            };

            text += &format!(
                "{}: failed {times} recently; recovery takes longer\n",
                region.region
            );
        }
    }

    text
}

/// When a region that has lost its traffic gets it back; empty if it has lost none.
fn recovery(region: &RegionStatus, now_ms: u64, paint: Paint) -> String {
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

    let text = match region.ramp_starts_ms {
        Some(ramp_ms) if ramp_ms > now_ms => {
            format!(
                "cool-down until {}, then a step at a time; full share at {}",
                at(ramp_ms),
                at(full_ms)
            )
        }
        // `failover explain` lists what it waits for.
        Some(_) => {
            format!(
                "cool-down is over, waiting for its turn; see `regionmesh failover explain {}`",
                region.region
            )
        }
        None => format!("ramps up; full share at {}", at(full_ms)),
    };

    wrap(
        &paint.tone(Tone::Uneasy, format!("{}: ", region.region)),
        &text,
    )
}

/// How many of the observing regions agree with the verdict.
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

/// The answering agent's clock, Unix milliseconds, where known: its timestamps are by that clock,
/// and ours may be wrong.
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
pub(super) mod tests;
