//! Models that exist: where they are, what they are called, whether they are whole.

use super::*;
use crate::api::reply::ApiError;
use axum::response::IntoResponse;
use regionmesh_protocol::{
    clock::HybridTime,
    models::{
        catalogue::{AliasEntry, Catalogue},
        digest::Digest,
        manifest::{ModelName, VersionName, VersionSummary},
    },
    status::{
        Holdings,
        servability::{Outcome, Servability, VERSIONS_MAX, VersionServability, content_tag},
    },
};
use regionmesh_runtime::models::ModelError;

fn holding(versions: &[(&str, &str, Digest)], aliases: Vec<AliasEntry>) -> StatusEntry {
    let versions = versions.iter().map(|(model, version, content)| {
        (model.parse().unwrap(), version.parse().unwrap(), *content)
    });
    StatusEntry::Holdings(Holdings {
        versions: versions.collect(),
        aliases,
        ..Holdings::default()
    })
}

fn alias(version: &str, set_ms: u64, origin: &str) -> AliasEntry {
    AliasEntry {
        set: HybridTime {
            wall_ms: set_ms,
            counter: 0,
        },
        origin: origin.parse().unwrap(),
        model: "resnet".parse().unwrap(),
        alias: "production".parse().unwrap(),
        version: version.parse().unwrap(),
        by: format!("{origin}'s operator"),
    }
}

#[tokio::test]
async fn a_model_is_where_living_agents_say_it_is() {
    let fixture = Rig::start().await;
    let one = Digest::of(b"1");
    let two = Digest::of(b"2");
    let summary = VersionSummary {
        model: "resnet".parse().unwrap(),
        version: "1".parse().unwrap(),
        content: one,
        size: 10,
        published: HybridTime {
            wall_ms: 500,
            counter: 0,
        },
        origin: "eu-west-1".parse().unwrap(),
    };

    fixture.snapshots.catalogue.send_modify(|own| {
        let own = Arc::make_mut(own);
        own.versions.push(summary);
        own.aliases.push(alias("1", 10, "us-west-2"));
    });

    // Two agents of a region speak for one region; what an agent says of its own region does not
    // count over the store.
    fixture.tell(
        "us-west-2/node-1",
        true,
        vec![holding(&[("gone", "1", one)], vec![])],
    );

    for agent in ["eu-west-1/node-0", "eu-west-1/node-1"] {
        let held = holding(
            &[("resnet", "1", one), ("resnet", "2", two)],
            vec![alias("2", 11, "eu-west-1")],
        );
        fixture.tell(agent, true, vec![held]);
    }

    fixture.tell(
        "ap-south-1/node-0",
        false,
        vec![holding(&[("resnet", "1", one), ("bert", "1", two)], vec![])],
    );

    let models = fixture.get("/v1/models").await.ok(200).json();
    let expected = json!({
        "model": "resnet",
        "versions": [
            {
                "version": "1", "content": one.to_string(), "size": 10, "published_ms": 500,
                "origin": "eu-west-1", "regions": ["eu-west-1", "us-west-2"],
                "servable": [], "unservable": [], "untested": [],
            },
            {
                "version": "2", "content": two.to_string(), "size": null, "published_ms": null,
                "origin": null, "regions": ["eu-west-1"],
                "servable": [], "unservable": [], "untested": [],
            },
        ],
        // What another region says of an alias is not believed before it came over with proof.
        "aliases": [{ "alias": "production", "version": "1", "set_ms": 10, "by": "us-west-2's operator" }],
    });

    assert_eq!(models, json!({ "models": [expected] }));
    assert_eq!(
        fixture.get("/v1/models/resnet").await.ok(200).json(),
        expected
    );
    assert_eq!(
        fixture.get("/v1/status").await.ok(200).json()["models"],
        models["models"]
    );

    assert!(
        fixture
            .get("/v1/models/bert")
            .await
            .error(404)
            .contains("bert")
    );
    // Known elsewhere, not held here: its files can't be shown, and it can be promoted and deleted.
    fixture.get("/v1/models/resnet/versions/2").await.error(404);
    fixture
        .post(
            "/v1/models/resnet/versions/2/promote",
            r#"{"alias":"canary","force":true}"#,
        )
        .await
        .ok(200);
}

