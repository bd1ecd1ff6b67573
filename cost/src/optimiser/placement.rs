//! Turns an input into a placement with its cost and binding limits.

use super::{
    bill::{monthly, whole_cost},
    cover::{Lost, RegionSet, members},
    input::PlacementInput,
    linear::{self, Solved},
    outcome::{Binding, Flow, NodeCounts, Nodes, Placement, PlacementError, WholePlacement},
    prepared::{Prepared, Stream},
    whole,
};
use regionmesh_protocol::identity::RegionName;
use std::collections::BTreeMap;

/// Tolerance for reaching a limit, as a share of the total load.
const AT_LIMIT: f64 = 1e-6;

/// The cheapest placement within the limits.
///
/// Nodes are sized for the peaks and run all month: for capacity that follows the load, call it for
/// each step with the demand of that step, where peak and mean are nearly equal. The result depends
/// on nothing but the input. It is optimal if using a region has no fixed cost; where it does
/// (`fixed_per_hour`, `memory_share`), which regions are used is found by a bounded search. A
/// placement in whole nodes is rounded up and then thinned out, not proven to be the best one.
///
/// Fails if the input is invalid, if no placement meets the limits (with all known reasons), or if
/// the solver can't handle the numbers.
pub fn placement(input: &PlacementInput) -> Result<Placement, PlacementError> {
    let prepared = Prepared::new(input)?;
    if prepared.streams.is_empty() {
        return Ok(unused(&prepared));
    }

    let obstacles = prepared.obstacles();
    if !obstacles.is_empty() {
        return Err(PlacementError::Infeasible(obstacles));
    }

    let solved = linear::solve(&prepared)?;

    let whole = match input.rules.whole_nodes {
        true => whole::rounded(&prepared, &solved)?
            .map(|found| whole_placement(&prepared, &found.nodes, &found.shares)),
        false => None,
    };
    let mut assumptions = prepared.assumptions.clone();

    for (index, (region, nodes)) in prepared.regions.iter().zip(&solved.nodes).enumerate() {
        if region.paid > 0.0 && nodes.total() <= 0.0 {
            let name = prepared.name(index);
            let paid = region.paid;
            assumptions.push(format!(
                "{name} is not used; its {paid:.0} committed nodes are paid for anyway"
            ));
        }
    }

    Ok(Placement {
        currency: prepared.currency,
        nodes: named(&prepared, &solved.nodes),
        flows: flows(&prepared, &solved.shares),
        monthly: monthly(&prepared, &solved),
        whole,
        binding: binding(&prepared, &solved),
        assumptions,
    })
}

/// No demand: nothing but the commitments.
fn unused(prepared: &Prepared<'_>) -> Placement {
    let count = prepared.regions.len();
    let counts = vec![NodeCounts::default(); count];
    let whole = whole_placement(prepared, &counts, &[]);

    Placement {
        currency: prepared.currency,
        nodes: named(prepared, &vec![Nodes::default(); count]),
        flows: Vec::new(),
        monthly: whole.monthly,
        whole: prepared.input.rules.whole_nodes.then_some(whole),
        binding: Vec::new(),
        assumptions: prepared.assumptions.clone(),
    }
}

fn named<T: Copy>(prepared: &Prepared<'_>, nodes: &[T]) -> BTreeMap<RegionName, T> {
    nodes
        .iter()
        .enumerate()
        .map(|(region, nodes)| (prepared.name(region).clone(), *nodes))
        .collect()
}

fn whole_placement(
    prepared: &Prepared<'_>,
    nodes: &[NodeCounts],
    shares: &[Vec<f64>],
) -> WholePlacement {
    WholePlacement {
        nodes: named(prepared, nodes),
        flows: flows(prepared, shares),
        monthly: whole_cost(prepared, nodes, shares),
    }
}

fn flows(prepared: &Prepared<'_>, shares: &[Vec<f64>]) -> Vec<Flow> {
    let mut flows = Vec::new();
    for (stream, shares) in prepared.streams.iter().zip(shares) {
        for (region, share) in shares.iter().enumerate().filter(|(_, share)| **share > 0.0) {
            let model = stream.model.name.clone();
            let origin = stream.origin.to_owned();
            flows.push(Flow {
                model,
                origin,
                region: prepared.name(region).clone(),
                share: *share,
            });
        }
    }

    flows.sort_by(|a, b| (&a.model, &a.origin, &a.region).cmp(&(&b.model, &b.origin, &b.region)));
    flows
}

