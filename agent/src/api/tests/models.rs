//! Models that exist: where they are, what they are called, whether they are whole.

use super::*;
use crate::api::reply::ApiError;
use axum::response::IntoResponse;
use regionmesh_protocol::{
    clock::HybridTime,
    models::{catalogue::AliasEntry, digest::Digest, manifest::VersionSummary},
    status::Holdings,
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

/// Holds version `one` of resnet in this region, and lets other regions' agents report more.
fn hold_models(fixture: &Fixture, one: Digest, two: Digest) {
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

    // Two agents of a region count as one region; for the own region the store counts, not what
    // an agent reports.
    fixture.set_status(
        "us-west-2/node-1",
        true,
        vec![holding(&[("gone", "1", one)], vec![])],
    );

    for agent in ["eu-west-1/node-0", "eu-west-1/node-1"] {
        let held = holding(
            &[("resnet", "1", one), ("resnet", "2", two)],
            vec![alias("2", 11, "eu-west-1")],
        );
        fixture.set_status(agent, true, vec![held]);
    }

    fixture.set_status(
        "ap-south-1/node-0",
        false,
        vec![holding(&[("resnet", "1", one), ("bert", "1", two)], vec![])],
    );
}

#[tokio::test]
async fn a_model_is_held_where_live_agents_report_it() {
    let fixture = Fixture::start().await;
    let one = Digest::of(b"1");
    let two = Digest::of(b"2");
    hold_models(&fixture, one, two);

    let models = fixture.read("/v1/models").await;
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
        // Another region's alias does not count before it has been replicated with proof.
        "aliases": [{
            "alias": "production", "version": "1", "set_ms": 10, "by": "us-west-2's operator",
        }],
    });

    assert_eq!(models, json!({ "models": [expected] }));
    assert_eq!(fixture.read("/v1/models/resnet").await, expected);
    assert_eq!(fixture.read("/v1/status").await["models"], models["models"]);

    fixture.get("/v1/models/bert").await.refused(404, "bert");
    // Known elsewhere, not held here: its files can't be shown, and it can be promoted and deleted.
    fixture.get("/v1/models/resnet/versions/2").await.error(404);
    fixture
        .promote("2", r#"{"alias":"canary","force":true}"#)
        .await
        .ok(200);
}

#[tokio::test]
async fn an_alias_is_set_and_listed_with_its_author() {
    let fixture = Fixture::start().await;
    fixture.publish("resnet", "1", "weights").await;

    let promote = "/v1/models/resnet/versions/1/promote";
    let set = fixture
        .change(promote, r#"{"alias":"production","by":"ada","force":true}"#)
        .await;
    let mut set = set;

    // No agent is alive, so that promoting needs force and gives a warning for each region.
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
        fixture.read("/v1/models/resnet").await["aliases"],
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

    let unknown = fixture.promote("2", r#"{"alias":"production"}"#).await;

    unknown.refused(404, "resnet@2");
}

#[tokio::test]
async fn a_version_may_be_promoted_and_deleted_before_the_replicator_has_read_the_store() {
    let fixture = Fixture::start().await;
    fixture.reader.abort();

    let upload = fixture.begin("resnet", "1").await;
    fixture.add(&upload, "model.onnx", "weights").await.ok(201);
    fixture.commit(&upload).await.ok(200);
    assert!(fixture.snapshots.catalogue.borrow().versions.is_empty());

    let early = fixture
        .promote("1", r#"{"alias":"production"}"#)
        .await
        .error(409);

    assert!(
        early.contains("0 of 3 regions can serve it, 2 are needed"),
        "{early}"
    );

    fixture
        .promote("1", r#"{"alias":"production","force":true}"#)
        .await
        .ok(200);

    fixture
        .post("/v1/models/resnet/versions/1/delete?force=true", "")
        .await
        .ok(200);
    fixture
        .promote("1", r#"{"alias":"production"}"#)
        .await
        .error(404);
}

#[tokio::test]
async fn a_damaged_version_is_found_and_named() {
    let fixture = Fixture::start().await;
    let committed = fixture.publish("resnet", "1", "weights").await;
    let verify = "/v1/models/resnet/versions/1/verify";

    assert_eq!(fixture.change(verify, "").await, committed);
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
    let fixture = Fixture::start().await;
    fixture.publish("resnet", "1", "weights").await;

    let delete = "/v1/models/resnet/versions/1/delete";
    assert!(
        fixture.change(delete, "").await["done"]
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

    // The name is never reused for other content; the deleted content may come back.
    let upload = fixture.begin("resnet", "1").await;
    fixture
        .add(&upload, "model.onnx", "other weights")
        .await
        .ok(201);
    fixture.commit(&upload).await.refused(409, "was deleted");
    fixture.publish("resnet", "1", "weights").await;
    fixture.get("/v1/models/resnet/versions/1").await.ok(200);
}

#[tokio::test]
async fn a_version_that_an_alias_names_is_deleted_only_by_force() {
    let fixture = Fixture::start().await;
    fixture.publish("resnet", "1", "weights").await;
    fixture
        .promote("1", r#"{"alias":"production","force":true}"#)
        .await
        .ok(200);

    let delete = "/v1/models/resnet/versions/1/delete";
    fixture.post(delete, "").await.refused(409, "production");
    fixture.get("/v1/models/resnet/versions/1").await.ok(200);

    let done = fixture.change(&format!("{delete}?force=true"), "").await;

    assert!(
        done["done"]
            .as_str()
            .unwrap()
            .contains("production no longer names a version"),
        "{done}"
    );
}

#[test]
fn a_full_disk_is_distinguished_from_other_failures() {
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
async fn versions_and_aliases_of_a_model_never_share_a_name() {
    let fixture = Fixture::start().await;
    fixture.publish("resnet", "1", "weights").await;

    let promote = "/v1/models/resnet/versions/1/promote";
    fixture
        .post(promote, r#"{"alias":"1","force":true}"#)
        .await
        .refused(409, "has a version 1");

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
