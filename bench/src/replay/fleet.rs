//! Running nodes: ordered, starting, serving, taken back.

use super::{
    planner::Plan,
    scenario::{NOTICE_MINUTES, REGIONS, START_MINUTES},
    spot::SpotMarkets,
};

/// A spot node.
#[derive(Debug, Clone, Copy)]
struct SpotNode {
    /// When it serves, minutes.
    ready: u32,
    /// When the cloud takes it back, once there was notice of it.
    end: Option<u32>,
}

/// The nodes of a region.
#[derive(Debug, Clone, Default)]
struct RegionFleet {
    /// When each node serves that the cloud does not take back, minutes; in the order that they
    /// were ordered in.
    durable: Vec<u32>,
    spot: Vec<SpotNode>,
}

/// The nodes of all regions.
#[derive(Debug, Clone, Default)]
pub(super) struct Fleet {
    regions: [RegionFleet; REGIONS.len()],
    /// Spot nodes that were taken back.
    pub(super) spot_losses: u64,
}

impl Fleet {
    /// The nodes of a plan, all serving.
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

    /// What happens at the start of a minute: the market takes nodes back with notice, and what the
    /// plan lacks is ordered. On demand stands in for spot nodes that are not granted. Nodes are
    /// given back once all ordered ones serve.
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

    /// Whether ordered nodes don't serve yet.
    pub(super) fn is_starting(&self, minute: u32) -> bool {
        self.regions.iter().any(|region| region.is_starting(minute))
    }

    /// Nodes that serve.
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

    /// Nodes of a region that are paid for: durable and spot, those that start included.
    pub(super) fn paid(&self, region: usize) -> (u64, u64) {
        let region = &self.regions[region];
        (region.durable.len() as u64, region.spot.len() as u64)
    }
}

impl RegionFleet {
    /// Spot nodes without notice.
    fn lasting_spot(&self) -> usize {
        self.spot.iter().filter(|node| node.end.is_none()).count()
    }

    fn is_starting(&self, minute: u32) -> bool {
        self.durable.iter().any(|ready| *ready > minute)
            || self.spot.iter().any(|node| node.ready > minute)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{planner::Shares, spot::SpotProcess},
        *,
    };
    use regionmesh_cost::NodeCounts;

    const CALM: SpotProcess = SpotProcess {
        scarce_per_hour: 0.0,
        normal_per_hour: 0.0,
        loss_per_hour: 0.0,
        scarce_loss_per_hour: 0.0,
    };

    /// A plan for the first region alone.
    fn plan(on_demand: u32, spot: u32) -> Plan {
        let mut nodes = [NodeCounts::default(); REGIONS.len()];
        nodes[0] = NodeCounts {
            on_demand,
            spot,
            committed: 0,
        };

        Plan {
            nodes,
            shares: Shares::default(),
            committed: [0; REGIONS.len()],
        }
    }

    #[test]
    fn ordered_nodes_are_paid_at_once_and_serve_after_their_start() {
        let mut fleet = Fleet::new(&plan(2, 0));
        let markets = SpotMarkets::new(CALM, 1);
        for minute in 1..=6 {
            fleet.step(minute, &plan(3, 1), &markets);
            assert_eq!(fleet.paid(0), (3, 1));
            assert_eq!(
                fleet.serving(minute)[0],
                if minute < 1 + START_MINUTES { 2.0 } else { 4.0 },
                "minute {minute}"
            );
        }
    }

    #[test]
    fn nodes_are_given_back_once_those_serve_that_replace_them() {
        let mut fleet = Fleet::new(&plan(4, 0));
        let markets = SpotMarkets::new(CALM, 1);
        let mut moved = plan(1, 0);

        moved.nodes[1].on_demand = 3;
        for minute in 1..=6 {
            fleet.step(minute, &moved, &markets);
            let is_moved = minute == 1 + START_MINUTES;
            assert_eq!(
                fleet.serving(minute),
                if is_moved {
                    [1.0, 3.0, 0.0]
                } else {
                    [4.0, 0.0, 0.0]
                },
                "minute {minute}"
            );
        }
    }

    #[test]
    fn a_lost_spot_node_serves_until_its_notice_ends_while_its_replacement_starts() {
        let mut fleet = Fleet::new(&plan(0, 1));
        let taken = SpotMarkets::new(
            SpotProcess {
                loss_per_hour: 1.0,
                ..CALM
            },
            1,
        );
        let calm = SpotMarkets::new(CALM, 1);

        fleet.step(10, &plan(0, 1), &taken);
        assert_eq!((fleet.paid(0), fleet.serving(10)[0]), ((0, 2), 1.0));
        fleet.step(11, &plan(0, 1), &calm);
        assert_eq!(fleet.serving(11)[0], 1.0);
        fleet.step(12, &plan(0, 1), &calm);
        assert_eq!(
            (fleet.paid(0), fleet.serving(12)[0], fleet.spot_losses),
            ((0, 1), 0.0, 1)
        );

        assert_eq!(fleet.serving(10 + START_MINUTES)[0], 1.0);
    }

    #[test]
    fn on_demand_stands_in_for_spot_nodes_while_they_are_scarce() {
        let mut fleet = Fleet::new(&plan(1, 0));
        let mut scarce = SpotMarkets::new(
            SpotProcess {
                scarce_per_hour: 1.0,
                ..CALM
            },
            1,
        );

        scarce.step();
        assert!(scarce.is_scarce(0));
        (1..=6).for_each(|minute| fleet.step(minute, &plan(1, 2), &scarce));
        assert_eq!(fleet.paid(0), (3, 0));
        (7..=12).for_each(|minute| fleet.step(minute, &plan(1, 2), &SpotMarkets::new(CALM, 1)));
        assert_eq!(fleet.paid(0), (1, 2));
    }
}
