//! Tests that need what a machine may not have say so when they do nothing.

/// Where this is set nothing may be left out: a check that nobody sees missing is none.
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
    let directories = std::env::var_os("PATH").unwrap_or_default();
    let is_there =
        std::env::split_paths(&directories).any(|directory| directory.join(program).is_file());

    if !is_there {
        skip(&format!(
            "{program} is not installed (Debian: apt-get install {package})"
        ));
    }

    is_there
}
