#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::{OpenStore, Owner, Settings, clean::Cleaned, models::ModelStore};
use object_store::{ObjectStoreExt, memory::InMemory, path::Path as ObjectPath};
use proptest::prelude::*;
use regionmesh_protocol::{
    clock::HybridTime,
    models::{
        catalogue::{AliasEntry, Tombstone},
        chunking::Chunker,
        manifest::{Manifest, ManifestFile},
    },
};
use regionmesh_runtime::models::ModelError;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

type Files<'a> = &'a [(&'a str, &'a [u8])];

fn time(wall_ms: u64) -> HybridTime {
    HybridTime {
        wall_ms,
        counter: 0,
    }
}

fn local(folder: &Path) -> ModelStore {
    let url = format!("file://{}", folder.join("store").display());
    ModelStore::new(
        crate::open(&Settings {
            url,
            options: Default::default(),
        })
        .unwrap(),
    )
}

fn in_memory() -> ModelStore {
    ModelStore::new(OpenStore::of(Arc::new(InMemory::new())))
}

fn manifest(name: &str, published: u64, files: Files<'_>) -> Manifest {
    let (model, version) = name.split_once('@').unwrap();
    let mut files: Vec<_> = files
        .iter()
        .map(|(path, content)| {
            let mut chunker = Chunker::default();
            chunker.push(content);

            let cut = chunker.finish();
            ManifestFile {
                path: (*path).into(),
                size: cut.size,
                digest: cut.digest,
                chunks: cut.chunks,
            }
        })
        .collect();

    files.sort_by(|a, b| a.path.cmp(&b.path));
    Manifest {
        model: model.parse().unwrap(),
        version: version.parse().unwrap(),
        files,
        origin: "a".parse().unwrap(),
        publisher: "me".into(),
        published: time(published),
        metadata: vec![],
    }
}

fn stage(folder: &Path, files: Files<'_>) -> Vec<PathBuf> {
    let folder = folder
        .join("staged")
        .join(format!("{:016x}", rand::random::<u64>()));
    std::fs::create_dir_all(&folder).unwrap();

    let mut files = files.to_vec();
    files.sort();

    let path = |(index, (_, content)): (usize, &(&str, &[u8]))| {
        let path = folder.join(index.to_string());
        std::fs::write(&path, content).unwrap();
        path
    };

    files.iter().enumerate().map(path).collect()
}

async fn commit(
    store: &ModelStore,
    folder: &Path,
    manifest: &Manifest,
    files: Files<'_>,
) -> Result<(), ModelError> {
    store
        .commit(manifest, &stage(folder, files))
        .await
        .map(drop)
}

async fn files_of(store: &ModelStore, manifest: &Manifest) -> Vec<String> {
    let folder = super::folder(&manifest.model, &manifest.version);
    let mut listed: Vec<_> = store
        .list(&folder)
        .await
        .unwrap()
        .into_iter()
        .map(|meta| meta.location.to_string())
        .collect();

    listed.sort();
    listed
}

async fn claims(store: &ModelStore) -> usize {
    store.list(&ObjectPath::from("claims")).await.unwrap().len()
}

/// Leaves a claim as a writer of `content` would that died `age` ago.
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

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_committed_version_is_plain_files_and_reads_back_and_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let files: Files = &[
        ("model.onnx", b"weights"),
        ("1/vocab.txt", b"a b c"),
        ("empty", b""),
    ];

    for store in [local(folder.path()), in_memory()] {
        let manifest = manifest("m@1", 1, files);
        commit(&store, folder.path(), &manifest, files)
            .await
            .unwrap();
        assert_eq!(
            store
                .manifest(&manifest.model, &manifest.version)
                .await
                .unwrap(),
            manifest
        );

        assert_eq!(
            store.catalogue().await.unwrap().versions,
            vec![manifest.summary()]
        );

        for (path, content) in files {
            assert_eq!(
                &store
                    .read(&manifest.model, &manifest.version, path)
                    .await
                    .unwrap()[..],
                *content
            );
        }

        let range = store
            .read_range(&manifest.model, &manifest.version, "model.onnx", 2..5)
            .await
            .unwrap();

        assert_eq!(&range[..], b"igh");
        assert_eq!(
            store
                .verify(&manifest.model, &manifest.version)
                .await
                .unwrap(),
            manifest.summary()
        );

        assert_eq!(claims(&store).await, 0);
    }

    assert_eq!(
        std::fs::read(folder.path().join("store/models/m/1/1/vocab.txt")).unwrap(),
        b"a b c"
    );
}

