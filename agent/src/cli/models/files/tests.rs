use super::*;
use std::{fs, os::unix::fs::symlink};

fn names(path: &Path) -> Vec<(String, u64)> {
    collect(path)
        .unwrap()
        .into_iter()
        .map(|file| (file.name, file.size))
        .collect()
}

#[test]
fn a_folder_is_walked_in_order_including_hidden_files() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("b")).unwrap();
    fs::write(dir.path().join("b/x.txt"), "xx").unwrap();
    fs::write(dir.path().join("b/.hidden"), "").unwrap();
    fs::write(dir.path().join("a.onnx"), "a").unwrap();
    assert_eq!(
        names(dir.path()),
        [
            ("a.onnx".into(), 1),
            ("b/.hidden".into(), 0),
            ("b/x.txt".into(), 2)
        ]
    );
}

#[test]
fn a_single_onnx_file_gets_its_standard_name_and_others_keep_theirs() {
    let dir = tempfile::tempdir().unwrap();
    for (given, stored) in [
        ("resnet50.ONNX", "model.onnx"),
        ("weights.bin", "weights.bin"),
    ] {
        fs::write(dir.path().join(given), "a").unwrap();
        assert_eq!(names(&dir.path().join(given)), [(stored.into(), 1)]);
    }
}

#[test]
fn missing_and_empty_paths_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(
        collect(Path::new("")),
        Err(FilesError::Unreadable { .. })
    ));

    assert!(matches!(
        collect(&dir.path().join("nothing")),
        Err(FilesError::Unreadable { .. })
    ));

    assert!(matches!(collect(dir.path()), Err(FilesError::Empty(_))));
    fs::create_dir(dir.path().join("folder")).unwrap();
    fs::write(dir.path().join("folder/model.onnx"), "").unwrap();
    assert!(matches!(collect(dir.path()), Err(FilesError::Empty(_))));
    assert!(matches!(
        collect(&dir.path().join("folder/model.onnx")),
        Err(FilesError::Empty(_))
    ));
}

#[test]
fn links_are_followed_only_to_files_within_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("blobs")).unwrap();
    fs::write(root.join("blobs/1"), "weights").unwrap();
    symlink("blobs/1", root.join("model.onnx")).unwrap();
    assert_eq!(
        names(&root),
        [("blobs/1".into(), 7), ("model.onnx".into(), 7)]
    );

    fs::write(dir.path().join("secret"), "s").unwrap();
    // `root2` begins with the same letters and is another folder.
    fs::create_dir(dir.path().join("root2")).unwrap();
    fs::write(dir.path().join("root2/x"), "x").unwrap();
    for target in ["../secret", "/etc/passwd", "../root2/x"] {
        symlink(target, root.join("link")).unwrap();
        let error = collect(&root).unwrap_err();
        assert!(
            matches!(&error, FilesError::Outside { link, .. } if link.ends_with("link")),
            "{target}: {error}"
        );

        fs::remove_file(root.join("link")).unwrap();
    }

    symlink(".", root.join("circle")).unwrap();
    assert!(matches!(collect(&root), Err(FilesError::LinkedFolder(_))));
    fs::remove_file(root.join("circle")).unwrap();
    symlink("nowhere", root.join("broken")).unwrap();
    assert!(matches!(collect(&root), Err(FilesError::Unreadable { .. })));
}

#[test]
fn pipes_and_names_that_stores_do_not_accept_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );

    assert!(matches!(collect(&pipe), Err(FilesError::Special(_))));
    assert!(matches!(collect(dir.path()), Err(FilesError::Special(_))));
    fs::remove_file(&pipe).unwrap();
    fs::write(dir.path().join("a\nb"), "x").unwrap();
    assert!(matches!(collect(dir.path()), Err(FilesError::Limit { .. })));
}

#[test]
fn a_file_that_was_changed_added_or_removed_is_detected() {
    let dir = tempfile::tempdir().unwrap();
    let one = dir.path().join("one");
    let two = dir.path().join("two");

    fs::write(&one, "1").unwrap();
    let files = collect(dir.path()).unwrap();
    check_unchanged(dir.path(), &files).unwrap();

    fs::write(&two, "2").unwrap();
    let added = check_unchanged(dir.path(), &files).unwrap_err();
    assert!(
        matches!(&added, FilesError::Changed(path) if path.ends_with("two")),
        "{added}"
    );

    let both = collect(dir.path()).unwrap();
    fs::remove_file(&two).unwrap();
    assert!(matches!(
        check_unchanged(dir.path(), &both),
        Err(FilesError::Changed(path)) if path.ends_with("two")
    ));

    // The same length, another time.
    let earlier = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1);
    fs::File::options()
        .write(true)
        .open(&one)
        .unwrap()
        .set_modified(earlier)
        .unwrap();

    assert!(matches!(
        check_unchanged(dir.path(), &files),
        Err(FilesError::Changed(path)) if path.ends_with("one")
    ));
}
