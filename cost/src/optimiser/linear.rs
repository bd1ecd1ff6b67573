//! The linear program, and the search for regions that are better not used at all.
//!
//! Variables: nodes by region and class, whether a region is used (between 0 and 1), and the load
//! of each stream by region. Loads are scaled so that the whole is 1,000. What may be lost enters
//! as inequalities over nodes ([`super::cover`]), added only once a solution breaks them.

use super::{
    cover::{self, Cover, Lost},
    outcome::{Infeasibility, NodeCounts, Nodes, PlacementError},
    prepared::{Prepared, RegionNumbers, members},
};
use microlp::{
    ComparisonOp, Error, OptimizationDirection, Problem, Solution, SolveOptions, Variable,
};

/// The whole load in the program's units.
const SCALED_LOAD: f64 = 1_000.0;
/// Fewer nodes than this are none, as a share of the load.
const NODES_MIN: f64 = 1e-7;
/// Most rounds of inequalities: each adds at least one, and there are finitely many.
const ROUNDS_MAX: usize = 200;
/// Most regions that are tried to be closed: each takes one more solution.
const CLOSE_TRIES_MAX: usize = 6;
/// Closing goes on while more than this share of the cost could still be saved.
const CLOSE_GAP: f64 = 0.001;

/// What is decided beforehand.
#[derive(Clone, Copy, Default)]
pub(super) struct Given<'a> {
    /// The share of each stream that each region answers.
    pub(super) shares: Option<&'a [Vec<f64>]>,
    /// The nodes of each region; they are known to survive losses.
    pub(super) nodes: Option<&'a [NodeCounts]>,
    /// Which regions are used, and inequalities that will be needed.
    used: Option<&'a [bool]>,
    covers: &'a [Cover],
}

impl<'a> Given<'a> {
    /// These nodes, and the best flows over them.
    pub(super) fn nodes(nodes: &'a [NodeCounts]) -> Self {
        Self {
            nodes: Some(nodes),
            ..Self::default()
        }
    }

    /// These flows, and the best nodes for them.
    pub(super) fn shares(shares: &'a [Vec<f64>]) -> Self {
        Self {
            shares: Some(shares),
            ..Self::default()
        }
    }
}

/// A solution in nodes.
pub(super) struct Solved {
    pub(super) nodes: Vec<Nodes>,
    /// The share of each stream that each region answers.
    pub(super) shares: Vec<Vec<f64>>,
    /// The inequalities that were needed.
    pub(super) covers: Vec<Cover>,
}

struct RegionVariables {
    on_demand: Variable,
    spot: Variable,
    paid: Variable,
    new: Variable,
    /// Whether the region is used; only where that costs something.
    is_used: Option<Variable>,
}

struct Program<'a, 'b> {
    prepared: &'b Prepared<'a>,
    given: Given<'b>,
    /// Units of the program per node.
    scale: f64,
    regions: Vec<RegionVariables>,
    loads: Vec<StreamVariables>,
    /// What the loads cost if each goes to its usual region: the objective does not hold it.
    base_cost: f64,
    covers: Vec<Cover>,
}

/// The loads of a stream. One region, its usual one, answers what the others don't: with that, the
/// solver begins with a solution for most streams, and needs a fraction of the steps.
struct StreamVariables {
    usual: usize,
    others: Vec<(usize, Variable)>,
}

/// Decides with merged streams which regions are used, and then the rest with all streams.
pub(super) fn solve(prepared: &Prepared<'_>) -> Result<Solved, PlacementError> {
    let merged = prepared.merged();
    let draft = solve_given(&merged, Given::default())?;
    let is_used = |(nodes, region): (&Nodes, &RegionNumbers)| {
        nodes.total() > 0.0 || !region.costs_something()
    };
    let used: Vec<bool> = draft
        .nodes
        .iter()
        .zip(&merged.regions)
        .map(is_used)
        .collect();

    solve_given(
        prepared,
        Given {
            used: Some(&used),
            covers: &draft.covers,
            ..Given::default()
        },
    )
}

/// The best of what is not given.
pub(super) fn solve_given(
    prepared: &Prepared<'_>,
    given: Given<'_>,
) -> Result<Solved, PlacementError> {
    let scale = SCALED_LOAD / prepared.load;
    let mut problem = Problem::new(OptimizationDirection::Minimize);
    let mut program = Program {
        prepared,
        given,
        scale,
        regions: Vec::new(),
        loads: Vec::new(),
        base_cost: 0.0,
        covers: Vec::new(),
    };

    for region in 0..prepared.regions.len() {
        program.add_nodes(&mut problem, region);
    }
    if given.shares.is_none() {
        program.add_loads(&mut problem);
    }
    for region in 0..prepared.regions.len() {
        program.add_limits(&mut problem, region);
    }

    program.add_first_covers(&mut problem);

    // Presolve finds next to nothing to simplify here, and takes as long as the solution.
    let mut options = SolveOptions::default();
    options.presolve = false;

    let solution = finished(problem.solve_with(options))?;
    let solution = program.survive(solution)?;
    let solution = program.close(solution)?;

    Ok(program.read(&solution))
}

