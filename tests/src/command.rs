//! The program under test, run in processes of its own.

use crate::wait::seconds;
use std::{ffi::OsStr, path::PathBuf, process::Stdio, time::Duration};
use tokio::process::Command;

/// How long a command of the program may run.
pub const COMMAND_TIMEOUT: Duration = seconds(120);

/// The outcome of a command of the program.
#[derive(Debug)]
pub struct CommandOutput {
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// Its errors, warnings and progress.
    pub stderr: String,
}

impl CommandOutput {
    /// Everything that it printed.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// The binary under test: the one that `cargo build` put next to this test program, or the one that
/// `REGIONMESH_BINARY` names, such as an earlier release that a new test should fail with.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("REGIONMESH_BINARY") {
        return path.into();
    }

    let program = std::env::current_exe().expect("this program's path");
    let profile = program
        .parent()
        .and_then(|deps| deps.parent())
        .expect("tests lie in <target>/<profile>/deps");
    let binary = profile.join("regionmesh");

    assert!(
        binary.exists(),
        "{} is missing: run cargo build first",
        binary.display()
    );

    binary
}

/// The program with these arguments, without standard input; killed when its handle is dropped.
pub fn regionmesh<S: AsRef<OsStr>>(arguments: &[S]) -> Command {
    let mut command = Command::new(binary());
    command
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true);

    command
}

/// Runs a command to its end; fails if that takes longer than `timeout`.
pub async fn output_of(command: &mut Command, timeout: Duration) -> CommandOutput {
    let output = tokio::time::timeout(timeout, command.output())
        .await
        .unwrap_or_else(|_| panic!("{command:?} did not end within {timeout:?}"))
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));

    CommandOutput {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
