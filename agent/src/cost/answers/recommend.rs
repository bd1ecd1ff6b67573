//! Recommendations from what runs in the mesh: prices of the nodes in the configuration, the use that agents counted, and
//! round trips between regions.

use super::{
    Answer, AnswerError, Sources, documents, holdings,
    verifications::{Verified, verifications},
};
use crate::{config::RegionConfig, cost::questions::Wishes};
use regionmesh_cost::{
    Amount, CommittedOffer, CurrentState, LiveWindow, ModelDemand, Money, NodeCounts, NodeOffer, OriginDemand,
    PlacementInput, PlacementRules, Price, PricingClass, RecommendInput, Recommendations, RegionOffer, SpotOffer,
    Utilisation, price_per_gb, recommend as recommended,
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
/// Chance that a spot node is taken back within an hour, where nothing is known: providers publish 5 to 20 % a month.
const SPOT_LOSS_PER_HOUR: f64 = 0.01;
/// Requests at the peak, by those on average, where no quarter of an hour was counted whole yet.
const PEAK_OF_MEAN: f64 = 2.0;

/// What a region's nodes cost, and how many there are.
struct Offered<'a> {
    region: &'a RegionConfig,
    nodes: NodeCounts,
    offer: RegionOffer,
    price_date: Date,
}

pub(super) fn recommend(wishes: &Wishes, sources: &Sources) -> Result<Answer, AnswerError> {
    let found = recommendations(wishes, sources)?;
    let verified = verifications(sources);
    let document = documents::recommendations(&found, &verified);
    Answer::new(&Advised { found: &found, verifications: &verified }, document)
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
    let Some(config) = &sources.config else { return Err(AnswerError::NeedsMesh("recommendations")) };
    let offered: Vec<Offered<'_>> = config.regions.iter().filter_map(|region| offer(region, sources)).collect();
    if offered.is_empty() {
        let why = "no region has nodes with a price: name them as [[regions]] nodes in the configuration, and import their \
                   prices with `regionmesh cost prices import`";
        return Err(AnswerError::NoPlacement(why.into()));
    }
    let start = sources.today.checked_sub(Duration::days(WINDOW_DAYS - 1)).unwrap_or(sources.today);
    let span = (start, sources.today);
    let windows: BTreeMap<&RegionName, LiveWindow> = offered
        .iter()
        .map(|offered| {
            let name = &offered.region.name;
            (name, sources.live.window(name.as_str(), span, sources.pricing()))
        })
        .collect();

    let models = models(&windows, sources);
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
    let days = windows.values().map(|window| window.known_ms / 86_400_000).max().unwrap_or(0);
    let input = RecommendInput {
        placement: PlacementInput {
            regions: offered.iter().map(|offered| offered.offer.clone()).collect(),
            models,
            round_trips_ms: round_trips(&offered, sources),
            egress_per_gb: egress(&offered, sources),
            rules,
        },
        state: state(&offered, &windows, sources, span),
        baseline: wishes.baseline.unwrap_or_default(),
        environment: environment(config.mesh.as_str()),
        window_days: u32::try_from(days + 1).unwrap_or(u32::MAX).min(WINDOW_DAYS as u32),
        rows: sources.ledger.parts().map(|part| part.rows()).sum(),
        price_date: offered.iter().map(|offered| offered.price_date).max().unwrap_or(sources.today),
        generated_at: sources.today.midnight().assume_utc(),
    };
    let mut found = recommended(&input).map_err(|error| AnswerError::NoPlacement(error.to_string()))?;
    let is_offered = |region: &&RegionConfig| offered.iter().any(|offered| offered.region.name == region.name);
    let left_out = config.regions.iter().filter(|region| !is_offered(region));
    found.notes.extend(left_out.map(|region| {
        format!(
            "{} and its load are left out: it has no nodes whose price is known (`regionmesh cost sources`)",
            region.name
        )
    }));
    Ok(found)
}

/// The nodes that run in a region and what they cost; none where their price is not known.
fn offer<'a>(region: &'a RegionConfig, sources: &Sources) -> Option<Offered<'a>> {
    let at = sources.regions.billing_of(region.name.as_str())?;
    let running = sources.capacity.get(region.name.as_str())?;
    let sku = &running.nodes.first()?.sku;
    let price = |class| sources.prices.node(sources.today, at, sku, class).ok();
    let usable = |price: &&Price| price.first().currency == sources.cost.currency;
    let on_demand = price(PricingClass::OnDemand).filter(usable)?;
    let mut nodes = NodeCounts::default();
    for group in &running.nodes {
        match group.pricing {
            PricingClass::Spot => nodes.spot += group.count,
            PricingClass::Committed => nodes.committed += group.count,
            _ => nodes.on_demand += group.count,
        }
    }
    let quota = nodes.total().saturating_mul(QUOTA_FACTOR).max(QUOTA_MIN);
    let offer = RegionOffer {
        name: region.name.clone(),
        cloud: region.cloud.clone(),
        endpoint: region.endpoint.clone(),
        on_demand: NodeOffer { price: on_demand.first(), nodes_max: quota },
        spot: price(PricingClass::Spot).filter(usable).map(|price| SpotOffer {
            price: price.first(),
            nodes_max: quota,
            loss_per_hour: SPOT_LOSS_PER_HOUR,
        }),
        committed: price(PricingClass::Committed).filter(usable).map(|price| CommittedOffer {
            price: price.first(),
            new_nodes_max: quota,
            paid_nodes: nodes.committed,
        }),
        fixed_per_hour: None,
    };
    Some(Offered { region, nodes, offer, price_date: on_demand.valid_from })
}

