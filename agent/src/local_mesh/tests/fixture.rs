//! Meshes of stand-in processes.

use crate::local_mesh::{
    LocalMeshOptions,
    children::{Program, Restart},
    default_regions,
    layout::Ports,
};
use std::{path::Path, time::Duration};
use tokio::time::Instant;

/// A mesh whose agents are a shell script instead.
pub(super) fn options(data_dir: &Path, script: &str) -> LocalMeshOptions {
    LocalMeshOptions {
        regions: Some(default_regions().unwrap()),
        ports: Ports {
            mesh: 0,
            dns: 0,
            api: 0,
            serving: 0,
        },
        program: Program {
            executable: "/bin/sh".into(),
            arguments: ["-c".into(), script.into()].to_vec(),
        },
        restart: Restart::Never,
        ready_timeout: Duration::from_secs(5),
        ..LocalMeshOptions::new(data_dir).unwrap()
    }
}

pub(super) const SLEEPER: &str =
    "trap 'exit 0' TERM; echo started $0; while :; do sleep 0.05; done";

pub(super) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "not within 10 s: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
