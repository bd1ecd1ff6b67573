use super::*;
use proptest::{collection::vec, prelude::*};
use regionmesh_protocol::clock::HybridTime;
use regionmesh_protocol::models::digest::Digest;

fn time(wall_ms: u64) -> HybridTime {
    HybridTime {
        wall_ms,
        counter: 0,
    }
}

fn region() -> impl Strategy<Value = RegionName> {
    prop_oneof!["a", "b", "c"].prop_map(|name: String| name.parse().unwrap())
}

/// As in a mesh: a publication (time, region) has one content.
fn version() -> impl Strategy<Value = VersionSummary> {
    (0..2u8, 0..2u8, 1..6u64, region()).prop_map(|(model, version, at, origin)| VersionSummary {
        model: format!("m{model}").parse().unwrap(),
        version: version.to_string().parse().unwrap(),
        content: Digest::of(format!("{at}{origin}").as_bytes()),
        size: at,
        published: time(at),
        origin,
    })
}

fn alias() -> impl Strategy<Value = AliasEntry> {
    (1..6u64, region(), 0..2u8).prop_map(|(at, origin, version)| AliasEntry {
        set: time(at),
        origin,
        model: "m0".parse().unwrap(),
        alias: "production".parse().unwrap(),
        version: version.to_string().parse().unwrap(),
        by: String::new(),
    })
}

fn tombstone() -> impl Strategy<Value = Tombstone> {
    (1..6u64, region(), 0..2u8).prop_map(|(at, origin, version)| Tombstone {
        model: "m0".parse().unwrap(),
        version: version.to_string().parse().unwrap(),
        deleted: time(at),
        origin,
        content: None,
    })
}

/// A region holds one version under a name.
fn catalogue() -> impl Strategy<Value = Catalogue> {
    (
        vec(version(), 0..4),
        vec(alias(), 0..3),
        vec(tombstone(), 0..2),
    )
        .prop_map(|(versions, aliases, tombstones)| {
            let mut catalogue = Catalogue {
                versions,
                aliases,
                tombstones,
            };

            catalogue.normalise();
            catalogue
                .versions
                .dedup_by(|b, a| a.model == b.model && a.version == b.version);
            catalogue
        })
}

/// Carries out what a region would.
fn apply(catalogue: &mut Catalogue, actions: &[SyncAction]) {
    for action in actions {
        match action {
            SyncAction::Delete(stone) => catalogue.tombstones.push(stone.clone()),
            SyncAction::SetAlias(alias) => catalogue.aliases.push(alias.clone()),
            SyncAction::Rename { from, to } => {
                catalogue.versions.retain(|held| held != from);
                catalogue.versions.push(VersionSummary {
                    version: to.clone(),
                    ..from.clone()
                });
            }
            SyncAction::Fetch { version, .. } => catalogue.versions.push(version.clone()),
        }
    }

    catalogue.normalise();
}

fn others(regions: &[(RegionName, Catalogue)], index: usize) -> Vec<(RegionName, Catalogue)> {
    let mut others = regions.to_vec();
    others.remove(index);
    others
}

fn sync_all(regions: &mut [(RegionName, Catalogue)]) {
    for _ in 0..6 {
        for index in 0..regions.len() {
            let peers = others(regions, index);
            let actions = plan_sync(&regions[index].1, &peers);

            apply(&mut regions[index].1, &actions);
        }
    }
}

fn named(catalogues: Vec<Catalogue>) -> Vec<(RegionName, Catalogue)> {
    ["a", "b", "c"]
        .iter()
        .map(|name| name.parse().unwrap())
        .zip(catalogues)
        .collect()
}

