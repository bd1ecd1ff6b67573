//! What the mesh says about versions that can't be served is true, and reaches whoever asks:
//! publishers, operators, monitors.

use regionmesh::config::Config;
use regionmesh_protocol::status::condition::Condition;
use regionmesh_tests::{
    mesh::{CommandOutput, Setup, TestMesh},
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
    format!(
        "{} {} {}",
        output.code.unwrap_or(-1),
        output.stdout,
        output.stderr
    )
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

/// The problems of one kind that `status` names.
async fn problems(mesh: &TestMesh, kind: &str) -> Result<Vec<Value>, String> {
    let (_, status) = mesh.api(0).get("/v1/status").await?;
    let all = status["problems"].as_array().cloned().unwrap_or_default();
    Ok(all
        .into_iter()
        .filter(|problem| problem["kind"] == kind)
        .collect())
}

/// Every region says that it serves version 1 in place of what `production` names.
async fn all_serve_one_instead(mesh: &TestMesh) -> Result<(), String> {
    let told = problems(mesh, "model-unservable").await?;
    let says = |problem: &&Value| {
        problem["detail"]
            .to_string()
            .contains("version 1 is served by default instead")
    };

    claim(told.iter().filter(says).count() == 3, || {
        format!("{told:?}")
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_can_not_be_served_is_refused_and_told_everywhere_while_the_old_one_serves()
{
    let mesh = TestMesh::start().await;
    let folder = tempfile::tempdir().unwrap();
    let good = file(&folder, "good", scaled(3.0));
    let bad = file(&folder, "damaged", damaged());

    mesh.settled().await;
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

    // Whoever publishes and whoever promotes hears of it.
    let published = mesh
        .cli(&["models", "publish", "m", "2", &bad, "--wait"])
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

    // So does everybody else, and users notice nothing.
    until("status, events and alerts tell", TIMEOUT, async || {
        let told = problems(&mesh, "model-unservable").await?;
        claim(
            told.len() == 3 && told.iter().all(|problem| problem["subject"] == "m@2"),
            || format!("{told:?}"),
        )?;

        for path in ["/v1/events", "/v1/alerts"] {
            let text = text_of(&mesh, path).await?;
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
        let shown = mesh.cli(command).await;
        assert!(
            shown.code == Some(0) && shown.stdout.contains("FAILED in"),
            "{command:?}: {}",
            said(&shown)
        );
    }

    for region in ALL {
        answers_one(&mesh, region).await.unwrap();
    }

    // Forced on a mesh, it is not served; a region that starts anew falls back to what it can
    // serve.
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

    until("all keep version 1", TIMEOUT, async || {
        all_serve_one_instead(&mesh).await
    })
    .await;

    mesh.kill_region(1).await;
    mesh.revive(1).await;
    until(
        "the region that starts anew serves version 1",
        TIMEOUT,
        async || answers_one(&mesh, 1).await,
    )
    .await;

    until("it says so", TIMEOUT, async || {
        all_serve_one_instead(&mesh).await
    })
    .await;

    mesh.settled().await;

    // A model that nobody can serve takes no region out.
    let published = mesh
        .cli(&["models", "publish", "only", "1", &bad, "--by", "test"])
        .await;
    assert_eq!(published.code, Some(0), "{}", said(&published));
    until("all have tried it", TIMEOUT, async || {
        let told = problems(&mesh, "model-unservable").await?;
        claim(
            told.iter()
                .filter(|problem| problem["subject"] == "only@1")
                .count()
                == 3,
            || format!("{told:?}"),
        )
    })
    .await;

    mesh.settled().await;

    // What is mended is over.
    for command in [
        &["models", "promote", "m", "1", "production", "--by", "test"][..],
        &["models", "delete", "m", "2", "--yes"],
        &["models", "delete", "only", "1", "--yes"],
    ] {
        let done = mesh.cli(command).await;
        assert_eq!(done.code, Some(0), "{command:?}: {}", said(&done));
    }

    until("no problem is left", TIMEOUT, async || {
        let told = problems(&mesh, "model-unservable").await?;
        claim(told.is_empty(), || format!("{told:?}"))
    })
    .await;

    mesh.assert_all_run();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_serves_a_model_again_as_soon_as_its_damaged_file_was_fetched_again() {
    let adjust = |config: &mut Config| config.replication.rescan_ms = 500;
    let mesh = TestMesh::start_with(Setup {
        adjust: Some(adjust),
        ..Setup::default()
    })
    .await;

    mesh.settled().await;
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

    let config = Config::load(&mesh.agent(1).config_file()).unwrap();
    let store = config.store.url.strip_prefix("file://").unwrap();
    mesh.kill_region(1).await;
    std::fs::write(format!("{store}/models/m/1/model.onnx"), b"damaged").unwrap();
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

    mesh.settled().await;
}

/// Starts region 1 anew with so many bytes for models.
async fn restart_with_memory(mesh: &TestMesh, bytes: u64) {
    let agent = mesh.agent(1).clone();
    mesh.kill_region(1).await;

    let mut config = Config::load(&agent.config_file()).unwrap();
    config.serving.memory_limit = bytes;
    std::fs::write(agent.config_file(), toml::to_string(&config).unwrap()).unwrap();
    mesh.start_agent(&agent.id)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_can_not_serve_what_the_others_serve_gives_up_its_share_until_it_can() {
    let mesh = TestMesh::start().await;
    mesh.publish_iris(0, "1", iris_one()).await;
    mesh.held_by_all("1").await;
    mesh.answered_by_all("1").await;
    mesh.settled().await;
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

    let told = problems(&mesh, "model-unservable").await.unwrap();
    let is_told = told.iter().any(|problem| {
        problem["region"] == name && problem["detail"].to_string().contains("memory")
    });

    assert!(is_told, "{told:?}");
    for region in [0, 2] {
        let (version, _) = mesh
            .api(region)
            .infer("/v2/models/iris/infer", &question())
            .await
            .unwrap();

        assert_eq!(version, "1");
    }

    restart_with_memory(&mesh, 1 << 30).await;
    mesh.settled().await;
    mesh.answered_by_all("1").await;
}
