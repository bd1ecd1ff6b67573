//! Nodes, their prices and their number.

use super::{DAY, REGIONS, START_MS, scaling, sources};
use crate::{
    config::Config,
    cost::{
        answers::{Sources, recommendations},
        observe::region_map,
        questions::RecommendationOptions,
    },
};
use regionmesh_cost::{
    Amount, Counters, LiveMeter, ModelCounters, NodeGroup, PriceTable, Prices, Proposal,
    SourceCounters, date_at, read_prices,
};
use std::{collections::BTreeMap, sync::Arc};

/// `sources` with other nodes in the first region: their settings and their number.
fn with_nodes(mut sources: Sources, nodes: &[(&str, u32)]) -> Sources {
    let mut config = Config::clone(sources.config.as_ref().unwrap());
    config.regions[0].nodes = nodes
        .iter()
        .map(|(text, _)| toml::from_str(text).unwrap())
        .collect();

    let running = config.regions[0]
        .nodes
        .iter()
        .zip(nodes)
        .map(|(configured, (_, count))| NodeGroup {
            sku: configured.instance.clone(),
            pricing: configured.pricing,
            count: *count,
        });

    sources.capacity.get_mut(REGIONS[0]).unwrap().nodes = running.collect();
    sources.config = Some(Arc::new(config));
    sources
}

/// The monthly cost of nodes in both regions, at 0.096 USD and 0.14743092 USD an hour.
fn monthly(counts: [u32; 2]) -> Amount {
    let price = |text: &str, count: u32| {
        text.parse::<Amount>()
            .unwrap()
            .share(u64::from(count) * 730, 1)
            .unwrap()
    };

    price("0.096", counts[0]) + price("0.14743092", counts[1])
}

#[test]
fn a_region_whose_nodes_cannot_be_priced_is_left_out_with_the_reason() {
    let options = RecommendationOptions {
        survive: Some(0),
        ..RecommendationOptions::default()
    };

    for (nodes, why) in [
        (
            vec![
                ("instance = \"m5.large\"\ncount = 10", 10),
                ("instance = \"m5.xlarge\"\ncount = 2", 2),
            ],
            "only nodes of one type can be compared, and it has m5.large, m5.xlarge",
        ),
        (
            vec![
                ("instance = \"g5.xlarge\"\ncount = 2", 2),
                ("instance = \"g5.xlarge\"\npricing = \"spot\"", 4),
            ],
            "no price of ",
        ),
        (
            vec![("instance = \"unheard-of\"\ncount = 2", 2)],
            "no price of ",
        ),
        (vec![], "no nodes are configured"),
    ] {
        let sources = with_nodes(sources(5), &nodes);
        let found = recommendations(&options, &sources).unwrap();
        assert_eq!(found.baseline.monthly_cost, monthly([0, 8]), "{why}");

        let expected = format!("us-west-2 and its load are left out: {why}");
        assert!(
            found.notes.iter().any(|note| note.starts_with(&expected)),
            "{:?}",
            found.notes
        );
    }

    let none = Sources {
        capacity: BTreeMap::new(),
        ..sources(5)
    };
    let error = recommendations(&options, &none).unwrap_err().to_string();

    assert!(
        error.contains("eu-west-1 and its load are left out"),
        "{error}"
    );
}

#[test]
fn autoscaled_nodes_count_with_their_mean_and_need_no_recommendation() {
    let uncounted = "instance = \"m5.large\"";
    for (now, places) in [(8, 16), (2, 4), (0, 0)] {
        let mut sources = with_nodes(
            scaling(20, |quarter| if quarter % 2 == 0 { 8 } else { 2 }),
            &[(uncounted, now)],
        );

        sources.capacity.get_mut(REGIONS[0]).unwrap().places = places;
        let found = recommendations(&RecommendationOptions::default(), &sources).unwrap();
        assert_eq!(
            found.baseline.monthly_cost,
            monthly([5, 8]),
            "{now} nodes now"
        );

        for made in &found.recommendations {
            let Proposal::Autoscale { nodes } = &made.proposal else {
                continue;
            };
            assert!(
                nodes
                    .iter()
                    .all(|change| change.region.as_str() != REGIONS[0]),
                "{}",
                made.title
            );
        }

        assert!(found.notes.iter().any(|note| note.contains(
            "the nodes of us-west-2 follow the \
            load: their mean, 5,"
        )));
    }
}

#[test]
fn egress_without_a_price_costs_as_much_as_the_most_expensive_even_at_home() {
    let mut sources = with_nodes(sources(5), &[("instance = \"vm\"\ncount = 8", 8)]);
    let prices = "kind,cloud,region,sku,pricing,amount,currency,unit,valid_from,source\n\
                  node,metal,cellar,vm,on-demand,0.096,USD,hour,2026-09-01,list\n";
    let read = read_prices("p.csv", prices.as_bytes(), &Default::default()).unwrap();
    let mut table = PriceTable::default();

    table.apply(read.prices, false).unwrap();
    sources.prices = Prices::new(table);

    let mut config = Config::clone(sources.config.as_ref().unwrap());
    (config.regions[0].cloud, config.regions[0].billing_region) =
        ("metal".into(), Some("cellar".into()));
    sources.regions = region_map(&config);
    sources.config = Some(Arc::new(config));
    sources.bytes_per_answer = 1e6;

    let found = recommendations(&RecommendationOptions::default(), &sources).unwrap();
    let egress = (found.baseline.monthly_cost - monthly([8, 8])).to_f64();

    // Google Cloud's 0.12 USD per 2^30 bytes counts for both.
    let expected = 2.0 * (5_000.0 / 900.0) * 3_600.0 * 730.0 * 1e6 / f64::from(1 << 30) * 0.12;
    assert!(
        (egress / expected - 1.0).abs() < 0.01,
        "{egress} instead of {expected}"
    );

    let notes = found
        .notes
        .iter()
        .filter(|note| note.contains("no price in USD of egress from us-west-2"));

    assert_eq!(notes.count(), 1, "{:?}", found.notes);
}

#[test]
fn counters_of_any_size_are_accepted() {
    let mut live = LiveMeter::new(2 * DAY);
    let sources = sources(1);
    for (minute, count) in [(0, 0), (1, u64::MAX)] {
        let did = ModelCounters {
            requests: count,
            busy_ms: count,
        };
        let counters = Counters {
            models: [("a".to_owned(), did), ("b".to_owned(), did)].into(),
            ..Counters::default()
        };
        let counted = SourceCounters {
            source: "n",
            started_ms: START_MS,
            counters: &counters,
        };

        for region in REGIONS {
            let running = sources.capacity[region].clone();
            live.observe(
                region,
                START_MS + minute * 60_000,
                running,
                &[counted],
                sources.pricing(),
            );
        }
    }

    let sources = Sources {
        live: Arc::new(live),
        today: date_at(START_MS).unwrap(),
        ..sources
    };

    // Whether this load can be placed is not tested here.
    let _ = recommendations(&RecommendationOptions::default(), &sources);
}
