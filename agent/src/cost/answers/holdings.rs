//! What recommendations need to know about stored models: the cost of each copy, which models get
//! no requests, and which copies could have come from a cheaper region.

use super::{sources::Sources, usage};
use crate::cost::observe::STORAGE;
use regionmesh_cost::{
    Amount, Cause, CurrentState, EgressLine, FanOutLimits, IdleModel, ModelCopy, ReplicationChange,
    ReplicationFinding, date_at, egress_report, price_per_gb,
};
use regionmesh_protocol::{
    identity::RegionName,
    models::{
        catalogue::Catalogue,
        manifest::{ModelName, VersionName, VersionSummary},
    },
};
use std::collections::{BTreeMap, BTreeSet};
use time::Date;

/// A model without requests for this many observed days is idle.
const IDLE_DAYS: u32 = 14;
/// Days searched for requests: as many as are kept.
const WATCHED_DAYS: i64 = 60;
/// Days of a month.
const MONTH_DAYS: u64 = 30;

/// Adds stored models to the state that recommendations are made from; replication within `span`
/// counts.
pub(super) fn add(state: &mut CurrentState, sources: &Sources, span: (Date, Date)) {
    let lines = sent(sources, span);
    let days = u64::try_from((span.1 - span.0).whole_days() + 1).unwrap_or(1);
    let monthly = |amount: Amount| amount.share(MONTH_DAYS, days).unwrap_or_default();

    state.copies = copies(sources, &lines, monthly);
    state.idle = idle(sources);

    // With relays enabled, copies already take the cheapest route.
    let has_relays = sources
        .config
        .as_ref()
        .is_none_or(|config| config.replication.relay_wait_s > 0);

    state.replication = if has_relays {
        Vec::new()
    } else {
        relays(sources, &lines, monthly)
    };
}

/// Model copies sent between regions, and their cost.
fn sent(sources: &Sources, (start, end): (Date, Date)) -> Vec<(ModelName, EgressLine)> {
    let first = start.replace_day(1).unwrap_or(start);
    let usage = usage::egress(sources, first, end);
    let report = egress_report(&usage, (start, end), &sources.prices, &sources.regions);
    let of_model = |line: EgressLine| match &line.cause {
        Cause::Replication { model } => Some((model.parse().ok()?, line)),
        Cause::AnswersAway | Cause::Other => None,
    };

    report.lines.into_iter().filter_map(of_model).collect()
}

fn copies(
    sources: &Sources,
    lines: &[(ModelName, EgressLine)],
    monthly: impl Fn(Amount) -> Amount,
) -> Vec<ModelCopy> {
    let currency = sources.cost.currency;
    let mut copies = Vec::new();
    for (region, held) in &sources.holdings {
        let Some(at) = sources.regions.billing_of(region.as_str()) else {
            continue;
        };
        let price = sources.prices.storage(sources.today, at, STORAGE).ok();

        for version in held.published() {
            let storage = price
                .map(|price| price.cost(0, version.size))
                .filter(|cost| cost.currency == currency);
            let is_of = |(model, line): &&(ModelName, EgressLine)| {
                *model == version.model && line.to.as_deref() == Some(region.as_str())
            };
            let brought: Amount = lines
                .iter()
                .filter(is_of)
                .map(|(_, line)| line.cost.of(currency))
                .sum();
            let is_newest = newest(held, &version.model)
                .is_some_and(|newest| newest.version == version.version);

            copies.push(ModelCopy {
                model: version.model.clone(),
                version: version.version.clone(),
                region: region.clone(),
                storage: storage.map_or(Amount::ZERO, |cost| cost.amount),
                // Counters know only the model: recent bytes are assumed to be its newest version.
                replication: if is_newest {
                    monthly(brought)
                } else {
                    Amount::ZERO
                },
            });
        }
    }

    copies
}

/// A model's most recently published version.
fn newest<'a>(held: &'a Catalogue, model: &ModelName) -> Option<&'a VersionSummary> {
    held.published()
        .filter(|version| version.model == *model)
        .max_by_key(|version| version.published)
}

/// Whether any region was observed on a day.
fn is_watched(sources: &Sources, day: Date) -> bool {
    let known_ms = |region: &String| {
        sources
            .live
            .window(region, (day, day), sources.pricing())
            .known_ms
    };

    sources
        .mesh_regions()
        .iter()
        .any(|region| known_ms(region) > 0)
}

