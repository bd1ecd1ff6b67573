#![allow(clippy::unwrap_used, clippy::panic)]

mod laws;

use super::*;
use crate::{
    Amount,
    optimiser::{
        cover,
        fixtures::*,
        input::*,
        outcome::Infeasibility,
        prepared::{RegionNumbers, round_trip_ms},
    },
};
use microlp::{ComparisonOp, OptimizationDirection, Problem, Variable};
use proptest::prelude::*;

/// The cost per hour of the best placement, with flows of their own for each loss: the formulation
/// that is too large to be used, and plainly right. `None` if there is none.
fn cost_with_flows_for_each_loss(prepared: &Prepared<'_>) -> Option<f64> {
    let mut problem = Problem::new(OptimizationDirection::Minimize);
    let mut nodes = Vec::new();
    let mut base = 0.0;

    for region in &prepared.regions {
        let on_demand = problem.add_var(region.on_demand_price, (0.0, region.on_demand_max));
        let spot = problem.add_var(region.spot_price, (0.0, region.spot_max));
        let new = problem.add_var(region.committed_price, (0.0, region.new_max));
        let paid = problem.add_var(0.0, (region.paid, region.paid));

        base += region.paid * region.committed_price;
        nodes.push([on_demand, new, paid, spot]);

        let share = prepared.spot_share_max;
        let limit = [
            (on_demand, share),
            (new, share),
            (paid, share),
            (spot, share - 1.0),
        ];

        problem.add_constraint(limit, ComparisonOp::Ge, 0.0);
    }

    let cases = std::iter::once(None).chain(prepared.scenarios().into_iter().map(Some));
    for lost in cases {
        let mut used: Vec<Vec<(Variable, f64)>> = vec![Vec::new(); nodes.len()];
        let factor = if lost.is_none() {
            prepared.input.rules.headroom
        } else {
            1.0
        };

        for stream in &prepared.streams {
            let mut sum = Vec::new();
            for region in
                members(stream.allowed).filter(|region| lost != Some(Lost::Region(*region)))
            {
                let cost = stream.egress[region] / stream.load;
                let price = if lost.is_none() { cost } else { 0.0 };
                let flow = problem.add_var(price, (0.0, f64::INFINITY));

                used[region].push((flow, -factor));
                sum.push((flow, 1.0));
            }

            problem.add_constraint(sum, ComparisonOp::Eq, stream.load);
        }

        for (region, mut sum) in used.into_iter().enumerate() {
            let is_spot_lost = lost == Some(Lost::Spot(region));
            let spot_yield = if is_spot_lost {
                0.0
            } else {
                prepared.regions[region].spot_yield
            };
            let [on_demand, new, paid, spot] = nodes[region];

            sum.extend([on_demand, new, paid].map(|node| (node, 1.0)));
            sum.push((spot, spot_yield));
            problem.add_constraint(sum, ComparisonOp::Ge, 0.0);
        }
    }

    Some(base + problem.solve().ok()?.into_solution().unwrap().objective())
}

