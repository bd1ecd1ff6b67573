//! The variables and constraints of the linear program.

use super::{Program, RegionVariables, StreamVariables};
use crate::optimiser::{
    cover::{Cover, Lost, members},
    outcome::NodeCounts,
};
use microlp::{ComparisonOp, Problem, Variable};

impl Program<'_, '_> {
    pub(super) fn add_nodes(&mut self, problem: &mut Problem, region: usize) {
        let numbers = &self.prepared.regions[region];
        let is_closed = self.given.used.is_some_and(|used| !used[region]);
        let given = self
            .given
            .nodes
            .map(|nodes| nodes[region])
            .or(is_closed.then(NodeCounts::default));
        let mut add = |price: f64, most: f64, given: Option<f64>| {
            let bounds = given.map_or((0.0, most), |nodes| (nodes, nodes));
            problem.add_var(price, (bounds.0 * self.scale, bounds.1 * self.scale))
        };

        let on_demand = add(
            numbers.on_demand_price,
            numbers.on_demand_max,
            given.map(|nodes| nodes.on_demand.into()),
        );
        let spot = add(
            numbers.spot_price,
            numbers.spot_max,
            given.map(|nodes| nodes.spot.into()),
        );
        let committed = given.map(|nodes| f64::from(nodes.committed));

        let paid = add(
            0.0,
            numbers.paid,
            committed.map(|nodes| nodes.min(numbers.paid)),
        );
        let new = add(
            numbers.committed_price,
            numbers.new_max,
            committed.map(|nodes| (nodes - numbers.paid).max(0.0)),
        );
        let is_open = given.is_none() && self.given.used.is_none();
        let is_used = (numbers.costs_something() && is_open)
            .then(|| problem.add_var(numbers.fixed_price * self.scale, (0.0, 1.0)));

        self.regions.push(RegionVariables {
            on_demand,
            spot,
            paid,
            new,
            is_used,
        });
    }

    /// Each stream is answered in full, by regions that are near enough.
    pub(super) fn add_loads(&mut self, problem: &mut Problem) {
        for stream in &self.prepared.streams {
            let is_used = |region: &usize| self.given.used.is_none_or(|used| used[*region]);
            let cost = |region: usize| stream.egress[region] / stream.load;
            let regions = || members(stream.allowed).filter(is_used);

            // Every stream has a region: those without one were found before.
            let usual = regions()
                .min_by(|a, b| cost(*a).total_cmp(&cost(*b)))
                .unwrap_or(0);
            let others: Vec<(usize, Variable)> = regions()
                .filter(|region| *region != usual)
                .map(|region| {
                    (
                        region,
                        problem.add_var(cost(region) - cost(usual), (0.0, f64::INFINITY)),
                    )
                })
                .collect();

            if !others.is_empty() {
                let sum = others.iter().map(|(_, load)| (*load, 1.0));
                problem.add_constraint(sum, ComparisonOp::Le, stream.load * self.scale);
            }

            self.base_cost += cost(usual) * stream.load * self.scale;
            self.loads.push(StreamVariables { usual, others });
        }
    }

