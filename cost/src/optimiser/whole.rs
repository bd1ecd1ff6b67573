//! A placement in whole nodes: rounded up, then thinned out as long as that saves and breaks no
//! limit.

use super::{
    bill::whole_cost,
    cover::{self, Cover, Lost, RegionSet, members},
    linear::{self, Given, Solved},
    outcome::{NodeCounts, Nodes, PlacementError},
    prepared::Prepared,
};

/// So close to a whole number is one.
const WHOLE: f64 = 1e-6;
/// Most changes per region after rounding.
const CHANGES_MAX: usize = 8;

/// Whole nodes and who answers with them.
pub(super) struct Rounded {
    pub(super) nodes: Vec<NodeCounts>,
    pub(super) shares: Vec<Vec<f64>>,
}

/// One change of a region's nodes.
#[derive(Debug, Clone, Copy)]
enum Change {
    DropOnDemand,
    DropSpot,
    DropCommitted,
    ToSpot,
    ToCommitted,
}

/// The placement in whole nodes; `None` if the quotas leave no room to round up. `free` are
/// placements whose flows may change.
pub(super) fn rounded(
    prepared: &Prepared<'_>,
    solved: &Solved,
) -> Result<Option<Rounded>, PlacementError> {
    let Some(nodes) = round_up(prepared, &solved.nodes) else {
        return Ok(None);
    };
    let plain = Rounded {
        nodes,
        shares: solved.shares.clone(),
    };
    let mut thinner = Thinner::new(prepared, solved);

    if !thinner.fits(&plain.nodes) {
        return Ok(None);
    }

    let nodes = thinner.thin(plain.nodes.clone());
    if nodes == plain.nodes {
        return Ok(Some(plain));
    }

    let found = match linear::solve_given(prepared, Given::nodes(&nodes)) {
        Ok(found) => Rounded {
            nodes,
            shares: found.shares,
        },
        Err(PlacementError::Infeasible(_)) => return Ok(Some(plain)),
        Err(error) => return Err(error),
    };

    let cost = |rounded: &Rounded| whole_cost(prepared, &rounded.nodes, &rounded.shares).total();

    Ok(Some(if cost(&found) < cost(&plain) {
        found
    } else {
        plain
    }))
}

/// Rounds up with the flows left as they are.
pub(super) fn rounded_in_place(prepared: &Prepared<'_>, solved: &Solved) -> Option<Rounded> {
    let nodes = round_up(prepared, &solved.nodes)?;
    Thinner::new(prepared, solved)
        .fits(&nodes)
        .then(|| Rounded {
            nodes,
            shares: solved.shares.clone(),
        })
}

/// The sum of a region is rounded up, its spot nodes down: a safe placement stays safe.
fn round_up(prepared: &Prepared<'_>, nodes: &[Nodes]) -> Option<Vec<NodeCounts>> {
    let round = |(nodes, region): (&Nodes, &super::prepared::RegionNumbers)| {
        let total = (nodes.total() - WHOLE).ceil().max(0.0);
        let most = |spot: f64| {
            let durable = total - spot;
            let committed = nodes
                .committed
                .ceil()
                .min(region.paid + region.new_max)
                .min(durable)
                .max(region.paid);
            let on_demand = (durable - committed).max(0.0);
            let is_had = on_demand <= region.on_demand_max.max(nodes.on_demand);

            is_had.then_some(NodeCounts {
                on_demand: on_demand as u32,
                spot: spot as u32,
                committed: committed as u32,
            })
        };

        if total <= 0.0 {
            return Some(NodeCounts::default());
        }

        let down = (nodes.spot + WHOLE).floor().min(total);
        most(down).or_else(|| most((down + 1.0).min(total)).filter(|_| down < region.spot_max))
    };

    nodes.iter().zip(&prepared.regions).map(round).collect()
}

struct Thinner<'a, 'b> {
    prepared: &'b Prepared<'a>,
    /// What broke before is looked at first: it takes no flow to see it break again.
    covers: Vec<Cover>,
    /// The groups with headroom.
    peak: Vec<(RegionSet, f64)>,
}

impl<'a, 'b> Thinner<'a, 'b> {
    fn new(prepared: &'b Prepared<'a>, solved: &Solved) -> Self {
        let headroom = prepared.input.rules.headroom;
        let peak = prepared
            .groups
            .iter()
            .map(|(set, load)| (*set, load * headroom))
            .collect();

        Self {
            prepared,
            covers: solved.covers.clone(),
            peak,
        }
    }