/// Every limit that a placement must keep, checked on what is published.
fn assert_limits(
    input: &PlacementInput,
    nodes: &BTreeMap<RegionName, Nodes>,
    flows: &[Flow],
) -> Result<(), TestCaseError> {
    let prepared = Prepared::new(input).unwrap();
    let mut busy: BTreeMap<&RegionName, f64> = BTreeMap::new();
    let mut answered: BTreeMap<(&str, &str), f64> = BTreeMap::new();

    for flow in flows {
        let model = input
            .models
            .iter()
            .find(|model| model.name == flow.model)
            .unwrap();
        let trip_ms = round_trip_ms(input, &flow.origin, &flow.region).unwrap();

        prop_assert!(
            trip_ms + model.service_ms <= input.rules.latency_ms,
            "{flow:?} is too slow"
        );

        *busy.entry(&flow.region).or_default() +=
            model.demand[&flow.origin].peak_rps * model.node_seconds_per_request * flow.share;
        *answered
            .entry((flow.model.as_str(), &flow.origin))
            .or_default() += flow.share;
    }

    for model in &input.models {
        for (origin, _) in model
            .demand
            .iter()
            .filter(|(_, demand)| demand.peak_rps > 0.0)
        {
            let sum = answered
                .get(&(model.name.as_str(), origin.as_str()))
                .copied()
                .unwrap_or(0.0);

            prop_assert!(
                (sum - 1.0).abs() < 1e-9,
                "{sum} of {} from {origin} is answered",
                model.name
            );
        }
    }

    let ordered: Vec<Nodes> = input
        .regions
        .iter()
        .map(|region| nodes[&region.name])
        .collect();

    for ((offer, nodes), numbers) in input.regions.iter().zip(&ordered).zip(&prepared.regions) {
        let busy = busy.get(&offer.name).copied().unwrap_or(0.0);
        assert_region_limits(&prepared, offer, nodes, numbers, busy)?;
    }

    prop_assert_eq!(linear::broken_covers(&prepared, &ordered), vec![]);
    Ok(())
}

fn assert_region_limits(
    prepared: &Prepared<'_>,
    offer: &RegionOffer,
    nodes: &Nodes,
    numbers: &RegionNumbers,
    busy: f64,
) -> Result<(), TestCaseError> {
    let slack = prepared.load * 1e-5 + 1e-6;
    let capacity = nodes.on_demand + nodes.committed + nodes.spot * numbers.spot_yield;
    prop_assert!(
        capacity + slack >= busy * prepared.input.rules.headroom,
        "{}: {busy} on {capacity}",
        offer.name
    );

    prop_assert!(nodes.on_demand <= f64::from(offer.on_demand.nodes_max) + slack);
    prop_assert!(
        nodes.spot
            <= offer
                .spot
                .as_ref()
                .map_or(0.0, |offer| f64::from(offer.nodes_max))
                + slack
    );

    prop_assert!(nodes.spot <= nodes.total() * prepared.spot_share_max + slack);
    let committed = offer
        .committed
        .as_ref()
        .map_or(0, |offer| offer.paid_nodes + offer.new_nodes_max);

    prop_assert!(nodes.committed <= f64::from(committed) + slack);
    prop_assert!(
        nodes.total() <= 0.0 || nodes.total() + slack >= numbers.memory,
        "{}: memory",
        offer.name
    );

    Ok(())
}

fn total(placement: &Placement, name: &str) -> f64 {
    placement.nodes[&name.parse::<RegionName>().unwrap()].total()
}

#[test]
fn all_load_goes_to_the_cheapest_region_within_the_bound() {
    let found = placement(&triangle(100.0)).unwrap();
    assert!(
        (total(&found, "eu") - 33.0).abs() < 1e-6,
        "{:?}",
        found.nodes
    );

    assert_eq!(found.monthly.compute.rounded(2), "24090.00");
    assert_eq!(
        found.whole.unwrap().monthly.compute,
        "24090".parse().unwrap()
    );

    let found = placement(&triangle(131.0)).unwrap();
    assert!((total(&found, "ap") - 11.0).abs() < 1e-6 && (total(&found, "us") - 11.0).abs() < 1e-6);

    let too_far = |origin: &str| Binding::Latency {
        model: "chat".parse().unwrap(),
        origin: origin.to_owned(),
        region: "eu".parse().unwrap(),
    };

    assert_eq!(found.binding, [too_far("ap"), too_far("us")]);
}

