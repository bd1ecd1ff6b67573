//! Stand-in processes that are started, killed and stopped.

use super::fixture::{SLEEPER, options, until};
use crate::local_mesh::{
    LocalMesh, LocalMeshError, LocalMeshOptions, checks,
    children::{ChildState, Restart},
    process,
};
use regionmesh_core::backoff::Backoff;
use std::time::Duration;

#[tokio::test]
async fn agents_are_killed_started_and_stopped_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let mesh = LocalMesh::prepare(options(&directory.path().join("mesh"), SLEEPER))
        .await
        .unwrap();
    let id = mesh.agents()[1].id.clone();
    let pid = mesh.start_agent(&id).await.unwrap();

    assert_eq!(mesh.start_agent(&id).await.unwrap(), pid, "it runs already");
    let log = mesh.agents()[1].log_file.clone();
    let starts = |count| {
        let log = log.clone();
        move || {
            std::fs::read_to_string(&log)
                .unwrap()
                .matches("started")
                .count()
                == count
        }
    };

    until("it has begun", starts(1)).await;
    assert!(process::command_line(pid).is_some());
    mesh.kill(&id).await.unwrap();
    assert_eq!(
        (mesh.state(&id).unwrap(), process::command_line(pid)),
        (ChildState::Stopped, None)
    );

    let second = mesh.start_agent(&id).await.unwrap();
    until("it has begun again", starts(2)).await;
    mesh.stop().await;
    assert_eq!(process::command_line(second), None);
    assert!(!mesh.agents()[1].pid_file().exists());
    assert!(mesh.kill(&"no/where".parse().unwrap()).await.is_err());
}

#[tokio::test]
async fn a_child_that_dies_is_reported_and_restarted() {
    let directory = tempfile::tempdir().unwrap();
    let pause = Duration::from_millis(10);
    let restart = Restart::BackOff(Backoff::new(pause, pause));
    let options = LocalMeshOptions {
        restart,
        ..options(&directory.path().join("mesh"), SLEEPER)
    };
    let mut mesh = LocalMesh::prepare(options).await.unwrap();
    let mut events = mesh.events().unwrap();
    let id = mesh.agents()[0].id.clone();
    let pid = mesh.start_agent(&id).await.unwrap();

    process::kill(pid);
    let event = events.recv().await.unwrap();
    assert_eq!(
        (&event.agent, event.pid, event.restart_in),
        (&id, pid, Some(pause))
    );

    assert!(event.status.contains('9'), "{}", event.status);
    until(
        "it runs again",
        || matches!(mesh.state(&id).unwrap(), ChildState::Running { pid: now } if now != pid),
    )
    .await;

    mesh.stop().await;
}

#[tokio::test]
async fn a_child_that_exits_immediately_is_reported_with_the_end_of_its_log() {
    let directory = tempfile::tempdir().unwrap();
    let script = "echo no such certificate >&2; exit 3";
    let mesh = LocalMesh::prepare(options(&directory.path().join("mesh"), script))
        .await
        .unwrap();
    let error = mesh.start().await.unwrap_err();

    assert!(matches!(error, LocalMeshError::Ended(_)), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("exit status: 3") && text.contains("no such certificate"),
        "{text}"
    );
}

#[tokio::test]
async fn a_child_that_is_never_ready_is_reported_and_all_are_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let ready_timeout = Duration::from_millis(300);
    let options = LocalMeshOptions {
        ready_timeout,
        ..options(&directory.path().join("mesh"), SLEEPER)
    };
    let mesh = LocalMesh::prepare(options).await.unwrap();
    let error = mesh.start().await.unwrap_err();

    assert!(matches!(error, LocalMeshError::NotReady(_)), "{error}");
    for agent in mesh.agents() {
        assert_eq!(mesh.state(&agent.id).unwrap(), ChildState::Stopped);
    }
}

#[tokio::test]
async fn a_child_that_ignores_sigterm_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let script = "trap '' TERM; echo started; while :; do sleep 0.05; done";
    let mesh = LocalMesh::prepare(options(&directory.path().join("mesh"), script))
        .await
        .unwrap();
    let agent = mesh.agents()[0].clone();
    let pid = mesh.start_agent(&agent.id).await.unwrap();

    until("it has begun", || {
        std::fs::read_to_string(&agent.log_file)
            .unwrap()
            .contains("started")
    })
    .await;

    mesh.stop().await;
    assert_eq!(process::command_line(pid), None);
}

#[tokio::test]
async fn children_die_with_the_mesh_that_is_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let mesh = LocalMesh::prepare(options(&directory.path().join("mesh"), SLEEPER))
        .await
        .unwrap();
    let pid = mesh.start_agent(&mesh.agents()[0].id).await.unwrap();

    drop(mesh);
    until("the child is gone", || process::command_line(pid).is_none()).await;
    assert!(
        checks::end_leftovers(directory.path())
            .await
            .unwrap()
            .is_empty()
    );
}
