//! Versions that can't be served are reported to publishers, operators and monitors.

use regionmesh::config::Config;
use regionmesh_protocol::status::condition::Condition;
use regionmesh_tests::{
    agents::configure_agent,
    command::CommandOutput,
    mesh::{Setup, TestMesh},
    models::{iris_one, question},
    onnx::{damaged, scaled, scaled_question},
    wait::{claim, seconds, until},
};
use serde_json::{Value, json};
use std::time::Duration;

const ALL: [usize; 3] = [0, 1, 2];
const TIMEOUT: Duration = seconds(40);

/// A file with a model, for the command line.
fn file(folder: &tempfile::TempDir, name: &str, model: Vec<u8>) -> String {
    let path = folder.path().join(format!("{name}.onnx"));
    std::fs::write(&path, model).unwrap();
    path.display().to_string()
}

fn said(output: &CommandOutput) -> String {
    format!("{} {}", output.code.unwrap_or(-1), output.text())
}

/// `m` answers with version 1 in a region.
async fn answers_one(mesh: &TestMesh, region: usize) -> Result<(), String> {
    let (version, numbers) = mesh
        .api(region)
        .infer("/v2/models/m/infer", &scaled_question())
        .await?;

    claim(version == "1" && numbers == [3.0, 3.0, 3.0], || {
        format!("{version}: {numbers:?}")
    })
}

async fn text_of(mesh: &TestMesh, path: &str) -> Result<String, String> {
    Ok(mesh.api(0).get(path).await?.1.to_string())
}

