//! The binary itself. Cargo builds it because this test exists; the end-to-end tests start it.

#![allow(clippy::unwrap_used)]

use std::process::Command;

#[test]
fn the_binary_prints_its_version_and_refuses_unknown_commands() {
    let run = |argument: &str| {
        Command::new(env!("CARGO_BIN_EXE_regionmesh"))
            .arg(argument)
            .output()
            .unwrap()
    };

    let version = run("--version");
    assert!(version.status.success());
    assert!(
        String::from_utf8(version.stdout)
            .unwrap()
            .contains(regionmesh::VERSION)
    );

    assert_eq!(run("no-such-command").status.code(), Some(2));
}
