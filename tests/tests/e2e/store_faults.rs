//! What is said, and what is done, while a region's store is away, full, forgetful, or no store for
//! this purpose at all.

use regionmesh::config::Config;
use regionmesh_tests::{
    api::Api,
    mesh::{Setup, TestMesh, binary},
    models::{iris_one, noise},
    s3::{ENVIRONMENT, Fault, S3},
    skip::{has_program, skip},
    wait::{claim, seconds, until},
};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

/// How soon an outage must be seen.
const SEEN_WITHIN: Duration = seconds(15);
/// How soon it must be seen that a store refuses writes that nobody else makes.
const SEEN_IDLE_WITHIN: Duration = seconds(20);
/// How soon it must be over.
const OVER_WITHIN: Duration = seconds(20);
/// How soon a publisher must hear of it.
const TOLD_WITHIN: Duration = seconds(15);

/// The problem of the store of `region`, as this agent knows it.
async fn outage(api: &Api, region: &str) -> Result<Option<String>, String> {
    let (_, status) = api.get("/v1/status").await?;
    let problems = status["problems"].as_array().cloned().unwrap_or_default();
    let is_meant = |problem: &Value| {
        problem["kind"] == "store-unavailable"
            && problem["region"] == region
            && problem["subject"] == region
    };
    let found = problems.into_iter().find(is_meant);

    Ok(found.map(|problem| problem["detail"].as_str().unwrap_or_default().to_owned()))
}

/// Every agent comes to name the outage, in words that contain `words`; the agent itself stays
/// ready.
async fn is_seen_by_all(mesh: &TestMesh, region: usize, words: &str, timeout: Duration) {
    let name = mesh.region(region);
    for api in mesh.running_apis() {
        until(
            &format!("{} names the store of {name}", api.url()),
            timeout,
            async || {
                let detail = outage(&api, name).await?.ok_or("no such problem")?;
                claim(detail.contains(words), || detail.clone())?;

                let (_, alerts) = api.get("/v1/alerts").await?;
                claim(
                    alerts.to_string().contains("RegionMeshStoreUnavailable"),
                    || alerts.to_string(),
                )?;

                let (_, events) = api.get("/v1/events").await?;
                claim(events.to_string().contains("store"), || events.to_string())
            },
        )
        .await;
    }

    let api = mesh.api(region);
    let (code, ready) = api.get("/readyz").await.unwrap();
    let says = ready["checks"]["store"].as_str().unwrap_or_default();

    assert!(
        code == 200 && says.contains("unavailable"),
        "{code}: {ready}"
    );

    assert_eq!(
        api.metric("regionmesh_store_available", &["store=\"region\""])
            .await
            .unwrap(),
        0.0
    );

    let told = mesh.cli(&["status"]).await;
    assert!(
        told.stdout.contains("store") && told.stdout.contains(name),
        "{}{}",
        told.stdout,
        told.stderr
    );
}

async fn is_over(mesh: &TestMesh, region: usize) {
    let name = mesh.region(region);
    for api in mesh.running_apis() {
        until(
            &format!("{} says that the store of {name} is back", api.url()),
            OVER_WITHIN,
            async || {
                let detail = outage(&api, name).await?;
                claim(detail.is_none(), || format!("{detail:?}"))
            },
        )
        .await;
    }

    let (code, ready) = mesh.api(region).get("/readyz").await.unwrap();
    assert_eq!(
        (code, &ready["checks"]["store"]),
        (200, &json!("ok")),
        "{ready}"
    );
}

