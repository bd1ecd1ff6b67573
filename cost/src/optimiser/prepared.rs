//! The input in numbers: who may serve what, what it weighs, and which demand has no region.

use super::{
    cover::{self, Cover, Lost, RegionSet, members},
    input::{ModelDemand, OriginDemand, PlacementInput, RegionOffer},
    outcome::{Infeasibility, Loss, PlacementError},
};
use crate::money::{Amount, Currency};
use regionmesh_protocol::identity::RegionName;
use std::collections::{BTreeMap, BTreeSet};

/// A load below this share of the whole counts as this share: the solver's tolerance must stay
/// small against every load.
const LOAD_SHARE_MIN: f64 = 1e-6;
/// The least load that a request makes, nodes: demand without work still has to be answered
/// somewhere.
const LOAD_MIN: f64 = 1e-9;
/// The least that a spot node counts.
const SPOT_YIELD_MIN: f64 = 0.01;

/// The requests of one origin for one model.
#[derive(Clone)]
pub(super) struct Stream<'a> {
    pub(super) model: &'a ModelDemand,
    pub(super) origin: &'a str,
    /// Nodes whose memory a copy takes.
    pub(super) memory_share: f64,
    pub(super) spot_share_max: f64,
    /// At the peak, nodes.
    pub(super) load: f64,
    /// The regions that answer in time.
    pub(super) allowed: RegionSet,
    /// Average hourly egress cost of answering all of it, by region.
    pub(super) egress: Vec<f64>,
}

/// A region in numbers: prices per node-hour, limits in nodes.
#[derive(Clone)]
pub(super) struct RegionNumbers {
    pub(super) on_demand_price: f64,
    pub(super) spot_price: f64,
    pub(super) committed_price: f64,
    pub(super) fixed_price: f64,
    pub(super) on_demand_max: f64,
    pub(super) spot_max: f64,
    pub(super) new_max: f64,
    pub(super) paid: f64,
    /// Effective capacity of a spot node, nodes: less than 1 because replacements take time.
    pub(super) spot_yield: f64,
    pub(super) is_spot_lost: bool,
    /// Nodes whose memory one copy of each model takes that the region may serve.
    pub(super) memory: f64,
}

pub(super) struct Prepared<'a> {
    pub(super) input: &'a PlacementInput,
    pub(super) currency: Currency,
    pub(super) streams: Vec<Stream<'a>>,
    /// Load by the set of regions that may serve it, nodes.
    pub(super) groups: Vec<(RegionSet, f64)>,
    /// All of it, nodes.
    pub(super) load: f64,
    pub(super) regions: Vec<RegionNumbers>,
    /// The largest share of a region's nodes that may be spot.
    pub(super) spot_share_max: f64,
    pub(super) assumptions: Vec<String>,
}

impl<'a> Prepared<'a> {
    pub(super) fn new(input: &'a PlacementInput) -> Result<Self, PlacementError> {
        let currency = input.check()?;
        let mut prepared = Self {
            input,
            currency,
            streams: Vec::new(),
            groups: Vec::new(),
            load: 0.0,
            regions: input
                .regions
                .iter()
                .map(|region| numbers(region, input))
                .collect(),
            spot_share_max: 0.0,
            assumptions: Vec::new(),
        };

        prepared.read_streams();
        prepared.leave_out_small_regions();

        let mut groups: BTreeMap<RegionSet, f64> = BTreeMap::new();
        for stream in &prepared.streams {
            *groups.entry(stream.allowed).or_default() += stream.load;
            prepared.spot_share_max = prepared.spot_share_max.max(stream.spot_share_max);
        }

        prepared.groups = groups.into_iter().collect();
        prepared.bound_limits();
        Ok(prepared)
    }

    /// The same with one stream for all models of an origin that the same regions may serve:
    /// several times fewer, and nearly as good to decide which regions to use. What survives losses
    /// is the same.
    pub(super) fn merged(&self) -> Self {
        let mut streams: BTreeMap<(&str, RegionSet, u64), Stream<'a>> = BTreeMap::new();
        for stream in &self.streams {
            let key = (
                stream.origin,
                stream.allowed,
                stream.spot_share_max.to_bits(),
            );

            match streams.get_mut(&key) {
                None => {
                    streams.insert(key, stream.clone());
                }
                Some(sum) => {
                    let load = sum.load + stream.load;
                    sum.memory_share =
                        (sum.memory_share * sum.load + stream.memory_share * stream.load) / load;
                    sum.load = load;
                    sum.egress
                        .iter_mut()
                        .zip(&stream.egress)
                        .for_each(|(sum, cost)| *sum += cost);
                }
            }
        }

        Self {
            streams: streams.into_values().collect(),
            groups: self.groups.clone(),
            regions: self.regions.clone(),
            assumptions: Vec::new(),
            ..*self
        }
    }