#[tokio::test]
async fn the_same_content_again_is_no_error_and_other_content_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let ours: Files = &[("f", b"one")];
    let theirs: Files = &[("f", b"two"), ("g", b"three")];

    for store in [local(folder.path()), in_memory()] {
        let first = manifest("m@1", 1, ours);
        commit(&store, folder.path(), &first, ours).await.unwrap();

        let again = Manifest {
            published: time(9),
            ..first.clone()
        };

        assert_eq!(
            store
                .commit(&again, &stage(folder.path(), ours))
                .await
                .unwrap(),
            first.summary()
        );

        let other = manifest("m@1", 2, theirs);
        let refused = commit(&store, folder.path(), &other, theirs).await;
        assert!(
            matches!(refused, Err(ModelError::Exists { .. })),
            "{refused:?}"
        );

        store.verify(&first.model, &first.version).await.unwrap();
        assert_eq!(
            (files_of(&store, &first).await.len(), claims(&store).await),
            (1, 0)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_writers_of_different_contents_leave_one_whole_version() {
    for round in 0..8u8 {
        let folder = tempfile::tempdir().unwrap();
        let stores = [
            local(folder.path()),
            local(folder.path()),
            local(folder.path()),
            local(folder.path()),
        ];
        let mut racers = tokio::task::JoinSet::new();

        for (index, store) in stores.iter().cloned().enumerate() {
            let folder = folder.path().to_owned();
            // The last two have the same content.
            let content = vec![round + index.min(2) as u8; 300_000];

            racers.spawn(async move {
                let name = format!("only-{}", index.min(2));
                let files: Files = &[("same", &content), (&name, b"x")];
                commit(
                    &store,
                    &folder,
                    &manifest("m@1", index as u64, files),
                    files,
                )
                .await
            });
        }

        let outcomes = racers.join_all().await;
        let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert!((1..=2).contains(&won), "{outcomes:?}");

        let lost = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
        lost.for_each(|error| {
            assert!(
                matches!(
                    error,
                    ModelError::Exists { .. } | ModelError::Claimed { .. }
                ),
                "{error}"
            )
        });

        let [store, ..] = stores;
        let summary = store
            .verify(&"m".parse().unwrap(), &"1".parse().unwrap())
            .await
            .unwrap();
        let manifest = store
            .manifest(&summary.model, &summary.version)
            .await
            .unwrap();

        assert_eq!(
            files_of(&store, &manifest).await.len(),
            2,
            "files of another content lie beside it"
        );
    }
}

#[tokio::test]
async fn a_living_claim_of_other_content_is_respected_and_a_dead_one_is_taken_over_with_its_files()
{
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
async fn who_crashed_over_a_commit_may_go_on_with_the_same_content_at_once() {
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
async fn a_writer_whose_claim_was_taken_over_gives_up() {
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
async fn a_failed_commit_leaves_no_file_and_no_claim() {
    let folder = tempfile::tempdir().unwrap();
    let store = local(folder.path());
    let files: Files = &[("a", b"one"), ("b", b"two")];
    let manifest = manifest("m@1", 1, files);
    let mut staged = stage(folder.path(), files);

    staged[1] = folder.path().join("absent");
    assert!(store.commit(&manifest, &staged).await.is_err());
    assert_eq!(
        (
            files_of(&store, &manifest).await.len(),
            claims(&store).await
        ),
        (0, 0)
    );

    assert!(!folder.path().join("store/models/m").exists());
    assert_eq!(store.catalogue().await.unwrap().versions, vec![]);
}

#[tokio::test]
async fn cleaning_removes_what_crashed_writers_left_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let store = local(folder.path());
    let files: Files = &[("f", b"one")];
    let whole = manifest("m@1", 1, files);
    let half = manifest("m@2", 1, files);
    let living = manifest("m@3", 1, files);
    let dead = manifest("m@4", 1, files);

    for version in [&whole, &dead] {
        commit(&store, folder.path(), version, files).await.unwrap();
    }
    leave_claim(&store, folder.path(), &whole, "whole", HOUR).await;
    leave_claim(&store, folder.path(), &half, "half", HOUR).await;
    leave_claim(&store, folder.path(), &living, "living", Duration::ZERO).await;
    for path in ["models/m/2/f", "models/m/3/f", "models/theirs/1/f"] {
        store
            .store
            .objects
            .put(&ObjectPath::from(path), "x".into())
            .await
            .unwrap();
    }

    // Recorded, and then the agent died.
    let stone = Tombstone {
        model: dead.model.clone(),
        version: dead.version.clone(),
        deleted: time(1),
        origin: "a".parse().unwrap(),
        content: None,
    };

    assert_eq!(
        store.clean(&[stone]).await.unwrap(),
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
        files_of(&store, &living).await.len(),
        1,
        "a living writer's file is gone"
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
async fn a_rename_never_overwrites_a_version_that_has_the_name() {
    let folder = tempfile::tempdir().unwrap();
    for store in [local(folder.path()), in_memory()] {
        let ours: Files = &[("f", b"ours")];
        let theirs: Files = &[("f", b"theirs")];
        let loser = manifest("m@1", 2, ours);
        let traffic_state = manifest("m@1+conflict.a", 1, theirs);

        commit(&store, folder.path(), &loser, ours).await.unwrap();
        commit(&store, folder.path(), &traffic_state, theirs)
            .await
            .unwrap();

        let refused = store.rename(&loser.summary(), &traffic_state.version).await;
        assert!(
            matches!(refused, Err(ModelError::Exists { .. })),
            "{refused:?}"
        );

        store
            .verify(&traffic_state.model, &traffic_state.version)
            .await
            .unwrap();

        store.verify(&loser.model, &loser.version).await.unwrap();

        let free = "1+conflict.a.0123abcd".parse().unwrap();
        store.rename(&loser.summary(), &free).await.unwrap();
        store.verify(&loser.model, &free).await.unwrap();
        assert!(matches!(
            store.manifest(&loser.model, &loser.version).await,
            Err(ModelError::NotFound { .. })
        ));

        assert_eq!(files_of(&store, &loser).await.len(), 0);
    }
}

#[tokio::test]
async fn a_deletion_removes_what_was_published_before_it_and_spares_what_came_after() {
    let folder = tempfile::tempdir().unwrap();
    for store in [local(folder.path()), in_memory()] {
        let files: Files = &[("f", b"one")];
        for (published, lives) in [(5, false), (6, true)] {
            let version = manifest("m@1", published, files);
            commit(&store, folder.path(), &version, files)
                .await
                .unwrap();

            let model = version.model.clone();
            let origin = "a".parse().unwrap();
            let content = Some(version.content());
            let stone = Tombstone {
                model,
                version: version.version.clone(),
                deleted: time(5),
                origin,
                content,
            };

            store.bury(&stone).await.unwrap();
            let found = store
                .deletion_of(&stone.model, &stone.version)
                .await
                .unwrap();

            assert_eq!(found, Some(stone));
            assert_eq!(
                store.catalogue().await.unwrap().versions == vec![version.summary()],
                lives
            );

            assert_eq!(
                store
                    .manifest(&version.model, &version.version)
                    .await
                    .is_ok(),
                lives
            );
        }
    }

    assert!(folder.path().join("store/models/m/1/f").exists());
}

/// A store in `folder` as an agent in one of its lives opens it.
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
async fn an_agent_that_comes_back_knows_its_own_claims_and_others_wait_for_them() {
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

#[tokio::test]
async fn a_deletion_that_was_not_carried_out_is_found_and_finished() {
    let folder = tempfile::tempdir().unwrap();
    let store = local(folder.path());
    let files: Files = &[("f", b"one")];
    let dead = manifest("m@1", 1, files);
    let model = dead.model.clone();
    let version = dead.version.clone();
    let origin = "a".parse().unwrap();
    let stone = Tombstone {
        model,
        version,
        deleted: time(5),
        origin,
        content: Some(dead.content()),
    };

    store.bury(&stone).await.unwrap();
    // As if the agent had died between the record and the removal.
    commit(&store, folder.path(), &dead, files).await.unwrap();

    let scan = store.scan().await.unwrap();
    assert_eq!(
        (scan.catalogue.versions.len(), &scan.unfinished),
        (0, &vec![stone.clone()])
    );

    store.bury(&stone).await.unwrap();
    assert_eq!(store.scan().await.unwrap().unfinished, vec![]);
    assert!(files_of(&store, &dead).await.is_empty());
}

#[tokio::test]
async fn a_version_that_lost_a_file_is_found_and_made_whole_by_the_same_content() {
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
async fn damage_is_found_and_named() {
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn the_latest_setting_of_an_alias_holds_in_whatever_order_they_come(
        mut sets in proptest::collection::vec((1u64..9, 0usize..2, 0u8..3), 1..12),
    ) {
        sets.dedup_by_key(|set| (set.0, set.1));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let store = in_memory();
            let entry = |(at, origin, version): (u64, usize, u8)| AliasEntry {
                set: time(at),
                origin: ["a", "b"][origin].parse().unwrap(),
                model: "m".parse().unwrap(),
                alias: "production".parse().unwrap(),
                version: version.to_string().parse().unwrap(),
                by: String::new(),
            };

            for set in &sets {
                store.set_alias(&entry(*set)).await.unwrap();
            }

            let held = store.catalogue().await.unwrap().aliases;
            let latest = sets.iter().map(|set| (set.0, set.1)).max().unwrap();
            assert_eq!(held.len(), 1);
            assert_eq!(
                (held[0].set, held[0].origin.as_str()),
                (time(latest.0), ["a", "b"][latest.1])
            );
        });
    }
}