/// The demand for each model, by the region that answered it: users are sent to the region that is their home.
fn models(windows: &BTreeMap<&RegionName, LiveWindow>, sources: &Sources) -> Vec<ModelDemand> {
    let places: f64 = sources.capacity.values().map(|running| f64::from(running.places)).sum();
    let nodes: f64 =
        sources.capacity.values().flat_map(|running| &running.nodes).map(|group| f64::from(group.count)).sum();
    let places_per_node = (places / nodes.max(1.0)).max(1.0);
    let mut names: Vec<&String> = windows.values().flat_map(|window| window.models.keys()).collect();
    names.sort();
    names.dedup();
    let demand = |name: &&String| {
        let of_region = |(region, window): (&&RegionName, &LiveWindow)| {
            let did = window.models.get(*name)?;
            let mean_rps = did.requests as f64 / (window.known_ms as f64 / 1e3).max(1.0);
            let peak_rps = did.peak_rps().unwrap_or(mean_rps * PEAK_OF_MEAN).max(mean_rps);
            (did.requests > 0).then(|| (region.to_string(), OriginDemand { mean_rps, peak_rps }))
        };
        let used = windows.values().filter_map(|window| window.models.get(*name));
        let (requests, busy_ms) =
            used.fold((0u64, 0u64), |(requests, busy), did| (requests + did.requests, busy + did.busy_ms));
        let service_ms = busy_ms as f64 / requests.max(1) as f64;
        Some(ModelDemand {
            name: name.parse().ok()?,
            node_seconds_per_request: (service_ms / 1e3 / places_per_node).max(1e-6),
            service_ms,
            bytes_per_answer: sources.bytes_per_answer,
            memory_share: 0.0,
            spot_share_max: 0.5,
            demand: windows.iter().filter_map(of_region).collect(),
        })
    };
    names.iter().filter_map(demand).filter(|model| !model.demand.is_empty()).collect()
}

fn round_trips(offered: &[Offered<'_>], sources: &Sources) -> BTreeMap<String, BTreeMap<RegionName, f64>> {
    let from = |origin: &Offered<'_>| {
        let trips = offered.iter().filter_map(|to| {
            let pair = (origin.region.name.to_string(), to.region.name.to_string());
            Some((to.region.name.clone(), *sources.round_trips_ms.get(&pair)?))
        });
        (origin.region.name.to_string(), trips.collect())
    };
    offered.iter().map(from).collect()
}

/// Answers go to users, wherever these are: each origin's price is that of the internet.
fn egress(offered: &[Offered<'_>], sources: &Sources) -> BTreeMap<RegionName, BTreeMap<String, Money>> {
    let of_region = |from: &Offered<'_>| {
        let name = &from.region.name;
        let price = price_per_gb(&sources.prices, &sources.regions, sources.today, name.as_str(), None);
        let none = Money { amount: Amount::ZERO, currency: sources.cost.currency };
        let price = price.ok().filter(|price| price.currency == sources.cost.currency).unwrap_or(none);
        let origins = offered.iter().map(|origin| (origin.region.name.to_string(), price));
        (name.clone(), origins.collect())
    };
    offered.iter().map(of_region).collect()
}

fn state(
    offered: &[Offered<'_>],
    windows: &BTreeMap<&RegionName, LiveWindow>,
    sources: &Sources,
    (start, end): (Date, Date),
) -> CurrentState {
    let busy = |name: &RegionName| {
        let (mut shares, mut peak) = (Vec::new(), 0f64);
        let mut next = Some(start);
        while let Some(day) = next.filter(|day| *day <= end) {
            next = day.next_day();
            let window = sources.live.window(name.as_str(), (day, day), sources.pricing());
            if window.place_ms > 0 {
                let share = (window.busy_ms as f64 / window.place_ms as f64).min(1.0);
                shares.push(share);
                peak = peak.max(share * peak_of_mean(&window));
            }
        }
        let base = shares.iter().copied().reduce(f64::min)?;
        let day_max = shares.iter().copied().fold(0.0, f64::max);
        let mean = shares.iter().sum::<f64>() / shares.len() as f64;
        Some(Utilisation { base, mean: mean.clamp(base, day_max), peak: peak.clamp(day_max, 1.0) })
    };
    let mut state = CurrentState {
        nodes: offered.iter().map(|offered| (offered.region.name.clone(), offered.nodes)).collect(),
        utilisation: windows.keys().filter_map(|name| Some(((*name).clone(), busy(name)?))).collect(),
        weights_bp: offered.iter().map(|offered| (offered.region.name.clone(), offered.region.weight_bp)).collect(),
        ..CurrentState::default()
    };
    holdings::add(&mut state, sources, (start, end));
    state
}

/// How many times the mean came at the peak of some days, all models together.
fn peak_of_mean(window: &LiveWindow) -> f64 {
    let requests: u64 = window.models.values().map(|did| did.requests).sum();
    let mean_rps = requests as f64 / (window.known_ms as f64 / 1e3).max(1.0);
    let peaks = window.models.values().filter_map(|did| did.peak_rps());
    match peaks.reduce(|sum, peak| sum + peak).filter(|_| mean_rps > 0.0) {
        Some(peak_rps) => (peak_rps / mean_rps).max(1.0),
        None => PEAK_OF_MEAN,
    }
}

/// The mesh's name as commands write it.
fn environment(mesh: &str) -> String {
    mesh.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}