/// Every region reports that it serves version 1 instead of the version that `production` names.
async fn all_serve_one_instead(mesh: &TestMesh) -> Result<(), String> {
    let found = mesh.api(0).problems("model-unservable").await?;
    let says = |problem: &&Value| {
        problem["detail"]
            .to_string()
            .contains("version 1 is served by default instead")
    };

    claim(found.iter().filter(says).count() == 3, || {
        format!("{found:?}")
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unservable_version_is_refused_and_reported_while_the_old_one_serves() {
    let mesh = TestMesh::start().await;
    let folder = tempfile::tempdir().unwrap();
    let good = file(&folder, "good", scaled(3.0));
    let bad = file(&folder, "damaged", damaged());

    mesh.converged().await;
    let published = mesh
        .cli(&["models", "publish", "m", "1", &good, "--wait"])
        .await;
    assert_eq!(published.code, Some(0), "{}", said(&published));

    let promoted = mesh
        .cli(&["models", "promote", "m", "1", "production", "--by", "test"])
        .await;
    assert_eq!(promoted.code, Some(0), "{}", said(&promoted));
    for region in ALL {
        until("version 1 answers", TIMEOUT, async || {
            answers_one(&mesh, region).await
        })
        .await;
    }

    assert_clients_get_the_reason(&mesh, &bad).await;

    // All others learn of it too, and users notice nothing.
    until_reported_everywhere(&mesh).await;

    for region in ALL {
        answers_one(&mesh, region).await.unwrap();
    }

    force_the_broken_version(&mesh).await;

    mesh.converged().await;

    publish_what_none_can_serve(&mesh, &bad).await;

    mesh.converged().await;

    repair_and_await_no_problem(&mesh).await;

    mesh.assert_all_run();
}

/// Publishers and operators who promote learn of it.
async fn assert_clients_get_the_reason(mesh: &TestMesh, bad: &str) {
    let published = mesh
        .cli(&["models", "publish", "m", "2", bad, "--wait"])
        .await;
    assert!(
        published.code == Some(1) && published.stderr.contains("can't be served"),
        "{}",
        said(&published)
    );

    until(
        "a promotion is refused for what every region says",
        TIMEOUT,
        async || {
            let promoted = mesh
                .cli(&["models", "promote", "m", "2", "production", "--by", "test"])
                .await;
            let says = |region: usize| {
                promoted
                    .stderr
                    .contains(&format!("{}: can't be served", mesh.region(region)))
            };

            claim(
                promoted.code == Some(1) && ALL.into_iter().all(says),
                || said(&promoted),
            )
        },
    )
    .await;

    let body = json!({ "alias": "production" });
    let (code, answer) = mesh
        .api(1)
        .post("/v1/models/m/versions/2/promote", &body)
        .await
        .unwrap();

    assert_eq!(code, 409, "{answer}");
}

async fn until_reported_everywhere(mesh: &TestMesh) {
    until("status, events and alerts report it", TIMEOUT, async || {
        let found = mesh.api(0).problems("model-unservable").await?;
        claim(
            found.len() == 3 && found.iter().all(|problem| problem["subject"] == "m@2"),
            || format!("{found:?}"),
        )?;

        for path in ["/v1/events", "/v1/alerts"] {
            let text = text_of(mesh, path).await?;
            claim(
                text.contains("m@2") && text.contains("can't be served"),
                || format!("{path}: {text}"),
            )?;
        }

        let gauge = mesh
            .api(0)
            .metric("regionmesh_serving_versions_unservable", &[])
            .await?;

        claim(gauge == 1.0, || format!("{gauge} unservable"))
    })
    .await;

    for command in [
        &["status"][..],
        &["models", "list"],
        &["models", "show", "m"],
    ] {
        let output = mesh.cli(command).await;
        assert!(
            output.code == Some(0) && output.stdout.contains("FAILED in"),
            "{command:?}: {}",
            said(&output)
        );
    }
}

/// Forced on a mesh, it is not served; a region that starts again falls back to what it can serve.
async fn force_the_broken_version(mesh: &TestMesh) {
    let forced = mesh
        .cli(&[
            "models",
            "promote",
            "m",
            "2",
            "production",
            "--force",
            "--by",
            "test",
        ])
        .await;

    assert!(
        forced.code == Some(0) && forced.stderr.contains("warning: "),
        "{}",
        said(&forced)
    );

    until("all stay on version 1", TIMEOUT, async || {
        all_serve_one_instead(mesh).await
    })
    .await;

    mesh.kill_region(1).await;
    mesh.revive(1).await;
    until(
        "the region that starts again serves version 1",
        TIMEOUT,
        async || answers_one(mesh, 1).await,
    )
    .await;

    until("it says so", TIMEOUT, async || {
        all_serve_one_instead(mesh).await
    })
    .await;
}

/// A model that no region can serve takes none out.
async fn publish_what_none_can_serve(mesh: &TestMesh, bad: &str) {
    let published = mesh
        .cli(&["models", "publish", "only", "1", bad, "--by", "test"])
        .await;
    assert_eq!(published.code, Some(0), "{}", said(&published));
    until("all have tried it", TIMEOUT, async || {
        let found = mesh.api(0).problems("model-unservable").await?;
        claim(
            found
                .iter()
                .filter(|problem| problem["subject"] == "only@1")
                .count()
                == 3,
            || format!("{found:?}"),
        )
    })
    .await;
}

/// Once repaired, the problem ends.
async fn repair_and_await_no_problem(mesh: &TestMesh) {
    for command in [
        &["models", "promote", "m", "1", "production", "--by", "test"][..],
        &["models", "delete", "m", "2", "--yes"],
        &["models", "delete", "only", "1", "--yes"],
    ] {
        let done = mesh.cli(command).await;
        assert_eq!(done.code, Some(0), "{command:?}: {}", said(&done));
    }

    until("no problem is left", TIMEOUT, async || {
        let found = mesh.api(0).problems("model-unservable").await?;
        claim(found.is_empty(), || format!("{found:?}"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_serves_a_model_as_soon_as_its_damaged_file_is_restored() {
    let adjust = |config: &mut Config| config.replication.rescan_ms = 500;
    let mesh = TestMesh::start_with(Setup {
        adjust: Some(adjust),
        ..Setup::default()
    })
    .await;

    mesh.converged().await;
    let (code, answer) = mesh
        .api(0)
        .publish("m", "1", &[("model.onnx", scaled(3.0))])
        .await
        .unwrap();

    assert_eq!(code, 200, "{answer}");
    for region in ALL {
        until("version 1 answers", TIMEOUT, async || {
            answers_one(&mesh, region).await
        })
        .await;
    }

    let store = mesh.store_folder(1);
    mesh.kill_region(1).await;
    std::fs::write(store.join("models/m/1/model.onnx"), b"damaged").unwrap();
    mesh.revive(1).await;
    until("the file is fetched again", TIMEOUT, async || {
        let losses = mesh
            .api(1)
            .metric("regionmesh_replication_losses_total", &[])
            .await?;
        claim(losses >= 1.0, || format!("{losses} losses"))
    })
    .await;

    // Well before the first retry that is due to time alone.
    until("version 1 answers again", TIMEOUT, async || {
        answers_one(&mesh, 1).await
    })
    .await;

    mesh.converged().await;
}

/// Restarts region 1 with so many bytes for models.
async fn restart_with_memory(mesh: &TestMesh, bytes: u64) {
    let agent = mesh.agent(1).clone();
    mesh.kill_region(1).await;

    configure_agent(&agent, |config| config.serving.memory_limit = bytes);
    mesh.start_agent(&agent.id)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_cannot_serve_what_others_serve_loses_its_share_until_it_can() {
    let mesh = TestMesh::start().await;
    mesh.publish_iris(0, "1", iris_one()).await;
    mesh.until_held_by_all("1").await;
    mesh.until_answered_by_all("1").await;
    mesh.converged().await;
    restart_with_memory(&mesh, 1).await;

    let ready = format!("http://{}/v2/health/ready", mesh.agent(1).serving());
    let http = regionmesh_tests::api::client();
    until("the region says why it is not ready", TIMEOUT, async || {
        let answer = http
            .get(&ready)
            .send()
            .await
            .map_err(|error| error.to_string())?;
        let code = answer.status().as_u16();
        let text = answer.text().await.map_err(|error| error.to_string())?;

        claim(
            code == 503 && text.contains("most other regions serve"),
            || format!("{code}: {text}"),
        )
    })
    .await;

    let api = mesh.api(0);
    let name = mesh.region(1);
    until("users are sent to the others", TIMEOUT, async || {
        let region = api.region(name).await?;
        claim(
            region.verdict == Condition::Failed && region.share == 0.0,
            || format!("{region:?}"),
        )
    })
    .await;

    let found = mesh.api(0).problems("model-unservable").await.unwrap();
    let is_reported = found.iter().any(|problem| {
        problem["region"] == name && problem["detail"].to_string().contains("memory")
    });

    assert!(is_reported, "{found:?}");
    for region in [0, 2] {
        let (version, _) = mesh
            .api(region)
            .infer("/v2/models/iris/infer", &question())
            .await
            .unwrap();

        assert_eq!(version, "1");
    }

    restart_with_memory(&mesh, 1 << 30).await;
    mesh.converged().await;
    mesh.until_answered_by_all("1").await;
}
