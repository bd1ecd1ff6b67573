use super::*;

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_kernel_kills_a_child_when_its_parent_thread_has_ended() {
    let spawner = Spawner::start().unwrap();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "trap '' TERM; while :; do sleep 0.05; done"]);

    let mut child = spawner.spawn(command).await.unwrap();
    drop(spawner);

    let status = tokio::time::timeout(Duration::from_secs(10), child.wait())
        .await
        .unwrap()
        .unwrap();

    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(libc::SIGKILL)
    );
}

#[tokio::test]
async fn a_missing_program_is_an_error() {
    let spawner = Spawner::start().unwrap();
    assert!(
        spawner
            .spawn(Command::new("/nowhere/regionmesh"))
            .await
            .is_err()
    );
}
