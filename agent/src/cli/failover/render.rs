//! Plans, their history and their reasons as text. Pure.

mod explanation;

pub(super) use explanation::explanation;

use crate::cli::{
    status::{frozen, suspended},
    text::{Paint, Table, Tone, ago, count, moment, percent, plain, wrap},
};
use regionmesh_client::{
    FailoverHistory, FailoverStatus, OrderDone, OverrideStatus, PlannedRegion, ShortfallStatus,
    VerdictStatus, WhatIf,
};
use regionmesh_protocol::{identity::RegionName, status::condition::Condition};

/// Longest shown text that an agent wrote, characters.
const TEXT_MAX: usize = 1_100;

pub(super) fn status(status: &FailoverStatus, paint: Paint) -> String {
    let mut text = match &status.leader {
        Some(leader) => format!(
            "leader  {}, ballot {}\n",
            plain(&leader.agent, 200),
            leader.ballot
        ),
        None if status.frozen.is_some() => format!("leader  {}\n", paint.tone(Tone::Bad, "none")),
        None => format!(
            "leader  {}\n",
            paint.tone(Tone::Uneasy, "none; an election is due")
        ),
    };

    text += &frozen(status.frozen.as_ref(), status.answered_ms, paint);
    let Some(plan) = &status.plan else {
        text += &format!(
            "plan    {}\n",
            paint.tone(Tone::Uneasy, "none is committed yet")
        );
        return text + &verdicts(&status.verdicts, paint);
    };
    let made = format!("#{}, made {} ago: ", plan.brief.seq, ago(plan.brief.age_ms));

    text += &wrap("plan    ", &(made + &plain(&plan.brief.reason, TEXT_MAX)));
    let out = match status.taken_out.len() {
        0 => format!(
            "no region is out of service; automation may take out {} at a time",
            status.max_out
        ),
        _ => format!(
            "taken out by automation: {}; at most {} at a time",
            names(&status.taken_out),
            status.max_out
        ),
    };

    text += &wrap("guards  ", &out);
    if let Some(why) = &status.automatic_refused {
        text += &wrap("refused ", &paint.tone(Tone::Bad, plain(why, TEXT_MAX)));
    }
    text += &shortfall(plan.shortfall.as_ref(), paint);
    text += &suspended(&plan.brief, status.answered_ms, paint);
    text += "\n";
    text += &regions_with_verdicts(&plan.regions, &status.verdicts, paint);
    text += &verdicts(&status.verdicts, paint);
    text += "\n";

    text + &overrides(&plan.overrides, status.answered_ms, paint)
}

pub(super) fn done(done: &OrderDone, paint: Paint) -> String {
    let mut text = wrap("", &plain(&done.done, TEXT_MAX));
    text += &format!("plan #{} is committed\n\n", done.plan.brief.seq);
    text += &shortfall(done.plan.shortfall.as_ref(), paint);
    text + &regions(&done.plan.regions, None, paint)
}

pub(super) fn history(history: &FailoverHistory, surplus: usize, paint: Paint) -> String {
    if history.plans.is_empty() {
        return format!(
            "{} has seen no plan yet\n",
            plain(&history.answered_by, 200)
        );
    }

    let mut text = String::new();
    for past in &history.plans {
        let brief = &past.plan.brief;
        let head = format!("{}  #{:<5} ", moment(past.seen_ms), brief.seq);
        text += &wrap(&head, &plain(&brief.reason, TEXT_MAX));

        let shares = past
            .plan
            .regions
            .iter()
            .map(|part| format!("{} {}", part.region, percent(part.share)));
        let line = shares.collect::<Vec<_>>().join(", ");

        text += &format!(
            "{}{}\n",
            " ".repeat(head.chars().count()),
            paint.tone(Tone::Faint, line)
        );
    }

    if surplus > 0 {
        text += &format!(
            "{} not shown; use --limit\n",
            count(surplus, "plan", "plans")
        );
    }

    text + &format!("as {} saw it\n", plain(&history.answered_by, 200))
}

