//! Warnings about a report's totals: missing, incomplete or incomparable data.

use super::{Query, Warning, WarningKind, scan::Scanned};
use crate::{
    cells::{Metric, Period},
    date::day_of,
    ledger::{LATE_DAYS, Ledger, StoredPart, day_range},
};
use std::collections::{BTreeMap, BTreeSet};

/// Days by which a source's bills may end before the newest of all without a warning.
const STOPPED_DAYS: i32 = 3;
/// Most things that one warning lists.
const LISTED_MAX: usize = 10;

pub(super) fn warnings(ledger: &Ledger, query: &Query, scanned: &Scanned) -> Vec<Warning> {
    let days = day_range(query.start, query.end);
    let parts: Vec<&StoredPart> = ledger.parts_within(*days.start(), *days.end()).collect();
    let mut found = Vec::new();

    if parts.is_empty() {
        let message = format!(
            "no imported bill has charges from {} to {}",
            query.start, query.end
        );

        found.push(Warning {
            kind: WarningKind::NoData,
            message,
        });
    }

    missing_periods(ledger, query, &mut found);
    missing_days(&parts, query, &mut found);
    stopped_sources(ledger, query, &mut found);
    incomplete(ledger, query, &mut found);
    several_currencies(scanned, &mut found);
    missing_metric(&parts, query.metric, &mut found);
    missing_tags(&parts, query, &mut found);
    for (index, filter) in query.filters.iter().enumerate() {
        if !scanned.matched.contains(&index) {
            let message = format!(
                "the filter {filter} matches no charge: look for the value in a report by {}",
                filter.group
            );

            found.push(Warning {
                kind: WarningKind::NoSuchValue,
                message,
            });
        }
    }

    found
}

/// Missing months of a source, between its first and the newest of all sources.
fn missing_periods(ledger: &Ledger, query: &Query, found: &mut Vec<Warning>) {
    let sources = ledger.sources();
    let newest = sources
        .values()
        .filter_map(|state| state.periods.last())
        .max()
        .copied();

    for (source, state) in &sources {
        let (Some(first), Some(newest)) = (state.periods.first(), newest) else {
            continue;
        };
        let held: BTreeSet<Period> = state.periods.iter().copied().collect();
        let last = newest.min(Period::of(query.end));
        let mut month = (*first).max(Period::of(query.start));
        let mut missing = Vec::new();

        while month <= last {
            if !held.contains(&month) {
                missing.push(month.to_string());
            }
            month = month.next();
        }

        if !missing.is_empty() {
            let message = format!("{source}: no bill of {}; import it", listed(&missing));
            found.push(Warning {
                kind: WarningKind::PeriodMissing,
                message,
            });
        }
    }
}

/// Days of the query between the first and the last charge of all on which nothing was charged.
fn missing_days(parts: &[&StoredPart], query: &Query, found: &mut Vec<Warning>) {
    let days = day_range(query.start, query.end);
    let charged: BTreeSet<i32> = parts
        .iter()
        .flat_map(|part| part.days())
        .copied()
        .filter(|day| days.contains(day))
        .collect();
    let (Some(first), Some(last)) = (charged.first(), charged.last()) else {
        return;
    };
    let missing = (*first..=*last)
        .filter(|day| !charged.contains(day))
        .filter_map(day_of);
    let missing: Vec<String> = missing.map(|day| day.to_string()).collect();

    if !missing.is_empty() {
        let message = format!(
            "no charge at all on {}: the bill may have a gap",
            listed(&missing)
        );

        found.push(Warning {
            kind: WarningKind::DaysMissing,
            message,
        });
    }
}

