//! A version published in one region is verified in all and served by all; what is not so any more disappears from all.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use regionmesh::cli::up::measure::Load;
use regionmesh_tests::{
    mesh::TestMesh,
    models::{iris_one, iris_two, is_answer_of, question},
    wait::{claim, seconds, until},
};
use serde_json::json;
use std::time::Duration;

const ALL: [usize; 3] = [0, 1, 2];
/// Requests to each region while versions are swapped to and fro.
const SAMPLES: usize = 100;

async fn publish(mesh: &TestMesh, region: usize, version: &str, onnx: Vec<u8>) {
    let (code, answer) = mesh.api(region).publish("iris", version, &[("model.onnx", onnx)]).await.unwrap();
    assert_eq!(code, 200, "{answer}");
}

/// Every region holds the version, as every region knows, and all have verified it.
async fn held_by_all(mesh: &TestMesh, version: &str) {
    for region in ALL {
        let api = mesh.api(region);
        until(&format!("iris@{version} everywhere, seen from {}", mesh.region(region)), seconds(20), async || {
            let holders = api.holders("iris", version).await?;
            claim(holders.len() == 3, || format!("{holders:?}"))
        })
        .await;
        let (code, answer) = api.post(&format!("/v1/models/iris/versions/{version}/verify"), &json!({})).await.unwrap();
        assert_eq!(code, 200, "{answer}");
    }
}

/// Every region answers the default version's question with the numbers of `version`.
async fn answered_by_all(mesh: &TestMesh, version: &str) {
    for region in ALL {
        let api = mesh.api(region);
        until(&format!("{} answers with version {version}", mesh.region(region)), seconds(20), async || {
            let (answering, numbers) = api.infer("/v2/models/iris/infer", &question()).await?;
            claim(answering == version && is_answer_of(version, &numbers), || format!("{answering}: {numbers:?}"))
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_published_in_one_region_is_verified_and_served_in_all() {
    let mesh = TestMesh::start(0).await;
    publish(&mesh, 0, "1", iris_one()).await;
    held_by_all(&mesh, "1").await;
    answered_by_all(&mesh, "1").await;
    // The same again is no change, whoever says it; other content under the same name is refused, wherever.
    publish(&mesh, 1, "1", iris_one()).await;
    for region in ALL {
        let refused = mesh.api(region).publish("iris", "1", &[("model.onnx", iris_two())]).await.unwrap();
        assert_eq!(refused.0, 409, "{}", refused.1);
    }
    answered_by_all(&mesh, "1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_swaps_versions_without_a_failed_request_and_deletion_reaches_all() {
    let mesh = TestMesh::start(1).await;
    publish(&mesh, 0, "1", iris_one()).await;
    let (code, answer) = mesh.api(0).promote("iris", "1", "production").await.unwrap();
    assert_eq!(code, 200, "{answer}");
    publish(&mesh, 1, "2", iris_two()).await;
    held_by_all(&mesh, "2").await;
    answered_by_all(&mesh, "1").await;

    let load = |region: usize| {
        let url = format!("http://{}/v2/models/iris/infer", mesh.agent(region).serving());
        Load::start(url, question(), Duration::from_millis(20)).unwrap()
    };
    let loads = ALL.map(load);
    while loads.iter().any(|load| load.samples().len() < SAMPLES) {
        for (region, version) in [(2, "2"), (1, "1")] {
            let (code, answer) = mesh.api(region).promote("iris", version, "production").await.unwrap();
            assert_eq!(code, 200, "{answer}");
            answered_by_all(&mesh, version).await;
        }
    }
    for load in loads {
        let samples = load.finish().await;
        let failed: Vec<_> = samples.iter().filter(|sample| sample.outcome.is_err()).collect();
        assert!(failed.is_empty(), "{} of {}: {failed:?}", failed.len(), samples.len());
    }

    // Version 2 serves no alias; then it is gone, everywhere, and stays gone.
    let (code, answer) = mesh.api(0).post("/v1/models/iris/versions/2/delete", &json!({})).await.unwrap();
    assert_eq!(code, 200, "{answer}");
    for region in ALL {
        let api = mesh.api(region);
        until(&format!("iris@2 gone, seen from {}", mesh.region(region)), seconds(20), async || {
            let holders = api.holders("iris", "2").await?;
            claim(holders.is_empty(), || format!("still held by {holders:?}"))?;
            let (code, answer) = api.get("/v1/models/iris/versions/2").await?;
            claim(code == 404, || format!("{code}: {answer}"))?;
            let still = api.infer("/v2/models/iris/versions/2/infer", &question()).await;
            claim(still.as_ref().is_err_and(|error| error.contains(" answered 404")), || format!("{still:?}"))
        })
        .await;
    }
    answered_by_all(&mesh, "1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_was_away_catches_up_with_publication_alias_and_deletion() {
    let mesh = TestMesh::start(2).await;
    publish(&mesh, 0, "0", iris_two()).await;
    publish(&mesh, 0, "1", iris_one()).await;
    held_by_all(&mesh, "0").await;
    held_by_all(&mesh, "1").await;
    mesh.kill_region(2).await;
    publish(&mesh, 1, "2", iris_two()).await;
    for (what, version) in [("promote", "1"), ("delete", "0")] {
        let path = format!("/v1/models/iris/versions/{version}/{what}");
        let body = if what == "promote" { json!({ "alias": "production" }) } else { json!({}) };
        let (code, answer) = mesh.api(0).post(&path, &body).await.unwrap();
        assert_eq!(code, 200, "{what}: {answer}");
    }
    mesh.revive(2).await;
    held_by_all(&mesh, "2").await;
    answered_by_all(&mesh, "1").await;
    let api = mesh.api(2);
    until("the deletion is heard of", seconds(20), async || {
        let (code, answer) = api.get("/v1/models/iris/versions/0").await?;
        claim(code == 404, || format!("{code}: {answer}"))
    })
    .await;
}
