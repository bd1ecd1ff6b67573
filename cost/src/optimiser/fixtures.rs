//! Inputs that several tests use.
#![allow(clippy::unwrap_used)]

use super::{input::*, outcome::*};
use crate::money::{Amount, Currency, Money};
use proptest::prelude::*;
use std::collections::BTreeMap;

pub(super) fn usd(amount: f64) -> Money {
    Money {
        amount: Amount::from_f64(amount).unwrap(),
        currency: Currency::USD,
    }
}

/// A region with nodes on demand alone.
pub(super) fn region(name: &str, price: f64) -> RegionOffer {
    RegionOffer {
        name: name.parse().unwrap(),
        cloud: "aws".to_owned(),
        endpoint: String::new(),
        on_demand: NodeOffer {
            price: usd(price),
            nodes_max: 1_000,
        },
        spot: None,
        committed: None,
        fixed_per_hour: None,
    }
}

/// A model of which a node serves ten requests a second.
pub(super) fn model(name: &str, demand: &[(&str, f64)]) -> ModelDemand {
    let demand = demand.iter().map(|(origin, rps)| {
        (
            (*origin).to_owned(),
            OriginDemand {
                mean_rps: rps * 0.6,
                peak_rps: *rps,
            },
        )
    });

    ModelDemand {
        name: name.parse().unwrap(),
        node_seconds_per_request: 0.1,
        service_ms: 20.0,
        bytes_per_answer: 0.0,
        memory_share: 0.0,
        spot_share_max: 0.5,
        demand: demand.collect(),
    }
}

/// Three regions, the same distance apart.
pub(super) fn triangle(trip_ms: f64) -> PlacementInput {
    let names = ["ap", "eu", "us"];
    let regions = vec![region("ap", 1.5), region("eu", 1.0), region("us", 1.2)];
    let trips = names.iter().map(|origin| {
        let others = names.iter().filter(|name| *name != origin);
        (
            (*origin).to_owned(),
            others
                .map(|name| (name.parse().unwrap(), trip_ms))
                .collect(),
        )
    });

    PlacementInput {
        regions,
        models: vec![model(
            "chat",
            &[("ap", 100.0), ("eu", 100.0), ("us", 100.0)],
        )],
        round_trips_ms: trips.collect(),
        egress_per_gb: BTreeMap::new(),
        rules: PlacementRules {
            survive: 0,
            ..PlacementRules::default()
        },
    }
}

/// Small inputs of all kinds: up to five regions and four models.
pub(super) fn inputs() -> impl Strategy<Value = PlacementInput> {
    let offer = (
        0.1..2.0f64,
        prop::option::of((0.2..0.9f64, 0.0..0.4f64)),
        prop::option::of((0.4..0.9f64, 0u32..6, 0u32..4)),
        5u32..60,
    );

    let model = (
        0.01..0.3f64,
        0.0..40.0f64,
        0.0..1e6f64,
        0.2..0.8f64,
        prop::collection::vec(0.0..120.0f64, 5),
    );
    let trips = prop::collection::vec(prop::option::weighted(0.9, 5.0..200.0f64), 25);
    let egress = prop::collection::vec(0.0..0.2f64, 5);
    let offers = prop::collection::vec(offer, 2..=5);

    (
        offers,
        prop::collection::vec(model, 1..=4),
        trips,
        egress,
        0u8..=1,
        1.0..1.4f64,
    )
        .prop_map(build)
}

type OfferNumbers = (f64, Option<(f64, f64)>, Option<(f64, u32, u32)>, u32);
type ModelNumbers = (f64, f64, f64, f64, Vec<f64>);

type Numbers = (
    Vec<OfferNumbers>,
    Vec<ModelNumbers>,
    Vec<Option<f64>>,
    Vec<f64>,
    u8,
    f64,
);

fn offer_of(index: usize, (price, spot, committed, nodes_max): OfferNumbers) -> RegionOffer {
    RegionOffer {
        on_demand: NodeOffer {
            price: usd(price),
            nodes_max,
        },
        spot: spot.map(|(part, loss_per_hour)| SpotOffer {
            price: usd(price * part),
            nodes_max: nodes_max / 2,
            loss_per_hour,
        }),
        committed: committed.map(|(part, new_nodes_max, paid_nodes)| CommittedOffer {
            price: usd(price * part),
            new_nodes_max,
            paid_nodes,
        }),
        ..region(&format!("r{index}"), price)
    }
}

fn build((offers, models, trips, egress, survive, headroom): Numbers) -> PlacementInput {
    let name = |index: usize| format!("r{index}");
    let count = offers.len();
    let regions = offers
        .into_iter()
        .enumerate()
        .map(|(index, offer)| offer_of(index, offer));
    let spot_share_max = models[0].3;
    let models = models.into_iter().enumerate().map(
        |(index, (work, service_ms, bytes_per_answer, _, demand))| {
            let demand = demand.into_iter().take(count).enumerate();
            ModelDemand {
                node_seconds_per_request: work,
                service_ms,
                bytes_per_answer,
                spot_share_max,
                demand: demand
                    .map(|(origin, rps)| {
                        (
                            name(origin),
                            OriginDemand {
                                mean_rps: rps * 0.5,
                                peak_rps: rps,
                            },
                        )
                    })
                    .collect(),
                ..model(&format!("m{index}"), &[])
            }
        },
    );

    let models = models.collect();
    let pairs = |origin: usize| (0..count).filter(move |region| *region != origin);
    let round_trips_ms = (0..count).map(|origin| {
        let known = pairs(origin).filter_map(|region| {
            Some((name(region).parse().unwrap(), trips[origin * 5 + region]?))
        });
        (name(origin), known.collect())
    });

    let egress_per_gb = (0..count).map(|region| {
        let prices = pairs(region).map(|origin| (name(origin), usd(egress[region])));
        (name(region).parse().unwrap(), prices.collect())
    });

    PlacementInput {
        regions: regions.collect(),
        models,
        round_trips_ms: round_trips_ms.collect(),
        egress_per_gb: egress_per_gb.collect(),
        rules: PlacementRules {
            survive,
            headroom,
            ..PlacementRules::default()
        },
    }
}

/// The nodes of a region as fractions.
pub(super) fn fractions(nodes: NodeCounts) -> Nodes {
    Nodes {
        on_demand: nodes.on_demand.into(),
        spot: nodes.spot.into(),
        committed: nodes.committed.into(),
    }
}