#[test]
fn surviving_the_loss_of_either_region_needs_twice_the_capacity() {
    let mut input = triangle(100.0);
    input.rules.survive = 1;
    input.regions[0].on_demand.price = usd(4.0);

    let found = placement(&input).unwrap();
    // 30 nodes of load: any two regions must hold them.
    assert!(
        (total(&found, "eu") - 30.0).abs() < 1e-4 && (total(&found, "us") - 30.0).abs() < 1e-4,
        "{:?}",
        found.nodes
    );

    let loss = |lost: &str, remaining: &str| Binding::RegionLoss {
        lost: lost.parse().unwrap(),
        remaining: vec![remaining.parse().unwrap()],
    };

    assert_eq!(found.binding, [loss("eu", "us"), loss("us", "eu")]);
}

#[test]
fn spot_serves_up_to_its_share_and_its_loss_is_covered() {
    let mut input = triangle(200.0);
    input.models[0].demand.retain(|origin, _| origin == "eu");
    input.regions[1].spot = Some(SpotOffer {
        price: usd(0.3),
        nodes_max: 100,
        loss_per_hour: 0.0,
    });

    let found = placement(&input).unwrap();
    let eu = found.nodes[&"eu".parse().unwrap()];
    assert!(
        (eu.spot - 5.5).abs() < 1e-6 && (eu.on_demand - 5.5).abs() < 1e-6,
        "{eu:?}"
    );

    // Spare capacity must cover the loss: ten nodes have to stay.
    input.regions[1].spot.as_mut().unwrap().loss_per_hour = 0.1;

    let found = placement(&input).unwrap();
    let eu = found.nodes[&"eu".parse().unwrap()];
    assert!(
        (eu.on_demand - 10.0).abs() < 1e-4 && eu.spot < 1.1,
        "{eu:?}"
    );

    assert!(
        found
            .binding
            .iter()
            .any(|limit| matches!(limit, Binding::SpotLoss { .. })),
        "{:?}",
        found.binding
    );
}

#[test]
fn paid_commitments_are_used_first_and_cost_in_any_case() {
    let mut input = triangle(100.0);
    input.regions[0].committed = Some(CommittedOffer {
        price: usd(0.9),
        new_nodes_max: 0,
        paid_nodes: 20,
    });

    let found = placement(&input).unwrap();
    assert!((total(&found, "ap") - 20.0).abs() < 1e-6 && (total(&found, "eu") - 13.0).abs() < 1e-6);
    assert_eq!(found.monthly.compute.rounded(2), "22630.00");

    input.models[0].demand.clear();
    assert_eq!(
        placement(&input).unwrap().monthly.compute,
        "13140".parse().unwrap()
    );
}

#[test]
fn a_region_with_a_fixed_cost_is_closed_if_that_saves() {
    // Egress is dear enough to serve each at home, until each region costs 10 an hour more.
    let mut input = triangle(100.0);
    input.models[0].bytes_per_answer = 1e6;

    let pairs = ["ap", "eu", "us"];
    for region in pairs {
        let prices = pairs
            .iter()
            .filter(|origin| **origin != region)
            .map(|origin| ((*origin).to_owned(), usd(0.1)));

        input
            .egress_per_gb
            .insert(region.parse().unwrap(), prices.collect());
    }

    let used = |input: &PlacementInput| {
        placement(input)
            .unwrap()
            .nodes
            .values()
            .filter(|nodes| nodes.total() > 0.0)
            .count()
    };

    assert_eq!(used(&input), 3);
    input
        .regions
        .iter_mut()
        .for_each(|region| region.fixed_per_hour = Some(usd(30.0)));

    assert_eq!(used(&input), 1);
}

#[test]
fn models_that_need_the_memory_of_more_nodes_than_the_load_get_them() {
    let mut input = triangle(200.0);
    input.models = (0..4)
        .map(|index| ModelDemand {
            memory_share: 0.7,
            ..model(&format!("m{index}"), &[("eu", 1.0)])
        })
        .collect();

    let found = placement(&input).unwrap();
    assert!(
        (total(&found, "eu") - 3.08).abs() < 1e-3,
        "{:?}",
        found.nodes
    );

    assert_eq!(
        found.binding[0],
        Binding::Memory {
            region: "eu".parse().unwrap()
        }
    );

    assert_eq!(
        found.whole.unwrap().nodes[&"eu".parse().unwrap()].total(),
        4
    );
}