    pub(super) fn name(&self, region: usize) -> &RegionName {
        &self.input.regions[region].name
    }

    pub(super) fn names(&self, set: RegionSet) -> Vec<RegionName> {
        members(set)
            .map(|region| self.name(region).clone())
            .collect()
    }

    /// The losses to survive, one at a time.
    pub(super) fn scenarios(&self) -> Vec<Lost> {
        let count = self.regions.len();
        let regions = (0..count)
            .filter(|_| self.input.rules.survive > 0)
            .map(Lost::Region);
        let spots = (0..count)
            .filter(|region| self.regions[*region].is_spot_lost)
            .map(Lost::Spot);

        regions.chain(spots).collect()
    }

    /// Why demand can't be placed however many nodes of the quotas are used; empty if nothing is
    /// known against it.
    pub(super) fn obstacles(&self) -> Vec<Infeasibility> {
        let latency_ms = self.input.rules.latency_ms;
        let mut found = Vec::new();
        for stream in &self.streams {
            let model = stream.model.name.clone();
            let origin = stream.origin.to_owned();
            if stream.allowed == 0 {
                let nearest = self.nearest(stream);
                found.push(Infeasibility::NoRegion {
                    model,
                    origin,
                    nearest,
                    latency_ms,
                });
            } else if self.input.rules.survive > 0 && stream.allowed.count_ones() == 1 {
                let region = self.name(stream.allowed.trailing_zeros() as usize).clone();
                found.push(Infeasibility::OnlyRegion {
                    model,
                    origin,
                    region,
                    latency_ms,
                });
            }
        }

        if found.is_empty() {
            self.shortages()
        } else {
            found
        }
    }

    /// Regions with too small quotas.
    fn shortages(&self) -> Vec<Infeasibility> {
        let share = self.spot_share_max.min(1.0 - 1e-9);
        let mut most = Vec::with_capacity(self.regions.len());
        for region in &self.regions {
            let durable = region.on_demand_max + region.new_max + region.paid;
            let spot = region.spot_max.min(durable * share / (1.0 - share));
            most.push((durable, spot * region.spot_yield));
        }

        let capacity: Vec<f64> = most.iter().map(|(durable, spot)| durable + spot).collect();
        let spot: Vec<f64> = most.iter().map(|(_, spot)| *spot).collect();
        let describe = |cover: &Cover, left: &[f64]| Infeasibility::Capacity {
            lost: cover.lost.map(|lost| match lost {
                Lost::Region(region) => Loss::Region {
                    region: self.name(region).clone(),
                },
                Lost::Spot(region) => Loss::Spot {
                    region: self.name(region).clone(),
                },
            }),
            regions: self.names(cover.regions),
            needed: cover.load,
            available: members(cover.regions).map(|region| left[region]).sum(),
        };

        let peak: Vec<(RegionSet, f64)> = self
            .groups
            .iter()
            .map(|(set, load)| (*set, load * self.input.rules.headroom))
            .collect();

        if let Some(cover) = cover::shortfall(&peak, &capacity, None) {
            return vec![describe(&cover, &capacity)];
        }

        let short = |lost: Lost| {
            let left = lost.of(&capacity, &spot);
            cover::shortfall(&self.groups, &left, Some(lost)).map(|cover| describe(&cover, &left))
        };

        self.scenarios().into_iter().filter_map(short).collect()
    }

    /// The region that comes nearest to the bound, and its round trip with service time,
    /// milliseconds.
    fn nearest(&self, stream: &Stream<'_>) -> Option<(RegionName, f64)> {
        let times = self.input.regions.iter().filter_map(|region| {
            let trip_ms = round_trip_ms(self.input, stream.origin, &region.name)?;
            Some((region.name.clone(), trip_ms + stream.model.service_ms))
        });
        times.min_by(|a, b| a.1.total_cmp(&b.1))
    }

    fn read_streams(&mut self) {
        let input = self.input;
        let highest = input
            .egress_per_gb
            .values()
            .flat_map(BTreeMap::values)
            .map(|price| price.amount)
            .max();
        let highest = highest.unwrap_or(Amount::ZERO);
        let mut guessed = BTreeSet::new();

        for model in &input.models {
            for (origin, demand) in &model.demand {
                if demand.peak_rps <= 0.0 {
                    continue;
                }

                let stream = read_stream(input, (model, origin), demand, highest, &mut guessed);
                self.streams.push(stream);
            }
        }

        let total: f64 = self.streams.iter().map(|stream| stream.load).sum();
        let least = (total * LOAD_SHARE_MIN).max(LOAD_MIN);
        self.streams
            .iter_mut()
            .for_each(|stream| stream.load = stream.load.max(least));
        self.load = self.streams.iter().map(|stream| stream.load).sum();

        for (region, origin) in guessed {
            let currency = self.currency;
            self.assumptions.push(format!(
                "no egress price from {region} to {origin}: assuming the highest given price, \
                    {highest} {currency} per GB"
            ));
        }
    }

