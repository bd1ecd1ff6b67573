//! The guided tour as its user takes it: the program, its output, its exit code, and what it leaves behind.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use regionmesh_tests::mesh::binary;
use std::{net::TcpListener, path::Path, process::Output};
use tokio::process::Command;

async fn tour(base: &str, front_door: &str, temporary: &Path) -> Output {
    let mut command = Command::new(binary());
    command.args(["up", "--demo", "--base", base, "--front-door", front_door]).env("TMPDIR", temporary);
    command.current_dir(temporary).kill_on_drop(true).output().await.expect("the tour runs")
}

#[tokio::test]
async fn the_tour_holds_and_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let output = tour("127.0.70.11", "127.0.70.1:8080", temporary.path()).await;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}\n{text}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    for step in ["2. A model published once", "kill -9 of every agent of us-west-2", "7. The region comes back, gently"]
    {
        assert!(text.contains(step), "{step:?} is missing in:\n{text}");
    }
    let summary: Vec<_> = text.lines().skip_while(|line| !line.starts_with("STEP")).skip(1).take(7).collect();
    assert!(summary.len() == 7 && summary.iter().all(|line| line.contains("  yes  ")), "{text}");
    assert!(text.contains("Every step held."), "{text}");
    let left: Vec<_> = std::fs::read_dir(temporary.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_tour_that_cannot_open_its_front_door_fails_and_says_why() {
    let temporary = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.71.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = tour("127.0.71.11", &address, temporary.path()).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&address) && said.contains("in use"), "{said}");
}
