//! Recommendations from what runs in the mesh: prices of the nodes in the configuration, the use
//! that agents counted, and round trips between regions.

use super::{
    Answer, AnswerError, Sources, documents, holdings,
    verifications::{Verified, verifications},
};
use crate::{config::RegionConfig, cost::questions::Wishes};
use regionmesh_cost::{
    CommittedOffer, CurrentState, LiveWindow, ModelDemand, Money, NoPrice, NodeCounts, NodeGroup,
    NodeOffer, OriginDemand, PlacementInput, PlacementRules, PricingClass, RecommendInput,
    Recommendations, RegionCapacity, RegionOffer, SpotOffer, Utilisation, price_per_gb,
    recommend as recommended,
};
use regionmesh_protocol::identity::RegionName;
use serde::Serialize;
use std::collections::BTreeMap;
use time::{Date, Duration};

/// Days of use that recommendations rest on.
const WINDOW_DAYS: i64 = 14;
/// Nodes of a region that may be had, by those that run there: quotas are not known.
const QUOTA_FACTOR: u32 = 10;
/// Least quota of a region.
const QUOTA_MIN: u32 = 10;
/// Chance that a spot node is taken back within an hour, where nothing is known: providers publish
/// 5 to 20 % a month.
const SPOT_LOSS_PER_HOUR: f64 = 0.01;
/// Requests at the peak, by those on average, where no quarter of an hour was counted whole yet.
const PEAK_OF_MEAN: f64 = 2.0;

/// What a region's nodes cost, how many there are, and what was counted there.
struct Offered<'a> {
    region: &'a RegionConfig,
    nodes: NodeCounts,
    window: LiveWindow,
    offer: RegionOffer,
    price_date: Date,
}

pub(super) fn recommend(wishes: &Wishes, sources: &Sources) -> Result<Answer, AnswerError> {
    let found = recommendations(wishes, sources)?;
    let verified = verifications(sources);
    let document = documents::recommendations(&found, &verified);

    Answer::new(
        &Advised {
            found: &found,
            verifications: &verified,
        },
        document,
    )
}

/// Recommendations, and what came of earlier ones.
#[derive(Serialize)]
struct Advised<'a> {
    #[serde(flatten)]
    found: &'a Recommendations,
    verifications: &'a [Verified],
}