    /// Excludes regions whose quota can't hold the models that they would need.
    fn leave_out_small_regions(&mut self) {
        for index in 0..self.regions.len() {
            let region = &mut self.regions[index];
            let mut shares: BTreeMap<&str, f64> = BTreeMap::new();
            for stream in self
                .streams
                .iter()
                .filter(|stream| stream.allowed >> index & 1 == 1)
            {
                shares.insert(stream.model.name.as_str(), stream.model.memory_share);
            }

            region.memory = shares.values().sum();
            let most = region.on_demand_max + region.spot_max + region.new_max + region.paid;
            if most < region.memory {
                let memory = region.memory;
                let name = &self.input.regions[index].name;
                self.assumptions.push(format!(
                    "{name} is left out: its models take the memory of {memory:.2} nodes, and \
                        {most:.0} can be had"
                ));

                self.streams
                    .iter_mut()
                    .for_each(|stream| stream.allowed &= !(1 << index));
            }
        }
    }

    /// No more nodes than can be of use: the solver works best with numbers of one size.
    fn bound_limits(&mut self) {
        let load = self.load * self.input.rules.headroom;
        for region in &mut self.regions {
            let useful = ((load + region.memory) * 2.0 / region.spot_yield).ceil() + 1.0;
            region.on_demand_max = region.on_demand_max.min(useful);
            region.spot_max = region.spot_max.min(useful);
            region.new_max = region.new_max.min(useful);
        }
    }
}

impl RegionNumbers {
    /// Whether using the region at all costs something.
    pub(super) fn costs_something(&self) -> bool {
        self.fixed_price > 0.0 || self.memory > 0.0
    }
}

fn numbers(region: &RegionOffer, input: &PlacementInput) -> RegionNumbers {
    let spot = region.spot.as_ref();
    let committed = region.committed.as_ref();
    let loss = spot.map_or(0.0, |spot| spot.loss_per_hour);

    RegionNumbers {
        on_demand_price: region.on_demand.price.amount.to_f64(),
        spot_price: spot.map_or(0.0, |spot| spot.price.amount.to_f64()),
        committed_price: committed.map_or(0.0, |offer| offer.price.amount.to_f64()),
        fixed_price: region
            .fixed_per_hour
            .map_or(0.0, |price| price.amount.to_f64()),
        on_demand_max: f64::from(region.on_demand.nodes_max),
        spot_max: spot.map_or(0.0, |spot| f64::from(spot.nodes_max)),
        new_max: committed.map_or(0.0, |offer| f64::from(offer.new_nodes_max)),
        paid: committed.map_or(0.0, |offer| f64::from(offer.paid_nodes)),
        spot_yield: (1.0 - loss * input.rules.spot_replacement_minutes / 60.0).max(SPOT_YIELD_MIN),
        is_spot_lost: loss > 0.0 && spot.is_some_and(|spot| spot.nodes_max > 0),
        memory: 0.0,
    }
}

/// The requests of an origin for a model, whose load isn't raised to the least one yet. Missing
/// egress prices that are needed go to `guessed`.
fn read_stream<'a>(
    input: &'a PlacementInput,
    (model, origin): (&'a ModelDemand, &'a String),
    demand: &OriginDemand,
    highest: Amount,
    guessed: &mut BTreeSet<(&'a RegionName, &'a String)>,
) -> Stream<'a> {
    let gb_per_hour = demand.mean_rps * 3_600.0 * model.bytes_per_answer / 1e9;
    let mut allowed = 0;
    let mut egress = Vec::new();

    for (index, region) in input.regions.iter().enumerate() {
        let trip_ms = round_trip_ms(input, origin, &region.name);
        let is_near =
            trip_ms.is_some_and(|trip_ms| trip_ms + model.service_ms <= input.rules.latency_ms);
        let price = input
            .egress_per_gb
            .get(&region.name)
            .and_then(|prices| prices.get(origin));
        let price = match price {
            Some(price) => price.amount,
            None if region.name.as_str() == origin => Amount::ZERO,
            None => {
                if is_near && gb_per_hour > 0.0 {
                    guessed.insert((&region.name, origin));
                }
                highest
            }
        };

        allowed |= u64::from(is_near) << index;
        egress.push(gb_per_hour * price.to_f64());
    }

    Stream {
        model,
        origin,
        memory_share: model.memory_share,
        spot_share_max: model.spot_share_max,
        load: demand.peak_rps * model.node_seconds_per_request,
        allowed,
        egress,
    }
}

pub(super) fn round_trip_ms(
    input: &PlacementInput,
    origin: &str,
    region: &RegionName,
) -> Option<f64> {
    let measured = input
        .round_trips_ms
        .get(origin)
        .and_then(|trips| trips.get(region))
        .copied();

    measured.or_else(|| (region.as_str() == origin).then_some(0.0))
}
