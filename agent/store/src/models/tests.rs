#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod claims;
mod crashes;
mod damage;
mod deletions;

use crate::{OpenStore, Owner, Settings, models::ModelStore};
use object_store::{ObjectStoreExt, memory::InMemory, path::Path as ObjectPath};
use proptest::prelude::*;
use regionmesh_core::replication::Cleaned;
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

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_committed_version_is_stored_as_plain_files_and_verifies() {
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
async fn committing_the_same_content_is_idempotent_and_other_content_is_refused() {
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
async fn racing_writers_of_different_content_leave_one_complete_version() {
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
            "files of another content are in its folder"
        );
    }
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