#[test]
fn a_missing_placement_has_a_reason() {
    let reason = |input: &PlacementInput| placement(input).unwrap_err().to_string();
    let mut input = triangle(200.0);
    input.rules.survive = 1;

    let only = "model chat from ap: only ap answers within 150 ms, so its loss can't be survived";
    assert!(reason(&input).contains(only), "{}", reason(&input));

    input.models[0].demand = [(
        "moon".to_owned(),
        OriginDemand {
            mean_rps: 1.0,
            peak_rps: 2.0,
        },
    )]
    .into();

    assert!(
        reason(&input)
            .contains("model chat from moon: no round trip to any region has been measured")
    );

    input
        .round_trips_ms
        .insert("moon".to_owned(), [("eu".parse().unwrap(), 2_600.0)].into());

    let far = "no region answers within 150 ms; the nearest, eu, takes 2620 ms";
    assert!(reason(&input).contains(far), "{}", reason(&input));

    let mut input = triangle(100.0);
    input.rules.survive = 1;
    input
        .regions
        .iter_mut()
        .for_each(|region| region.on_demand.nodes_max = 14);

    let short = "ap, us can have 28.00 nodes, and 30.00 are needed there when eu is lost";
    assert!(reason(&input).contains(short), "{}", reason(&input));
}

#[test]
fn invalid_numbers_and_prices_are_named() {
    let reason = |change: &dyn Fn(&mut PlacementInput)| {
        let mut input = triangle(100.0);
        change(&mut input);
        placement(&input).unwrap_err().to_string()
    };
    let euro = |input: &mut PlacementInput| {
        input.regions[1].on_demand.price.currency = "EUR".parse().unwrap()
    };

    assert_eq!(
        reason(&euro),
        "regions.eu.on_demand.price: the price is in EUR, that of region ap in USD; convert all \
            prices to one"
    );

    assert!(
        reason(&|input| input.rules.headroom = f64::NAN)
            .starts_with("rules.headroom: NaN is out of range")
    );

    assert!(
        reason(&|input| input.regions[0].on_demand.price = usd(-1.0)).contains("a price of -1 USD")
    );
    assert!(
        reason(&|input| input.models[0].memory_share = 1.5)
            .starts_with("models.chat.memory_share: 1.5")
    );

    assert!(reason(&|input| input.regions.push(region("eu", 1.0))).contains("given twice"));
}

#[test]
fn a_missing_egress_price_is_assumed_high_and_reported() {
    let mut input = triangle(100.0);
    input.models[0].bytes_per_answer = 1e5;
    input
        .egress_per_gb
        .insert("ap".parse().unwrap(), [("eu".to_owned(), usd(0.12))].into());

    let found = placement(&input).unwrap();
    let assumed =
        "no egress price from eu to ap: assuming the highest given price, 0.12 USD per GB";

    assert!(
        found.assumptions.iter().any(|text| text == assumed),
        "{:?}",
        found.assumptions
    );

    assert!(
        found.monthly.egress > Amount::ZERO
            || found.nodes.values().all(|nodes| nodes.total() > 0.0)
    );
}

#[test]
fn the_check_by_maximum_flow_sees_a_loss_that_a_sum_would_not() {
    let groups = [(0b011, 10.0), (0b110, 10.0)];
    let lost = cover::Lost::Region(1);
    assert!(
        cover::shortfall(&groups, &lost.of(&[5.0, 10.0, 15.0], &[0.0; 3]), Some(lost)).is_some()
    );
    assert!(
        cover::shortfall(
            &groups,
            &lost.of(&[10.0, 10.0, 10.0], &[0.0; 3]),
            Some(lost)
        )
        .is_none()
    );
}
