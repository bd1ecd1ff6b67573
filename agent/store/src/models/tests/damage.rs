//! Damaged and missing objects.

use super::*;

#[tokio::test]
async fn a_version_that_lost_a_file_is_detected_and_repaired_by_a_new_commit() {
    let folder = tempfile::tempdir().unwrap();
    let store = local(folder.path());
    let files: Files = &[("f", b"one"), ("g", b"two")];
    let whole = manifest("m@1", 1, files);
    let damaged = manifest("m@2", 1, files);

    for version in [&whole, &damaged] {
        commit(&store, folder.path(), version, files).await.unwrap();
    }
    std::fs::remove_file(folder.path().join("store/models/m/2/g")).unwrap();

    let held = store.catalogue().await.unwrap().versions;
    assert_eq!(
        store.incomplete(&held).await.unwrap(),
        vec![damaged.summary()]
    );

    commit(&store, folder.path(), &damaged, files)
        .await
        .unwrap();
    assert_eq!(store.incomplete(&held).await.unwrap(), vec![]);
    store
        .verify(&damaged.model, &damaged.version)
        .await
        .unwrap();

    assert_eq!(claims(&store).await, 0);
}

#[tokio::test]
async fn damage_is_detected_and_described() {
    let folder = tempfile::tempdir().unwrap();
    let store = local(folder.path());
    let content: Vec<u8> = (0..9_000_000u32)
        .flat_map(|i| (i.wrapping_mul(2_654_435_761)).to_le_bytes())
        .collect();
    let files: Files = &[("f", &content)];
    let manifest = manifest("m@1", 1, files);

    commit(&store, folder.path(), &manifest, files)
        .await
        .unwrap();

    let stored = folder.path().join("store/models/m/1/f");
    let verify = || store.verify(&manifest.model, &manifest.version);

    let mut damaged = content.clone();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    std::fs::write(&stored, &damaged).unwrap();

    let error = verify().await.unwrap_err().to_string();
    assert!(
        error.contains(&format!(
            "chunk {} of file f",
            manifest.files[0].chunks.len() - 1
        )),
        "{error}"
    );

    std::fs::write(&stored, &content[..content.len() - 1]).unwrap();
    assert!(
        verify()
            .await
            .unwrap_err()
            .to_string()
            .contains("bytes, the manifest says")
    );

    std::fs::remove_file(&stored).unwrap();
    assert!(
        verify()
            .await
            .unwrap_err()
            .to_string()
            .contains("file f is missing")
    );
}

#[tokio::test]
async fn one_unreadable_manifest_does_not_hide_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let store = local(folder.path());
    let files: Files = &[("f", b"one")];
    let manifest = manifest("m@1", 1, files);

    commit(&store, folder.path(), &manifest, files)
        .await
        .unwrap();

    let bytes = store
        .manifest_bytes(&manifest.model, &manifest.version)
        .await
        .unwrap();

    for (path, content) in [
        ("manifests/m/2", bytes.to_vec()),
        ("manifests/m/3", b"garbage".to_vec()),
        ("manifests/x", vec![]),
    ] {
        store
            .store
            .objects
            .put(&ObjectPath::from(path), content.into())
            .await
            .unwrap();
    }

    assert_eq!(
        store.catalogue().await.unwrap().versions,
        vec![manifest.summary()]
    );
}
