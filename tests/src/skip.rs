//! Tests that need what a machine may not have say so when they do nothing.

/// Where this is set no test may be skipped: a check that is missing unnoticed is none.
const STRICT: &str = "REGIONMESH_TESTS_STRICT";

/// Says that the calling test does nothing, and why; the caller returns. Fails instead where
/// `REGIONMESH_TESTS_STRICT` is set.
pub fn skip(why: &str) {
    assert!(
        std::env::var_os(STRICT).is_none(),
        "{STRICT} is set, and {why}"
    );
    eprintln!("SKIPPED: {why}");
}

/// Whether a program is installed; if not, says so.
pub fn has_program(program: &str, package: &str) -> bool {
    let is_there = is_installed(program);
    if !is_there {
        skip(&format!(
            "{program} is not installed (Debian: apt-get install {package})"
        ));
    }

    is_there
}

/// Whether a program is on the path.
pub fn is_installed(program: &str) -> bool {
    let directories = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&directories).any(|directory| directory.join(program).is_file())
}
