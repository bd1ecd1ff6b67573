//! What crashes and abandoned uploads leave in stores, and that it is removed; and catalogues of
//! any size.

use regionmesh::config::Config;
use regionmesh_protocol::{
    clock::HybridTime,
    codec,
    models::{
        chunking::Chunker,
        manifest::{Manifest, ManifestFile},
    },
};
use regionmesh_tests::{
    mesh::{Setup, TestMesh},
    models::{iris_one, iris_two, noise},
    s3::{Fault, S3},
    serve::apart,
    wait::{claim, seconds, until},
};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A file of several parts.
const LARGE: usize = 40 << 20;
/// Uploads that may be open at the same time.
const UPLOADS_MAX: usize = 32;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_publishers_leftovers_are_removed_and_its_name_is_free() {
    let (s3, mesh) = S3::with_mesh().await;
    let first = mesh.region(0).to_owned();

    // A large file arrives in parts, and nothing is left of the upload.
    let large = noise(1, LARGE);
    let (code, answer) = mesh
        .api(0)
        .publish("large", "1", &[("weights", large.clone())])
        .await
        .unwrap();

    assert_eq!(code, 200, "{answer}");
    assert!(
        s3.requests("BEGIN") == 1 && s3.open_uploads() == 0,
        "{} uploads are open",
        s3.open_uploads()
    );

    // The agent is killed while the parts of a second one are on their way.
    s3.fails(Fault::Held, "partNumber=");

    let api = mesh.api(0);
    let publishing =
        tokio::spawn(async move { api.publish("large", "2", &[("weights", large)]).await });

    until("an upload in parts is under way", seconds(30), async || {
        claim(s3.open_uploads() == 1 && s3.requests("PART") >= 4, || {
            format!("{} are open", s3.open_uploads())
        })
    })
    .await;

    mesh.kill_region(0).await;
    drop(publishing.await);
    s3.works();
    assert_eq!(s3.open_uploads(), 1);
    mesh.revive(0).await;
    until("the upload is aborted", seconds(20), async || {
        claim(s3.open_uploads() == 0, || {
            format!("{} are open", s3.open_uploads())
        })
    })
    .await;

    let corrected = async || {
        mesh.api(0)
            .publish("large", "2", &[("corrected", iris_one())])
            .await
            .unwrap()
    };
    let (code, answer) = corrected().await;

    assert_eq!(code, 200, "{answer}");
    until_only_the_corrected_version_is_left(&s3, &first).await;

    until("every region holds it", seconds(30), async || {
        let holders = mesh.api(1).holders("large", "2").await?;
        claim(holders.len() == 3, || format!("{holders:?}"))
    })
    .await;
}

