//! Recommendations from a mesh's state, and their outcome.

#![allow(clippy::unwrap_used)]

mod bills;
mod models;
mod nodes;
mod predictions;
mod schemas;

use super::Sources;
use crate::config::fixture;
use regionmesh_cost::{
    Counters, ImportOptions, Importer, Ledger, LiveMeter, ModelCounters, NodeGroup, Prices,
    PricingClass, RegionCapacity, SourceCounters, StoredPart,
};
use std::sync::Arc;

/// 2026-09-10, noon UTC.
const START_MS: u64 = 1_789_041_600_000;
const DAY: u64 = 86_400_000;
/// Quarters of an hour of a day.
const QUARTERS: u64 = 96;
const REGIONS: [&str; 2] = ["us-west-2", "eu-west-1"];

/// A mesh of two regions whose agents served only `busy`, for `days` days.
fn sources(days: u64) -> Sources {
    scaling(days, |_| 8)
}

/// Like [`sources`], with `count` nodes in the first region in each quarter of an hour.
fn scaling(days: u64, count: impl Fn(u64) -> u32) -> Sources {
    let mut sources = unobserved(days);
    let mut live = LiveMeter::new(2 * DAY);

    for quarter in 0..=days * QUARTERS {
        for (region, sku) in REGIONS.into_iter().zip(["m5.large", "e2-standard-4"]) {
            let count = if region == REGIONS[0] {
                count(quarter)
            } else {
                8
            };
            let node = NodeGroup {
                sku: sku.into(),
                pricing: PricingClass::OnDemand,
                count,
            };

            let running = RegionCapacity {
                nodes: vec![node],
                stored: Vec::new(),
                places: 2 * count,
            };
            let did = ModelCounters {
                requests: quarter * 5_000,
                busy_ms: quarter * 5_000 * 50,
            };

            let counters = Counters {
                models: [("busy".to_owned(), did)].into(),
                ..Counters::default()
            };
            let counted = SourceCounters {
                source: "n",
                started_ms: START_MS,
                counters: &counters,
            };

            live.observe(
                region,
                START_MS + quarter * (DAY / QUARTERS),
                running.clone(),
                &[counted],
                sources.pricing(),
            );

            sources.capacity.insert(region.into(), running);
        }
    }

    sources.live = Arc::new(live);
    sources
}

/// The mesh of [`sources`] without live data, except for round trips.
fn unobserved(days: u64) -> Sources {
    let mut config = fixture::config(&REGIONS.map(|name| (name, "192.0.2.1")), "");
    for (region, (cloud, instance)) in config
        .regions
        .iter_mut()
        .zip([("aws", "m5.large"), ("gcp", "e2-standard-4")])
    {
        region.cloud = cloud.into();
        region.nodes =
            vec![toml::from_str(&format!("instance = \"{instance}\"\ncount = 8")).unwrap()];
    }

    let today = regionmesh_cost::date_at(START_MS + days * DAY).unwrap();
    let cost = config.cost.clone();
    let mut sources = Sources::of_mesh(
        Arc::new(config),
        cost,
        Ledger::default(),
        Prices::default(),
        today,
    );

    for pair in [(0, 1), (1, 0)] {
        sources
            .round_trips_ms
            .insert((REGIONS[pair.0].into(), REGIONS[pair.1].into()), 40.0);
    }

    sources
}

/// The ledger of these rows of one bill.
fn imported(rows: &str, imported_ms: u64) -> Ledger {
    let head = "BillingPeriodStart,ChargePeriodStart,ProviderName,BillingAccountId,RegionId,\
        ServiceName,ServiceCategory,ChargeCategory,BillingCurrency,EffectiveCost,BilledCost,\
        ListCost\n";
    let mut importer = Importer::new(ImportOptions::default());

    importer.read("bill.csv", format!("{head}{rows}").as_bytes());
    let mut ledger = Ledger::default();
    for part in importer.finish().parts {
        let part = StoredPart::new(
            part.source,
            part.period,
            imported_ms,
            "test".into(),
            part.cells,
        )
        .unwrap();

        ledger.insert(Arc::new(part));
    }

    ledger
}
