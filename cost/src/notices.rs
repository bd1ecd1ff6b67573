//! Notices about budgets, anomalies and late bills. Ids derive from what all agents agree on, so
//! each notice exists once.

use crate::{
    anomaly::{Anomaly, AnomalyKind, Plane},
    budget::{Budget, BudgetState, BudgetWindow, Crossing, CrossingKind},
    date::{date_at, end_of_day_ms, parse_date},
    ledger::Ledger,
    money::Amount,
};
use regionmesh_protocol::{
    event::Severity,
    identity::RegionName,
    status::money::{CostNotice, NoticeKind},
};
use time::Date;

/// How long other agents must keep a budget's notice, milliseconds: their clock or configuration
/// may be behind the publisher's.
const SPREAD_MS: u64 = 15 * 60_000;

/// The notices of the thresholds that a budget has crossed in a period.
pub fn budget_notices(
    budget: &Budget,
    window: BudgetWindow,
    state: &BudgetState,
    now_ms: u64,
) -> Vec<CostNotice> {
    let region = match &budget.scope {
        crate::budget::BudgetScope::Region(name) => name.parse().ok(),
        _ => None,
    };
    let notice = |crossing: &Crossing| CostNotice {
        kind: NoticeKind::Budget,
        id: format!(
            "{}:{}:{}:{}",
            budget_key(budget),
            window.first,
            kind_name(crossing.kind),
            crossing.threshold
        ),
        severity: if crossing.threshold >= 100 {
            Severity::Warning
        } else {
            Severity::Info
        },
        subject: budget.name.clone(),
        region: region.clone(),
        text: budget_text(budget, window, state, crossing),
        since_ms: now_ms,
        ended_ms: None,
    };

    state.crossed.iter().map(notice).collect()
}

/// Prefix of the ids of a budget's notices. A changed amount announces its thresholds again.
fn budget_key(budget: &Budget) -> String {
    format!("budget:{}:{}", budget.name, budget.amount)
}

/// Whether a budget's notice is over: its period has ended, or no budget has its name, amount and
/// kind of period. An end can't be taken back, so an agent must not make one because it is behind:
/// a period that begins later is not over (the clock of the agent that published it is ahead), and
/// neither is one published within the last 15 minutes.
pub fn is_budget_over(notice: &CostNotice, budgets: &[Budget], now_ms: u64) -> bool {
    let is_new = now_ms < notice.since_ms.saturating_add(SPREAD_MS);
    let Some(today) = date_at(now_ms).filter(|_| !is_new) else {
        return false;
    };

    // From the end, as a name may contain anything.
    let mut parts = notice.id.rsplitn(4, ':').skip(2);
    let first = parts.next().and_then(parse_date);
    let key = parts.next();
    let is_current = |budget: &Budget| {
        let begins = |day| budget.period.window(day).first;
        first.is_some_and(|first| first == begins(first) && first >= begins(today))
            && key == Some(&*budget_key(budget))
    };

    !budgets.iter().any(is_current)
}

fn kind_name(kind: CrossingKind) -> &'static str {
    match kind {
        CrossingKind::Actual => "actual",
        CrossingKind::Forecast => "forecast",
    }
}

fn budget_text(
    budget: &Budget,
    window: BudgetWindow,
    state: &BudgetState,
    crossing: &Crossing,
) -> String {
    let name = &budget.name;
    let limit = &budget.amount;
    let threshold = crossing.threshold;
    let period = format!("{} to {}", window.first, window.last);

    // Small amounts would be nothing in cents.
    let is_small = limit.amount < Amount(crate::money::ONE);
    let cents = |amount: Amount| match is_small {
        true => format!("{amount} {}", limit.currency),
        false => format!("{} {}", amount.rounded(2), limit.currency),
    };
    let limit = cents(limit.amount);

    match crossing.kind {
        CrossingKind::Actual => {
            format!(
                "budget {name}: {threshold} % of {limit} for {period} is spent; {} so far",
                cents(state.spent)
            )
        }
        CrossingKind::Forecast => format!(
            "budget {name}: {threshold} % of {limit} for {period} is forecast to be spent; {} so \
                far, {} by the end",
            cents(state.spent),
            cents(state.forecast.unwrap_or_default())
        ),
    }
}

