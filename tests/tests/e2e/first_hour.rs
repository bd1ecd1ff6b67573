//! The first hour of a new user: `up`, the sample model, a killed region, and a command line that
//! follows common conventions.

use regionmesh_tests::{
    command::{COMMAND_TIMEOUT, CommandOutput, output_of, regionmesh},
    loopback::Loopback,
    mesh::{Setup, TestMesh},
    models::iris_one,
    skip::has_program,
    wait::{claim, seconds, until},
};
use serde_json::Value;
use std::{
    net::{TcpListener, UdpSocket},
    path::Path,
};
use tokio::process::{Child, Command};

/// Runs the program in `directory`, without any of the user's settings.
async fn run_in(directory: &Path, arguments: &[&str]) -> CommandOutput {
    let mut command = regionmesh(arguments);
    command.current_dir(directory);
    for variable in [
        "REGIONMESH_AGENT",
        "REGIONMESH_TOKEN_FILE",
        "REGIONMESH_DATA_DIR",
        "REGIONMESH_OUTPUT",
    ] {
        command.env_remove(variable);
    }

    output_of(&mut command, COMMAND_TIMEOUT).await
}

/// The commands that `up` printed, by a part of each.
fn printed<'a>(log: &'a str, part: &str) -> &'a str {
    let line = log
        .lines()
        .find(|line| line.contains(part))
        .unwrap_or_else(|| panic!("no {part:?} in:\n{log}"));
    line.split("  # ").next().unwrap().trim()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_that_up_prints_work_and_a_killed_region_is_explained() {
    if !has_program("curl", "curl") {
        return;
    }

    let directory = tempfile::tempdir().unwrap();
    let (_up, text) = start_up(directory.path()).await;

    // The sample model answers through the front door, at the first attempt.
    let infer = printed(&text, "/v2/models/iris/infer");
    let shell = |command: &str| {
        Command::new("bash")
            .args(["-c", command])
            .current_dir(directory.path())
            .output()
    };

    let output = shell(&format!("{infer} --silent --show-error --fail"))
        .await
        .unwrap();
    let answer = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let answer: Value =
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"));

    assert_eq!(
        answer["outputs"][0]["data"].as_array().map(Vec::len),
        Some(3),
        "{answer}"
    );

    let listed = run_in(directory.path(), &["models", "list"]).await;
    assert!(listed.text().contains("production"), "{}", listed.text());

    // A region is killed with the printed command: `status` says when it is back, and it is.
    assert!(
        shell(printed(&text, "kill -9"))
            .await
            .unwrap()
            .status
            .success()
    );

    until("status explains the recovery", seconds(60), async || {
        let status = run_in(directory.path(), &["status"]).await.text();
        let flat = status.split_whitespace().collect::<Vec<_>>().join(" ");
        claim(flat.contains("full share at about"), || status)
    })
    .await;

    until("it has its full share again", seconds(90), async || {
        let status = run_in(directory.path(), &["status", "-o", "json"]).await;
        let status: Value =
            serde_json::from_str(&status.stdout).map_err(|error| error.to_string())?;
        let regions = status["regions"].as_array().ok_or("no regions")?;

        claim(
            regions
                .iter()
                .all(|region| region["traffic_state"] == "serving"),
            || format!("{regions:?}"),
        )
    })
    .await;
}

/// Starts `up`; the process, and what it printed once it was ready.
async fn start_up(directory: &Path) -> (Child, String) {
    let network = Loopback::reserve();
    let log = directory.join("log");
    let output = std::fs::File::create(&log).unwrap();
    let base = network.at(11).to_string();
    let front_door = format!("{}:8080", network.at(1));
    let child = regionmesh(&["up", "--base", &base, "--front-door", &front_door])
        .current_dir(directory)
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn()
        .unwrap();

    let text = until("up is up", seconds(90), async || {
        let text = std::fs::read_to_string(&log).unwrap();
        claim(text.contains("Ctrl-C stops it"), || text.clone())?;
        Ok(text)
    })
    .await;

    (child, text)
}