/// A publisher is told at once, retryably, and in words.
async fn is_refused_in_words(api: &Api, version: &str, words: &str) {
    let begin = Instant::now();
    let (code, answer) = api
        .publish("iris", version, &[("model.onnx", iris_one())])
        .await
        .unwrap();
    let text = format!(
        "{}; {}",
        answer["error"].as_str().unwrap_or_default(),
        answer["hint"].as_str().unwrap_or_default()
    );

    assert_eq!(code, 503, "{answer}");
    assert!(
        begin.elapsed() < TOLD_WITHIN,
        "it took {:?}",
        begin.elapsed()
    );

    assert!(text.contains(words), "{text}");
    for foreign in [
        "<?xml",
        "<Code>",
        "max_retries",
        "(os error",
        "X-Amz",
        "list-type",
    ] {
        assert!(!text.contains(foreign), "{foreign} in {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_is_named_by_all_and_a_publisher_is_told_in_words() {
    let (s3, mesh) = S3::with_mesh().await;
    let first = mesh.region(0).to_owned();
    let api = mesh.api(0);
    let publish = async |version: &str| {
        api.publish("iris", version, &[("model.onnx", iris_one())])
            .await
            .unwrap()
    };
    let (code, answer) = publish("1").await;

    assert_eq!(code, 200, "{answer}");
    assert_eq!(
        s3.requests("BEGIN"),
        0,
        "a small file was uploaded in parts"
    );

    mesh.held_by_all("1").await;

    s3.fails(Fault::Away, &first);
    is_seen_by_all(&mesh, 0, "bucket \"models\"", SEEN_WITHIN).await;
    is_refused_in_words(&api, "2", "bucket \"models\"").await;

    // The other regions go on.
    mesh.publish_iris(1, "3", iris_one()).await;

    s3.fails(Fault::NoBucket, &first);
    is_seen_by_all(&mesh, 0, "bucket \"models\" does not exist", SEEN_WITHIN).await;
    is_refused_in_words(&api, "2", "bucket \"models\" does not exist").await;

    s3.works();
    is_over(&mesh, 0).await;

    // Nobody writes, and reads are answered.
    s3.fails(Fault::Full, &first);
    is_seen_by_all(&mesh, 0, "full", SEEN_IDLE_WITHIN).await;

    s3.works();
    is_over(&mesh, 0).await;
    mesh.held_by_all("3").await;

    // What is acknowledged and not kept is no success, whatever part of a version it is.
    for (version, forgotten) in [("4", "manifests/iris"), ("5", "models/iris/5")] {
        s3.fails(Fault::Forgetful, &format!("{first}/{forgotten}"));
        let (code, answer) = publish(version).await;
        assert!(
            code == 503 && answer.to_string().contains("does not have it"),
            "{code}: {answer}"
        );

        s3.works();
        let (code, answer) = publish(version).await;
        assert_eq!(code, 200, "{answer}");
        mesh.held_by_all(version).await;
    }

    s3.fails(Fault::Forgetful, &format!("{first}/aliases/"));
    let (code, answer) = api.promote("iris", "5", "production").await.unwrap();
    assert!(
        code == 503 && answer.to_string().contains("does not have it"),
        "{code}: {answer}"
    );

    s3.works();
    let (code, answer) = api.promote("iris", "5", "production").await.unwrap();
    assert_eq!(code, 200, "{answer}");

    s3.fails(Fault::Forgetful, &format!("{first}/tombstones/"));
    let delete = async || {
        api.post("/v1/models/iris/versions/4/delete", &json!({}))
            .await
            .unwrap()
    };
    let (code, answer) = delete().await;

    assert!(
        code == 503 && answer.to_string().contains("does not have it"),
        "{code}: {answer}"
    );

    s3.works();
    let (code, answer) = delete().await;
    assert_eq!(code, 200, "{answer}");
}

fn run(config: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(binary());
    command
        .arg("agent")
        .arg("--config")
        .arg(config)
        .args(arguments)
        .envs(ENVIRONMENT);

    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_ignores_conditions_is_refused_and_one_that_is_away_is_waited_for() {
    let s3 = S3::start().await;
    let setup = Setup {
        environment: &ENVIRONMENT,
        regions: &["us-west-2"],
        ..Setup::default()
    };
    let mesh = TestMesh::prepare(setup).await;

    mesh.configure(|config| s3.configure(config));
    let file = mesh.agent(0).config_file();

    s3.fails(Fault::Unconditional, "");
    let (code, text) = run(&file, &["--check"]);
    assert_eq!(code, Some(0), "the check needs no store: {text}");

    let started = file.clone();
    let (code, text) = tokio::task::spawn_blocking(move || run(&started, &[]))
        .await
        .unwrap();

    assert!(
        matches!(code, Some(1 | 2)) && text.contains("If-None-Match"),
        "{code:?}: {text}"
    );

    // Away at the start is no reason not to start, and nothing is written before the store was
    // checked.
    s3.fails(Fault::Away, "");
    mesh.start_agent(&mesh.agent(0).id).await.unwrap();

    let api = mesh.api(0);
    until("the store is named", seconds(30), async || {
        outage(&api, "us-west-2").await?.ok_or("no problem".into())
    })
    .await;

    s3.fails(Fault::Unconditional, "");
    until("the store is refused", seconds(30), async || {
        let detail = outage(&api, "us-west-2").await?.ok_or("no problem")?;
        claim(detail.contains("If-None-Match"), || detail)
    })
    .await;

    is_refused_in_words(&api, "1", "If-None-Match").await;
    let written = s3
        .keys("us-west-2/")
        .into_iter()
        .filter(|key| !key.contains("/probe/"))
        .collect::<Vec<_>>();

    assert!(written.is_empty(), "{written:?}");

    s3.works();
    until("the store is in use", seconds(60), async || {
        let detail = outage(&api, "us-west-2").await?;
        claim(detail.is_none(), || format!("{detail:?}"))?;

        let (code, answer) = api
            .publish("iris", "1", &[("model.onnx", iris_one())])
            .await?;
        claim(code == 200, || format!("{code}: {answer}"))
    })
    .await;
}

/// The folder of an agent's store.
fn folder(mesh: &TestMesh, region: usize) -> PathBuf {
    let config = Config::load(&mesh.agent(region).config_file()).unwrap();
    PathBuf::from(config.store.url.strip_prefix("file://").unwrap())
}

/// A small file system, gone at the end.
struct Tiny(PathBuf);

impl Tiny {
    fn mount(path: &Path) -> Self {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
            .arg(path)
            .status()
            .unwrap();

        assert!(mounted.success(), "no tmpfs on {}", path.display());
        Self(path.to_owned())
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A file system whose writes neither fail nor end until it is thawed; gone at the end.
struct Freezable(PathBuf);

impl Freezable {
    /// None where this user may not mount one.
    fn mount(path: &Path) -> Option<Self> {
        let image = path.with_extension("image");
        std::fs::File::create(&image)
            .unwrap()
            .set_len(64 << 20)
            .unwrap();

        let is_made = Command::new("mkfs.ext4")
            .arg("-q")
            .arg(&image)
            .status()
            .unwrap()
            .success();

        assert!(is_made, "no file system on {}", image.display());
        let mount = Command::new("mount")
            .args(["-o", "loop"])
            .arg(&image)
            .arg(path)
            .output()
            .unwrap();

        mount.status.success().then(|| Self(path.to_owned()))
    }

    fn freeze(&self) {
        let frozen = Command::new("fsfreeze")
            .arg("-f")
            .arg(&self.0)
            .status()
            .unwrap();

        assert!(frozen.success(), "{} can't be frozen", self.0.display());
    }

    fn thaw(&self) {
        let _ = Command::new("fsfreeze").arg("-u").arg(&self.0).output();
    }
}

impl Drop for Freezable {
    fn drop(&mut self) {
        self.thaw();
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_system_that_hangs_is_named_by_all_and_a_publisher_is_told_in_words() {
    if !is_root() {
        return skip("only root can freeze a file system");
    }
    if !has_program("fsfreeze", "util-linux") || !has_program("mkfs.ext4", "e2fsprogs") {
        return;
    }

    let mesh = TestMesh::prepare(Setup::default()).await;
    let store = folder(&mesh, 0);
    std::fs::create_dir_all(&store).unwrap();

    let Some(disk) = Freezable::mount(&store) else {
        return skip("no loop device can be mounted here");
    };
    mesh.start().await.unwrap();
    mesh.publish_iris(0, "1", iris_one()).await;
    mesh.held_by_all("1").await;

    // A publisher who comes first is not kept waiting either.
    disk.freeze();
    is_refused_in_words(&mesh.api(0), "2", "did not answer within").await;
    is_seen_by_all(&mesh, 0, "did not answer within", SEEN_WITHIN).await;
    is_refused_in_words(&mesh.api(0), "3", "did not answer within").await;
    mesh.publish_iris(1, "4", iris_one()).await;

    disk.thaw();
    is_over(&mesh, 0).await;
    mesh.held_by_all("4").await;
    mesh.publish_iris(0, "5", iris_one()).await;
    mesh.held_by_all("5").await;
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    String::from_utf8_lossy(&id.stdout).trim() == "0"
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_and_a_folder_that_is_none_are_named_by_all() {
    let mesh = TestMesh::prepare(Setup { ..Setup::default() }).await;
    let full = folder(&mesh, 0);
    let gone = folder(&mesh, 1);

    std::fs::create_dir_all(&full).unwrap();
    let tiny = is_root().then(|| Tiny::mount(&full));
    mesh.start().await.unwrap();
    mesh.settled().await;

    // The folder is replaced behind the agent's back.
    let aside = gone.with_extension("aside");
    std::fs::rename(&gone, &aside).unwrap();
    std::fs::write(&gone, b"not a folder").unwrap();
    is_seen_by_all(&mesh, 1, "folder", SEEN_WITHIN).await;
    is_refused_in_words(&mesh.api(1), "1", "folder").await;
    std::fs::remove_file(&gone).unwrap();
    std::fs::rename(&aside, &gone).unwrap();
    is_over(&mesh, 1).await;

    if tiny.is_none() {
        return skip("only root can mount a small file system");
    }

    let filler = full.join("filler");
    let filled = std::fs::write(&filler, noise(1, 4 << 20));
    assert!(
        filled.is_err(),
        "the small file system is larger than it should be"
    );

    is_seen_by_all(&mesh, 0, "full", SEEN_WITHIN).await;
    is_refused_in_words(&mesh.api(0), "2", "full").await;
    std::fs::remove_file(&filler).unwrap();
    is_over(&mesh, 0).await;
    mesh.publish_iris(0, "2", iris_one()).await;
    mesh.held_by_all("2").await;

    // One rule for names and contents, whatever the store.
    let long = "n".repeat(300);
    let (code, answer) = mesh
        .api(2)
        .publish("iris", "3", &[(&long, iris_one())])
        .await
        .unwrap();

    assert!(
        code == 400 && answer.to_string().contains("255"),
        "{code}: {answer}"
    );

    let (code, answer) = mesh
        .api(2)
        .publish("iris", "3", &[("empty", vec![])])
        .await
        .unwrap();

    assert!(
        code == 409 && answer.to_string().contains("not empty"),
        "{code}: {answer}"
    );

    let (code, answer) = mesh
        .api(2)
        .publish("iris", "3", &[(&long[..255], iris_one())])
        .await
        .unwrap();

    assert_eq!(code, 200, "{answer}");
    mesh.held_by_all("3").await;
}
