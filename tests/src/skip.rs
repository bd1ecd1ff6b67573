//! Tests that need tools which a machine may lack report when they are skipped.

/// If this is set no test may be skipped: otherwise checks could be missing unnoticed.
const STRICT: &str = "REGIONMESH_TESTS_STRICT";

/// Reports that the calling test is skipped, and why; the caller returns. Fails instead where
/// `REGIONMESH_TESTS_STRICT` is set.
pub fn skip(why: &str) {
    assert!(
        std::env::var_os(STRICT).is_none(),
        "{STRICT} is set, and {why}"
    );
    eprintln!("SKIPPED: {why}");
}

/// Whether a program is installed; if not, reports it.
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
