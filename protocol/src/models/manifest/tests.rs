use super::*;
use crate::models::chunking::Chunker;
use proptest::prelude::*;

fn file(path: &str, content: &[u8]) -> ManifestFile {
    let mut chunker = Chunker::default();
    chunker.push(content);

    let cut = chunker.finish();
    ManifestFile {
        path: path.into(),
        size: cut.size,
        digest: cut.digest,
        chunks: cut.chunks,
    }
}

fn manifest(files: Vec<ManifestFile>) -> Manifest {
    Manifest {
        model: "m".parse().unwrap(),
        version: "1".parse().unwrap(),
        files,
        origin: "a".parse().unwrap(),
        publisher: "me".into(),
        published: HybridTime::default(),
        metadata: vec![],
    }
}

proptest! {
    #[test]
    fn the_identity_depends_only_on_contents_and_paths(
        a: Vec<u8>,
        b: Vec<u8>,
        publisher in "[a-z]{0,9}",
    ) {
        let one = manifest(vec![file("x", &a)]);
        let other = Manifest {
            publisher,
            version: "2".parse().unwrap(),
            ..one.clone()
        };

        prop_assert_eq!(one.content(), other.content());
        prop_assert_eq!(
            one.content() == manifest(vec![file("x", &b)]).content(),
            a == b
        );

        prop_assert_ne!(one.content(), manifest(vec![file("y", &a)]).content());
    }

    #[test]
    fn arbitrary_paths_never_panic_or_leave_the_folder(path: String) {
        if check_file_path(&path).is_ok() {
            prop_assert!(
                !path.starts_with('/')
                    && path.split('/').all(|part| !part.is_empty() && part != "..")
            );
        }
    }
}

#[test]
fn paths_that_leave_the_folder_are_refused() {
    for bad in [
        "",
        "/x",
        "../x",
        "a/../b",
        "a//b",
        "a/",
        "./a",
        r"a\b",
        "a\0",
        "é",
        " a",
        "a/ b",
        &"x".repeat(513),
    ] {
        assert!(check_file_path(bad).is_err(), "{bad:?} was accepted");
    }

    assert!(check_file_path(&format!("a/{}", "x".repeat(256))).is_err());
    assert_eq!(check_file_path(&format!("a/{}", "x".repeat(255))), Ok(()));
    for good in ["model.onnx", "1/a b.bin", "vocab+extra@1.txt"] {
        assert_eq!(check_file_path(good), Ok(()));
    }
}

#[test]
fn a_manifest_that_lies_about_its_chunks_is_refused() {
    let mut lying = file("x", b"content");
    lying.size += 1;
    assert!(matches!(
        manifest(vec![lying]).check(),
        Err(ManifestError::Chunks { .. })
    ));

    let mut lying = file("x", b"content");
    lying.chunks[0].length = u32::MAX;
    assert!(matches!(
        manifest(vec![lying]).check(),
        Err(ManifestError::Chunks { .. })
    ));

    assert_eq!(manifest(vec![]).check(), Err(ManifestError::Empty));
    for paths in [["a", "a"], ["b", "a"], ["a", "a/b"]] {
        assert!(matches!(
            manifest(paths.map(|path| file(path, b"")).to_vec()).check(),
            Err(ManifestError::Order(_))
        ));
    }

    assert_eq!(
        manifest(vec![file("a", b""), file("b", b"x")]).check(),
        Ok(())
    );
}

#[test]
fn version_names_may_mark_a_conflict_and_nothing_else() {
    for good in [
        "7",
        "1.10",
        "v2_a-b",
        "7+conflict.eu-west-1",
        "7+conflict.a.0123abcd",
    ] {
        assert!(VersionName::new(good).is_ok(), "{good:?} was refused");
    }

    for bad in [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "-1",
        "7+x",
        "7+conflict.",
        "7+conflict.A",
        "+conflict.a",
        "7+conflict.a.012",
        "7+conflict.a.0123abcD",
    ] {
        assert!(VersionName::new(bad).is_err(), "{bad:?} was accepted");
    }
}
