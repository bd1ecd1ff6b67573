//! Checks whether capacity can serve a load whose parts are restricted to some regions.
//!
//! By the max-flow min-cut theorem it can, exactly if for every set of regions the load that only
//! these may serve is at most their capacity. So surviving a loss needs no flows of its own in the
//! linear program: each set that falls short becomes one inequality over the nodes.

/// Regions as bits: bit i is region i of the input.
pub(super) type RegionSet = u64;

/// Units that the whole load is divided into: flows are whole numbers, so the search ends and
/// rounds nothing.
const UNITS: f64 = 1e12;
/// Share of the total load that the solver's tolerance may leave unserved.
const SLACK: f64 = 1e-7;

/// A loss to survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    Region(usize),
    /// The spot nodes of a region.
    Spot(usize),
}

impl Lost {
    /// The capacity that is left of `capacity`, of which `spot` is spot.
    pub(super) fn of(self, capacity: &[f64], spot: &[f64]) -> Vec<f64> {
        let mut left = capacity.to_vec();
        match self {
            Self::Region(region) => left[region] = 0.0,
            Self::Spot(region) => left[region] -= spot[region],
        }

        left
    }

    fn mask(self) -> RegionSet {
        match self {
            Self::Region(region) => 1 << region,
            Self::Spot(_) => 0,
        }
    }
}

/// The regions of a set must be able to serve the load that only they may serve.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cover {
    /// In which case.
    pub(super) lost: Option<Lost>,
    pub(super) regions: RegionSet,
    pub(super) load: f64,
}

/// A set of regions that can't serve what only they may serve when `lost` is lost; `None` if all
/// fits. `groups` are loads by the regions that may serve them, `capacity` is what is left.
pub(super) fn shortfall(
    groups: &[(RegionSet, f64)],
    capacity: &[f64],
    lost: Option<Lost>,
) -> Option<Cover> {
    let total: f64 = groups.iter().map(|(_, load)| load).sum();
    if total <= 0.0 {
        return None;
    }

    let units = |nodes: f64| (nodes / total * UNITS) as u64;
    let slack = (SLACK * UNITS) as u64;
    let gone = lost.map_or(0, Lost::mask);
    let mut network = Network {
        allowed: groups.iter().map(|(set, _)| set & !gone).collect(),
        open: groups.iter().map(|(_, load)| units(*load)).collect(),
        free: capacity
            .iter()
            .map(|nodes| {
                if *nodes > 0.0 {
                    units(*nodes) + slack
                } else {
                    0
                }
            })
            .collect(),
        flow: vec![vec![0; capacity.len()]; groups.len()],
    };

    network.fill();
    let reached = loop {
        match network.augment() {
            Step::Moved => {}
            Step::Stuck(reached) => break reached,
        }
    };

    if network.open.iter().sum::<u64>() <= slack {
        return None;
    }

    let load = groups
        .iter()
        .filter(|(set, _)| set & !gone & !reached == 0)
        .map(|(_, load)| load)
        .sum();

    Some(Cover {
        lost,
        regions: reached,
        load,
    })
}

enum Step {
    Moved,
    /// No more fits: the regions that the open load reaches.
    Stuck(RegionSet),
}

struct Network {
    allowed: Vec<RegionSet>,
    /// Load not served yet, by group.
    open: Vec<u64>,
    /// Capacity not used yet, by region.
    free: Vec<u64>,
    flow: Vec<Vec<u64>>,
}

impl Network {
    /// Serves what fits without moving anything.
    fn fill(&mut self) {
        for group in 0..self.open.len() {
            for region in members(self.allowed[group]) {
                let moved = self.open[group].min(self.free[region]);
                self.flow[group][region] += moved;
                self.open[group] -= moved;
                self.free[region] -= moved;
            }
        }
    }

    /// Moves load along a shortest path from an open group to a region with free capacity (Edmonds
    /// and Karp, 1972).
    fn augment(&mut self) -> Step {
        let mut reached: RegionSet = 0;
        // The group that each region was reached from, and the region that each group was reached
        // from.
        let mut from_group = vec![usize::MAX; self.free.len()];
        let mut from_region = vec![usize::MAX; self.open.len()];
        let mut is_seen: Vec<bool> = self.open.iter().map(|open| *open > 0).collect();
        let mut queue: Vec<usize> = (0..self.open.len())
            .filter(|group| is_seen[*group])
            .collect();
        let mut next = 0;

        while let Some(&group) = queue.get(next) {
            next += 1;
            for region in members(self.allowed[group] & !reached) {
                reached |= 1 << region;
                from_group[region] = group;
                if self.free[region] > 0 {
                    self.shift(region, &from_group, &from_region);
                    return Step::Moved;
                }

                for other in 0..self.open.len() {
                    if !is_seen[other] && self.flow[other][region] > 0 {
                        is_seen[other] = true;
                        from_region[other] = region;
                        queue.push(other);
                    }
                }
            }
        }

        Step::Stuck(reached)
    }

    fn shift(&mut self, end: usize, from_group: &[usize], from_region: &[usize]) {
        let mut moved = self.free[end];
        let mut region = end;
        let source = loop {
            let group = from_group[region];
            let before = from_region[group];
            if before == usize::MAX {
                break group;
            }
            moved = moved.min(self.flow[group][before]);
            region = before;
        };

        moved = moved.min(self.open[source]);

        self.free[end] -= moved;
        self.open[source] -= moved;

        let mut region = end;
        loop {
            let group = from_group[region];
            self.flow[group][region] += moved;

            let before = from_region[group];
            if before == usize::MAX {
                return;
            }
            self.flow[group][before] -= moved;
            region = before;
        }
    }
}

/// The regions of a set, lowest first.
pub(super) fn members(set: RegionSet) -> impl Iterator<Item = usize> {
    (0..u64::BITS as usize).filter(move |region| set >> region & 1 == 1)
}

#[cfg(test)]
mod tests;
