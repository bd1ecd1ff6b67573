#![allow(clippy::unwrap_used, clippy::panic)]

mod laws;

use super::*;
use crate::optimiser::{fixtures::*, input::*, recommendation::RiskLevel, state::*};
use proptest::prelude::*;
use std::collections::BTreeMap;
use time::macros::{date, datetime};

fn advice(placement: PlacementInput, state: CurrentState) -> RecommendInput {
    RecommendInput {
        placement,
        state,
        baseline: BaselineName::Current,
        environment: "prod".to_owned(),
        window_days: 30,
        rows: 43_200,
        price_date: date!(2026 - 11 - 01),
        generated_at: datetime!(2026-11-29 12:00 UTC),
    }
}

fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

fn copy(model: &str, region: &str, storage: &str, replication: &str) -> ModelCopy {
    ModelCopy {
        model: model.parse().unwrap(),
        version: "v1".parse().unwrap(),
        region: region.parse().unwrap(),
        storage: amount(storage),
        replication: amount(replication),
    }
}

fn finding(model: &str, region: &str, change: ReplicationChange) -> ReplicationFinding {
    let model = model.parse().unwrap();
    let version = "v1".parse().unwrap();
    let region = region.parse().unwrap();

    ReplicationFinding {
        model,
        version,
        region,
        change,
    }
}

fn idle(model: &str) -> IdleModel {
    IdleModel {
        model: model.parse().unwrap(),
        version: "v1".parse().unwrap(),
        days_without_requests: 40,
    }
}

/// A mesh with twice the nodes that it needs.
fn triangle_state() -> CurrentState {
    let nodes = |on_demand| NodeCounts {
        on_demand,
        ..NodeCounts::default()
    };
    let busy = Utilisation {
        base: 0.2,
        mean: 0.35,
        peak: 0.5,
    };
    let names = ["ap", "eu", "us"].map(|name| name.parse().unwrap());

    CurrentState {
        nodes: names.clone().map(|name| (name, nodes(30))).into(),
        utilisation: names.map(|name| (name, busy)).into(),
        ..CurrentState::default()
    }
}

fn set_region(
    state: &mut CurrentState,
    offer: &RegionOffer,
    (on_demand, spot, committed): (u32, u32, u32),
    busy: Option<(f64, f64, f64)>,
) {
    let spot = if offer.spot.is_some() { spot } else { 0 };
    let committed = if offer.committed.is_some() {
        committed
    } else {
        0
    };

    state.nodes.insert(
        offer.name.clone(),
        NodeCounts {
            on_demand,
            spot,
            committed,
        },
    );

    if let Some((base, mean, peak)) = busy {
        let busy = Utilisation {
            base: base * mean * peak,
            mean: mean * peak,
            peak,
        };

        state.utilisation.insert(offer.name.clone(), busy);
    }
}

/// Some state of an input: nodes within reach, copies and findings.
fn states() -> impl Strategy<Value = (PlacementInput, CurrentState)> {
    let node = (0u32..40, 0u32..10, 0u32..5);
    let busy = prop::option::of((0.0..1.0f64, 0.0..1.0f64, 0.05..1.0f64));
    let copies = prop::collection::vec((0i64..500, 0i64..500), 10);
    let found = prop::collection::vec((0usize..3, 0usize..5, prop::option::of(0i64..400)), 0..8);
    let idles = prop::collection::vec(0usize..3, 0..4);

    (
        inputs(),
        prop::collection::vec((node, busy), 5),
        copies,
        found,
        idles,
    )
        .prop_map(|(input, nodes, copies, found, idles)| {
            let mut state = CurrentState::default();
            for (offer, (node, busy)) in input.regions.iter().zip(nodes) {
                set_region(&mut state, offer, node, busy);
            }

            for (index, (storage, replication)) in copies.into_iter().enumerate() {
                let model = format!("m{}", index / 5);
                let region = format!("r{}", index % 5);
                state.copies.push(copy(
                    &model,
                    &region,
                    &storage.to_string(),
                    &replication.to_string(),
                ));
            }

            let change = |replication: Option<i64>| match replication {
                None => ReplicationChange::Unneeded,
                Some(replication) => ReplicationChange::Relay {
                    via: "r0".parse().unwrap(),
                    replication: amount(&replication.to_string()),
                },
            };
            let found = found.into_iter();

            state.replication = found
                .map(|(model, region, to)| {
                    finding(&format!("m{model}"), &format!("r{region}"), change(to))
                })
                .collect();

            state.idle = idles
                .into_iter()
                .map(|model| idle(&format!("m{model}")))
                .collect();

            (input, state)
        })
}

