//! SIGHUP: an agent reloads its configuration and says what of it is in effect; no process of ours
//! dies of it undrained.

use regionmesh::local_mesh::layout::LocalAgent;
use regionmesh_tests::{
    agents::{configure_agent, signal},
    api::Api,
    command::regionmesh,
    mesh::{SERVICE, Setup, TestMesh},
    wait::{claim, seconds, until},
};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
};
use tokio::process::Child;

/// Needs a token, and names an upload that does not exist.
const ABORT: &str = "/v1/uploads/none/abort";

/// The line of a log that contains all of `parts`, after the first `skip` bytes.
async fn logged(log: &Path, skip: usize, parts: &[&str]) -> String {
    until(&format!("a line with {parts:?}"), seconds(20), async || {
        let text = std::fs::read_to_string(log).map_err(|error| error.to_string())?;
        let new = text.get(skip..).unwrap_or_default();
        let found = new
            .lines()
            .find(|line| parts.iter().all(|part| line.contains(part)));

        found.map(str::to_owned).ok_or_else(|| new.to_owned())
    })
    .await
}

fn length(log: &Path) -> usize {
    std::fs::read_to_string(log).unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_reloads_on_hangup_logs_what_is_in_effect_and_survives_a_bad_file() {
    // A filter of this program's environment would outrank the configuration's.
    let mesh = TestMesh::start_with(Setup {
        environment: &[("RUST_LOG", "")],
        ..Setup::default()
    })
    .await;

    mesh.converged().await;
    let agent = mesh.agent(0);
    let before = mesh.pid(mesh.agent(0));
    let file = agent.config_file();
    let log = agent.log_file.clone();
    let original = std::fs::read_to_string(&file).unwrap();

    // An unchanged file has no effect.
    let mut skip = length(&log);
    signal(before, "-HUP");
    logged(
        &log,
        skip,
        &["configuration reloaded", "in_effect=[]", "needs_restart=[]"],
    )
    .await;

    let tokens: PathBuf = mesh.layout().data_dir.join("new-token");
    std::fs::write(&tokens, "ann new-secret\n").unwrap();

    configure_agent(agent, |config| {
        config.log.filter = "debug".into();
        config.api.token_file = Some(tokens);
        config.dns.ttl_s += 1;
    });

    skip = length(&log);
    signal(before, "-HUP");

    let line = logged(&log, skip, &["configuration reloaded"]).await;
    for part in [
        r#"in_effect=["api.token_file", "log.filter"]"#,
        r#"needs_restart=["dns.ttl_s"]"#,
    ] {
        assert!(line.contains(part), "{part} is missing in {line}");
    }

    logged(&log, skip, &["DEBUG"]).await;
    let api = mesh.api(0);
    assert_new_token_alone_is_taken(&api).await;

    // An invalid file changes nothing, and is reported.
    assert_bad_file_changes_nothing(&api, agent, before).await;

    std::fs::write(&file, original).unwrap();

    assert_eq!(mesh.pid(mesh.agent(0)), before, "it is the same process");
    mesh.assert_all_run();
    mesh.converged().await;
}

/// The new token is accepted; there is no such upload.
async fn assert_new_token_alone_is_taken(api: &Api) {
    assert_eq!(
        api.post(ABORT, &serde_json::json!({})).await.unwrap().0,
        403,
        "the old token is taken"
    );

    assert_eq!(
        api.with_token(Some("new-secret"))
            .post(ABORT, &serde_json::json!({}))
            .await
            .unwrap()
            .0,
        400
    );
}

async fn assert_bad_file_changes_nothing(api: &Api, agent: &LocalAgent, pid: u32) {
    let log = &agent.log_file;
    std::fs::write(agent.config_file(), "mesh = 7\n").unwrap();
    let skip = length(log);
    signal(pid, "-HUP");
    logged(log, skip, &["ERROR", "configuration not reloaded"]).await;

    let metrics = async |outcome: &str| {
        api.metric(
            "regionmesh_config_reloads_total",
            &[&format!("outcome=\"{outcome}\"")],
        )
        .await
        .unwrap()
    };

    assert_eq!((metrics("ok").await, metrics("failed").await), (2.0, 1.0));
    assert_eq!(
        api.with_token(Some("new-secret"))
            .post(ABORT, &serde_json::json!({}))
            .await
            .unwrap()
            .0,
        400
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_reload_agents_accept_and_forward_orders_by_the_new_token_file() {
    let mesh = TestMesh::start().await;
    mesh.converged().await;

    let old: PathBuf = mesh.layout().token_file();
    let new: PathBuf = mesh.layout().data_dir.join("new-token");
    std::fs::copy(&old, &new).unwrap();
    for index in 0..3 {
        let agent = mesh.agent(index);
        let skip = length(&agent.log_file);
        configure_agent(agent, |config| config.api.token_file = Some(new.clone()));
        signal(mesh.pid(mesh.agent(index)), "-HUP");
        logged(
            &agent.log_file,
            skip,
            &["configuration reloaded", r#"in_effect=["api.token_file"]"#],
        )
        .await;
    }

    std::fs::remove_file(&old).unwrap();
    let body = serde_json::json!({ "region": mesh.region(0), "by": "ann", "why": "look" });
    for asked in 0..3 {
        until(
            &format!("{} has an order carried out", mesh.region(asked)),
            seconds(20),
            async || {
                let (code, answer) = mesh.api(asked).post("/v1/failover/hold", &body).await?;
                claim(code == 200, || answer.to_string())
            },
        )
        .await;
    }
}

/// A process of the program whose errors go to a file.
fn start(arguments: &[&str], log: &Path) -> Child {
    let errors = std::fs::File::create(log).unwrap();
    regionmesh(arguments)
        .env("RUST_LOG", "info")
        .stdout(Stdio::null())
        .stderr(errors)
        .spawn()
        .expect("a process")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_server_and_a_front_door_survive_a_hangup() {
    let mesh = TestMesh::start().await;
    mesh.converged().await;

    let directory = tempfile::tempdir().unwrap();
    let models = directory.path().join("models");
    std::fs::create_dir(&models).unwrap();

    let port = |port: u16| SocketAddr::from((mesh.agent(0).ip, port)).to_string();
    let serving = port(18_081);
    let door = port(18_082);
    let server = mesh.agent(0).dns().to_string();
    let models = models.display().to_string();

    for (name, arguments, address) in [
        (
            "serve",
            vec!["serve", "--models", &models, "--listen", &serving],
            &serving,
        ),
        (
            "front-door",
            vec![
                "front-door",
                "--listen",
                &door,
                "--service",
                SERVICE,
                "--name-server",
                &server,
            ],
            &door,
        ),
    ] {
        let log = directory.path().join(name);
        let mut process = start(&arguments, &log);
        let connects = async || {
            tokio::net::TcpStream::connect(address.as_str())
                .await
                .map(drop)
                .map_err(|error| error.to_string())
        };

        until(&format!("{name} listens"), seconds(20), connects).await;
        signal(process.id().expect("a running process"), "-HUP");
        logged(&log, 0, &["SIGHUP ignored"]).await;
        assert!(process.try_wait().unwrap().is_none(), "{name} ended");
        until(&format!("{name} still listens"), seconds(5), connects).await;
        claim(process.try_wait().unwrap().is_none(), || {
            format!("{name} ended")
        })
        .unwrap();
    }
}
