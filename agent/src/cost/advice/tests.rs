#![allow(clippy::unwrap_used)]

use super::*;
use crate::{config::fixture, replication_adapters::publisher, snapshots::Snapshots};
use regionmesh_cost::{Amount, Baseline, BaselineName, Saving};
use regionmesh_replication::HybridClock;
use regionmesh_store::{ModelStore, Settings};
use std::{collections::BTreeMap, sync::Arc};
use time::macros::date;

fn found(id: &str) -> Recommendations {
    let made = serde_json::json!({
        "id": id, "kind": "idle", "title": "", "proposal": { "change": "delete", "copies": [] },
        "baseline": { "name": "current", "monthly_cost": "1" },
        "saving": { "expected": "1", "low": "1", "high": "1" },
        "evidence": { "window_days": 14, "rows": 1, "price_date": "2026-09-01" },
        "constraints": [], "risk": { "level": "low", "why": "" }, "reversibility": "",
        "command": "", "verify_after": "2026-10-07",
    });

    Recommendations {
        generated_at: String::new(),
        baseline: Baseline {
            name: BaselineName::Current,
            monthly_cost: Amount::ZERO,
        },
        currency: Currency::USD,
        total_saving: Saving::default(),
        proposal_cost: Amount::ZERO,
        recommendations: vec![serde_json::from_value(made).unwrap()],
        comparisons: Vec::new(),
        notes: Vec::new(),
    }
}

#[tokio::test]
async fn advice_is_added_to_the_bucket_and_never_replaces_an_unreadable_document() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("file://{}/store", dir.path().display());
    let store = Arc::new(ModelStore::new(
        regionmesh_store::open(&Settings {
            url,
            options: BTreeMap::new(),
        })
        .unwrap(),
    ));

    let mut config = fixture::config(&[("eu-west-1", "192.0.2.1")], "");
    config.data_dir = dir.path().into();

    let clock = HybridClock::default();
    let publisher = publisher(&config, &store, &clock, &Snapshots::default(), None).unwrap();

    let archive = Archive {
        store,
        publisher,
        clock,
        region: "eu-west-1".parse().unwrap(),
        staging: dir.path().join("cost"),
    };

    let held = async || {
        let catalogue = archive.store.catalogue().await.unwrap();
        let held = sort(&catalogue).0[&Slot::only(Kind::Advice)].clone();
        archive.read(&held).await.unwrap()
    };
    let today = date!(2026 - 09 - 20);

    Advice::record(&archive, "n", &found("a"), today)
        .await
        .unwrap();
    Advice::record(&archive, "n", &found("b"), today)
        .await
        .unwrap();

    let advice = Advice::decode(&held().await).unwrap();
    let ids: Vec<_> = advice
        .iter()
        .map(|made| made.recommendation.id.as_str())
        .collect();

    assert_eq!(ids, ["a", "b"]);

    archive
        .put(
            &Slot::only(Kind::Advice),
            "n",
            Vec::new(),
            b"of a later release".to_vec(),
        )
        .await
        .unwrap();

    assert!(matches!(
        Advice::record(&archive, "n", &found("c"), today).await,
        Err(AdviceError::Malformed(_))
    ));

    assert_eq!(&*held().await, b"of a later release");
}
