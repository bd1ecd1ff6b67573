//! Stored models without requests.

use super::{DAY, REGIONS, START_MS, sources};
use crate::cost::{answers::recommendations, observe::Holdings, questions::RecommendationOptions};
use regionmesh_cost::{Recommendation, RecommendationKind, Recommendations};
use regionmesh_protocol::{
    clock::HybridTime,
    models::{catalogue::Catalogue, digest::Digest, manifest::VersionSummary},
};
use std::sync::Arc;

fn held(model: &str, days_ago: u64, today_ms: u64) -> VersionSummary {
    VersionSummary {
        model: model.parse().unwrap(),
        version: "1".parse().unwrap(),
        content: Digest::of(model.as_bytes()),
        size: 100 << 30,
        published: HybridTime {
            wall_ms: today_ms - days_ago * DAY,
            counter: 0,
        },
        origin: REGIONS[0].parse().unwrap(),
    }
}

fn held_everywhere(versions: Vec<VersionSummary>) -> Holdings {
    let catalogue = Arc::new(Catalogue {
        versions,
        ..Catalogue::default()
    });

    REGIONS
        .map(|name| (name.parse().unwrap(), catalogue.clone()))
        .into()
}

fn of_kind(found: &Recommendations, kind: RecommendationKind) -> Vec<&Recommendation> {
    found
        .recommendations
        .iter()
        .filter(|made| made.kind == kind)
        .collect()
}

#[test]
fn idle_models_are_named_with_the_cost_of_their_copies() {
    let mut sources = sources(20);
    let today_ms = START_MS + 20 * DAY;
    let versions = vec![
        held("busy", 90, today_ms),
        held("forgotten", 90, today_ms),
        held("new", 3, today_ms),
    ];

    sources.holdings = held_everywhere(versions);
    let found = recommendations(&RecommendationOptions::default(), &sources).unwrap();
    let idle = of_kind(&found, RecommendationKind::Idle);

    assert_eq!(idle.len(), 1, "{:?}", found.recommendations);
    // 100 GiB at 0.023 and 0.02 USD a month.
    assert_eq!(idle[0].saving.expected.to_string(), "4.3");
    assert_eq!(idle[0].command, "regionmesh models delete forgotten 1");
    assert!(of_kind(&found, RecommendationKind::Replication).is_empty());
}

#[test]
fn unobserved_days_make_no_model_idle() {
    let mut sources = sources(5);
    let versions = vec![held("forgotten", 90, START_MS + 5 * DAY)];
    sources.holdings = held_everywhere(versions);
    let found = recommendations(&RecommendationOptions::default(), &sources).unwrap();
    assert!(of_kind(&found, RecommendationKind::Idle).is_empty());
}