proptest! {
    #[test]
    fn a_deleted_version_that_is_still_held_is_pending_and_hidden(
        versions in vec(version(), 0..4),
        tombstones in vec(tombstone(), 0..3),
    ) {
        let mut raw = Catalogue {
            versions,
            tombstones,
            ..Catalogue::default()
        };

        raw.versions.sort();
        raw.versions
            .dedup_by(|b, a| a.model == b.model && a.version == b.version);

        let unfinished = raw.unfinished_deletions();
        let before = raw.versions.clone();
        raw.normalise();
        for version in before {
            let is_unfinished = unfinished.iter().any(|stone| {
                (&stone.model, &stone.version) == (&version.model, &version.version)
            });
            prop_assert_eq!(is_unfinished, !raw.versions.contains(&version));
        }

        prop_assert_eq!(raw.unfinished_deletions(), vec![]);
    }

    #[test]
    fn regions_converge_whatever_the_order_of_syncs(
        catalogues in vec(catalogue(), 3..=3),
    ) {
        let mut forward = named(catalogues.clone());
        sync_all(&mut forward);
        prop_assert_eq!(&forward[0].1, &forward[1].1);
        prop_assert_eq!(&forward[1].1, &forward[2].1);
        for (index, (_, catalogue)) in forward.iter().enumerate() {
            let peers: Vec<_> = forward
                .iter()
                .enumerate()
                .filter(|(i, _)| *i != index)
                .map(|(_, r)| r.clone())
                .collect();

            prop_assert_eq!(plan_sync(catalogue, &peers), vec![]);
        }

        let mut backward = named(catalogues);
        backward.reverse();
        sync_all(&mut backward);
        prop_assert_eq!(&forward[0].1, &backward[0].1);
    }

    #[test]
    fn no_content_is_lost_to_a_conflict_and_the_earliest_keeps_the_name(
        rivals in vec(version(), 3..=3),
    ) {
        let rival = |rival: &VersionSummary| VersionSummary {
            version: "1".parse().unwrap(),
            model: "m".parse().unwrap(),
            ..rival.clone()
        };
        let rivals: Vec<_> = rivals.iter().map(rival).collect();
        let of = |version: &VersionSummary| Catalogue {
            versions: vec![version.clone()],
            ..Catalogue::default()
        };
        let mut regions = named(rivals.iter().map(of).collect());

        sync_all(&mut regions);
        for (_, catalogue) in &regions {
            let held = |content| {
                catalogue
                    .versions
                    .iter()
                    .filter(|version| version.content == content)
                    .count()
            };

            prop_assert!(
                rivals.iter().all(|rival| held(rival.content) == 1),
                "{catalogue:?}"
            );

            let kept = catalogue
                .version(&rivals[0].model, &rivals[0].version)
                .unwrap();
            prop_assert_eq!(Some(kept), rivals.iter().reduce(|a, b| name_winner(a, b)));
        }
    }

    #[test]
    fn a_region_never_has_two_versions_of_one_name(catalogues in vec(catalogue(), 3..=3)) {
        let mut regions = named(catalogues);
        for _ in 0..3 {
            for index in 0..regions.len() {
                let peers = others(&regions, index);

                // Each action separately, as a store does.
                for action in plan_sync(&regions[index].1, &peers) {
                    apply(&mut regions[index].1, std::slice::from_ref(&action));
                    let versions = &regions[index].1.versions;
                    let names: BTreeSet<_> = versions
                        .iter()
                        .map(|held| (&held.model, &held.version))
                        .collect();

                    prop_assert_eq!(names.len(), versions.len(), "after {:?}", action);
                }
            }
        }
    }

    #[test]
    fn normalising_twice_changes_nothing(mut catalogue in catalogue()) {
        let once = catalogue.clone();
        catalogue.normalise();
        prop_assert_eq!(catalogue, once);
    }

    #[test]
    fn deletions_are_permanent_and_later_publications_survive(
        version in version(),
        stone in tombstone(),
    ) {
        let version = VersionSummary {
            model: stone.model.clone(),
            version: stone.version.clone(),
            ..version
        };
        let with = Catalogue {
            versions: vec![version.clone()],
            ..Catalogue::default()
        };

        let without = Catalogue {
            tombstones: vec![stone.clone()],
            ..Catalogue::default()
        };
        let mut regions = named(vec![with, without]);

        sync_all(&mut regions);
        let survives = version.published > stone.deleted;
        prop_assert!(
            regions
                .iter()
                .all(|(_, catalogue)| catalogue.versions.contains(&version) == survives)
        );
    }
}

#[test]
fn planning_is_not_quadratic_in_the_versions_held() {
    let versions = (0..20_000u64).map(|at| VersionSummary {
        model: "m".parse().unwrap(),
        version: at.to_string().parse().unwrap(),
        content: Digest::of(&at.to_le_bytes()),
        size: at,
        published: time(at),
        origin: "a".parse().unwrap(),
    });

    let all = Catalogue {
        versions: versions.collect(),
        ..Catalogue::default()
    };
    let begin = std::time::Instant::now();
    let actions = plan_sync(
        &Catalogue::default(),
        &[("a".parse().unwrap(), all.clone())],
    );

    assert_eq!(
        (
            actions.len(),
            plan_sync(&all, &[("b".parse().unwrap(), all.clone())])
        ),
        (20_000, vec![])
    );

    // Unoptimised it takes half a second; a comparison of each with each takes minutes.
    assert!(begin.elapsed().as_secs() < 20, "{:?}", begin.elapsed());
}
