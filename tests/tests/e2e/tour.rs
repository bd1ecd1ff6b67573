//! The guided tour from its user's view: the program, its output, its exit code, and the files that
//! are left.

use regionmesh_tests::{api, command::regionmesh, loopback::Loopback, wait::seconds};
use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Instant,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

/// A tour whose regions begin at `.11` of its network.
fn tour(network: Loopback, front_door: &str) -> Command {
    let base = network.at(11).to_string();
    regionmesh(&["up", "--demo", "--base", &base, "--front-door", front_door])
}

async fn taken(mut tour: Command, temporary: &Path) -> Output {
    tour.env("TMPDIR", temporary)
        .current_dir(temporary)
        .output()
        .await
        .expect("the tour runs")
}

#[tokio::test]
async fn the_tour_succeeds_and_cleans_up() {
    let temporary = tempfile::tempdir().unwrap();
    let network = Loopback::reserve();
    let output = taken(
        tour(network, &format!("{}:8080", network.at(1))),
        temporary.path(),
    )
    .await;
    let text = String::from_utf8_lossy(&output.stdout);

    assert!(
        output.status.success(),
        "{}\n{text}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );

    for step in [
        "2. A model published once",
        "kill -9 of every agent of us-west-2",
        "7. The region returns gradually",
    ] {
        assert!(text.contains(step), "{step:?} is missing in:\n{text}");
    }

    let summary: Vec<_> = text
        .lines()
        .skip_while(|line| !line.starts_with("STEP"))
        .skip(1)
        .take(7)
        .collect();

    assert!(
        summary.len() == 7 && summary.iter().all(|line| line.contains("  yes  ")),
        "{text}"
    );

    assert!(text.contains("Every step passed."), "{text}");
    assert_eq!(
        text.matches("no request failed").count(),
        4,
        "both steps that say so, and their rows:\n{text}"
    );

    let left: Vec<_> = std::fs::read_dir(temporary.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_tour_that_cannot_open_its_front_door_fails_with_the_reason() {
    let temporary = tempfile::tempdir().unwrap();
    let network = Loopback::reserve();
    let listener = TcpListener::bind((network.at(1), 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let output = taken(tour(network, &address), temporary.path()).await;
    let said = String::from_utf8_lossy(&output.stderr);

    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&address) && said.contains("in use"), "{said}");
}

#[tokio::test]
async fn a_tour_of_one_region_is_refused_before_anything_starts() {
    let temporary = tempfile::tempdir().unwrap();
    let begin = Instant::now();
    let network = Loopback::reserve();
    let mut of_one = tour(network, &format!("{}:8080", network.at(1)));

    of_one.args(["--regions", "one"]);
    let output = taken(of_one, temporary.path()).await;
    let said = String::from_utf8_lossy(&output.stderr);

    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--demo needs at least 2 regions"), "{said}");
    assert!(begin.elapsed() < seconds(10), "{:?}", begin.elapsed());
}

/// Deletes the tour's model in a live region, and publishes it again as version 2: for a
/// moment users get 404.
async fn take_the_model_away_for_a_moment(network: Loopback, data_dir: PathBuf) {
    let http = api::client();
    let agent = format!("http://{}:9080", network.at(12));
    let model = format!("http://{}:8080/v2/models/iris/infer", network.at(1));
    let token_file = data_dir.join("token");
    let token = std::fs::read_to_string(&token_file).unwrap();
    let delete = http
        .post(format!(
            "{agent}/v1/models/iris/versions/1/delete?force=true"
        ))
        .bearer_auth(token.trim());
    let deleted = delete.json(&serde_json::json!({})).send().await.unwrap();

    assert!(deleted.status().is_success(), "{deleted:?}");
    // From here on the tour may end at any moment, and its mesh with it.
    let infer = async || {
        let question = http
            .post(&model)
            .json(&regionmesh_tests::models::question());
        question.send().await.map(|answer| answer.status().as_u16())
    };

    while infer().await.is_ok_and(|status| status != 404) {}
    let _ = regionmesh(&["models", "publish", "iris", "2"])
        .arg(data_dir.join("tour/iris"))
        .args(["--agent", &agent, "--token-file"])
        .arg(token_file)
        .output()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tour_with_failed_requests_fails_and_names_the_first_failure() {
    let temporary = tempfile::tempdir().unwrap();
    let data_dir = temporary.path().join("mesh");
    let network = Loopback::reserve();
    let mut command = tour(network, &format!("{}:8080", network.at(1)));

    command.arg("--data-dir").arg(&data_dir);
    command.current_dir(temporary.path()).stdout(Stdio::piped());

    let mut tour = command.spawn().unwrap();
    let mut lines = BufReader::new(tour.stdout.take().unwrap()).lines();
    let mut text = String::new();
    let mut sabotage = None;

    while let Some(line) = lines.next_line().await.unwrap() {
        if line.contains("kill -9 of every agent of us-west-2") {
            sabotage = Some(tokio::spawn(take_the_model_away_for_a_moment(
                network,
                data_dir.clone(),
            )));
        }

        text += &(line + "\n");
    }

    let status = tour.wait().await.unwrap();
    sabotage
        .unwrap_or_else(|| panic!("nothing was killed:\n{text}"))
        .await
        .unwrap();

    assert_eq!(status.code(), Some(1), "{text}");
    let rows: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("What users noticed"))
        .collect();

    assert!(rows.len() == 1 && rows[0].contains("  NO  "), "{text}");
    assert!(
        rows[0].contains("requests failed") && rows[0].contains("the first: HTTP 404"),
        "{text}"
    );

    assert!(!text.contains("Every step passed."), "{text}");
}