/// Models without requests in any region for days.
fn idle(sources: &Sources) -> Vec<IdleModel> {
    let mut quiet = 0u32;
    let mut asked = BTreeMap::<String, u32>::new();
    let mut day = Some(sources.today);

    for _ in 0..WATCHED_DAYS {
        let Some(date) = day else { break };
        let (used, _) = usage::usage(sources, date, date);

        // On a day that was not observed there may have been requests.
        if used.is_empty() && !is_watched(sources, date) {
            break;
        }
        for did in used.iter().filter(|did| did.requests > 0) {
            asked.entry(did.model.clone()).or_insert(quiet);
        }
        quiet += 1;
        day = date.previous_day();
    }

    let versions: BTreeSet<_> = sources
        .holdings
        .values()
        .flat_map(|held| held.published())
        .map(|held| (&held.model, &held.version, held.published))
        .collect();

    let idle = versions
        .into_iter()
        .filter_map(|(model, version, published)| {
            let age =
                date_at(published.wall_ms).map_or(0, |since| (sources.today - since).whole_days());
            let days = asked
                .get(model.as_str())
                .copied()
                .unwrap_or(quiet)
                .min(u32::try_from(age).unwrap_or(0));

            (days >= IDLE_DAYS).then(|| IdleModel {
                model: model.clone(),
                version: version.clone(),
                days_without_requests: days,
            })
        });

    idle.collect()
}

/// Copies that could have come from a region with cheaper egress.
fn relays(
    sources: &Sources,
    lines: &[(ModelName, EgressLine)],
    monthly: impl Fn(Amount) -> Amount,
) -> Vec<ReplicationFinding> {
    let mut copies: BTreeMap<(&ModelName, &str), Vec<&EgressLine>> = BTreeMap::new();
    for (model, line) in lines {
        if let Some(to) = &line.to {
            copies.entry((model, to)).or_default().push(line);
        }
    }

    let finding = |((model, to), lines): ((&ModelName, &str), Vec<&EgressLine>)| {
        let (version, region, via, cost) = relay(model, to, &lines, sources)?;
        let change = ReplicationChange::Relay {
            via,
            replication: monthly(cost),
        };

        Some(ReplicationFinding {
            model: model.clone(),
            version,
            region,
            change,
        })
    };

    copies.into_iter().filter_map(finding).collect()
}

/// The cheaper region to fetch the newest version of a model from, and what the copies would have
/// cost. Copies from a region that is about as cheap are left as they are.
fn relay(
    model: &ModelName,
    to: &str,
    lines: &[&EgressLine],
    sources: &Sources,
) -> Option<(VersionName, RegionName, RegionName, Amount)> {
    let currency = sources.cost.currency;
    let price = |from: &str| -> Option<Amount> {
        let found = price_per_gb(
            &sources.prices,
            &sources.regions,
            sources.today,
            from,
            Some(to),
        )
        .ok()?;

        (found.currency == currency).then_some(found.amount)
    };

    let region: RegionName = to.parse().ok()?;
    let newest = newest(sources.holdings.get(&region)?, model)?;
    let others = sources.holdings.iter().filter(|(via, held)| {
        **via != region && held.version(&newest.model, &newest.version).is_some()
    });
    let (cheapest, via) = others
        .filter_map(|(via, _)| Some((price(via.as_str())?, via)))
        .min()?;

    let threshold_bp = 10_000 - u64::from(FanOutLimits::default().saving_min_bp);
    let relayed = |line: &EgressLine| {
        let paid = price(&line.from).filter(|paid| {
            paid.share(threshold_bp, 10_000)
                .is_some_and(|threshold| cheapest <= threshold)
        })?;
        let part = u64::try_from(cheapest.0 / 1_000).ok()?;
        let whole = u64::try_from(paid.0 / 1_000).ok()?;

        line.cost.of(currency).share(part, whole)
    };

    let was: Amount = lines.iter().map(|line| line.cost.of(currency)).sum();
    let cost = lines
        .iter()
        .map(|line| relayed(line).unwrap_or_else(|| line.cost.of(currency)))
        .sum();

    (cost < was).then(|| (newest.version.clone(), region.clone(), via.clone(), cost))
}

#[cfg(test)]
mod tests;