fn binding(prepared: &Prepared<'_>, solved: &Solved) -> Vec<Binding> {
    let tolerance = AT_LIMIT * prepared.load;
    let mut binding = Vec::new();
    for (index, (numbers, nodes)) in prepared.regions.iter().zip(&solved.nodes).enumerate() {
        let region = prepared.name(index).clone();
        let offer = &prepared.input.regions[index];
        let is_at = |nodes: f64, most: Option<u32>| {
            most.is_some_and(|most| most > 0 && nodes >= f64::from(most) - tolerance)
        };

        if is_at(nodes.on_demand, Some(offer.on_demand.nodes_max)) {
            binding.push(Binding::OnDemandQuota {
                region: region.clone(),
            });
        }

        if is_at(nodes.spot, offer.spot.as_ref().map(|offer| offer.nodes_max)) {
            binding.push(Binding::SpotQuota {
                region: region.clone(),
            });
        }

        let new = nodes.committed - numbers.paid;
        if is_at(
            new,
            offer.committed.as_ref().map(|offer| offer.new_nodes_max),
        ) {
            binding.push(Binding::CommitmentLimit {
                region: region.clone(),
            });
        }

        if nodes.spot > tolerance
            && nodes.spot >= nodes.total() * prepared.spot_share_max - tolerance
        {
            binding.push(Binding::SpotShare {
                region: region.clone(),
            });
        }

        let busy: f64 = prepared
            .streams
            .iter()
            .zip(&solved.shares)
            .map(|(stream, shares)| shares[index] * stream.load)
            .sum();
        let copies = prepared.streams.iter().zip(&solved.shares);
        let copies: f64 = copies
            .map(|(stream, shares)| shares[index] * stream.load * stream.model.memory_share)
            .sum();
        let is_full = nodes.total() > 0.0 && numbers.memory + copies >= nodes.total() - tolerance;

        if is_full && busy * prepared.input.rules.headroom < nodes.total() - tolerance {
            binding.push(Binding::Memory { region });
        }
    }

    binding.extend(losses(prepared, solved, tolerance));
    binding.extend(
        prepared
            .streams
            .iter()
            .zip(&solved.shares)
            .filter_map(|(stream, shares)| latency(prepared, stream, shares)),
    );

    binding.sort();
    binding.dedup();
    binding
}

/// The losses that capacity is there for.
fn losses(prepared: &Prepared<'_>, solved: &Solved, tolerance: f64) -> Vec<Binding> {
    let mut binding = Vec::new();
    for cover in &solved.covers {
        let Some(lost) = cover.lost else { continue };
        let capacity = |region: usize| {
            let nodes = solved.nodes[region];
            let spot = if lost == Lost::Spot(region) {
                0.0
            } else {
                nodes.spot * prepared.regions[region].spot_yield
            };

            nodes.on_demand + nodes.committed + spot
        };

        if members(cover.regions).map(capacity).sum::<f64>() > cover.load + tolerance {
            continue;
        }

        let used = members(cover.regions).filter(|region| solved.nodes[*region].total() > 0.0);
        let used = used.fold(0, |set: RegionSet, region| set | 1 << region);
        let remaining = prepared.names(used);
        let is_used = |region: usize| solved.nodes[region].total() > 0.0;

        match lost {
            Lost::Region(region) if is_used(region) => {
                binding.push(Binding::RegionLoss {
                    lost: prepared.name(region).clone(),
                    remaining,
                });
            }
            Lost::Spot(region) if solved.nodes[region].spot > tolerance => {
                binding.push(Binding::SpotLoss {
                    region: prepared.name(region).clone(),
                    remaining,
                });
            }
            Lost::Region(_) | Lost::Spot(_) => {}
        }
    }

    binding
}

/// The cheapest region for a stream, if it is too far away and cheaper than any that answers now.
fn latency(prepared: &Prepared<'_>, stream: &Stream<'_>, shares: &[f64]) -> Option<Binding> {
    let headroom = prepared.input.rules.headroom;
    let price = |region: &usize| {
        let numbers = &prepared.regions[*region];
        stream.load * headroom * numbers.on_demand_price + stream.egress[*region]
    };
    let cheapest = |regions: &mut dyn Iterator<Item = usize>| {
        regions.min_by(|a, b| price(a).total_cmp(&price(b)))
    };
    let count = prepared.regions.len();
    let far = (0..count).filter(|region| {
        stream.allowed >> region & 1 == 0 && prepared.regions[*region].on_demand_max > 0.0
    });
    let far = cheapest(&mut far.into_iter())?;
    let serving = cheapest(&mut (0..count).filter(|region| shares[*region] > 0.0))?;
    let model = stream.model.name.clone();
    let origin = stream.origin.to_owned();

    (price(&far) < price(&serving)).then(|| Binding::Latency {
        model,
        origin,
        region: prepared.name(far).clone(),
    })
}

#[cfg(test)]
mod tests;
