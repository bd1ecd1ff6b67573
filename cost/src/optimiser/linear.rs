//! The linear program, and the search for regions that are better not used at all.
//!
//! Variables: nodes by region and class, whether a region is used (between 0 and 1), and the load
//! of each stream by region. Loads are scaled so that the whole is 1,000. What may be lost enters
//! as inequalities over nodes ([`super::cover`]), added only once a solution breaks them.

mod program;

use super::{
    cover::{self, Cover, Lost},
    outcome::{Infeasibility, NodeCounts, Nodes, PlacementError},
    prepared::{Prepared, RegionNumbers},
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
/// Regions are closed while more than this share of the cost could still be saved.
const CLOSE_GAP: f64 = 0.001;

/// Decisions made in advance.
#[derive(Clone, Copy, Default)]
pub(super) struct Given<'a> {
    /// The share of each stream that each region answers.
    pub(super) shares: Option<&'a [Vec<f64>]>,
    /// The nodes of each region; they are known to survive losses.
    pub(super) nodes: Option<&'a [NodeCounts]>,
    /// Used regions, and inequalities known to be needed.
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
    /// Cost of sending each load to its usual region, which the objective leaves out.
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
            .map_err(|_| PlacementError::Solver("it stopped without an answer".to_owned())),
        Err(Error::Infeasible) => Err(PlacementError::Infeasible(vec![Infeasibility::Together])),
        Err(error) => Err(PlacementError::Solver(error.to_string())),
    }
}

impl Program<'_, '_> {
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
            "no convergence in {ROUNDS_MAX} rounds"
        )))
    }

    /// Decides which regions with a fixed cost to use: those of the relaxed solution, then without
    /// each little-used one while that saves.
    fn close(&mut self, relaxed: Solution) -> Result<Solution, PlacementError> {
        let nodes = self.nodes(&relaxed);
        let undecided: Vec<usize> = (0..nodes.len())
            .filter(|region| !self.is_decided(&relaxed, *region, nodes[*region]))
            .collect();

        if undecided.is_empty() {
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

        let mut order = undecided;
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
    fn is_decided(&self, solution: &Solution, region: usize, nodes: Nodes) -> bool {
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
