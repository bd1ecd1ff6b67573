//! Recommendations from the mesh's current state: prices of the configured nodes, the use that
//! agents counted, and round trips between regions.

mod offers;
mod state;

use super::{answer::AnswerError, sources::Sources};
use crate::{config::Config, cost::questions::RecommendationOptions};
use offers::{Offered, offer, places_and_nodes};
use regionmesh_cost::{
    ModelDemand, Money, OriginDemand, PlacementInput, PlacementRules, RecommendInput,
    Recommendations, price_per_gb, recommend,
};
use regionmesh_protocol::identity::RegionName;
use state::{PEAK_OF_MEAN, state};
use std::collections::BTreeMap;
use time::{Date, Duration};

/// Days of use that recommendations are based on.
const WINDOW_DAYS: i64 = 14;

/// Changes that would save money, without exceeding the limits.
pub(crate) fn recommendations(
    options: &RecommendationOptions,
    sources: &Sources,
) -> Result<Recommendations, AnswerError> {
    let Some(config) = &sources.config else {
        return Err(AnswerError::NeedsMesh("recommendations"));
    };
    let start = sources
        .today
        .checked_sub(Duration::days(WINDOW_DAYS - 1))
        .unwrap_or(sources.today);
    let span = (start, sources.today);
    let mut notes = Vec::new();
    let offered = offers(config, span, sources, &mut notes)?;

    let models = models(&offered, sources);
    if models.is_empty() {
        let why = "no inference was counted in the last 14 days in a region whose nodes have a \
            price: recommendations rest on load, try again once there is some";
        return Err(AnswerError::NoPlacement(why.into()));
    }

    notes.extend(mean_notes(&offered));

    let input = RecommendInput {
        placement: PlacementInput {
            regions: offered
                .iter()
                .map(|offered| offered.offer.clone())
                .collect(),
            models,
            round_trips_ms: round_trips(&offered, sources),
            egress_per_gb: egress(&offered, sources, &mut notes),
            rules: rules(options, sources),
        },
        state: state(&offered, sources, span),
        baseline: options.baseline.unwrap_or_default(),
        environment: environment(config.mesh.as_str()),
        window_days: window_days(&offered),
        rows: sources
            .ledger
            .parts()
            .fold(0, |sum: u64, part| sum.saturating_add(part.rows())),
        price_date: offered
            .iter()
            .map(|offered| offered.price_date)
            .max()
            .unwrap_or(sources.today),
        generated_at: sources.today.midnight().assume_utc(),
    };

    let mut found =
        recommend(&input).map_err(|error| AnswerError::NoPlacement(error.to_string()))?;
    found.notes.extend(notes);
    Ok(found)
}

/// The regions that can be compared; a note for each of the others.
fn offers<'a>(
    config: &'a Config,
    span: (Date, Date),
    sources: &Sources,
    notes: &mut Vec<String>,
) -> Result<Vec<Offered<'a>>, AnswerError> {
    let mut offered = Vec::new();
    for region in &config.regions {
        match offer(region, span, sources) {
            Ok(found) => offered.push(found),
            Err(why) => notes.push(format!("{} and its load are left out: {why}", region.name)),
        }
    }

    if offered.is_empty() {
        return Err(AnswerError::NoPlacement(format!(
            "nothing can be recommended: {}",
            notes.join("; ")
        )));
    }

    Ok(offered)
}