#[tokio::test]
async fn up_refuses_bad_arguments_before_it_creates_anything() {
    let directory = tempfile::tempdir().unwrap();
    for (arguments, expected) in [
        (
            &["up", "--base", "10.1.2.3"][..],
            "10.1.2.3 is not a loopback address; use one in 127.0.0.0/8",
        ),
        (
            &["up", "--base", "8.8.8.8", "--data-dir", "elsewhere"],
            "is not a loopback address",
        ),
        (&["up", "--regions", "a,a"], "a is given twice"),
        (
            &["up", "--demo", "--regions", "one"],
            "--demo needs at least 2 regions",
        ),
    ] {
        let output = run_in(directory.path(), arguments).await;
        assert_eq!(output.code, Some(2), "{arguments:?}: {}", output.text());

        assert!(
            output.text().contains(expected) && !output.text().contains("sudo"),
            "{}",
            output.text()
        );

        let left: Vec<_> = std::fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();

        assert!(left.is_empty(), "{arguments:?} left {left:?}");
    }

    // A port in use is only detected later: nothing is left behind either.
    let network = Loopback::reserve();
    let taken = TcpListener::bind((network.at(1), 0)).unwrap();
    let front_door = taken.local_addr().unwrap().to_string();
    let base = network.at(11).to_string();
    let output = run_in(
        directory.path(),
        &["up", "--base", &base, "--front-door", &front_door],
    )
    .await;

    assert!(
        output.code == Some(1) && output.text().contains(&front_door),
        "{}",
        output.text()
    );

    assert!(
        std::fs::read_dir(directory.path())
            .unwrap()
            .next()
            .is_none()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_follows_common_conventions() {
    let mesh = TestMesh::start().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("iris.onnx");

    std::fs::write(&file, iris_one()).unwrap();
    let file = file.to_str().unwrap();

    // --wait takes no value, in any position; durations have one form.
    let output = mesh
        .cli(&[
            "models",
            "publish",
            "--wait",
            "iris",
            "1",
            file,
            "--timeout",
            "1m30s",
            "-o",
            "name",
        ])
        .await;

    assert_eq!(
        (output.code, output.stdout.as_str()),
        (Some(0), "iris@1\n"),
        "{}",
        output.stderr
    );

    assert_eq!(
        mesh.cli(&[
            "models",
            "publish",
            "iris",
            "2",
            file,
            "--wait",
            "--timeout",
            "300"
        ])
        .await
        .code,
        Some(2)
    );

    assert_formats(&mesh).await;

    assert_errors_are_explained(&mesh).await;

    assert_confirmation_needs_yes(&mesh).await;

    mesh.assert_all_run();

    assert_events_are_selected(&mesh).await;

    assert_long_help_explains_exit_codes(&mesh).await;
}

async fn assert_formats(mesh: &TestMesh) {
    let agent = mesh.agent(0).ip.to_string();
    let output = mesh
        .cli(&["--output", "json", "--agent", &agent, "models", "ls"])
        .await;
    let listed: Value = serde_json::from_str(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", output.stderr));

    assert_eq!(listed["models"][0]["model"], "iris");
    let output = mesh
        .cli(&["models", "describe", "iris", "-o", "yaml"])
        .await;
    assert!(
        output.stdout.contains("model: iris"),
        "{}{}",
        output.stdout,
        output.stderr
    );

    let output = mesh.cli(&["status", "-o", "name"]).await;
    assert_eq!(output.stdout.lines().count(), 3, "{}", output.stdout);

    let output = mesh.cli(&["status", "--color", "always"]).await;
    assert!(output.stdout.contains('\u{1b}'), "{}", output.stdout);

    let output = mesh.cli(&["version"]).await;
    assert!(
        output.stdout.contains("client") && output.stdout.matches("agent ").count() == 3,
        "{}",
        output.stdout
    );

    let output = mesh.cli(&["completions", "bash"]).await;
    assert!(
        output.code == Some(0) && output.stdout.contains("complete -F"),
        "{}",
        output.stderr
    );
}

/// In words, as JSON where that is asked for, and with a command as the hint.
async fn assert_errors_are_explained(mesh: &TestMesh) {
    let output = mesh
        .cli(&["models", "publish", "iris", "3", "./missing.onnx"])
        .await;
    assert_eq!(output.code, Some(2), "{}", output.stderr);
    assert!(
        output.stderr.contains("No such file") && !output.stderr.contains("os error"),
        "{}",
        output.stderr
    );

    let output = mesh.cli(&["models", "show", "nothing", "-o", "json"]).await;
    let error: Value = serde_json::from_str(&output.stderr)
        .unwrap_or_else(|error| panic!("{error}: {}", output.stderr));

    assert_eq!(output.code, Some(1));
    assert!(
        error["error"].as_str().unwrap().contains("nothing"),
        "{error}"
    );

    assert!(
        error["hint"]
            .as_str()
            .unwrap()
            .contains("regionmesh models list"),
        "{error}"
    );
}

/// There is no terminal to ask at.
async fn assert_confirmation_needs_yes(mesh: &TestMesh) {
    let region = mesh.region(2).to_owned();
    for arguments in [
        &[
            "failover",
            "simulate",
            "--kill",
            &region,
            "--data-dir",
            mesh.layout().data_dir.to_str().unwrap(),
        ][..],
        &["failover", "members", "remove", &region, "--force"],
        &["models", "rm", "iris", "1"],
    ] {
        let output = mesh.cli(arguments).await;
        assert_eq!(output.code, Some(2), "{arguments:?}: {}", output.stderr);
        assert!(output.stderr.contains("--yes"), "{}", output.stderr);
    }
}

/// A region that does not exist is an error, and events before `--since` are not listed.
async fn assert_events_are_selected(mesh: &TestMesh) {
    let output = mesh.cli(&["events", "--region", "nowhere"]).await;
    assert!(
        output.code == Some(2) && output.stderr.contains(mesh.region(0)),
        "{}",
        output.stderr
    );

    let output = mesh.cli(&["events", "--since", "1h", "-o", "json"]).await;
    assert!(
        output.code == Some(0) && !output.stdout.is_empty(),
        "{}",
        output.stderr
    );

    let output = mesh
        .cli(&["events", "--since", "2999-01-01T00:00:00Z"])
        .await;
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (Some(0), ""),
        "{}",
        output.stderr
    );
}

async fn assert_long_help_explains_exit_codes(mesh: &TestMesh) {
    for command in [
        &["models", "publish"][..],
        &["status"],
        &["failover", "drain"],
        &["ca", "issue"],
    ] {
        let output = mesh.cli(&[command, &["--help"]].concat()).await;
        assert!(
            output.stdout.contains("Exit codes: 0 done"),
            "{command:?}: {}",
            output.stdout
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_whose_port_is_taken_logs_it_and_does_not_panic() {
    let mesh = TestMesh::prepare(Setup { ..Setup::default() }).await;
    let _taken = UdpSocket::bind(mesh.agent(0).mesh()).unwrap();
    mesh.start_agent(&mesh.agent(0).id).await.unwrap();

    let log = &mesh.agent(0).log_file;
    let text = until("the log names the port", seconds(30), async || {
        let text = std::fs::read_to_string(log).map_err(|error| error.to_string())?;
        claim(text.contains("free the port or change listen.mesh"), || {
            text.clone()
        })?;
        Ok(text)
    })
    .await;

    assert!(
        !text.contains("panicked") && !text.contains("os error"),
        "{text}"
    );
}
