use super::*;

#[test]
fn tables_are_merged_and_regions_found_by_name() {
    let mut config: Table =
        "[health]\na = 1\nb = 2\n[[regions]]\nname = \"x\"\nc = 3\n[[regions]]\nname = \"y\""
            .parse()
            .unwrap();
    let settings = "[health]\nb = 4\n[cost]\nd = [5]\n[[regions]]\nname = \"y\"\nc = 6"
        .parse()
        .unwrap();

    apply(&mut config, &settings).unwrap();
    let expected = "[health]\na = 1\nb = 4\n[cost]\nd = [5]\n[[regions]]\nname = \"x\"\nc = 3\n\
                    [[regions]]\nname = \"y\"\nc = 6";
    assert_eq!(config, expected.parse().unwrap());

    let error = apply(&mut config, &"[[regions]]\nname = \"z\"".parse().unwrap()).unwrap_err();
    assert!(error.contains("\"z\" is not a region"), "{error}");
}

#[test]
fn settings_that_up_decides_are_refused_by_name() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "mesh = \"other\"").unwrap();

    let error = read(file.path()).unwrap_err().to_string();
    assert!(
        error.contains("`mesh` is set by `regionmesh up` itself"),
        "{error}"
    );

    assert!(
        read(Path::new("/nowhere"))
            .unwrap_err()
            .to_string()
            .starts_with("--settings /nowhere: ")
    );
}