    /// Makes changes that save, the dearest nodes first, until none is left.
    fn thin(&mut self, mut nodes: Vec<NodeCounts>) -> Vec<NodeCounts> {
        let mut left = CHANGES_MAX * nodes.len();
        loop {
            let mut changes = self.changes(&nodes);
            changes.sort_by(|a, b| b.0.total_cmp(&a.0));

            let found = changes.into_iter().find_map(|(_, region, change)| {
                let mut changed = nodes.clone();
                changed[region] = change.applied(changed[region])?;
                self.fits(&changed).then_some(changed)
            });

            match found {
                Some(changed) if left > 0 => nodes = changed,
                Some(_) | None => return nodes,
            }

            left -= 1;
        }
    }

    /// All changes that save, with what they save per hour.
    fn changes(&self, nodes: &[NodeCounts]) -> Vec<(f64, usize, Change)> {
        let mut changes = Vec::new();
        for (index, (nodes, region)) in nodes.iter().zip(&self.prepared.regions).enumerate() {
            let is_last = nodes.total() == 1;
            let fixed = if is_last { region.fixed_price } else { 0.0 };
            let on_demand = region.on_demand_price;
            let spot = region.spot_price;
            let committed = region.committed_price;
            let has_new = f64::from(nodes.committed) > region.paid;
            let may_commit = f64::from(nodes.committed) < region.paid + region.new_max;
            let may_spot = f64::from(nodes.spot) < region.spot_max;
            let all = [
                (nodes.on_demand > 0, on_demand + fixed, Change::DropOnDemand),
                (nodes.spot > 0, spot + fixed, Change::DropSpot),
                (has_new, committed + fixed, Change::DropCommitted),
                (
                    nodes.on_demand > 0 && may_spot,
                    on_demand - spot,
                    Change::ToSpot,
                ),
                (
                    nodes.on_demand > 0 && may_commit,
                    on_demand - committed,
                    Change::ToCommitted,
                ),
            ];

            let saving = all
                .into_iter()
                .filter(|(is_possible, saved, _)| *is_possible && *saved > 0.0);
            changes.extend(saving.map(|(_, saved, change)| (saved, index, change)));
        }

        changes
    }

    /// Whether all limits are kept that don't depend on who answers whom.
    fn fits(&mut self, nodes: &[NodeCounts]) -> bool {
        let prepared = self.prepared;
        let share = prepared.spot_share_max;
        let is_sound = nodes.iter().zip(&prepared.regions).all(|(nodes, region)| {
            let total = f64::from(nodes.total());
            let spot = f64::from(nodes.spot);
            total <= 0.0 || (spot <= total * share + WHOLE && total >= region.memory - WHOLE)
        });

        if !is_sound {
            return false;
        }

        let spot: Vec<f64> = nodes
            .iter()
            .zip(&prepared.regions)
            .map(|(nodes, region)| f64::from(nodes.spot) * region.spot_yield)
            .collect();
        let durable = nodes
            .iter()
            .map(|nodes| f64::from(nodes.on_demand) + f64::from(nodes.committed));
        let capacity: Vec<f64> = durable
            .zip(&spot)
            .map(|(durable, spot)| durable + spot)
            .collect();

        let left = |cover: &Cover| -> f64 {
            let lost = |region: usize| {
                if cover.lost == Some(Lost::Spot(region)) {
                    spot[region]
                } else {
                    0.0
                }
            };

            members(cover.regions)
                .map(|region| capacity[region] - lost(region))
                .sum()
        };

        if self
            .covers
            .iter()
            .any(|cover| left(cover) < cover.load - prepared.load * WHOLE)
        {
            return false;
        }

        let cases = std::iter::once(None).chain(prepared.scenarios().into_iter().map(Some));
        for lost in cases {
            let (groups, left) = match lost {
                None => (&self.peak, capacity.clone()),
                Some(lost) => (&prepared.groups, lost.of(&capacity, &spot)),
            };

            if let Some(cover) = cover::shortfall(groups, &left, lost) {
                self.covers.push(cover);
                return false;
            }
        }

        true
    }
}

impl Change {
    fn applied(self, nodes: NodeCounts) -> Option<NodeCounts> {
        let NodeCounts {
            on_demand,
            spot,
            committed,
        } = nodes;

        Some(match self {
            Self::DropOnDemand => NodeCounts {
                on_demand: on_demand.checked_sub(1)?,
                ..nodes
            },
            Self::DropSpot => NodeCounts {
                spot: spot.checked_sub(1)?,
                ..nodes
            },
            Self::DropCommitted => NodeCounts {
                committed: committed.checked_sub(1)?,
                ..nodes
            },
            Self::ToSpot => NodeCounts {
                on_demand: on_demand.checked_sub(1)?,
                spot: spot + 1,
                committed,
            },
            Self::ToCommitted => NodeCounts {
                on_demand: on_demand.checked_sub(1)?,
                spot,
                committed: committed + 1,
            },
        })
    }
}
