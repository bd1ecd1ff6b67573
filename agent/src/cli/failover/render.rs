//! Plans, their history and their reasons as text. Pure.

use crate::cli::{
    status::{frozen, suspended},
    text::{Paint, Table, Tone, ago, count, moment, percent, plain, wrap},
};
use regionmesh_client::{
    AddressSeen, FailoverHistory, FailoverStatus, ObservationStatus, OrderDone, OverrideStatus,
    PlannedRegion, RegionExplanation, RegionStatus, ShortfallStatus, VerdictStatus, WhatIf,
};
use regionmesh_protocol::{identity::RegionName, status::condition::Condition};

/// Longest text of an agent's that is shown, characters.
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
            "nobody is out by automation; at most {} at a time",
            status.max_out
        ),
        _ => format!(
            "out by automation: {}; at most {} at a time",
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
            "{} before; --limit shows more\n",
            count(surplus, "plan", "plans")
        );
    }

    text + &format!("as {} saw it\n", plain(&history.answered_by, 200))
}

pub(super) fn explanation(told: &RegionExplanation, paint: Paint) -> String {
    let region = &told.region;
    let verdict = paint.tone(Tone::of(region.verdict), region.verdict.as_str());
    let since = match region.verdict_since_ms {
        0 => String::new(),
        since_ms => format!(" for {}", ago(told.answered_ms.saturating_sub(since_ms))),
    };
    let mut text = format!(
        "{}  as {} sees it\n",
        region.region,
        plain(&told.answered_by, 200)
    );

    text += &wrap(
        "verdict   ",
        &format!(
            "{verdict}{since}: {}",
            plain(&region.verdict_reason, TEXT_MAX)
        ),
    );

    text += &wrap(
        "standing  ",
        &format!(
            "{}; {} of the traffic",
            told.traffic_state,
            percent(region.share)
        ),
    );

    for (head, lines) in [
        ("orders", &told.overrides),
        ("guards", &told.guards),
        ("cool-down", &told.cool_down),
        ("ramp", &told.ramp),
        ("judged by", &told.thresholds),
    ] {
        for (index, line) in lines.iter().enumerate() {
            let head = if index == 0 { head } else { "" };
            text += &wrap(&format!("{head:<10}"), &plain(line, TEXT_MAX));
        }
    }

    text += "\n";
    text += &votes(told, paint);
    text += "\n";
    text += &observations(&region.observations, told.answered_ms, paint);
    if !region.address_verdicts.is_empty() {
        text += "\n";
        text += &addresses(region, paint);
    }

    if !told.reasons.is_empty() {
        text += &format!("\n{}\n", paint.tone(Tone::Strong, "WHAT LED HERE"));
        for past in &told.reasons {
            let head = format!("{}  #{:<5} ", moment(past.seen_ms), past.seq);
            text += &wrap(&head, &plain(&past.reason, TEXT_MAX));
        }
    }

    text
}

fn votes(told: &RegionExplanation, paint: Paint) -> String {
    let mut table = Table::new(&["VOTE OF", "SAYS"]).heading(paint);
    for vote in &told.region.votes {
        let says = match vote.condition {
            Condition::Unknown => "abstains".to_owned(),
            condition => condition.as_str().to_owned(),
        };

        table.row(vec![
            vote.region.to_string(),
            paint.tone(Tone::of(vote.condition), says),
        ]);
    }

    for report in &told.own_reports {
        let says = match report.condition {
            Some(condition) => paint.tone(Tone::of(condition), condition.as_str()),
            None => paint.tone(Tone::Faint, "nothing yet"),
        };
        let address = report
            .address
            .map(|address| format!(" for {address}"))
            .unwrap_or_default();
        let of = format!(
            "itself ({}{address}, {} ago)",
            plain(&report.agent, 60),
            ago(report.age_ms)
        );

        table.row(vec![of, says]);
    }

    table.render()
}

fn observations(seen: &[ObservationStatus], now_ms: u64, paint: Paint) -> String {
    let mut table = Table::new(&["OBSERVER", "SEES", "SINCE", "HEARD", "EVIDENCE"]).heading(paint);
    for observation in seen {
        table.row(vec![
            plain(&observation.observer, 60),
            paint.tone(
                Tone::of(observation.condition),
                observation.condition.as_str(),
            ),
            format!("{} ago", ago(now_ms.saturating_sub(observation.since_ms))),
            format!("{} ago", ago(observation.age_ms)),
            plain(&observation.evidence, 60),
        ]);
    }

    table.render()
}

/// Each address: the verdict, whether DNS answers it, and what each observer saw of it.
fn addresses(region: &RegionStatus, paint: Paint) -> String {
    let heads = [
        "ADDRESS",
        "VERDICT",
        "ANSWERED",
        "OBSERVER",
        "SEES",
        "ERRORS",
        "SLOW TAIL",
        "INFERENCE",
        "EVIDENCE",
    ];

    let mut table = Table::new(&heads).heading(paint);
    for judged in &region.address_verdicts {
        let mut head = vec![
            judged.address.to_string(),
            paint.tone(Tone::of(judged.verdict), judged.verdict.as_str()),
            if judged.answered {
                "yes".into()
            } else {
                paint.tone(Tone::Uneasy, "no")
            },
        ];

        let observers = region.observations.iter().filter_map(|seen| {
            Some((
                &seen.observer,
                seen.addresses
                    .iter()
                    .find(|of| of.address == Some(judged.address))?,
            ))
        });

        for row in address_rows(observers, &mut head, paint) {
            table.row(row);
        }
    }

    table.render()
}