    /// Headroom, the limit of spot, and memory of one region.
    pub(super) fn add_limits(&self, problem: &mut Problem, region: usize) {
        let numbers = &self.prepared.regions[region];
        let variables = &self.regions[region];
        let headroom = self.prepared.input.rules.headroom;
        let share = self.prepared.spot_share_max;
        let is_mixed = self
            .prepared
            .streams
            .iter()
            .any(|stream| stream.spot_share_max < share);

        self.at_least_load(
            problem,
            region,
            variables.capacity(numbers.spot_yield),
            0.0,
            &|_| headroom,
        );

        if numbers.spot_max > 0.0 {
            let durable = variables.durable().map(|node| (node, share));
            problem.add_constraint(
                durable.chain([(variables.spot, share - 1.0)]),
                ComparisonOp::Ge,
                0.0,
            );

            if is_mixed {
                let weight =
                    |stream: usize| headroom * (1.0 - self.prepared.streams[stream].spot_share_max);
                let durable = variables.durable().map(|node| (node, 1.0)).collect();
                self.at_least_load(problem, region, durable, 0.0, &weight);
            }
        }

        let memory = |stream: usize| self.prepared.streams[stream].memory_share;
        let mut nodes = variables.nodes();
        match variables.is_used {
            Some(is_used) => {
                let most =
                    numbers.on_demand_max + numbers.spot_max + numbers.new_max + numbers.paid;
                let within = nodes
                    .iter()
                    .map(|(node, one)| (*node, -one))
                    .chain([(is_used, most * self.scale)]);

                problem.add_constraint(within, ComparisonOp::Ge, 0.0);
                if numbers.memory > 0.0 {
                    nodes.push((is_used, -numbers.memory * self.scale));
                    self.at_least_load(problem, region, nodes, 0.0, &memory);
                }
            }
            None => {
                let has_nodes = self
                    .given
                    .nodes
                    .is_none_or(|nodes| nodes[region].total() > 0);
                let is_used = self.given.used.is_none_or(|used| used[region]);

                if has_nodes && is_used && numbers.memory > 0.0 {
                    self.at_least_load(problem, region, nodes, numbers.memory, &memory);
                }
            }
        }
    }

    /// `nodes` are at least `base` and the region's load, weighted by stream.
    fn at_least_load(
        &self,
        problem: &mut Problem,
        region: usize,
        mut nodes: Vec<(Variable, f64)>,
        base: f64,
        weight: &dyn Fn(usize) -> f64,
    ) {
        let mut least = base;
        if let Some(shares) = self.given.shares {
            let streams = self.prepared.streams.iter().zip(shares).enumerate();
            least += streams
                .map(|(index, (stream, shares))| weight(index) * stream.load * shares[region])
                .sum::<f64>();
        }

        for (index, loads) in self.loads.iter().enumerate() {
            let weight = weight(index);
            if weight == 0.0 {
                continue;
            }

            if loads.usual == region {
                least += weight * self.prepared.streams[index].load;
                nodes.extend(loads.others.iter().map(|(_, load)| (*load, weight)));
            } else {
                let load = loads.others.iter().find(|(at, _)| *at == region);
                nodes.extend(load.map(|(_, load)| (*load, -weight)));
            }
        }

        problem.add_constraint(nodes, ComparisonOp::Ge, least * self.scale);
    }

    /// All that is left must be able to serve all: these inequalities are nearly always needed.
    pub(super) fn add_first_covers(&mut self, problem: &mut Problem) {
        if self.given.nodes.is_some() {
            return;
        }

        if !self.given.covers.is_empty() {
            self.covers = self.given.covers.to_vec();
            for cover in self.given.covers {
                let (sum, load) = self.inequality(cover);
                problem.add_constraint(sum, ComparisonOp::Ge, load);
            }

            return;
        }

        let all = u64::MAX >> (u64::BITS as usize - self.regions.len());
        for lost in self.prepared.scenarios() {
            let regions = match lost {
                Lost::Region(region) => all & !(1 << region),
                Lost::Spot(_) => all,
            };
            let cover = Cover {
                lost: Some(lost),
                regions,
                load: self.prepared.load,
            };
            let (sum, load) = self.inequality(&cover);

            problem.add_constraint(sum, ComparisonOp::Ge, load);
            self.covers.push(cover);
        }
    }

    pub(super) fn inequality(&self, cover: &Cover) -> (Vec<(Variable, f64)>, f64) {
        let mut sum = Vec::new();
        for region in members(cover.regions) {
            let spot_yield = self.prepared.regions[region].spot_yield;
            let is_spot_lost = cover.lost == Some(Lost::Spot(region));
            sum.extend(self.regions[region].capacity(if is_spot_lost { 0.0 } else { spot_yield }));
        }

        (sum, cover.load * self.scale)
    }
}
