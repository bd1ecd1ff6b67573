//! Deletions, renames and aliases.

use super::*;

#[tokio::test]
async fn a_rename_never_overwrites_an_existing_version() {
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
async fn a_deletion_removes_only_versions_published_before_it() {
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
            let tombstone = Tombstone {
                model,
                version: version.version.clone(),
                deleted: time(5),
                origin,
                content,
            };

            store.record_deletion(&tombstone).await.unwrap();
            let found = store
                .deletion_of(&tombstone.model, &tombstone.version)
                .await
                .unwrap();

            assert_eq!(found, Some(tombstone));
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

#[tokio::test]
async fn an_incomplete_deletion_is_found_and_completed() {
    let folder = tempfile::tempdir().unwrap();
    let store = local(folder.path());
    let files: Files = &[("f", b"one")];
    let dead = manifest("m@1", 1, files);
    let model = dead.model.clone();
    let version = dead.version.clone();
    let origin = "a".parse().unwrap();
    let tombstone = Tombstone {
        model,
        version,
        deleted: time(5),
        origin,
        content: Some(dead.content()),
    };

    store.record_deletion(&tombstone).await.unwrap();
    // Simulates a crash between the record and the removal.
    commit(&store, folder.path(), &dead, files).await.unwrap();

    let scan = store.scan().await.unwrap();
    assert_eq!(
        (scan.catalogue.versions.len(), &scan.unfinished),
        (0, &vec![tombstone.clone()])
    );

    store.record_deletion(&tombstone).await.unwrap();
    assert_eq!(store.scan().await.unwrap().unfinished, vec![]);
    assert!(files_of(&store, &dead).await.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn the_latest_setting_of_an_alias_wins_in_any_order_of_arrival(
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