/// A note for each region whose mean number of nodes is used as the current one.
fn mean_notes(offered: &[Offered<'_>]) -> impl Iterator<Item = String> {
    offered
        .iter()
        .filter(|offered| offered.region.follows_load())
        .map(|offered| {
            format!(
                "the nodes of {} follow the load: their mean, {}, counts as current",
                offered.region.name,
                offered.nodes.total()
            )
        })
}

fn rules(options: &RecommendationOptions, sources: &Sources) -> PlacementRules {
    let limits = &sources.cost.optimiser;
    PlacementRules {
        latency_ms: options.latency_ms.unwrap_or(limits.latency_ms),
        survive: options.survive.unwrap_or(limits.survive),
        ..PlacementRules::default()
    }
}

/// Days with use, at most [`WINDOW_DAYS`].
fn window_days(offered: &[Offered<'_>]) -> u32 {
    let days = offered
        .iter()
        .map(|offered| offered.window.known_ms / 86_400_000)
        .max()
        .unwrap_or(0);

    u32::try_from(days + 1)
        .unwrap_or(u32::MAX)
        .min(WINDOW_DAYS as u32)
}

/// Demand for each model, by the region that served it: users are assumed to be near it.
fn models(offered: &[Offered<'_>], sources: &Sources) -> Vec<ModelDemand> {
    let running = offered
        .iter()
        .filter_map(|offered| sources.capacity.get(offered.region.name.as_str()));
    let (places, nodes) = places_and_nodes(running);
    let places_per_node = (places as f64 / nodes.max(1) as f64).max(1.0);
    let mut names: Vec<&String> = offered
        .iter()
        .flat_map(|offered| offered.window.models.keys())
        .collect();

    names.sort();
    names.dedup();

    let demand = |name: &&String| {
        let of_region = |Offered { region, window, .. }: &Offered<'_>| {
            let did = window.models.get(*name)?;
            let mean_rps = did.requests as f64 / (window.known_ms as f64 / 1e3).max(1.0);
            let peak_rps = did
                .peak_rps()
                .unwrap_or(mean_rps * PEAK_OF_MEAN)
                .max(mean_rps);

            (did.requests > 0)
                .then(|| (region.name.to_string(), OriginDemand { mean_rps, peak_rps }))
        };

        let used = offered
            .iter()
            .filter_map(|offered| offered.window.models.get(*name));
        let (requests, busy_ms) = used.fold((0u64, 0u64), |(requests, busy), did| {
            (
                requests.saturating_add(did.requests),
                busy.saturating_add(did.busy_ms),
            )
        });

        let service_ms = busy_ms as f64 / requests.max(1) as f64;
        Some(ModelDemand {
            name: name.parse().ok()?,
            node_seconds_per_request: (service_ms / 1e3 / places_per_node).max(1e-6),
            service_ms,
            bytes_per_answer: sources.bytes_per_answer,
            memory_share: 0.0,
            spot_share_max: 0.5,
            demand: offered.iter().filter_map(of_region).collect(),
        })
    };

    names
        .iter()
        .filter_map(demand)
        .filter(|model| !model.demand.is_empty())
        .collect()
}

fn round_trips(
    offered: &[Offered<'_>],
    sources: &Sources,
) -> BTreeMap<String, BTreeMap<RegionName, f64>> {
    let from = |origin: &Offered<'_>| {
        let trips = offered.iter().filter_map(|to| {
            let pair = (origin.region.name.to_string(), to.region.name.to_string());
            Some((to.region.name.clone(), *sources.round_trips_ms.get(&pair)?))
        });
        (origin.region.name.to_string(), trips.collect())
    };

    offered.iter().map(from).collect()
}

/// The price of egress to users, which is that of egress to the internet; the highest of the other
/// regions where it is unknown.
fn egress(
    offered: &[Offered<'_>],
    sources: &Sources,
    notes: &mut Vec<String>,
) -> BTreeMap<RegionName, BTreeMap<String, Money>> {
    let currency = sources.cost.currency;
    let known = |from: &Offered<'_>| {
        let name = from.region.name.as_str();
        let price = price_per_gb(&sources.prices, &sources.regions, sources.today, name, None).ok();
        price.filter(|price| price.currency == currency)
    };
    let prices: Vec<Option<Money>> = offered.iter().map(known).collect();
    let highest = prices
        .iter()
        .flatten()
        .map(|price| price.amount)
        .max()
        .unwrap_or_default();

    let of_region = |(from, price): (&Offered<'_>, &Option<Money>)| {
        if price.is_none() && sources.bytes_per_answer > 0.0 {
            notes.push(format!(
                "no price in {currency} of egress from {} to the internet: the highest of the \
                    other regions is assumed, {highest} per GB",
                from.region.name
            ));
        }

        let price = price.unwrap_or(Money {
            amount: highest,
            currency,
        });
        let origins = offered
            .iter()
            .map(|origin| (origin.region.name.to_string(), price));

        (from.region.name.clone(), origins.collect())
    };

    offered.iter().zip(&prices).map(of_region).collect()
}

/// The mesh's name as used in commands: other characters become `-`.
fn environment(mesh: &str) -> String {
    mesh.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect()
}
