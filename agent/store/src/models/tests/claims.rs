//! Claims of writers that are alive, crashed or taken over.

use super::*;

/// Leaves the claim of a writer of `content` that died `age` ago.
async fn leave_claim(
    store: &ModelStore,
    root: &Path,
    manifest: &Manifest,
    content: &str,
    age: Duration,
) {
    let claim = store
        .claim(&manifest.model, &manifest.version, content, None)
        .await
        .unwrap();

    drop(claim);
    let folder = root
        .join("store/claims")
        .join(manifest.model.as_str())
        .join(manifest.version.as_str());

    for entry in std::fs::read_dir(folder).unwrap() {
        let file = std::fs::File::options()
            .write(true)
            .open(entry.unwrap().path())
            .unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }
}

/// Opens the store in `folder` as one boot of an agent.
fn local_of(folder: &Path, agent: &str, boot: u64) -> ModelStore {
    let url = format!("file://{}", folder.join("store").display());
    let opened = crate::open(&Settings {
        url,
        options: Default::default(),
    })
    .unwrap();

    ModelStore::new(opened.owned_by(Owner {
        agent: agent.into(),
        boot,
    }))
}

#[tokio::test]
async fn a_live_claim_is_respected_and_a_stale_one_is_taken_over_with_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let store = local(folder.path());
    let files: Files = &[("f", b"one")];
    let manifest = manifest("m@1", 1, files);

    leave_claim(
        &store,
        folder.path(),
        &manifest,
        "other content",
        Duration::ZERO,
    )
    .await;

    store
        .store
        .objects
        .put(&ObjectPath::from("models/m/1/leftover"), "x".into())
        .await
        .unwrap();

    let refused = commit(&store, folder.path(), &manifest, files).await;
    assert!(
        matches!(refused, Err(ModelError::Claimed { .. })),
        "{refused:?}"
    );

    leave_claim(&store, folder.path(), &manifest, "other content", HOUR).await;
    commit(&store, folder.path(), &manifest, files)
        .await
        .unwrap();
    assert_eq!(files_of(&store, &manifest).await, ["models/m/1/f"]);
    assert_eq!(claims(&store).await, 0);
}

#[tokio::test]
async fn an_agent_that_crashed_in_a_commit_can_resume_it_immediately() {
    let folder = tempfile::tempdir().unwrap();
    let store = local(folder.path());
    let files: Files = &[("f", b"one")];
    let manifest = manifest("m@1", 1, files);

    leave_claim(
        &store,
        folder.path(),
        &manifest,
        &manifest.content().to_string(),
        Duration::ZERO,
    )
    .await;

    tokio::time::timeout(
        Duration::from_secs(5),
        commit(&store, folder.path(), &manifest, files),
    )
    .await
    .unwrap()
    .unwrap();

    store
        .verify(&manifest.model, &manifest.version)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_writer_that_lost_its_claim_gives_up() {
    let folder = tempfile::tempdir().unwrap();
    let store = local(folder.path());
    let version = manifest("m@1", 1, &[("f", b"one")]);
    let mut claim = store
        .claim(&version.model, &version.version, "ours", None)
        .await
        .unwrap();

    leave_claim(&store, folder.path(), &version, "ours", HOUR).await;
    store
        .claim(&version.model, &version.version, "theirs", None)
        .await
        .unwrap();

    assert!(matches!(
        store.renew(&mut claim).await,
        Err(ModelError::Claimed { .. })
    ));
}

#[tokio::test]
async fn clean_up_removes_only_leftovers_of_crashed_writers() {
    let folder = tempfile::tempdir().unwrap();
    let store = local(folder.path());
    let files: Files = &[("f", b"one")];
    let whole = manifest("m@1", 1, files);
    let half = manifest("m@2", 1, files);
    let live = manifest("m@3", 1, files);
    let dead = manifest("m@4", 1, files);

    for version in [&whole, &dead] {
        commit(&store, folder.path(), version, files).await.unwrap();
    }
    leave_claim(&store, folder.path(), &whole, "whole", HOUR).await;
    leave_claim(&store, folder.path(), &half, "half", HOUR).await;
    leave_claim(&store, folder.path(), &live, "living", Duration::ZERO).await;
    for path in ["models/m/2/f", "models/m/3/f", "models/theirs/1/f"] {
        store
            .store
            .objects
            .put(&ObjectPath::from(path), "x".into())
            .await
            .unwrap();
    }

    // Recorded, then the agent crashed.
    let tombstone = Tombstone {
        model: dead.model.clone(),
        version: dead.version.clone(),
        deleted: time(1),
        origin: "a".parse().unwrap(),
        content: None,
    };

    assert_eq!(
        store.clean(&[tombstone]).await.unwrap(),
        Cleaned {
            deletions: 1,
            abandoned: 1,
            uploads: 0
        }
    );

    store.verify(&whole.model, &whole.version).await.unwrap();
    assert_eq!(
        files_of(&store, &half).await.len() + files_of(&store, &dead).await.len(),
        0
    );

    assert_eq!(
        files_of(&store, &live).await.len(),
        1,
        "a live writer's file is gone"
    );

    assert!(
        folder.path().join("store/models/theirs/1/f").exists(),
        "a file that was never ours is gone"
    );

    assert_eq!(
        store.catalogue().await.unwrap().versions,
        vec![whole.summary()]
    );
}

#[tokio::test]
async fn a_restarted_agent_recognises_its_claims_and_others_wait_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let files: Files = &[("f", b"corrected")];
    let manifest = manifest("m@1", 1, files);
    let before = local_of(folder.path(), "node-0", 1);
    let claim = before
        .claim(&manifest.model, &manifest.version, "what was cut off", None)
        .await
        .unwrap();

    before
        .store
        .objects
        .put(&ObjectPath::from("models/m/1/half"), "x".into())
        .await
        .unwrap();

    drop(claim);
    let other = local_of(folder.path(), "node-1", 7);
    assert_eq!(other.clean(&[]).await.unwrap(), Cleaned::default());

    let back = local_of(folder.path(), "node-0", 2);
    tokio::time::timeout(
        Duration::from_secs(5),
        commit(&back, folder.path(), &manifest, files),
    )
    .await
    .unwrap()
    .unwrap();

    assert_eq!(files_of(&back, &manifest).await, ["models/m/1/f"]);
    assert_eq!(claims(&back).await, 0);
}