/// What would cost less.
pub fn recommendations(wishes: &Wishes, sources: &Sources) -> Result<Recommendations, AnswerError> {
    let Some(config) = &sources.config else {
        return Err(AnswerError::NeedsMesh("recommendations"));
    };
    let start = sources
        .today
        .checked_sub(Duration::days(WINDOW_DAYS - 1))
        .unwrap_or(sources.today);
    let span = (start, sources.today);
    let mut offered = Vec::new();
    let mut notes = Vec::new();

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

    let models = models(&offered, sources);
    if models.is_empty() {
        let why = "no inference was counted in the last 14 days in a region whose nodes have a price: recommendations rest on \
                   load, try again once there is some";
        return Err(AnswerError::NoPlacement(why.into()));
    }

    let limits = &sources.cost.optimiser;
    let rules = PlacementRules {
        latency_ms: wishes.latency_ms.unwrap_or(limits.latency_ms),
        survive: wishes.survive.unwrap_or(limits.survive),
        ..PlacementRules::default()
    };
    let days = offered
        .iter()
        .map(|offered| offered.window.known_ms / 86_400_000)
        .max()
        .unwrap_or(0);

    notes.extend(
        offered
            .iter()
            .filter(|offered| follows_load(offered.region))
            .map(|offered| {
                format!(
                    "the nodes of {} follow the load: their mean, {}, counts as current",
                    offered.region.name,
                    offered.nodes.total()
                )
            }),
    );

    let input = RecommendInput {
        placement: PlacementInput {
            regions: offered
                .iter()
                .map(|offered| offered.offer.clone())
                .collect(),
            models,
            round_trips_ms: round_trips(&offered, sources),
            egress_per_gb: egress(&offered, sources, &mut notes),
            rules,
        },
        state: state(&offered, sources, span),
        baseline: wishes.baseline.unwrap_or_default(),
        environment: environment(config.mesh.as_str()),
        window_days: u32::try_from(days + 1)
            .unwrap_or(u32::MAX)
            .min(WINDOW_DAYS as u32),
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
        recommended(&input).map_err(|error| AnswerError::NoPlacement(error.to_string()))?;
    found.notes.extend(notes);
    Ok(found)
}

/// The nodes of a region and what they cost, or why that can't be said.
fn offer<'a>(
    region: &'a RegionConfig,
    span: (Date, Date),
    sources: &Sources,
) -> Result<Offered<'a>, String> {
    let name = region.name.as_str();
    let at = sources.regions.billing_of(name).ok_or_else(|| {
        NoPrice::Region {
            region: name.into(),
        }
        .to_string()
    })?;

    let running = sources
        .capacity
        .get(name)
        .ok_or("what runs there is not known")?;
    let mut skus: Vec<&str> = running
        .nodes
        .iter()
        .map(|group| group.sku.as_str())
        .collect();

    skus.sort_unstable();
    skus.dedup();

    let sku = match skus[..] {
        [] => return Err("no nodes are configured; name them as [[regions]] nodes".into()),
        [sku] => sku,
        _ => {
            return Err(format!(
                "only nodes of one type can be compared, and it has {}",
                skus.join(", ")
            ));
        }
    };

    let window = sources.live.window(name, span, sources.pricing());
    let nodes = nodes(region, running, &window, sources);
    let price = |class| {
        let price = sources
            .prices
            .node(sources.today, at, sku, class)
            .map_err(|missing| missing.to_string())?;
        let is = price.first().currency;
        let expected = sources.cost.currency;
        let wrong = || {
            format!(
                "the price of {} is in {is}; {expected} is expected",
                price.item
            )
        };

        (is == expected).then_some(price).ok_or_else(wrong)
    };

    // Without a price nodes can't be recommended, but those that run must have one.
    let price_of_some = |class, count: u32| match price(class) {
        Err(why) if count > 0 => Err(why),
        found => Ok(found.ok()),
    };
    let on_demand = price(PricingClass::OnDemand)?;
    let spot = price_of_some(PricingClass::Spot, nodes.spot)?;
    let committed = price_of_some(PricingClass::Committed, nodes.committed)?;
    let quota = nodes.total().saturating_mul(QUOTA_FACTOR).max(QUOTA_MIN);

    let offer = RegionOffer {
        name: region.name.clone(),
        cloud: region.cloud.clone(),
        endpoint: region.endpoint.clone(),
        on_demand: NodeOffer {
            price: on_demand.first(),
            nodes_max: quota,
        },
        spot: spot.map(|price| SpotOffer {
            price: price.first(),
            nodes_max: quota,
            loss_per_hour: SPOT_LOSS_PER_HOUR,
        }),
        committed: committed.map(|price| CommittedOffer {
            price: price.first(),
            new_nodes_max: quota,
            paid_nodes: nodes.committed,
        }),
        fixed_per_hour: None,
    };

    Ok(Offered {
        region,
        nodes,
        window,
        offer,
        price_date: on_demand.valid_from,
    })
}

/// Whether a region's nodes are as many as its agents, and so may follow the load.
pub(super) fn follows_load(region: &RegionConfig) -> bool {
    region.nodes.iter().any(|nodes| nodes.count.is_none())
}

/// The nodes of a region, by class: as the configuration counts them, or else their mean over the
/// window.
fn nodes(
    region: &RegionConfig,
    running: &RegionCapacity,
    window: &LiveWindow,
    sources: &Sources,
) -> NodeCounts {
    let mut nodes = NodeCounts::default();
    for (configured, group) in region.nodes.iter().zip(&running.nodes) {
        let count = match configured.count {
            Some(count) => count,
            None => mean_nodes(running.places, group.count, window, sources).unwrap_or(group.count),
        };
        let sum = match group.pricing {
            PricingClass::Spot => &mut nodes.spot,
            PricingClass::Committed => &mut nodes.committed,
            _ => &mut nodes.on_demand,
        };

        *sum = sum.saturating_add(count);
    }

    nodes
}

