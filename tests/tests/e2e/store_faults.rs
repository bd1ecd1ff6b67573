//! What agents report and do while a region's store is unreachable, full, loses writes, or is
//! unsuitable.

use regionmesh_tests::{
    api::{Api, assert_refused},
    command::{COMMAND_TIMEOUT, CommandOutput, output_of, regionmesh},
    mesh::{Setup, TestMesh},
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
/// How soon it must be seen that a store refuses writes while no agent writes.
const SEEN_IDLE_WITHIN: Duration = seconds(20);
/// How soon it must be over.
const OVER_WITHIN: Duration = seconds(20);
/// How soon a publisher must get the refusal.
const REFUSED_WITHIN: Duration = seconds(15);

/// The problem of the store of `region`, as this agent knows it.
async fn outage(api: &Api, region: &str) -> Result<Option<String>, String> {
    let problems = api.problems("store-unavailable").await?;
    let is_meant = |problem: &Value| problem["region"] == region && problem["subject"] == region;
    let found = problems.into_iter().find(is_meant);

    Ok(found.map(|problem| problem["detail"].as_str().unwrap_or_default().to_owned()))
}

/// Every agent reports the outage in a text that contains `words`; the agent itself stays ready.
async fn until_reported_by_all(mesh: &TestMesh, region: usize, words: &str, timeout: Duration) {
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

    let status = mesh.cli(&["status"]).await;
    assert!(
        status.stdout.contains("store") && status.stdout.contains(name),
        "{}{}",
        status.stdout,
        status.stderr
    );
}

async fn until_over(mesh: &TestMesh, region: usize) {
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

/// A publisher is refused immediately with an explanation, and may retry.
async fn assert_refusal_is_explained(api: &Api, version: &str, words: &str) {
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
        begin.elapsed() < REFUSED_WITHIN,
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
async fn every_agent_reports_an_unreachable_store_and_publishers_get_an_explanation() {
    let (s3, mesh) = S3::with_mesh().await;
    let first = mesh.region(0).to_owned();
    let api = mesh.api(0);
    let publish = async |version: &str| publish_iris(&api, version).await;
    let (code, answer) = publish("1").await;

    assert_eq!(code, 200, "{answer}");
    assert_eq!(
        s3.requests("BEGIN"),
        0,
        "a small file was uploaded in parts"
    );

    mesh.until_held_by_all("1").await;

    s3.fails(Fault::Away, &first);
    until_reported_by_all(&mesh, 0, "bucket \"models\"", SEEN_WITHIN).await;
    assert_refusal_is_explained(&api, "2", "bucket \"models\"").await;

    // The other regions still work.
    mesh.publish_iris(1, "3", iris_one()).await;

    s3.fails(Fault::NoBucket, &first);
    until_reported_by_all(&mesh, 0, "bucket \"models\" does not exist", SEEN_WITHIN).await;
    assert_refusal_is_explained(&api, "2", "bucket \"models\" does not exist").await;

    s3.works();
    until_over(&mesh, 0).await;

    // No agent writes, and reads are answered.
    s3.fails(Fault::Full, &first);
    until_reported_by_all(&mesh, 0, "full", SEEN_IDLE_WITHIN).await;

    s3.works();
    until_over(&mesh, 0).await;
    mesh.until_held_by_all("3").await;

    assert_unkept_writes_fail(&s3, &mesh).await;
}

async fn publish_iris(api: &Api, version: &str) -> (u16, Value) {
    api.publish("iris", version, &[("model.onnx", iris_one())])
        .await
        .unwrap()
}

/// A write that is acknowledged and lost is an error, whatever part of a version it is.
async fn assert_unkept_writes_fail(s3: &S3, mesh: &TestMesh) {
    let first = mesh.region(0);
    let api = mesh.api(0);
    let publish = async |version: &str| publish_iris(&api, version).await;
    for (version, forgotten) in [("4", "manifests/iris"), ("5", "models/iris/5")] {
        s3.fails(Fault::Forgetful, &format!("{first}/{forgotten}"));
        assert_refused(publish(version).await, 503, "did not store all of it");

        s3.works();
        let (code, answer) = publish(version).await;
        assert_eq!(code, 200, "{answer}");
        mesh.until_held_by_all(version).await;
    }

    s3.fails(Fault::Forgetful, &format!("{first}/aliases/"));
    assert_refused(
        api.promote("iris", "5", "production").await.unwrap(),
        503,
        "did not store all of it",
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
    assert_refused(delete().await, 503, "did not store all of it");

    s3.works();
    let (code, answer) = delete().await;
    assert_eq!(code, 200, "{answer}");
}

async fn run(config: &Path, arguments: &[&str]) -> CommandOutput {
    let mut command = regionmesh(&["agent", "--config"]);
    command.arg(config).args(arguments).envs(ENVIRONMENT);
    output_of(&mut command, COMMAND_TIMEOUT).await
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_refuse_a_store_without_conditional_writes_and_wait_for_an_unreachable_one() {
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
    let checked = run(&file, &["--check"]).await;
    assert_eq!(
        checked.code,
        Some(0),
        "the check needs no store: {checked:?}"
    );

    let refused = run(&file, &[]).await;
    assert!(
        matches!(refused.code, Some(1 | 2)) && refused.text().contains("If-None-Match"),
        "{refused:?}"
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

    assert_refusal_is_explained(&api, "1", "If-None-Match").await;
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
async fn every_agent_reports_a_hanging_file_system_and_publishers_get_an_explanation() {
    if !is_root() {
        return skip("only root can freeze a file system");
    }
    if !has_program("fsfreeze", "util-linux") || !has_program("mkfs.ext4", "e2fsprogs") {
        return;
    }

    let mesh = TestMesh::prepare(Setup::default()).await;
    let store = mesh.store_folder(0);
    std::fs::create_dir_all(&store).unwrap();

    let Some(disk) = Freezable::mount(&store) else {
        return skip("no loop device can be mounted here");
    };
    mesh.start().await.unwrap();
    mesh.publish_iris(0, "1", iris_one()).await;
    mesh.until_held_by_all("1").await;

    // The first publisher does not wait either.
    disk.freeze();
    assert_refusal_is_explained(&mesh.api(0), "2", "did not answer within").await;
    until_reported_by_all(&mesh, 0, "did not answer within", SEEN_WITHIN).await;
    assert_refusal_is_explained(&mesh.api(0), "3", "did not answer within").await;
    mesh.publish_iris(1, "4", iris_one()).await;

    disk.thaw();
    until_over(&mesh, 0).await;
    mesh.until_held_by_all("4").await;
    mesh.publish_iris(0, "5", iris_one()).await;
    mesh.until_held_by_all("5").await;
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    String::from_utf8_lossy(&id.stdout).trim() == "0"
}

#[tokio::test(flavor = "multi_thread")]
async fn every_agent_reports_a_full_disk_and_a_store_that_is_not_a_folder() {
    let mesh = TestMesh::prepare(Setup { ..Setup::default() }).await;
    let full = mesh.store_folder(0);
    let gone = mesh.store_folder(1);

    std::fs::create_dir_all(&full).unwrap();
    let tiny = is_root().then(|| Tiny::mount(&full));
    mesh.start().await.unwrap();
    mesh.converged().await;

    // The folder is replaced without the agent's knowledge.
    let aside = gone.with_extension("aside");
    std::fs::rename(&gone, &aside).unwrap();
    std::fs::write(&gone, b"not a folder").unwrap();
    until_reported_by_all(&mesh, 1, "folder", SEEN_WITHIN).await;
    assert_refusal_is_explained(&mesh.api(1), "1", "folder").await;
    std::fs::remove_file(&gone).unwrap();
    std::fs::rename(&aside, &gone).unwrap();
    until_over(&mesh, 1).await;

    if tiny.is_none() {
        return skip("only root can mount a small file system");
    }

    let filler = full.join("filler");
    let filled = std::fs::write(&filler, noise(1, 4 << 20));
    assert!(
        filled.is_err(),
        "the small file system is larger than it should be"
    );

    until_reported_by_all(&mesh, 0, "full", SEEN_WITHIN).await;
    assert_refusal_is_explained(&mesh.api(0), "2", "full").await;
    std::fs::remove_file(&filler).unwrap();
    until_over(&mesh, 0).await;
    mesh.publish_iris(0, "2", iris_one()).await;
    mesh.until_held_by_all("2").await;

    assert_names_and_contents_are_checked(&mesh).await;
}

/// The same rules for names and contents in every store.
async fn assert_names_and_contents_are_checked(mesh: &TestMesh) {
    let long = "n".repeat(300);
    assert_refused(
        mesh.api(2)
            .publish("iris", "3", &[(&long, iris_one())])
            .await
            .unwrap(),
        400,
        "255",
    );

    assert_refused(
        mesh.api(2)
            .publish("iris", "3", &[("empty", vec![])])
            .await
            .unwrap(),
        409,
        "not empty",
    );

    let (code, answer) = mesh
        .api(2)
        .publish("iris", "3", &[(&long[..255], iris_one())])
        .await
        .unwrap();

    assert_eq!(code, 200, "{answer}");
    mesh.until_held_by_all("3").await;
}
