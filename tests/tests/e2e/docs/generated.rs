//! Parts that are generated from the code are as generated.

use super::run;
use regionmesh_tests::{command::binary, pages::root, skip::has_program};
use std::path::Path;

/// A file, a text of its generated part, and what replaces it.
const PARTS: &[(&str, &str, &str)] = &[
    (
        "docs/reference/commands.md",
        "| `regionmesh models publish",
        "| `regionmesh models send",
    ),
    (
        "docs/reference/http-api.md",
        "| GET `/readyz`",
        "| GET `/ready`",
    ),
    (
        "docs/reference/settings.md",
        "| integer, 10 to 60000 |",
        "| integer, 10 to 6000 |",
    ),
    ("docs/reference/alerts.md", "| critical |", "| warning |"),
    (
        "docs/reference/alerts.md",
        "| critical | 5m |",
        "| critical | 6m |",
    ),
    (
        "docs/reference/metrics.md",
        "`regionmesh_build_info` | gauge |",
        "`regionmesh_build_info` | counter |",
    ),
    ("docs/reference/events.md", "| critical |", "| warning |"),
    (
        "monitoring/prometheus/rules/raised.yml",
        "severity: warning",
        "severity: critical",
    ),
    (
        "monitoring/prometheus/tests/raised.yml",
        "eval_time: 10m",
        "eval_time: 11m",
    ),
];

#[test]
fn generated_files_are_current_and_a_difference_is_reported() {
    if !has_program("python3", "python3") {
        return;
    }

    let copy = tempfile::tempdir().unwrap();

    for (name, ..) in PARTS {
        let place = copy.path().join(name);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::copy(root().join(name), place).unwrap();
    }

    let script = root().join("scripts/generate");
    let program = binary();
    let check = || {
        let arguments = [
            "--check",
            "--root",
            copy.path().to_str().unwrap(),
            program.to_str().unwrap(),
        ];
        let output = run(&script, &arguments, copy.path());

        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };

    let (code, said) = check();
    assert_eq!(code, Some(0), "{said}");

    for (name, right, wrong) in PARTS {
        let file = copy.path().join(name);
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(right), "{name} does not say {right:?}");
        std::fs::write(&file, text.replacen(right, wrong, 1)).unwrap();

        let (code, said) = check();
        assert_eq!(code, Some(1), "{name}: {wrong:?} went unnoticed");
        assert!(said.contains(name), "{said}");
        std::fs::write(&file, text).unwrap();
    }
}

#[test]
fn an_alert_has_one_source() {
    if !has_program("python3", "python3") {
        return;
    }

    let check = |root: &Path| {
        let script = root.join("scripts/monitoring_static.py");
        run(
            Path::new("python3"),
            &[script.to_str().unwrap(), "runbooks"],
            root,
        )
    };
    let output = check(&root());

    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );

    // A rule of Prometheus' own for a condition that agents raise.
    let copy = tempfile::tempdir().unwrap();
    for folder in ["docs", "scripts", "monitoring"] {
        let copied = run(
            Path::new("cp"),
            &["-R", root().join(folder).to_str().unwrap(), "."],
            copy.path(),
        );

        assert!(copied.status.success());
    }

    let file = copy.path().join("monitoring/prometheus/rules/alerts.yml");
    let rules = std::fs::read_to_string(&file).unwrap();
    std::fs::write(
        &file,
        rules.replacen("RegionMeshRegionSuspect", "RegionMeshRegionFailed", 1),
    )
    .unwrap();

    let output = check(copy.path());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("RegionMeshRegionFailed has two rules"),
        "{said}"
    );
}
