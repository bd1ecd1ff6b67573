//! The life of nodes: ordered, starting, serving, interrupted.

use super::{
    planner::Plan,
    platform::{NOTICE_MINUTES, REGIONS, START_MINUTES},
    spot::SpotMarkets,
};

/// A spot node.
#[derive(Debug, Clone, Copy)]
struct SpotNode {
    /// Minute from which it serves.
    ready: u32,
    /// Minute in which it is interrupted, once there is notice.
    end: Option<u32>,
}

/// The nodes of a region.
#[derive(Debug, Clone, Default)]
struct RegionFleet {
    /// Minute from which each on-demand or committed node serves, in the order of ordering.
    durable: Vec<u32>,
    spot: Vec<SpotNode>,
}

/// The nodes of all regions.
#[derive(Debug, Clone, Default)]
pub(super) struct Fleet {
    regions: [RegionFleet; REGIONS.len()],
    /// Spot nodes that were interrupted.
    pub(super) spot_losses: u64,
}

impl Fleet {
    /// A fleet with all nodes of a plan serving.
    pub(super) fn new(plan: &Plan) -> Self {
        let mut fleet = Self::default();
        for (index, region) in fleet.regions.iter_mut().enumerate() {
            region.durable = vec![0; plan.durable(index) as usize];
            region.spot = vec![
                SpotNode {
                    ready: 0,
                    end: None
                };
                plan.nodes[index].spot as usize
            ];
        }

        fleet
    }

    /// Advances to a minute: the market interrupts spot nodes with notice, and missing nodes are
    /// ordered, on demand where spot is scarce. Surplus nodes are released once all ordered ones
    /// serve.
    pub(super) fn step(&mut self, minute: u32, plan: &Plan, markets: &SpotMarkets) {
        let mut wanted = [(0, 0); REGIONS.len()];
        for (index, region) in self.regions.iter_mut().enumerate() {
            for (rank, node) in region
                .spot
                .iter_mut()
                .enumerate()
                .filter(|(_, node)| node.end.is_none())
            {
                node.end = markets
                    .is_lost(index, rank)
                    .then_some(minute + NOTICE_MINUTES);
            }

            let before = region.spot.len();
            region
                .spot
                .retain(|node| node.end.is_none_or(|end| end > minute));
            self.spot_losses += (before - region.spot.len()) as u64;

            let spot = plan.nodes[index].spot as usize;
            let lacking = spot.saturating_sub(region.lasting_spot());
            let mut durable = plan.durable(index) as usize;
            let ready = minute + START_MINUTES;

            if markets.is_scarce(index) {
                durable += lacking;
            } else {
                region
                    .spot
                    .extend(std::iter::repeat_n(SpotNode { ready, end: None }, lacking));
            }

            let more = durable.saturating_sub(region.durable.len());
            region.durable.extend(std::iter::repeat_n(ready, more));
            wanted[index] = (durable, spot);
        }

        if self.regions.iter().any(|region| region.is_starting(minute)) {
            return;
        }

        for (region, (durable, spot)) in self.regions.iter_mut().zip(wanted) {
            region.durable.truncate(durable);
            let mut surplus = region.lasting_spot().saturating_sub(spot);
            region.spot.retain(|node| {
                let is_surplus = node.end.is_none() && surplus > 0;
                surplus -= usize::from(is_surplus);
                !is_surplus
            });
        }
    }

    /// Whether any ordered node does not serve yet.
    pub(super) fn is_starting(&self, minute: u32) -> bool {
        self.regions.iter().any(|region| region.is_starting(minute))
    }

    /// Serving nodes by region.
    pub(super) fn serving(&self, minute: u32) -> [f64; REGIONS.len()] {
        let count = |region: &RegionFleet| {
            let durable = region
                .durable
                .iter()
                .filter(|ready| **ready <= minute)
                .count();
            let spot = region
                .spot
                .iter()
                .filter(|node| node.ready <= minute)
                .count();

            (durable + spot) as f64
        };

        [0, 1, 2].map(|region| count(&self.regions[region]))
    }

    /// Billed nodes of a region, durable and spot, including those that start.
    pub(super) fn paid(&self, region: usize) -> (u64, u64) {
        let region = &self.regions[region];
        (region.durable.len() as u64, region.spot.len() as u64)
    }
}

impl RegionFleet {
    /// Spot nodes without a notice.
    fn lasting_spot(&self) -> usize {
        self.spot.iter().filter(|node| node.end.is_none()).count()
    }

    fn is_starting(&self, minute: u32) -> bool {
        self.durable.iter().any(|ready| *ready > minute)
            || self.spot.iter().any(|node| node.ready > minute)
    }
}

#[cfg(test)]
mod tests;