#[test]
fn a_mesh_with_twice_the_nodes_gets_ordered_recommendations() {
    let mut placement = triangle(100.0);
    placement.rules.survive = 1;
    placement.regions[1].committed = Some(CommittedOffer {
        price: usd(0.6),
        new_nodes_max: 100,
        paid_nodes: 0,
    });

    let made = recommend(&advice(placement, triangle_state())).unwrap();
    let kinds: Vec<&str> = made
        .recommendations
        .iter()
        .map(|made| made.kind.as_str())
        .collect();

    assert_eq!(
        kinds,
        ["scale", "purchase", "scale"],
        "{:#?}",
        made.recommendations
    );

    let first = &made.recommendations[0];
    assert_eq!(made.baseline.monthly_cost, amount("81030"));

    let title =
        "Run fewer nodes in ap, eu, us: 40515.00 USD a month, 50.0 % of current (81030.00 USD)";
    assert_eq!(first.title, title);
    assert_eq!(first.risk.level, RiskLevel::Low);
    assert!(
        first
            .command
            .contains("regions.eu: serving_nodes_min = 15, serving_nodes_max = 15"),
        "{}",
        first.command
    );

    assert!(first.command.ends_with("scripts/deploy.sh prod"));
    assert_eq!(first.verify_after, date!(2026 - 12 - 16));
    assert_eq!(first.saving.low, first.saving.expected);

    // Two fifths of the peak are steady: 6 of 15 nodes.
    let Proposal::Fleet { nodes, .. } = &made.recommendations[1].proposal else {
        panic!("{:?}", made.recommendations[1])
    };
    assert_eq!(
        (nodes.len(), nodes[0].to),
        (
            1,
            NodeCounts {
                on_demand: 9,
                spot: 0,
                committed: 6
            }
        )
    );

    assert_eq!(made.recommendations[1].saving.expected, amount("1752"));
}

#[test]
fn the_file_has_the_published_shape() {
    let mut state = triangle_state();
    state.copies = vec![
        copy("old", "ap", "3.5", "1.25"),
        copy("old", "eu", "3.5", "0"),
    ];

    state.idle = vec![idle("old")];
    let made = serde_json::to_value(recommend(&advice(triangle(100.0), state)).unwrap()).unwrap();
    assert_eq!(made["generated_at"], "2026-11-29T12:00:00Z");
    assert_eq!(
        (&made["currency"], &made["baseline"]["name"]),
        (&"USD".into(), &"current".into())
    );

    assert_eq!(made["baseline"]["monthly_cost"], "81038.25");
    let first = &made["recommendations"][0];
    assert_eq!(first["id"].as_str().unwrap().len(), 16);
    assert_eq!(
        (
            &first["kind"],
            &first["saving"]["expected"],
            &first["saving"]["low"]
        ),
        (&"idle".into(), &"8.25".into(), &"8".into())
    );

    assert_eq!(first["command"], "regionmesh models delete old v1");
    assert_eq!(first["evidence"]["price_date"], "2026-11-01");
    assert_eq!(first["verify_after"], "2026-12-16");
}

#[test]
fn an_idle_unneeded_copy_is_saved_once() {
    let mut state = triangle_state();
    state.copies = vec![copy("old", "ap", "3", "10"), copy("new", "ap", "5", "20")];
    state.idle = vec![idle("old"), idle("old")];

    let relay = |replication| ReplicationChange::Relay {
        via: "eu".parse().unwrap(),
        replication: amount(replication),
    };

    state.replication = vec![
        finding("old", "ap", relay("2")),
        finding("new", "ap", relay("12")),
        finding("new", "ap", relay("15")),
        finding("new", "ap", ReplicationChange::Unneeded),
        finding("new", "ap", relay("1")),
    ];

    let made = recommend(&advice(triangle(100.0), state)).unwrap();
    let copies = made.recommendations.iter().filter(|made| {
        !matches!(
            made.proposal,
            Proposal::Fleet { .. } | Proposal::Autoscale { .. }
        )
    });
    let savings: Vec<String> = copies
        .map(|made| made.saving.expected.to_string())
        .collect();

    // The relay by 15 from the same region is a second finding of one subject.
    assert_eq!(savings, ["13", "8", "17"]);
}

