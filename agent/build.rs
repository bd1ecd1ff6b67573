//! Tells the binary its version: the package's, with the git commit where there is one. Asks no
//! network.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=REGIONMESH_COMMIT");
    // A release pipeline that builds from a tarball names the commit itself.
    let commit = std::env::var("REGIONMESH_COMMIT")
        .ok()
        .filter(|commit| !commit.is_empty())
        .or_else(ask_git);
    let version = env!("CARGO_PKG_VERSION");
    let version = commit.map_or_else(
        || version.to_owned(),
        |commit| format!("{version} ({commit})"),
    );

    println!("cargo::rustc-env=REGIONMESH_VERSION={version}");
}

fn ask_git() -> Option<String> {
    // Both change when another commit is checked out; in a worktree they are not below `.git`.
    for file in ["HEAD", "logs/HEAD"] {
        let path = git(&["rev-parse", "--git-path", file])?;
        // A path that does not exist would run this script at each build.
        if std::path::Path::new(&path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }

    git(&["rev-parse", "--short=10", "HEAD"])
}

/// What git says; none without git, or outside a repository.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .args(arguments)
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;

    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}
