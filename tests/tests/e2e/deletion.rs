//! Deletions of what is in use, names that stay reserved, deletions that were interrupted, and
//! publishers that race for a name.

use regionmesh_tests::{
    api::assert_refused,
    mesh::{Setup, TestMesh},
    models::{iris_one, iris_two, noise},
    s3::{ENVIRONMENT, Fault, S3},
    wait::{claim, seconds, until},
};
use serde_json::json;

const ALL: [usize; 3] = [0, 1, 2];

#[tokio::test(flavor = "multi_thread")]
async fn a_version_in_use_is_deleted_only_by_force_and_its_name_is_not_reused() {
    let mesh = TestMesh::start().await;
    mesh.publish_iris(0, "1", iris_one()).await;
    mesh.promote_iris(0, "1").await;
    mesh.publish_iris(1, "2", iris_two()).await;
    mesh.until_held_by_all("2").await;
    mesh.until_answered_by_all("1").await;

    assert_refused(
        mesh.api(1)
            .post("/v1/models/iris/versions/1/delete", &json!({}))
            .await
            .unwrap(),
        409,
        "production",
    );

    let unconfirmed = mesh.cli(&["models", "delete", "iris", "1"]).await;
    assert!(
        unconfirmed.code == Some(2) && unconfirmed.stderr.contains("--yes"),
        "{unconfirmed:?}"
    );

    let named = mesh.cli(&["models", "delete", "iris", "1", "--yes"]).await;
    assert!(
        named.code == Some(1) && named.stderr.contains("production"),
        "{named:?}"
    );

    mesh.until_answered_by_all("1").await;

    assert_names_mean_one_thing(&mesh).await;

    mesh.promote_iris(1, "2").await;
    mesh.until_answered_by_all("2").await;

    let deleted = mesh.cli(&["models", "delete", "iris", "1", "--yes"]).await;
    assert_eq!(deleted.code, Some(0), "{deleted:?}");

    let forced = mesh
        .cli(&["models", "delete", "iris", "2", "--yes", "--force"])
        .await;
    assert!(
        forced.code == Some(0) && forced.stdout.contains("no longer names a version"),
        "{forced:?}"
    );

    until_both_are_gone(&mesh).await;

    until_name_is_taken(&mesh).await;

    // The same content may come back.
    mesh.publish_iris(2, "1", iris_one()).await;
    mesh.until_held_by_all("1").await;
}

/// A name is either a version or an alias, and has one content.
async fn assert_names_mean_one_thing(mesh: &TestMesh) {
    assert_refused(
        mesh.api(2).promote("iris", "1", "2").await.unwrap(),
        409,
        "version 2",
    );

    assert_refused(
        mesh.api(2)
            .publish("iris", "production", &[("model.onnx", iris_two())])
            .await
            .unwrap(),
        409,
        "alias",
    );
}

async fn until_both_are_gone(mesh: &TestMesh) {
    for region in ALL {
        let api = mesh.api(region);
        until(
            &format!("both are gone from {}", mesh.region(region)),
            seconds(20),
            async || {
                for version in ["1", "2"] {
                    let (code, answer) = api
                        .get(&format!("/v1/models/iris/versions/{version}"))
                        .await?;
                    claim(code == 404, || format!("{code}: {answer}"))?;
                }

                Ok(())
            },
        )
        .await;
    }
}

async fn until_name_is_taken(mesh: &TestMesh) {
    for region in ALL {
        let api = mesh.api(region);
        until(
            &format!("the name is taken in {}", mesh.region(region)),
            seconds(20),
            async || {
                let (code, answer) = api
                    .publish("iris", "1", &[("model.onnx", iris_two())])
                    .await?;
                claim(
                    code == 409 && answer.to_string().contains("deleted"),
                    || format!("{code}: {answer}"),
                )
            },
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_interrupted_by_a_crash_is_finished_after_the_restart() {
    let s3 = S3::start().await;
    let mesh = TestMesh::prepare(Setup {
        environment: &ENVIRONMENT,
        ..Setup::default()
    })
    .await;
    let last = mesh.region(2).to_owned();

    mesh.configure(|config| {
        if config.region.as_str() == last {
            s3.configure(config);
        }
    });

    mesh.start().await.unwrap();
    mesh.publish_iris(0, "1", iris_one()).await;
    mesh.until_held_by_all("1").await;

    // The removal begins with a claim; that is held back, the record of the deletion is not.
    s3.fails(Fault::Held, &format!("{last}/claims/iris"));

    mesh.api(0)
        .done("/v1/models/iris/versions/1/delete", &json!({}))
        .await;
    until("the deletion is recorded", seconds(20), async || {
        let recorded = s3.keys(&format!("{last}/tombstones/iris/"));
        claim(!recorded.is_empty(), || "no record".into())
    })
    .await;

    mesh.kill_region(2).await;
    s3.works();
    assert!(
        !s3.keys(&format!("{last}/models/iris/")).is_empty(),
        "there was nothing to cut off"
    );

    mesh.revive(2).await;
    until("nothing is stored", seconds(30), async || {
        let left = ["models/iris", "manifests/iris", "claims/iris"]
            .map(|folder| s3.keys(&format!("{last}/{folder}/")));
        claim(left.iter().all(Vec::is_empty), || format!("{left:?}"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_publishers_of_one_name_exactly_one_succeeds() {
    let mesh = TestMesh::start().await;
    mesh.converged().await;
    for round in 0..10u64 {
        let version = round.to_string();
        let publish = |region: usize| {
            let api = mesh.api(region);
            let version = version.clone();
            let content = noise(100 * round + region as u64, 100_000);

            async move {
                api.publish("raced", &version, &[("f", content)])
                    .await
                    .unwrap()
            }
        };

        let (one, two) = tokio::join!(publish(0), publish(1));
        let codes = [one.0, two.0];
        assert!(
            codes == [200, 409] || codes == [409, 200],
            "round {round}: {one:?} {two:?}"
        );

        let acknowledged = if one.0 == 200 { one.1 } else { two.1 };
        for region in ALL {
            let api = mesh.api(region);
            until(
                &format!("{} holds what was acknowledged", mesh.region(region)),
                seconds(30),
                async || {
                    let (_, held) = api
                        .get(&format!("/v1/models/raced/versions/{version}"))
                        .await?;
                    claim(held["content"] == acknowledged["content"], || {
                        format!("{held}, acknowledged was {acknowledged}")
                    })
                },
            )
            .await;
        }
    }
}
