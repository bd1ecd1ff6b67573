//! The first hour of a new user: `up`, the sample model, a killed region, and a command line that
//! does what its like does.

use regionmesh_tests::{
    loopback::Loopback,
    mesh::{Setup, TestMesh, binary},
    models::iris_one,
    skip::has_program,
    wait::{claim, seconds, until},
};
use serde_json::Value;
use std::{
    net::{TcpListener, UdpSocket},
    path::Path,
    process::{Output, Stdio},
};
use tokio::process::Command;

/// Runs the program in `directory`, without any of the user's settings.
async fn regionmesh(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .kill_on_drop(true);

    for variable in [
        "REGIONMESH_AGENT",
        "REGIONMESH_TOKEN_FILE",
        "REGIONMESH_DATA_DIR",
        "REGIONMESH_OUTPUT",
    ] {
        command.env_remove(variable);
    }

    tokio::time::timeout(seconds(120), command.output())
        .await
        .expect("it ends")
        .expect("it runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
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
async fn what_up_prints_works_at_once_and_a_killed_region_is_explained_until_it_is_back() {
    if !has_program("curl", "curl") {
        return;
    }

    let directory = tempfile::tempdir().unwrap();
    let network = Loopback::reserve();
    let log = directory.path().join("log");
    let output = std::fs::File::create(&log).unwrap();
    let base = network.at(11).to_string();
    let front_door = format!("{}:8080", network.at(1));
    let mut up = Command::new(binary());

    up.args(["up", "--base", &base, "--front-door", &front_door])
        .current_dir(directory.path());
    up.stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .kill_on_drop(true);

    let _up = up.spawn().unwrap();
    let text = until("up is up", seconds(90), async || {
        let text = std::fs::read_to_string(&log).unwrap();
        claim(text.contains("Ctrl-C stops it"), || text.clone())?;
        Ok(text)
    })
    .await;

    // The sample model answers through the front door, at the first attempt.
    let infer = printed(&text, "/v2/models/iris/infer");
    let shell = |command: &str| {
        Command::new("bash")
            .args(["-c", command])
            .current_dir(directory.path())
            .output()
    };

    let answer = said(
        &shell(&format!("{infer} --silent --show-error --fail"))
            .await
            .unwrap(),
    );
    let answer: Value =
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"));

    assert_eq!(
        answer["outputs"][0]["data"].as_array().map(Vec::len),
        Some(3),
        "{answer}"
    );

    let listed = regionmesh(directory.path(), &["models", "list"]).await;
    assert!(said(&listed).contains("production"), "{}", said(&listed));

    // A region is killed with the printed command: `status` says when it is back, and it is.
    assert!(
        shell(printed(&text, "kill -9"))
            .await
            .unwrap()
            .status
            .success()
    );

    until("status explains the way back", seconds(60), async || {
        let status = said(&regionmesh(directory.path(), &["status"]).await);
        let flat = status.split_whitespace().collect::<Vec<_>>().join(" ");
        claim(flat.contains("full share at about"), || status)
    })
    .await;

    until("it has its full share again", seconds(90), async || {
        let status = regionmesh(directory.path(), &["status", "-o", "json"]).await;
        let status: Value =
            serde_json::from_slice(&status.stdout).map_err(|error| error.to_string())?;
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

#[tokio::test]
async fn what_up_refuses_it_refuses_before_it_leaves_anything_behind() {
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
        let output = regionmesh(directory.path(), arguments).await;
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?}: {}",
            said(&output)
        );

        assert!(
            said(&output).contains(expected) && !said(&output).contains("sudo"),
            "{}",
            said(&output)
        );

        let left: Vec<_> = std::fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();

        assert!(left.is_empty(), "{arguments:?} left {left:?}");
    }

    // A port that is taken is not known before: nothing is left behind either.
    let network = Loopback::reserve();
    let taken = TcpListener::bind((network.at(1), 0)).unwrap();
    let front_door = taken.local_addr().unwrap().to_string();
    let base = network.at(11).to_string();
    let output = regionmesh(
        directory.path(),
        &["up", "--base", &base, "--front-door", &front_door],
    )
    .await;

    assert!(
        output.status.code() == Some(1) && said(&output).contains(&front_door),
        "{}",
        said(&output)
    );

    assert!(
        std::fs::read_dir(directory.path())
            .unwrap()
            .next()
            .is_none()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_does_what_its_like_does() {
    let mesh = TestMesh::start().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("iris.onnx");

    std::fs::write(&file, iris_one()).unwrap();
    let file = file.to_str().unwrap();

    // --wait takes no value, wherever it stands; durations have one form.
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

    // Formats, and options that stand before the command.
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

    // Errors: in words, as JSON where that is asked for, and with a command as the hint.
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
    let told: Value = serde_json::from_str(&output.stderr)
        .unwrap_or_else(|error| panic!("{error}: {}", output.stderr));

    assert_eq!(output.code, Some(1));
    assert!(
        told["error"].as_str().unwrap().contains("nothing"),
        "{told}"
    );

    assert!(
        told["hint"]
            .as_str()
            .unwrap()
            .contains("regionmesh models list"),
        "{told}"
    );

    // Questions: nobody can be asked here.
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

    mesh.assert_all_run();

    // Events: a region that does not exist is a mistake, and what is long ago is not shown.
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

    // Every command's long help says what its exit codes mean.
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
async fn an_actor_whose_port_is_taken_says_so_and_does_not_panic() {
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