#[tokio::test]
async fn an_alias_is_set_and_told_with_who_set_it() {
    let fixture = Rig::start().await;
    fixture.publish("resnet", "1", "weights").await;

    let promote = "/v1/models/resnet/versions/1/promote";
    let set = fixture
        .post(promote, r#"{"alias":"production","by":"ada","force":true}"#)
        .await
        .ok(200)
        .json();
    let mut set = set;

    // Nobody is alive there, and nobody is here: forced it is set, with a warning for each region.
    assert_eq!(
        set.as_object_mut()
            .unwrap()
            .remove("warnings")
            .unwrap()
            .as_array()
            .unwrap()
            .len(),
        3
    );

    assert_eq!(
        (&set["alias"], &set["version"], &set["by"]),
        (&json!("production"), &json!("1"), &json!("ada"))
    );

    fixture
        .catalogued(|catalogue| !catalogue.aliases.is_empty())
        .await;
    assert_eq!(
        fixture.get("/v1/models/resnet").await.ok(200).json()["aliases"],
        json!([set])
    );

    for body in [
        "",
        "{}",
        r#"{"alias":"../x"}"#,
        r#"{"alias":""}"#,
        r#"{"alias":"a+conflict.eu-west-1"}"#,
        "nonsense",
    ] {
        fixture.post(promote, body).await.error(400);
    }

    let long = json!({ "alias": "production", "by": "x".repeat(1_025) }).to_string();
    fixture.post(promote, long).await.error(400);

    let unknown = fixture
        .post(
            "/v1/models/resnet/versions/2/promote",
            r#"{"alias":"production"}"#,
        )
        .await;

    assert!(unknown.error(404).contains("resnet@2"));
}

#[tokio::test]
async fn what_was_just_published_may_be_promoted_and_deleted_before_the_replicator_has_read_the_store()
 {
    let fixture = Rig::start().await;
    fixture.reader.abort();

    let upload = fixture.begin("resnet", "1").await;
    fixture.add(&upload, "model.onnx", "weights").await.ok(201);
    fixture.commit(&upload).await.ok(200);
    assert!(fixture.snapshots.catalogue.borrow().versions.is_empty());

    let early = fixture
        .post(
            "/v1/models/resnet/versions/1/promote",
            r#"{"alias":"production"}"#,
        )
        .await
        .error(409);

    assert!(
        early.contains("0 of 3 regions can serve it, 2 are needed"),
        "{early}"
    );

    fixture
        .post(
            "/v1/models/resnet/versions/1/promote",
            r#"{"alias":"production","force":true}"#,
        )
        .await
        .ok(200);

    fixture
        .post("/v1/models/resnet/versions/1/delete?force=true", "")
        .await
        .ok(200);
    fixture
        .post(
            "/v1/models/resnet/versions/1/promote",
            r#"{"alias":"production"}"#,
        )
        .await
        .error(404);
}

#[tokio::test]
async fn a_damaged_version_is_found_and_named() {
    let fixture = Rig::start().await;
    let committed = fixture.publish("resnet", "1", "weights").await;
    let verify = "/v1/models/resnet/versions/1/verify";

    assert_eq!(fixture.post(verify, "").await.ok(200).json(), committed);
    std::fs::write(
        fixture.dir.path().join("store/models/resnet/1/model.onnx"),
        "weighty",
    )
    .unwrap();

    let error = fixture.post(verify, "").await.error(422);
    assert!(
        error.contains("resnet@1 is damaged") && error.contains("model.onnx"),
        "{error}"
    );

    fixture
        .post("/v1/models/resnet/versions/2/verify", "")
        .await
        .error(404);
}

#[tokio::test]
async fn a_deleted_version_is_gone_and_its_name_is_not_reused_by_accident() {
    let fixture = Rig::start().await;
    fixture.publish("resnet", "1", "weights").await;

    let delete = "/v1/models/resnet/versions/1/delete";
    assert!(
        fixture.post(delete, "").await.ok(200).json()["done"]
            .as_str()
            .unwrap()
            .contains("resnet@1")
    );

    fixture
        .catalogued(|catalogue| catalogue.versions.is_empty() && !catalogue.tombstones.is_empty())
        .await;
    fixture.get("/v1/models/resnet/versions/1").await.error(404);
    fixture.post(delete, "").await.error(404);
    assert!(
        !fixture
            .dir
            .path()
            .join("store/models/resnet/1/model.onnx")
            .exists()
    );

    // The name never stands for other content; what it stood for may come back.
    let upload = fixture.begin("resnet", "1").await;
    fixture
        .add(&upload, "model.onnx", "other weights")
        .await
        .ok(201);
    assert!(
        fixture
            .commit(&upload)
            .await
            .error(409)
            .contains("was deleted")
    );
    fixture.publish("resnet", "1", "weights").await;
    fixture.get("/v1/models/resnet/versions/1").await.ok(200);
}

#[tokio::test]
async fn a_version_that_an_alias_names_is_deleted_by_force_alone() {
    let fixture = Rig::start().await;
    fixture.publish("resnet", "1", "weights").await;
    fixture
        .post(
            "/v1/models/resnet/versions/1/promote",
            r#"{"alias":"production","force":true}"#,
        )
        .await
        .ok(200);

    let delete = "/v1/models/resnet/versions/1/delete";
    assert!(
        fixture
            .post(delete, "")
            .await
            .error(409)
            .contains("production")
    );
    fixture.get("/v1/models/resnet/versions/1").await.ok(200);

    let done = fixture
        .post(&format!("{delete}?force=true"), "")
        .await
        .ok(200)
        .json();

    assert!(
        done["done"]
            .as_str()
            .unwrap()
            .contains("production names nothing now"),
        "{done}"
    );
}

#[test]
fn a_full_disk_is_told_apart_from_other_failures() {
    let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
    let status = |error: ModelError| ApiError::from(error).into_response().status().as_u16();
    assert_eq!(
        status(ModelError::io("write", std::path::Path::new("/x"), full)),
        507
    );

    let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
    assert_eq!(
        status(ModelError::io("write", std::path::Path::new("/x"), denied)),
        503
    );
}

#[tokio::test]
async fn a_version_is_promoted_once_most_regions_have_run_it_and_refused_with_the_reasons_before() {
    let fixture = Rig::start().await;
    fixture.publish("resnet", "1", "weights").await;
    fixture
        .catalogued(|catalogue| !catalogue.versions.is_empty())
        .await;

    let content = fixture.snapshots.catalogue.borrow().versions[0].content;
    let model: ModelName = "resnet".parse().unwrap();
    let version: VersionName = "1".parse().unwrap();
    let held = Holdings {
        versions: vec![(model.clone(), version.clone(), content)],
        ..Holdings::default()
    };
    let tell = |agent: &str, outcome: Option<Outcome>| {
        let versions = outcome.map(|outcome| VersionServability {
            model: model.clone(),
            version: version.clone(),
            content_tag: content_tag(&content),
            outcome,
        });

        let servability = Servability {
            versions: versions.into_iter().collect(),
            unserved: vec![],
        };

        fixture.tell(
            agent,
            true,
            vec![
                StatusEntry::Holdings(held.clone()),
                StatusEntry::Servability(servability),
            ],
        );
    };

    let bad = Outcome::Unservable {
        reason: "operator Frobnicate".into(),
        is_quarantined: false,
    };

    tell("us-west-2/node-0", Some(Outcome::Servable));
    tell("eu-west-1/node-0", None);
    tell("ap-south-1/node-0", Some(bad.clone()));

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

    tell("eu-west-1/node-0", Some(Outcome::Servable));
    let set = promote(r#"{"alias":"production"}"#).await.ok(200).json();
    assert_eq!(
        set["warnings"],
        json!(["ap-south-1: can't be served: operator Frobnicate"])
    );

    let shown = fixture.get("/v1/models/resnet").await.ok(200).json();
    assert_eq!(
        shown["versions"][0]["unservable"],
        json!([{"region": "ap-south-1", "reason": "operator Frobnicate"}])
    );

    tell("eu-west-1/node-0", Some(bad));
    // At once: no majority is left to wait for.
    let never = promote(r#"{"alias":"production","wait_ms":60000}"#)
        .await
        .error(409);
    assert!(never.contains("can't be promoted: 1 of 3"), "{never}");
}

#[tokio::test]
async fn a_version_older_than_the_newest_that_agents_publish_is_held_and_may_be_promoted() {
    let fixture = Rig::start().await;
    fixture.reader.abort();

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

    let catalogue = Catalogue {
        versions: (0..=VERSIONS_MAX).map(version).collect(),
        ..Catalogue::default()
    };
    let newest = || catalogue.versions.iter().rev().take(VERSIONS_MAX).cloned();
    let versions = newest()
        .map(|held| (held.model, held.version, held.content))
        .collect();
    let version_count = catalogue.versions.len() as u64;

    let held = Holdings {
        versions,
        version_count,
        ..Holdings::default()
    };
    let tell = |agent: &str, oldest: Option<Outcome>| {
        let outcome = |held: VersionSummary, outcome| VersionServability {
            model: held.model,
            version: held.version,
            content_tag: content_tag(&held.content),
            outcome,
        };
        let oldest = oldest.map(|oldest| outcome(catalogue.versions[0].clone(), oldest));
        let newest = newest().map(|held| outcome(held, Outcome::Servable));
        let servability = Servability::bounded(oldest.into_iter().chain(newest), vec![]);

        fixture.tell(
            agent,
            true,
            vec![
                StatusEntry::Holdings(held.clone()),
                StatusEntry::Servability(servability),
            ],
        );
    };

    let regions = ["us-west-2", "eu-west-1", "ap-south-1"];
    regions
        .iter()
        .for_each(|region| tell(&format!("{region}/node-0"), None));
    fixture
        .snapshots
        .catalogue
        .send_replace(Arc::new(catalogue.clone()));

    let promote = || {
        fixture.post(
            "/v1/models/resnet/versions/0/promote",
            r#"{"alias":"production"}"#,
        )
    };

    assert!(
        promote()
            .await
            .error(409)
            .contains("eu-west-1: not replicated yet")
    );

    fixture.snapshots.peer_catalogues.send_modify(|known| {
        let read = regions[1..]
            .iter()
            .map(|region| (region.parse().unwrap(), Arc::new(catalogue.clone())));
        *known = Arc::new(read.collect());
    });

    let warnings = promote().await.ok(200).json()["warnings"].clone();
    assert_eq!(warnings.as_array().unwrap().len(), 3, "{warnings}");
    assert!(
        warnings
            .to_string()
            .contains("published for the 256 newest only"),
        "{warnings}"
    );

    let shown = fixture.get("/v1/models/resnet").await.ok(200).json();
    let oldest = shown["versions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|version| version["version"] == "0");

    assert_eq!(
        oldest.unwrap()["regions"],
        json!(["ap-south-1", "eu-west-1", "us-west-2"])
    );

    let reason = "operator Frobnicate".to_owned();
    tell(
        "eu-west-1/node-0",
        Some(Outcome::Unservable {
            reason,
            is_quarantined: false,
        }),
    );

    assert!(
        promote()
            .await
            .error(409)
            .contains("eu-west-1: can't be served: operator Frobnicate")
    );
}

#[tokio::test]
async fn versions_and_aliases_of_a_model_never_share_a_name() {
    let fixture = Rig::start().await;
    fixture.publish("resnet", "1", "weights").await;

    let promote = "/v1/models/resnet/versions/1/promote";
    assert!(
        fixture
            .post(promote, r#"{"alias":"1","force":true}"#)
            .await
            .error(409)
            .contains("has a version 1")
    );

    fixture
        .post(promote, r#"{"alias":"canary","force":true}"#)
        .await
        .ok(200);
    fixture
        .catalogued(|catalogue| !catalogue.aliases.is_empty())
        .await;

    for name in ["canary", "production"] {
        let refused = fixture
            .post(&format!("/v1/models/resnet/versions/{name}/uploads"), "{}")
            .await
            .error(409);
        assert!(refused.contains("is an alias of resnet"), "{refused}");
    }
}
