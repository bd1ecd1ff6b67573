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
fn ordered_nodes_are_paid_immediately_and_serve_once_started() {
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
fn nodes_are_released_once_their_replacements_serve() {
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
fn on_demand_nodes_replace_spot_nodes_while_those_are_scarce() {
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
