#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::config::fixture;
use regionmesh_cost::{Currency, Ledger, Money, Prices, Totals};
use regionmesh_protocol::{clock::HybridTime, models::digest::Digest};
use std::sync::Arc;

const REGIONS: [&str; 3] = ["eu-west-1", "ap-south-1", "us-west-2"];

fn line(from: &str, cost: &str) -> (ModelName, EgressLine) {
    let mut totals = Totals::default();
    totals.add(Money {
        amount: cost.parse().unwrap(),
        currency: Currency::USD,
    });

    let cause = Cause::Replication { model: "m".into() };
    let to = Some(REGIONS[0].to_owned());
    let line = EgressLine {
        from: from.to_owned(),
        to,
        cause,
        bytes: 1,
        unpriced_bytes: 0,
        cost: totals,
    };

    ("m".parse().unwrap(), line)
}

#[test]
fn a_copy_from_two_regions_saves_only_on_its_expensive_part() {
    let mut config = fixture::config(&REGIONS.map(|name| (name, "192.0.2.1")), "");
    config
        .regions
        .iter_mut()
        .for_each(|region| region.cloud = "aws".into());

    let cost = config.cost.clone();
    let today = time::macros::date!(2026 - 09 - 20);
    let mut sources = Sources::of_mesh(
        Arc::new(config),
        cost,
        Ledger::default(),
        Prices::default(),
        today,
    );

    let version = VersionSummary {
        model: "m".parse().unwrap(),
        version: "1".parse().unwrap(),
        content: Digest::of(b"m"),
        size: 1,
        published: HybridTime {
            wall_ms: 0,
            counter: 0,
        },
        origin: REGIONS[1].parse().unwrap(),
    };

    let held = Arc::new(Catalogue {
        versions: vec![version],
        ..Catalogue::default()
    });

    sources.holdings = REGIONS
        .map(|name| (name.parse().unwrap(), held.clone()))
        .into();

    // A gigabyte costs 0.086 USD from Mumbai and 0.02 USD from Oregon.
    let found = relays(
        &sources,
        &[line(REGIONS[1], "86"), line(REGIONS[2], "20")],
        |cost| cost,
    );

    assert_eq!(found.len(), 1, "{found:?}");
    let ReplicationChange::Relay { via, replication } = &found[0].change else {
        panic!("{found:?}")
    };
    assert_eq!(
        (via.as_str(), replication.rounded(2).to_string().as_str()),
        (REGIONS[2], "40.00")
    );

    assert!(relays(&sources, &[line(REGIONS[2], "20")], |cost| cost).is_empty());
}