async fn until_only_the_corrected_version_is_left(s3: &S3, first: &str) {
    until(
        "only the corrected version is left",
        seconds(20),
        async || {
            let files = s3.keys(&format!("{first}/models/large/2/"));
            claim(
                files == [format!("{first}/models/large/2/corrected")],
                || format!("{files:?}"),
            )?;

            let rest = [
                s3.keys(&format!("{first}/claims/")),
                s3.keys(&format!("{first}/uploads/")),
            ]
            .concat();

            claim(rest.is_empty(), || format!("{rest:?}"))
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_could_not_be_aborted_is_aborted_later_by_its_process() {
    let (s3, mesh) = S3::with_mesh().await;
    let first = mesh.region(0).to_owned();
    let left = |folder: &str| s3.keys(&format!("{first}/{folder}/"));

    s3.fails(Fault::Away, "uploadId=");
    let api = mesh.api(0);
    let publishing = tokio::spawn(async move {
        api.publish("large", "1", &[("weights", noise(1, LARGE))])
            .await
    });

    until("the publisher has given up", seconds(90), async || {
        let claims = left("claims");
        claim(s3.requests("ABORT") > 0 && claims.is_empty(), || {
            format!("{claims:?}")
        })
    })
    .await;

    assert_eq!((s3.open_uploads(), left("uploads").len()), (1, 1));

    s3.works();
    until("the upload is ended", seconds(60), async || {
        claim(s3.open_uploads() == 0 && left("uploads").is_empty(), || {
            format!("{} are open", s3.open_uploads())
        })
    })
    .await;

    drop(publishing.await);
}

#[tokio::test(flavor = "multi_thread")]
async fn abandoned_uploads_expire_and_lost_files_are_fetched_again() {
    let adjust = |config: &mut Config| {
        config.replication.rescan_ms = 500;
        config.replication.upload_idle_ms = 10_000;
    };
    let mesh = TestMesh::start_with(Setup {
        adjust: Some(adjust),
        ..Setup::default()
    })
    .await;
    let api = mesh.api(0);

    let begin = async || {
        api.post(
            "/v1/models/iris/versions/9/uploads",
            &json!({ "publisher": "ada" }),
        )
        .await
        .unwrap()
    };

    for _ in 0..UPLOADS_MAX {
        let (code, answer) = begin().await;
        assert_eq!(code, 201, "{answer}");
    }

    let (code, answer) = begin().await;
    assert_eq!(code, 503, "{answer}");

    let listed = mesh.cli(&["models", "uploads", "--json"]).await;
    let rows: Value = serde_json::from_str(&listed.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", listed.stdout));
    let upload = rows[0]["upload"]
        .as_str()
        .unwrap_or_else(|| panic!("{rows}"));

    assert_eq!(
        (rows.as_array().unwrap().len(), &rows[0]["publisher"]),
        (UPLOADS_MAX, &json!("ada"))
    );

    let aborted = mesh.cli(&["models", "uploads", "--abort", upload]).await;
    assert_eq!(aborted.code, Some(0), "{}", aborted.stderr);

    let (code, answer) = begin().await;
    assert_eq!(code, 201, "{answer}");
    until("all expired", seconds(30), async || {
        let (_, open) = api.get("/v1/uploads").await?;
        claim(open["uploads"] == json!([]), || open.to_string())
    })
    .await;

    assert_lost_files_are_fetched_again(&mesh).await;
    mesh.publish_iris(1, "2", iris_two()).await;
    mesh.until_held_by_all("2").await;
}

/// Files vanish from one region's store; its manifest still says that they are there.
async fn assert_lost_files_are_fetched_again(mesh: &TestMesh) {
    mesh.publish_iris(0, "1", iris_one()).await;
    mesh.until_held_by_all("1").await;
    std::fs::remove_file(mesh.store_folder(1).join("models/iris/1/model.onnx")).unwrap();

    let damaged = mesh.api(1);
    until("it is whole again", seconds(60), async || {
        let (code, answer) = damaged
            .post("/v1/models/iris/versions/1/verify", &json!({}))
            .await?;
        claim(code == 200, || format!("{code}: {answer}"))
    })
    .await;

    let losses = damaged
        .metric("regionmesh_replication_losses_total", &[])
        .await
        .unwrap();

    assert_eq!(losses, 1.0);
}

/// The model and the version that [`place`] puts into a store.
fn placed(number: usize) -> (String, String) {
    (
        format!("model-{}", "x".repeat(120)),
        format!("{number:05}-{}", "y".repeat(58)),
    )
}

/// Puts a version into a store as an agent would have, without waiting for the disk.
fn place(store: &Path, number: usize) {
    let (model, version) = placed(number);
    let content = number.to_string();
    let mut chunker = Chunker::default();

    chunker.push(content.as_bytes());
    let cut = chunker.finish();
    let manifest = Manifest {
        model: model.parse().unwrap(),
        version: version.parse().unwrap(),
        files: vec![ManifestFile {
            path: "f".into(),
            size: cut.size,
            digest: cut.digest,
            chunks: cut.chunks,
        }],
        origin: "us-west-2".parse().unwrap(),
        publisher: "test".into(),
        published: HybridTime {
            wall_ms: 1_000 + number as u64,
            counter: 0,
        },
        metadata: vec![],
    };

    let folder = store
        .join("models")
        .join(manifest.model.as_str())
        .join(manifest.version.as_str());

    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("f"), content).unwrap();

    let manifests = store.join("manifests").join(manifest.model.as_str());
    std::fs::create_dir_all(&manifests).unwrap();
    std::fs::write(
        manifests.join(manifest.version.as_str()),
        codec::encode_document(&manifest).unwrap(),
    )
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_region_learns_a_catalogue_too_large_for_one_message() {
    const VERSIONS: usize = 5_000;

    let setup = Setup {
        regions: &["us-west-2", "eu-west-1"],
        ..Setup::default()
    };
    let mesh = TestMesh::prepare(setup).await;
    let full = mesh.store_folder(0);

    tokio::task::spawn_blocking(move || (0..VERSIONS).for_each(|number| place(&full, number)))
        .await
        .unwrap();

    let holder = mesh.api(0);
    mesh.start_agent(&mesh.agent(0).id).await.unwrap();
    until("the first region holds all", seconds(60), async || {
        let held = holder
            .metric("regionmesh_replication_versions", &[])
            .await?;
        claim(held == VERSIONS as f64, || format!("{held}"))
    })
    .await;

    mesh.start_agent(&mesh.agent(1).id).await.unwrap();
    let newcomer = mesh.api(1);
    until(
        "the newcomer knows what it lacks",
        seconds(60),
        async || {
            let missing = newcomer
                .metric("regionmesh_replication_missing_versions", &[])
                .await?;
            let held = newcomer
                .metric("regionmesh_replication_versions", &[])
                .await?;

            claim(missing + held >= VERSIONS as f64, || {
                format!("{missing} missing, {held} held")
            })
        },
    )
    .await;

    assert_eq!(
        newcomer
            .metric("regionmesh_replication_unknown_catalogues", &[])
            .await
            .unwrap(),
        0.0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_of_many_versions_can_be_rolled_back_to() {
    const VERSIONS: usize = 300;

    let mesh = TestMesh::prepare(Setup {
        adjust: Some(apart),
        ..Setup::default()
    })
    .await;
    let stores: Vec<PathBuf> = (0..3).map(|region| mesh.store_folder(region)).collect();
    let fill = move || {
        stores
            .iter()
            .for_each(|store| (0..VERSIONS).for_each(|number| place(store, number)))
    };

    tokio::task::spawn_blocking(fill).await.unwrap();
    mesh.start().await.unwrap();

    let api = mesh.api(0);
    let (model, oldest) = placed(0);
    until("the oldest version is promoted", seconds(60), async || {
        let (code, answer) = api.promote(&model, &oldest, "production").await?;
        claim(code == 200, || format!("{code}: {answer}"))
    })
    .await;

    until(
        "all regions are named as its holders",
        seconds(30),
        async || {
            let holders = api.holders(&model, &oldest).await?;
            claim(holders.len() == 3, || format!("{holders:?}"))
        },
    )
    .await;
}