/// One row for each observer; the address stands in the first only.
fn address_rows<'a>(
    seen: impl Iterator<Item = (&'a String, &'a AddressSeen)>,
    head: &mut Vec<String>,
    paint: Paint,
) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for (observer, of) in seen {
        let unknown = || "-".to_owned();
        let mut row = std::mem::replace(head, vec![String::new(); 3]);
        row.extend([
            plain(observer, 60),
            paint.tone(Tone::of(of.condition), of.condition.as_str()),
            of.error_bp
                .map_or_else(unknown, |bp| percent(f64::from(bp) / 10_000.0)),
            of.quantile_us.map_or_else(unknown, |us| {
                format!("{}.{} ms", us / 1_000, us % 1_000 / 100)
            }),
            of.inference.map_or_else(unknown, |passes| {
                if passes {
                    "passes".into()
                } else {
                    paint.tone(Tone::Bad, "fails")
                }
            }),
            plain(&of.evidence, 60),
        ]);

        rows.push(row);
    }

    if rows.is_empty() {
        let mut row = std::mem::take(head);
        row.extend(vec!["-".to_owned(); 6]);
        rows.push(row);
    }

    rows
}

pub(super) fn what_if(answer: &WhatIf, paint: Paint) -> String {
    let mut text = wrap("", &plain(&answer.reason, TEXT_MAX));
    text += "nothing was changed\n\n";
    if !answer.limited.is_empty() {
        let kept = format!(
            "{} would keep a part of the traffic although it fails",
            names(&answer.limited)
        );
        text += &wrap("", &paint.tone(Tone::Uneasy, kept));
    }

    text += &shortfall(answer.shortfall.as_ref(), paint);
    text + &regions(&answer.regions, Some(&answer.before), paint)
}

fn shortfall(short: Option<&ShortfallStatus>, paint: Paint) -> String {
    let Some(short) = short else {
        return String::new();
    };
    let said = format!(
        "{} of {} requests/s are not moved: the other regions' declared capacity does not suffice",
        short.unmoved_rps, short.load_rps
    );

    wrap("capacity ", &paint.tone(Tone::Uneasy, said))
}

/// Why each region that is not healthy is not.
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
    let mut table = Table::new(&["REGION", "SHARE", "VERDICT", "STANDING"]).heading(paint);
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
        Some(_) => Table::new(&["REGION", "NOW", "WOULD BE", "STANDING"]),
        None => Table::new(&["REGION", "SHARE", "STANDING"]),
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

fn overrides(traffic_state: &[OverrideStatus], now_ms: u64, paint: Paint) -> String {
    if traffic_state.is_empty() {
        return "no orders stand\n".into();
    }

    let mut table = Table::new(&["ORDER", "REGION", "BY", "ENDS IN", "WHY"]).heading(paint);
    for order in traffic_state {
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
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const PLAIN: Paint = Paint { is_on: false };

    fn part(region: &str, share: f64, traffic_state: &str) -> Value {
        json!({ "region": region, "weight_bp": 1, "share": share, "traffic_state": traffic_state, "since_ms": null,
            "ramp_percent": null, "addresses": [], "flaps": 0, "failed_ms": null })
    }

    fn plan(reason: &str) -> Value {
        json!({ "seq": 7, "ballot": { "number": 2, "agent": "a/x" }, "reason": reason, "made_ms": 1_000, "age_ms": 5_000,
            "regions": [part("a", 0.9, "serving"), part("b", 0.1, "limited")],
            "overrides": [{ "region": null, "kind": "hold", "by": "ann\u{1b}[2J", "why": "storm", "set_ms": 1_000,
                "expires_ms": 61_000 }],
            "yielded": [{ "order": "drain of a by ann (disks)", "region": "a", "since_ms": 1_000 }],
            "shortfall": { "load_rps": 100, "unmoved_rps": 30 } })
    }

    #[test]
    fn a_status_shows_orders_guards_and_what_is_not_moved() {
        let told = json!({ "answered_by": "a/x", "answered_ms": 6_000, "leader": null, "max_out": 1,
            "taken_out": ["c"], "plan": plan("b: failed"),
            "verdicts": [{ "region": "a", "verdict": "healthy", "since_ms": 1, "reason": "2 of 2 say healthy" },
                { "region": "b", "verdict": "failed", "since_ms": 1, "reason": "2 of 2 observing regions say failed" }],
            "frozen": { "since_ms": 1_000, "reachable": 1, "members": 3, "left_out": ["b"],
                "detail": "1 of 3 regions reachable" } });
        let text = status(&serde_json::from_value(told).unwrap(), PLAIN);

        for part in [
            "leader  none\n",
            "plan    #7, made 5 s ago: b: failed\n",
            "guards  out by automation: c; at most 1 at a time\n",
            "capacity 30 of 100 requests/s are not moved",
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
            text.contains("nothing was changed\n")
                && text.contains("b       50 %  0 %       out\n"),
            "{text}"
        );
    }

    #[test]
    fn a_history_is_told_oldest_first_with_its_shares() {
        let told = json!({ "answered_by": "a/x", "plans": [
            { "seen_ms": 951_782_400_000u64, "plan": plan("first plan") },
            { "seen_ms": 951_782_401_000u64, "plan": plan("b: failed") },
        ] });
        let text = history(&serde_json::from_value(told).unwrap(), 3, PLAIN);
        let first = text
            .find("2000-02-29 00:00:00 UTC  #7     first plan")
            .unwrap();

        assert!(
            first < text.find("b: failed").unwrap() && text.contains("a 90 %, b 10 %"),
            "{text}"
        );

        assert!(text.contains("3 plans before"), "{text}");
    }
}