fn finished(outcome: Result<microlp::SolveOutcome, Error>) -> Result<Solution, PlacementError> {
    match outcome {
        Ok(outcome) => outcome
            .into_solution()
            .map_err(|_| PlacementError::Solver("it stopped before it had an answer".to_owned())),
        Err(Error::Infeasible) => Err(PlacementError::Infeasible(vec![Infeasibility::Together])),
        Err(error) => Err(PlacementError::Solver(error.to_string())),
    }
}

impl Program<'_, '_> {
    fn add_nodes(&mut self, problem: &mut Problem, region: usize) {
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
    fn add_loads(&mut self, problem: &mut Problem) {
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
    fn add_limits(&self, problem: &mut Problem, region: usize) {
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
    fn add_first_covers(&mut self, problem: &mut Problem) {
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

    fn inequality(&self, cover: &Cover) -> (Vec<(Variable, f64)>, f64) {
        let mut sum = Vec::new();
        for region in members(cover.regions) {
            let spot_yield = self.prepared.regions[region].spot_yield;
            let is_spot_lost = cover.lost == Some(Lost::Spot(region));
            sum.extend(self.regions[region].capacity(if is_spot_lost { 0.0 } else { spot_yield }));
        }

        (sum, cover.load * self.scale)
    }

    /// Adds the inequalities that the solution breaks until it breaks none.
    fn survive(&mut self, mut solution: Solution) -> Result<Solution, PlacementError> {
        if self.given.nodes.is_some() {
            return Ok(solution);
        }

        for _ in 0..ROUNDS_MAX {
            let nodes = self.nodes(&solution);
            let broken = broken_covers(self.prepared, &nodes);
            if broken.is_empty() {
                return Ok(solution);
            }

            for cover in broken {
                let (sum, load) = self.inequality(&cover);
                solution = finished(solution.add_constraint(sum, ComparisonOp::Ge, load))?;
                self.covers.push(cover);
            }
        }

        Err(PlacementError::Solver(format!(
            "it did not settle in {ROUNDS_MAX} rounds"
        )))
    }

    /// Decides which regions are used at all, where that costs something: those that the relaxed
    /// solution uses, and then without each of the little used ones, as long as that saves.
    fn close(&mut self, relaxed: Solution) -> Result<Solution, PlacementError> {
        let nodes = self.nodes(&relaxed);
        let unsettled: Vec<usize> = (0..nodes.len())
            .filter(|region| !self.is_settled(&relaxed, *region, nodes[*region]))
            .collect();

        if unsettled.is_empty() {
            return Ok(relaxed);
        }

        let bound = relaxed.objective();
        let mut best = relaxed;
        for (region, nodes) in nodes.iter().enumerate() {
            if let Some(is_used) = self.regions[region].is_used {
                let value = if self.is_any(*nodes) { 1.0 } else { 0.0 };
                best = finished(best.fix_var(is_used, value))?;
            }
        }

        best = self.survive(best)?;

        let mut order = unsettled;
        order.sort_by(|a, b| nodes[*a].total().total_cmp(&nodes[*b].total()));
        for region in order.into_iter().take(CLOSE_TRIES_MAX) {
            if best.objective() - bound <= CLOSE_GAP * (best.objective() + self.base_cost) {
                break;
            }

            let Some(is_used) = self.regions[region].is_used else {
                continue;
            };
            let without = finished(best.clone().fix_var(is_used, 0.0))
                .and_then(|without| self.survive(without));

            best = match without {
                Ok(without) if without.objective() < best.objective() => without,
                Ok(_) | Err(PlacementError::Infeasible(_)) => best,
                Err(error) => return Err(error),
            };
        }

        Ok(best)
    }

    /// Whether the relaxed solution pays in full for using the region.
    fn is_settled(&self, solution: &Solution, region: usize, nodes: Nodes) -> bool {
        let Some(is_used) = self.regions[region].is_used else {
            return true;
        };
        let numbers = &self.prepared.regions[region];
        let value = solution.var_value(is_used);
        let is_held = nodes.total()
            >= numbers.memory + self.copies(solution, region) - NODES_MIN * self.prepared.load;
        let is_paid = numbers.fixed_price <= 0.0 || value >= 1.0 - NODES_MIN;

        !self.is_any(nodes) || (is_held && is_paid)
    }

    /// Nodes whose memory the copies beyond the first take.
    fn copies(&self, solution: &Solution, region: usize) -> f64 {
        let streams = self.prepared.streams.iter().enumerate();
        streams
            .map(|(index, stream)| stream.memory_share * self.load(solution, index, region))
            .sum()
    }

    /// The load of a stream that a region answers, nodes.
    fn load(&self, solution: &Solution, stream: usize, region: usize) -> f64 {
        if let Some(shares) = self.given.shares {
            return shares[stream][region] * self.prepared.streams[stream].load;
        }

        let StreamVariables { usual, others } = &self.loads[stream];
        let value = |load: Variable| solution.var_value(load).max(0.0) / self.scale;
        if *usual == region {
            let elsewhere: f64 = others.iter().map(|(_, load)| value(*load)).sum();
            return (self.prepared.streams[stream].load - elsewhere).max(0.0);
        }

        others
            .iter()
            .find(|(at, _)| *at == region)
            .map_or(0.0, |(_, load)| value(*load))
    }

    fn is_any(&self, nodes: Nodes) -> bool {
        nodes.total() > NODES_MIN * self.prepared.load
    }

    fn nodes(&self, solution: &Solution) -> Vec<Nodes> {
        let value = |variable: Variable| solution.var_value(variable).max(0.0) / self.scale;
        let nodes = |region: &RegionVariables| Nodes {
            on_demand: value(region.on_demand),
            spot: value(region.spot),
            committed: value(region.paid) + value(region.new),
        };

        self.regions.iter().map(nodes).collect()
    }

    fn read(self, solution: &Solution) -> Solved {
        let mut nodes = self.nodes(solution);
        for (index, nodes) in nodes.iter_mut().enumerate() {
            if !self.is_any(*nodes) {
                *nodes = Nodes::default();
                continue;
            }

            // Commitments of a region in use serve for nothing: none is left out.
            let new = solution.var_value(self.regions[index].new).max(0.0) / self.scale;
            nodes.committed = self.prepared.regions[index].paid + new;
        }

        let count = self.regions.len();
        let streams = 0..self.prepared.streams.len();
        let shares = streams.map(|stream| {
            let loads: Vec<f64> = (0..count)
                .map(|region| self.load(solution, stream, region))
                .collect();
            normalised(loads)
        });

        Solved {
            nodes,
            shares: shares.collect(),
            covers: self.covers,
        }
    }
}

/// Shares of the whole, without crumbs of the solver's tolerance.
fn normalised(loads: Vec<f64>) -> Vec<f64> {
    let sum: f64 = loads.iter().sum();
    let kept: Vec<f64> = loads
        .into_iter()
        .map(|load| if load >= sum * 1e-6 { load } else { 0.0 })
        .collect();
    let sum: f64 = kept.iter().sum();

    kept.into_iter()
        .map(|load| if sum > 0.0 { load / sum } else { 0.0 })
        .collect()
}

/// The inequalities that nodes break when something is lost.
pub(super) fn broken_covers(prepared: &Prepared<'_>, nodes: &[Nodes]) -> Vec<Cover> {
    let spot: Vec<f64> = nodes
        .iter()
        .zip(&prepared.regions)
        .map(|(nodes, numbers)| nodes.spot * numbers.spot_yield)
        .collect();
    let capacity: Vec<f64> = nodes
        .iter()
        .zip(&spot)
        .map(|(nodes, spot)| nodes.on_demand + nodes.committed + spot)
        .collect();
    let broken =
        |lost: Lost| cover::shortfall(&prepared.groups, &lost.of(&capacity, &spot), Some(lost));

    prepared
        .scenarios()
        .into_iter()
        .filter_map(broken)
        .collect()
}

impl RegionVariables {
    fn durable(&self) -> impl Iterator<Item = Variable> {
        [self.on_demand, self.paid, self.new].into_iter()
    }

    fn nodes(&self) -> Vec<(Variable, f64)> {
        self.durable()
            .chain([self.spot])
            .map(|node| (node, 1.0))
            .collect()
    }

    fn capacity(&self, spot_yield: f64) -> Vec<(Variable, f64)> {
        let durable = self.durable().map(|node| (node, 1.0));
        durable
            .chain((spot_yield > 0.0).then_some((self.spot, spot_yield)))
            .collect()
    }
}