/// The mean of nodes that were there, rounded up: as many as make up for the places that were.
/// `places` and `count` are those of now; where there are none at present, those of all regions.
fn mean_nodes(places: u32, count: u32, window: &LiveWindow, sources: &Sources) -> Option<u32> {
    let own = (u64::from(places), u64::from(count));
    let (places, count) = if places > 0 && count > 0 {
        own
    } else {
        places_and_nodes(sources.capacity.values())
    };
    let place_ms = u128::from(window.place_ms) * u128::from(count);
    let known_ms = u128::from(window.known_ms) * u128::from(places);
    let mean = (place_ms > 0 && known_ms > 0).then(|| place_ms.div_ceil(known_ms))?;

    Some(u32::try_from(mean).unwrap_or(u32::MAX))
}

fn places_and_nodes<'a>(running: impl Iterator<Item = &'a RegionCapacity>) -> (u64, u64) {
    running.fold((0, 0), |(places, nodes), running| {
        let add = |sum: u64, group: &NodeGroup| sum.saturating_add(group.count.into());
        (
            places.saturating_add(running.places.into()),
            running.nodes.iter().fold(nodes, add),
        )
    })
}

/// The demand for each model, by the region that answered it: users are sent to the region that is
/// their home.
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

/// Answers go to users, wherever these are: each origin's price is that of the internet. Where it
/// is not known, the highest of the others counts.
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
                "no price in {currency} of egress from {} to the internet: the highest of the other regions is assumed, {highest} \
                 per GB",
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

fn state(offered: &[Offered<'_>], sources: &Sources, (start, end): (Date, Date)) -> CurrentState {
    let busy = |name: &RegionName| {
        let mut shares = Vec::new();
        let mut peak = 0f64;
        let mut next = Some(start);

        while let Some(day) = next.filter(|day| *day <= end) {
            next = day.next_day();
            let window = sources
                .live
                .window(name.as_str(), (day, day), sources.pricing());
            if window.place_ms > 0 {
                let share = (window.busy_ms as f64 / window.place_ms as f64).min(1.0);
                shares.push(share);
                peak = peak.max(share * peak_of_mean(&window));
            }
        }

        let base = shares.iter().copied().reduce(f64::min)?;
        let day_max = shares.iter().copied().fold(0.0, f64::max);
        let mean = shares.iter().sum::<f64>() / shares.len() as f64;

        Some(Utilisation {
            base,
            mean: mean.clamp(base, day_max),
            peak: peak.clamp(day_max, 1.0),
        })
    };

    let regions = || offered.iter().map(|offered| offered.region);
    let mut state = CurrentState {
        nodes: offered
            .iter()
            .map(|offered| (offered.region.name.clone(), offered.nodes))
            .collect(),
        utilisation: regions()
            .filter_map(|region| Some((region.name.clone(), busy(&region.name)?)))
            .collect(),
        autoscaled: regions()
            .filter(|region| follows_load(region))
            .map(|region| region.name.clone())
            .collect(),
        weights_bp: regions()
            .map(|region| (region.name.clone(), region.weight_bp))
            .collect(),
        ..CurrentState::default()
    };

    holdings::add(&mut state, sources, (start, end));
    state
}

/// How many times the mean came at the peak of some days, all models together.
fn peak_of_mean(window: &LiveWindow) -> f64 {
    let requests = window
        .models
        .values()
        .fold(0u64, |sum, did| sum.saturating_add(did.requests));
    let mean_rps = requests as f64 / (window.known_ms as f64 / 1e3).max(1.0);
    let peaks = window.models.values().filter_map(|did| did.peak_rps());

    match peaks
        .reduce(|sum, peak| sum + peak)
        .filter(|_| mean_rps > 0.0)
    {
        Some(peak_rps) => (peak_rps / mean_rps).max(1.0),
        None => PEAK_OF_MEAN,
    }
}

/// The mesh's name as commands write it.
fn environment(mesh: &str) -> String {
    mesh.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect()
}