pub(super) fn what_if(answer: &WhatIf, paint: Paint) -> String {
    let mut text = wrap("", &plain(&answer.reason, TEXT_MAX));
    text += "nothing was changed\n\n";
    if !answer.limited.is_empty() {
        let limited = format!(
            "{} would keep a part of the traffic although it fails",
            names(&answer.limited)
        );
        text += &wrap("", &paint.tone(Tone::Uneasy, limited));
    }

    text += &shortfall(answer.shortfall.as_ref(), paint);
    text + &regions(&answer.regions, Some(&answer.before), paint)
}

fn shortfall(short: Option<&ShortfallStatus>, paint: Paint) -> String {
    let Some(short) = short else {
        return String::new();
    };
    let message = format!(
        "{} of {} requests/s cannot be moved: the other regions lack declared capacity",
        short.unmoved_rps, short.load_rps
    );

    wrap("capacity ", &paint.tone(Tone::Uneasy, message))
}

/// The reason of each verdict other than healthy.
fn verdicts(all: &[VerdictStatus], paint: Paint) -> String {
    let bad = all
        .iter()
        .filter(|status| status.verdict != Condition::Healthy && !status.reason.is_empty());
    let line = |status: &VerdictStatus| {
        let head = paint.tone(
            Tone::of(status.verdict),
            format!("{} is {}: ", status.region, status.verdict),
        );
        wrap(&head, &plain(&status.reason, TEXT_MAX))
    };

    bad.map(line).collect()
}

fn regions_with_verdicts(
    parts: &[PlannedRegion],
    verdicts: &[VerdictStatus],
    paint: Paint,
) -> String {
    let mut table = Table::new("REGION, SHARE, VERDICT, STATE").heading(paint);
    for part in parts {
        let verdict = verdicts
            .iter()
            .find(|status| status.region == part.region)
            .map(|status| status.verdict);
        let verdict = verdict.unwrap_or(Condition::Unknown);

        table.row(vec![
            part.region.to_string(),
            percent(part.share),
            paint.tone(Tone::of(verdict), verdict.as_str()),
            traffic_state(part, paint),
        ]);
    }

    table.render()
}

fn traffic_state(part: &PlannedRegion, paint: Paint) -> String {
    let traffic_state = match part.ramp_percent {
        Some(percent) => format!("{} {percent} %", plain(&part.traffic_state, 20)),
        None => plain(&part.traffic_state, 20),
    };

    match part.traffic_state.as_str() {
        "serving" => traffic_state,
        "out" => paint.tone(Tone::Bad, traffic_state),
        _ => paint.tone(Tone::Uneasy, traffic_state),
    }
}

fn regions(parts: &[PlannedRegion], before: Option<&[PlannedRegion]>, paint: Paint) -> String {
    let mut table = match before {
        Some(_) => Table::new("REGION, NOW, WOULD BE, STATE"),
        None => Table::new("REGION, SHARE, STATE"),
    }
    .heading(paint);

    for part in parts {
        let mut row = vec![part.region.to_string()];
        if let Some(before) = before {
            let was = before.iter().find(|was| was.region == part.region);
            row.push(was.map_or_else(|| "-".into(), |was| percent(was.share)));
        }

        row.extend([percent(part.share), traffic_state(part, paint)]);
        table.row(row);
    }

    table.render()
}

fn overrides(orders: &[OverrideStatus], now_ms: u64, paint: Paint) -> String {
    if orders.is_empty() {
        return "no active orders\n".into();
    }

    let mut table = Table::new("ORDER, REGION, BY, ENDS IN, WHY").heading(paint);
    for order in orders {
        table.row(vec![
            order.kind.to_string(),
            order
                .region
                .as_ref()
                .map_or_else(|| "the whole mesh".into(), ToString::to_string),
            plain(&order.by, 20),
            ago(order.expires_ms.saturating_sub(now_ms)),
            plain(&order.why, 60),
        ]);
    }

    table.render()
}

fn names(regions: &[RegionName]) -> String {
    regions
        .iter()
        .map(RegionName::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
