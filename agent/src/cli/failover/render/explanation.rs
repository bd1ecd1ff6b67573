//! Why a region's traffic is as it is, as text.

use super::TEXT_MAX;
use crate::cli::text::{Paint, Table, Tone, ago, moment, percent, plain, wrap};
use regionmesh_client::{AddressSeen, ObservationStatus, RegionExplanation, RegionStatus};
use regionmesh_protocol::status::condition::Condition;

pub(in crate::cli::failover) fn explanation(explained: &RegionExplanation, paint: Paint) -> String {
    let region = &explained.region;
    let verdict = paint.tone(Tone::of(region.verdict), region.verdict.as_str());
    let since = match region.verdict_since_ms {
        0 => String::new(),
        since_ms => format!(
            " for {}",
            ago(explained.answered_ms.saturating_sub(since_ms))
        ),
    };
    let mut text = format!(
        "{}  as {} sees it\n",
        region.region,
        plain(&explained.answered_by, 200)
    );

    text += &wrap(
        "verdict   ",
        &format!(
            "{verdict}{since}: {}",
            plain(&region.verdict_reason, TEXT_MAX)
        ),
    );

    text += &wrap(
        "state     ",
        &format!(
            "{}; {} of the traffic",
            explained.traffic_state,
            percent(region.share)
        ),
    );

    for (head, lines) in [
        ("orders", &explained.overrides),
        ("guards", &explained.guards),
        ("cool-down", &explained.cool_down),
        ("ramp", &explained.ramp),
        ("judged by", &explained.thresholds),
    ] {
        for (index, line) in lines.iter().enumerate() {
            let head = if index == 0 { head } else { "" };
            text += &wrap(&format!("{head:<10}"), &plain(line, TEXT_MAX));
        }
    }

    text += "\n";
    text += &votes(explained, paint);
    text += "\n";
    text += &observations(&region.observations, explained.answered_ms, paint);
    if !region.address_verdicts.is_empty() {
        text += "\n";
        text += &addresses(region, paint);
    }

    if !explained.reasons.is_empty() {
        text += &format!("\n{}\n", paint.tone(Tone::Strong, "HISTORY"));
        for past in &explained.reasons {
            let head = format!("{}  #{:<5} ", moment(past.seen_ms), past.seq);
            text += &wrap(&head, &plain(&past.reason, TEXT_MAX));
        }
    }

    text
}

fn votes(explained: &RegionExplanation, paint: Paint) -> String {
    let mut table = Table::new("VOTE OF, SAYS").heading(paint);
    for vote in &explained.region.votes {
        let says = match vote.condition {
            Condition::Unknown => "abstains".to_owned(),
            condition => condition.as_str().to_owned(),
        };

        table.row(vec![
            vote.region.to_string(),
            paint.tone(Tone::of(vote.condition), says),
        ]);
    }

    for report in &explained.own_reports {
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
    let mut table = Table::new("OBSERVER, SEES, SINCE, HEARD, EVIDENCE").heading(paint);
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
    let heads =
        "ADDRESS, VERDICT, ANSWERED, OBSERVER, SEES, ERRORS, SLOW TAIL, INFERENCE, EVIDENCE";
    let mut table = Table::new(heads).heading(paint);
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

/// One row for each observer; only the first names the address.
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