/// The notice of an anomaly. `region` is the mesh's name of the region that it is about.
pub fn anomaly_notice(anomaly: &Anomaly, region: Option<RegionName>) -> CostNotice {
    let ms = |at: time::OffsetDateTime| {
        u64::try_from(at.unix_timestamp())
            .unwrap_or(0)
            .saturating_mul(1_000)
    };
    let subject: Vec<String> = anomaly
        .scope
        .iter()
        .map(|(dimension, value)| format!("{dimension} {value}"))
        .collect();

    CostNotice {
        kind: NoticeKind::Anomaly,
        id: format!("anomaly:{}", anomaly.id),
        severity: if anomaly.kind == AnomalyKind::Drop {
            Severity::Info
        } else {
            Severity::Warning
        },
        subject: subject.join(", "),
        region,
        text: anomaly_text(anomaly, &subject.join(", ")),
        since_ms: ms(anomaly.since),
        ended_ms: anomaly.until.map(ms),
    }
}

fn anomaly_text(anomaly: &Anomaly, subject: &str) -> String {
    let currency = anomaly.excess.currency;
    let (unit, plane) = match anomaly.plane {
        Plane::Billed => ("a day", "billed"),
        Plane::Live => ("an hour", "live"),
    };
    let what = match anomaly.kind {
        AnomalyKind::Spike => "costs more than usual",
        AnomalyKind::LevelShift => "has cost more than usual for a while",
        AnomalyKind::New => "costs money for the first time",
        AnomalyKind::Drop => "costs less than usual",
    };

    let of: Vec<String> = anomaly
        .contributors
        .iter()
        .take(3)
        .map(|part| format!("{} {}", part.part, part.excess.rounded(2)))
        .collect();

    let made_of = if of.is_empty() {
        String::new()
    } else {
        format!("; of it {}", of.join(", "))
    };

    format!(
        "{subject} {what}: {} {currency} {unit}, {} to {} are usual ({plane}); {} {currency} so \
            far{made_of}",
        anomaly.actual.rounded(2),
        anomaly.expected_low.rounded(2),
        anomaly.expected_high.rounded(2),
        anomaly.excess.amount.rounded(2),
    )
}

/// The notices of bills whose newest complete day is older than `late_after_h` hours.
pub fn late_notices(ledger: &Ledger, late_after_h: u64, now_ms: u64) -> Vec<CostNotice> {
    let today = date_at(now_ms).unwrap_or(Date::MAX);
    let sources = ledger.sources();
    let late = sources.iter().filter_map(|(source, state)| {
        let newest = state.last_day?;
        let complete = state.complete_day.unwrap_or(newest);
        let late_from_ms =
            end_of_day_ms(complete).saturating_add(late_after_h.saturating_mul(3_600_000));
        let is_late = now_ms >= late_from_ms && !state.has_ended(today);

        is_late.then(|| CostNotice {
            kind: NoticeKind::Data,
            id: format!("data:late:{source}:{complete}"),
            severity: Severity::Warning,
            subject: (*source).to_owned(),
            region: None,
            text: format!(
                "the bill of {source} is complete only up to {complete}; look at its export, or \
                    import a newer one"
            ),
            since_ms: late_from_ms,
            ended_ms: None,
        })
    });

    late.collect()
}

const EXPORT: &str = "data:export:";

/// Whether a notice is about an export; any agent that reads the export ends it.
pub fn is_of_export(notice: &CostNotice) -> bool {
    notice.id.starts_with(EXPORT)
}

/// The notice of an export that has been unreadable since `since`: one per outage.
pub fn export_notice(url: &str, why: &str, since_ms: u64) -> CostNotice {
    CostNotice {
        kind: NoticeKind::Data,
        id: format!("{EXPORT}{url}:{since_ms}"),
        severity: Severity::Warning,
        subject: url.to_owned(),
        region: None,
        text: format!("the billing export {url} can't be read: {why}"),
        since_ms,
        ended_ms: None,
    }
}

#[cfg(test)]
mod tests;