#[test]
fn a_mesh_dearer_than_the_baseline_is_reported() {
    let mut placement = triangle(100.0);
    placement.rules.survive = 1;

    let mut input = advice(placement, triangle_state());
    input.baseline = BaselineName::Autoscaled;

    let made = recommend(&input).unwrap();
    assert!(
        made.recommendations.is_empty(),
        "{:?}",
        made.recommendations
    );

    // 55.5 an hour for three regions; 20 nodes at 1 an hour follow the load.
    let note = "meeting all limits costs 40515.00 USD a month, 25915.00 more than autoscaled";
    assert!(
        made.notes.iter().any(|text| text == note),
        "{:?}",
        made.notes
    );

    let texts: Vec<&str> = made
        .comparisons
        .iter()
        .map(|comparison| comparison.text.as_str())
        .collect();

    assert_eq!(texts[0], "82.0 % less than current (81030.00 USD a month)");
    assert_eq!(
        texts[2],
        "0.0 % less than autoscaled (14600.00 USD a month)"
    );
}

#[test]
fn nodes_that_fall_short_are_noted() {
    let mut placement = triangle(100.0);
    placement.rules.survive = 1;

    let mut state = triangle_state();
    state
        .nodes
        .values_mut()
        .for_each(|nodes| nodes.on_demand = 12);

    let made = recommend(&advice(placement, state)).unwrap();
    assert!(
        made.notes[0].contains("the nodes of current fall short"),
        "{:?}",
        made.notes
    );

    assert!(
        made.notes[1].contains("more than current"),
        "{:?}",
        made.notes
    );
}

#[test]
fn an_invalid_state_is_refused() {
    let mut state = triangle_state();
    state
        .nodes
        .insert("mars".parse().unwrap(), NodeCounts::default());

    let error = recommend(&advice(triangle(100.0), state)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "nodes.mars: the placement's input has no such region; add its prices"
    );

    let mut state = triangle_state();
    state.nodes.get_mut(&"eu".parse().unwrap()).unwrap().spot = 1;

    let error = recommend(&advice(triangle(100.0), state)).unwrap_err();
    assert!(
        error.to_string().contains("add the region's spot price"),
        "{error}"
    );

    let mut state = triangle_state();
    state.copies = vec![copy("old", "ap", "1", "-2")];

    let error = recommend(&advice(triangle(100.0), state)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "copies.old.v1.ap: a cost below zero; leave credits out"
    );

    let mut input = advice(triangle(100.0), triangle_state());
    input.environment = "prod; rm -rf /".to_owned();
    assert!(recommend(&input).is_err());
}

#[test]
fn an_id_depends_on_the_change_and_its_regions_but_not_on_numbers() {
    let id = |spare: &[(&str, u32)]| {
        let mut state = triangle_state();
        state.utilisation.clear();
        state
            .nodes
            .values_mut()
            .for_each(|nodes| nodes.on_demand = 11);

        for (region, on_demand) in spare {
            state
                .nodes
                .get_mut(&region.parse().unwrap())
                .unwrap()
                .on_demand = *on_demand;
        }

        let made = recommend(&advice(triangle(100.0), state))
            .unwrap()
            .recommendations;
        assert!(made[0].title.starts_with("Run fewer nodes in"), "{made:?}");
        made[0].id.clone()
    };

    assert_eq!(id(&[("eu", 30)]), id(&[("eu", 60)]));
    assert_ne!(id(&[("eu", 30)]), id(&[("ap", 30)]));
    assert_ne!(id(&[("eu", 30)]), id(&[("eu", 30), ("ap", 30)]));
}

#[test]
fn autoscaled_regions_are_not_recommended_autoscaling() {
    let scaled = |autoscaled: &[&str], baseline| {
        let mut placement = triangle(100.0);
        let mut state = triangle_state();
        placement.rules.survive = 1;
        state.autoscaled = autoscaled
            .iter()
            .map(|name| name.parse().unwrap())
            .collect();

        let made = recommend(&RecommendInput {
            baseline,
            ..advice(placement, state)
        })
        .unwrap();
        let nodes = made
            .recommendations
            .into_iter()
            .find_map(|made| match made.proposal {
                Proposal::Autoscale { nodes } => Some(
                    nodes
                        .into_iter()
                        .map(|change| change.region.to_string())
                        .collect(),
                ),
                _ => None,
            });

        nodes.unwrap_or_else(Vec::new)
    };

    assert_eq!(scaled(&[], BaselineName::Current), ["ap", "eu", "us"]);
    assert_eq!(scaled(&["eu"], BaselineName::Current), ["ap", "us"]);
    assert!(scaled(&["ap", "eu", "us"], BaselineName::Current).is_empty());

    // The fleet of another baseline is one that doesn't scale.
    assert_eq!(scaled(&["ap", "eu", "us"], BaselineName::Peak), ["eu"]);
}