/// Sources whose last charge is much older than the newest of all that the query covers.
fn stopped_sources(ledger: &Ledger, query: &Query, found: &mut Vec<Warning>) {
    let sources = ledger.sources();
    let newest = sources
        .values()
        .filter_map(|state| state.last_day)
        .max()
        .map(|day| day.min(query.end));

    for (source, state) in &sources {
        let (Some(last), Some(newest)) = (state.last_day, newest) else {
            continue;
        };
        if last >= query.start && newest.to_julian_day() - last.to_julian_day() > STOPPED_DAYS {
            let message =
                format!("{source}: charges end on {last}; other sources reach {newest} or later");
            found.push(Warning {
                kind: WarningKind::SourceStopped,
                message,
            });
        }
    }
}

/// Days of the query after the last one that is complete in all sources.
fn incomplete(ledger: &Ledger, query: &Query, found: &mut Vec<Warning>) {
    let Some(complete) = ledger
        .final_day(query.end)
        .filter(|complete| *complete < query.end)
    else {
        return;
    };

    let last = ledger
        .sources()
        .values()
        .filter_map(|state| state.last_day)
        .max()
        .filter(|last| *last >= query.start);

    let message = match last {
        None => return,
        Some(last) if last == complete => {
            format!("no charge after {last}: later days are not billed or not imported yet")
        }
        Some(_) => {
            format!(
                "days after {complete} are incomplete: not all sources have all their charges; \
                 providers add charges of a \
                 day until {LATE_DAYS} days later"
            )
        }
    };

    found.push(Warning {
        kind: WarningKind::Incomplete,
        message,
    });
}

fn several_currencies(scanned: &Scanned, found: &mut Vec<Warning>) {
    let currencies: BTreeSet<&str> = scanned
        .rows
        .iter()
        .map(|row| row.currency.as_str())
        .collect();

    if currencies.len() > 1 {
        let names: Vec<String> = currencies.into_iter().map(str::to_owned).collect();
        let message = format!(
            "amounts in {} are not added up: each currency has its own total",
            listed(&names)
        );

        found.push(Warning {
            kind: WarningKind::SeveralCurrencies,
            message,
        });
    }
}

fn missing_metric(parts: &[&StoredPart], metric: Metric, found: &mut Vec<Warning>) {
    let lacking = named(parts.iter().filter(|part| part.lacks(metric)));
    if !lacking.is_empty() {
        let column = match metric {
            Metric::Effective => "EffectiveCost",
            Metric::Billed => "BilledCost",
            Metric::List => "ListCost",
        };
        let message = format!(
            "{column} of all usage is zero or missing, other costs are not, in {}",
            listed(&lacking)
        );

        found.push(Warning {
            kind: WarningKind::MetricMissing,
            message,
        });
    }
}

fn missing_tags(parts: &[&StoredPart], query: &Query, found: &mut Vec<Warning>) {
    let groups = query
        .by
        .iter()
        .chain(query.filters.iter().map(|filter| &filter.group));
    let keys: BTreeSet<&str> = groups.filter_map(|group| query.tag(group)).collect();

    for key in keys {
        let lacking = named(
            parts
                .iter()
                .filter(|part| part.cells().tag_column(key).is_none()),
        );

        if !lacking.is_empty() {
            let message = format!(
                "the tag {key} was not chosen when {} was imported: its charges count as \
                 untagged; import it again with \
                 the tag",
                listed(&lacking)
            );

            found.push(Warning {
                kind: WarningKind::TagNotChosen,
                message,
            });
        }
    }
}

/// Parts by name, the months of a source together.
fn named<'a>(parts: impl Iterator<Item = &'a &'a StoredPart>) -> Vec<String> {
    let mut months: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for part in parts {
        months
            .entry(part.source())
            .or_default()
            .push(part.period().to_string());
    }

    months
        .into_iter()
        .map(|(source, months)| format!("{source} ({})", listed(&months)))
        .collect()
}

/// `a, b and 3 more`.
pub(crate) fn listed(names: &[String]) -> String {
    match names.len().checked_sub(LISTED_MAX) {
        None | Some(0) => names.join(", "),
        Some(more) => format!("{} and {more} more", names[..LISTED_MAX].join(", ")),
    }
}
