//! A version published in one region is verified in all and served by all; a deleted one disappears
//! from all.

use regionmesh::local_mesh::measure::Load;
use regionmesh_tests::{
    load::finish_without_failure,
    mesh::TestMesh,
    models::{iris_one, iris_two, question},
    wait::{claim, seconds, until},
};
use serde_json::json;
use std::time::Duration;

const ALL: [usize; 3] = [0, 1, 2];
/// Requests to each region while versions are swapped back and forth.
const SAMPLES: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn a_version_published_in_one_region_is_verified_and_served_in_all() {
    let mesh = TestMesh::start().await;
    mesh.publish_iris(0, "1", iris_one()).await;
    mesh.until_held_by_all("1").await;
    mesh.until_answered_by_all("1").await;

    // Publishing the same content again changes nothing, from any region; other content under the
    // same name is refused everywhere.
    mesh.publish_iris(1, "1", iris_one()).await;
    for region in ALL {
        let refused = mesh
            .api(region)
            .publish("iris", "1", &[("model.onnx", iris_two())])
            .await
            .unwrap();

        assert_eq!(refused.0, 409, "{}", refused.1);
    }

    mesh.until_answered_by_all("1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_swaps_versions_without_a_failed_request_and_deletion_reaches_all() {
    let mesh = TestMesh::start().await;
    mesh.publish_iris(0, "1", iris_one()).await;
    mesh.promote_iris(0, "1").await;
    mesh.publish_iris(1, "2", iris_two()).await;
    mesh.until_held_by_all("2").await;
    mesh.until_answered_by_all("1").await;

    let load = |region: usize| {
        let url = format!(
            "http://{}/v2/models/iris/infer",
            mesh.agent(region).serving()
        );
        Load::start(url, question(), Duration::from_millis(20)).unwrap()
    };
    let loads = ALL.map(load);

    while loads.iter().any(|load| load.samples().len() < SAMPLES) {
        for (region, version) in [(2, "2"), (1, "1")] {
            mesh.promote_iris(region, version).await;
            mesh.until_answered_by_all(version).await;
        }
    }

    for load in loads {
        finish_without_failure(load).await;
    }

    delete_and_await_absence(&mesh).await;

    mesh.until_answered_by_all("1").await;
}

/// Version 2 serves no alias; then it is gone, everywhere, and stays gone.
async fn delete_and_await_absence(mesh: &TestMesh) {
    mesh.api(0)
        .done("/v1/models/iris/versions/2/delete", &json!({}))
        .await;
    for region in ALL {
        let api = mesh.api(region);
        until(
            &format!("iris@2 gone, seen from {}", mesh.region(region)),
            seconds(20),
            async || {
                let holders = api.holders("iris", "2").await?;
                claim(holders.is_empty(), || format!("still held by {holders:?}"))?;

                let (code, answer) = api.get("/v1/models/iris/versions/2").await?;
                claim(code == 404, || format!("{code}: {answer}"))?;

                let still = api
                    .infer("/v2/models/iris/versions/2/infer", &question())
                    .await;
                claim(
                    still
                        .as_ref()
                        .is_err_and(|error| error.contains(" answered 404")),
                    || format!("{still:?}"),
                )
            },
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_was_down_catches_up_with_publication_alias_and_deletion() {
    let mesh = TestMesh::start().await;
    mesh.publish_iris(0, "0", iris_two()).await;
    mesh.publish_iris(0, "1", iris_one()).await;
    mesh.until_held_by_all("0").await;
    mesh.until_held_by_all("1").await;
    mesh.kill_region(2).await;
    mesh.publish_iris(1, "2", iris_two()).await;
    for (what, version) in [("promote", "1"), ("delete", "0")] {
        let path = format!("/v1/models/iris/versions/{version}/{what}");
        let body = if what == "promote" {
            json!({ "alias": "production", "wait_ms": 20_000 })
        } else {
            json!({})
        };
        let (code, answer) = mesh.api(0).post(&path, &body).await.unwrap();

        assert_eq!(code, 200, "{what}: {answer}");
    }

    mesh.revive(2).await;
    mesh.until_held_by_all("2").await;
    mesh.until_answered_by_all("1").await;

    let api = mesh.api(2);
    until("the deletion has arrived", seconds(20), async || {
        let (code, answer) = api.get("/v1/models/iris/versions/0").await?;
        claim(code == 404, || format!("{code}: {answer}"))
    })
    .await;
}
