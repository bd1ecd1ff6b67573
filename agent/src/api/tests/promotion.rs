//! Promotion: which versions may be promoted, and when.

use super::*;
use regionmesh_protocol::{
    clock::HybridTime,
    models::{
        catalogue::Catalogue,
        digest::Digest,
        manifest::{ModelName, VersionName, VersionSummary},
    },
    status::{
        Holdings,
        servability::{Outcome, Servability, VERSIONS_MAX, VersionServability, content_tag},
    },
};

/// What an agent publishes that holds one version and has tested it, if it has.
fn tested(
    (model, version, content): (ModelName, VersionName, Digest),
    outcome: Option<Outcome>,
) -> Vec<StatusEntry> {
    let held = Holdings {
        versions: vec![(model.clone(), version.clone(), content)],
        ..Holdings::default()
    };
    let versions = outcome.map(|outcome| VersionServability {
        model,
        version,
        content_tag: content_tag(&content),
        outcome,
    });

    let servability = Servability {
        versions: versions.into_iter().collect(),
        unserved: vec![],
    };

    vec![
        StatusEntry::Holdings(held),
        StatusEntry::Servability(servability),
    ]
}

#[tokio::test]
async fn a_version_is_promoted_once_a_majority_has_run_it_and_refused_with_reasons_before() {
    let fixture = Fixture::start().await;
    fixture.publish("resnet", "1", "weights").await;
    fixture
        .catalogued(|catalogue| !catalogue.versions.is_empty())
        .await;

    let content = fixture.snapshots.catalogue.borrow().versions[0].content;
    let model: ModelName = "resnet".parse().unwrap();
    let version: VersionName = "1".parse().unwrap();
    let set_outcome = |agent: &str, outcome: Option<Outcome>| {
        let version = (model.clone(), version.clone(), content);
        fixture.set_status(agent, true, tested(version, outcome));
    };

    let bad = Outcome::Unservable {
        reason: "operator Frobnicate".into(),
        is_quarantined: false,
    };

    set_outcome("us-west-2/node-0", Some(Outcome::Servable));
    set_outcome("eu-west-1/node-0", None);
    set_outcome("ap-south-1/node-0", Some(bad.clone()));

    let promote = |body: &'static str| fixture.post("/v1/models/resnet/versions/1/promote", body);
    let early = promote(r#"{"alias":"production","wait_ms":10}"#)
        .await
        .error(409);

    for part in [
        "can't be promoted yet: 1 of 3",
        "eu-west-1: not tested yet",
        "ap-south-1: can't be served: operator Frob",
    ] {
        assert!(early.contains(part), "{part}: {early}");
    }

    set_outcome("eu-west-1/node-0", Some(Outcome::Servable));
    let set = promote(r#"{"alias":"production"}"#).await.ok(200).json();
    assert_eq!(
        set["warnings"],
        json!(["ap-south-1: can't be served: operator Frobnicate"])
    );

    let answer = fixture.read("/v1/models/resnet").await;
    assert_eq!(
        answer["versions"][0]["unservable"],
        json!([{"region": "ap-south-1", "reason": "operator Frobnicate"}])
    );

    set_outcome("eu-west-1/node-0", Some(bad));
    // Without a wait: a majority is no longer possible.
    let never = promote(r#"{"alias":"production","wait_ms":60000}"#)
        .await
        .error(409);
    assert!(never.contains("can't be promoted: 1 of 3"), "{never}");
}

/// A catalogue with one version more than agents publish.
fn long_catalogue() -> Catalogue {
    let version = |number: usize| VersionSummary {
        model: "resnet".parse().unwrap(),
        version: number.to_string().parse().unwrap(),
        content: Digest::of(b"1"),
        size: 1,
        published: HybridTime {
            wall_ms: number as u64,
            counter: 0,
        },
        origin: "eu-west-1".parse().unwrap(),
    };

    Catalogue {
        versions: (0..=VERSIONS_MAX).map(version).collect(),
        ..Catalogue::default()
    }
}

/// What an agent publishes of a long catalogue: its newest versions, all servable, and the outcome
/// of the oldest, if it has tested that.
fn newest_published(catalogue: &Catalogue, oldest: Option<Outcome>) -> Vec<StatusEntry> {
    let newest = || catalogue.versions.iter().rev().take(VERSIONS_MAX).cloned();
    let versions = newest()
        .map(|held| (held.model, held.version, held.content))
        .collect();
    let held = Holdings {
        versions,
        version_count: catalogue.versions.len() as u64,
        ..Holdings::default()
    };

    let outcome = |held: VersionSummary, outcome| VersionServability {
        model: held.model,
        version: held.version,
        content_tag: content_tag(&held.content),
        outcome,
    };
    let oldest = oldest.map(|oldest| outcome(catalogue.versions[0].clone(), oldest));
    let newest = newest().map(|held| outcome(held, Outcome::Servable));
    let servability = Servability::bounded(oldest.into_iter().chain(newest), vec![]);

    vec![
        StatusEntry::Holdings(held),
        StatusEntry::Servability(servability),
    ]
}

async fn promote_oldest(fixture: &Fixture) -> Reply {
    fixture.promote("0", r#"{"alias":"production"}"#).await
}

#[tokio::test]
async fn a_version_older_than_the_newest_that_agents_publish_is_held_and_may_be_promoted() {
    let fixture = Fixture::start().await;
    fixture.reader.abort();

    let catalogue = long_catalogue();
    let set_oldest = |agent: &str, oldest: Option<Outcome>| {
        fixture.set_status(agent, true, newest_published(&catalogue, oldest));
    };

    let regions = ["us-west-2", "eu-west-1", "ap-south-1"];
    regions
        .iter()
        .for_each(|region| set_oldest(&format!("{region}/node-0"), None));
    fixture
        .snapshots
        .catalogue
        .send_replace(Arc::new(catalogue.clone()));

    promote_oldest(&fixture)
        .await
        .refused(409, "eu-west-1: not replicated yet");

    fixture.snapshots.peer_catalogues.send_modify(|known| {
        let read = regions[1..]
            .iter()
            .map(|region| (region.parse().unwrap(), Arc::new(catalogue.clone())));
        *known = Arc::new(read.collect());
    });

    let warnings = promote_oldest(&fixture).await.ok(200).json()["warnings"].clone();
    assert_eq!(warnings.as_array().unwrap().len(), 3, "{warnings}");
    assert!(
        warnings
            .to_string()
            .contains("published for the 256 newest only"),
        "{warnings}"
    );

    let answer = fixture.read("/v1/models/resnet").await;
    let oldest = answer["versions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|version| version["version"] == "0");

    assert_eq!(
        oldest.unwrap()["regions"],
        json!(["ap-south-1", "eu-west-1", "us-west-2"])
    );

    let reason = "operator Frobnicate".to_owned();
    set_oldest(
        "eu-west-1/node-0",
        Some(Outcome::Unservable {
            reason,
            is_quarantined: false,
        }),
    );

    promote_oldest(&fixture)
        .await
        .refused(409, "eu-west-1: can't be served: operator Frobnicate");
}
