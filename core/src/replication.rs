//! What holds when two regions said different things: versions, aliases, deletions.

use regionmesh_protocol::{
    identity::{IdentityError, RegionName},
    models::{
        catalogue::{AliasEntry, ByName, Catalogue, Tombstone, by_name, deletions, is_dead},
        manifest::{VersionName, VersionSummary},
    },
};
use std::collections::BTreeSet;

/// Where a published version belongs when another of the same name exists.
///
/// The earlier (hybrid time, then region) keeps the name, in every region alike: whoever compares,
/// the order is the same.
pub fn keeps_name<'a>(a: &'a VersionSummary, b: &'a VersionSummary) -> &'a VersionSummary {
    if (a.published, &a.origin, a.content) <= (b.published, &b.origin, b.content) {
        a
    } else {
        b
    }
}

/// The name that the loser of a conflict gets: `7` becomes `7+conflict.<origin>`, and should that
/// have been given to an earlier loser of the same origin, `7+conflict.<origin>.<first 8 digits of
/// the content>`.
pub fn conflict_name(loser: &VersionSummary) -> Result<VersionName, IdentityError> {
    if loser.version.is_conflict() {
        crowded_name(loser)
    } else {
        first_conflict_name(loser)
    }
}

fn first_conflict_name(loser: &VersionSummary) -> Result<VersionName, IdentityError> {
    VersionName::new(format!(
        "{}+conflict.{}",
        loser.version.base(),
        loser.origin
    ))
}

fn crowded_name(loser: &VersionSummary) -> Result<VersionName, IdentityError> {
    VersionName::new(format!(
        "{}+conflict.{}.{:.8}",
        loser.version.base(),
        loser.origin,
        loser.content.to_string()
    ))
}

/// One thing to do so that a region's catalogue becomes the mesh's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyncAction {
    /// Record a deletion and carry it out.
    Delete(Tombstone),
    /// Our version lost its name to an earlier one: keep it under another.
    Rename {
        /// Ours.
        from: VersionSummary,
        /// Its new name.
        to: VersionName,
    },
    /// Fetch this version from one of these regions.
    Fetch {
        /// What.
        version: VersionSummary,
        /// Who holds it with this content.
        regions: Vec<RegionName>,
    },
    /// Record this alias.
    SetAlias(AliasEntry),
}

/// How `loser`, which we hold, gives way. The earliest loser of an origin has the plain conflict
/// name, in every region alike; should a later one of ours stand there, it moves on first.
fn renames<'a>(
    loser: &'a VersionSummary,
    winners: &ByName<'a>,
    own: &ByName<'a>,
    moved: &mut BTreeSet<&'a VersionSummary>,
) -> Vec<(&'a VersionSummary, VersionName)> {
    let (Ok(plain), Ok(crowded)) = (conflict_name(loser), crowded_name(loser)) else {
        return Vec::new();
    };
    let standing = winners.get(&(&loser.model, &plain));

    if standing
        .is_some_and(|other| other.content != loser.content && keeps_name(other, loser) == *other)
    {
        return vec![(loser, crowded)];
    }

    let occupant = own
        .get(&(&loser.model, &plain))
        .filter(|occupant| occupant.content != loser.content);
    match occupant.map(|occupant| (occupant, crowded_name(occupant))) {
        None => vec![(loser, plain)],
        Some((occupant, Ok(to))) => {
            moved.insert(occupant);
            vec![(*occupant, to), (loser, plain)]
        }
        // Neither name is free: it waits for the occupant to go.
        Some((_, Err(_))) => Vec::new(),
    }
}

/// What `own` lacks of what the peers hold, in the order in which it should be done: deletions,
/// renames, aliases, fetches.
///
/// Takes time n log n in all that is held: it is asked after every change.
pub fn plan_sync(own: &Catalogue, peers: &[(RegionName, Catalogue)]) -> Vec<SyncAction> {
    let mut all = own.clone();
    for (_, peer) in peers {
        all.tombstones.extend(peer.tombstones.iter().cloned());
        all.aliases.extend(peer.aliases.iter().cloned());
        all.versions.extend(peer.versions.iter().cloned());
    }

    all.normalise();

    let own_tombstones: BTreeSet<_> = own.tombstones.iter().collect();
    let own_aliases: BTreeSet<_> = own.aliases.iter().collect();
    let dead = deletions(&all.tombstones);
    let own_versions = by_name(own);
    let peer_versions = peers.iter().map(|(region, peer)| (region, by_name(peer)));
    let peer_versions: Vec<_> = peer_versions.collect();

    let deletions = all
        .tombstones
        .iter()
        .filter(|stone| !own_tombstones.contains(stone))
        .cloned();
    let mut actions: Vec<_> = deletions.map(SyncAction::Delete).collect();
    let mut fetches = Vec::new();

    // Sorted by name: rivals stand side by side. A loser is renamed by the regions that hold it and
    // fetched under its new name.
    let rivals = all
        .versions
        .chunk_by(|a, b| a.model == b.model && a.version == b.version);
    let winners: ByName<'_> = rivals
        .filter_map(|rivals| rivals.iter().reduce(|a, b| keeps_name(a, b)))
        .map(|winner| ((&winner.model, &winner.version), winner))
        .collect();
    let mut moved = BTreeSet::new();
    let mut taken = BTreeSet::new();

    for (name, winner) in &winners {
        match own_versions.get(name).filter(|ours| !is_dead(&dead, ours)) {
            Some(ours) if ours.content == winner.content => continue,
            Some(ours) if !moved.contains(ours) => {
                for (from, to) in renames(ours, &winners, &own_versions, &mut moved) {
                    taken.insert((from.model.clone(), to.clone()));
                    actions.push(SyncAction::Rename {
                        from: from.clone(),
                        to,
                    });
                }
            }
            _ => {}
        }

        // Names sort before the conflict names made of them, so a name that is given above is seen
        // here.
        if taken.contains(&(winner.model.clone(), winner.version.clone())) {
            continue;
        }

        let holds = |peer: &ByName<'_>| {
            peer.get(name)
                .is_some_and(|held| held.content == winner.content)
        };
        let regions = peer_versions
            .iter()
            .filter(|(_, peer)| holds(peer))
            .map(|(region, _)| (*region).clone());

        fetches.push(SyncAction::Fetch {
            version: (*winner).clone(),
            regions: regions.collect(),
        });
    }

    actions.extend(
        all.aliases
            .iter()
            .filter(|alias| !own_aliases.contains(alias))
            .cloned()
            .map(SyncAction::SetAlias),
    );

    actions.extend(fetches);
    actions
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
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
        (0..2u8, 0..2u8, 1..6u64, region()).prop_map(|(model, version, at, origin)| {
            VersionSummary {
                model: format!("m{model}").parse().unwrap(),
                version: version.to_string().parse().unwrap(),
                content: Digest::of(format!("{at}{origin}").as_bytes()),
                size: at,
                published: time(at),
                origin,
            }
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

    fn sync_all(regions: &mut [(RegionName, Catalogue)]) {
        for _ in 0..6 {
            for index in 0..regions.len() {
                let peers: Vec<_> = regions
                    .iter()
                    .enumerate()
                    .filter(|(i, _)| *i != index)
                    .map(|(_, r)| r.clone())
                    .collect();
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
        fn what_is_deleted_and_still_held_is_unfinished_and_hidden(
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
        fn regions_that_sync_become_equal_whatever_the_order(
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
                prop_assert_eq!(Some(kept), rivals.iter().reduce(|a, b| keeps_name(a, b)));
            }
        }

        #[test]
        fn a_region_never_has_two_versions_of_one_name(catalogues in vec(catalogue(), 3..=3)) {
            let mut regions = named(catalogues);
            for _ in 0..3 {
                for index in 0..regions.len() {
                    let peers: Vec<_> = regions
                        .iter()
                        .enumerate()
                        .filter(|(i, _)| *i != index)
                        .map(|(_, r)| r.clone())
                        .collect();

                    // Each action by itself: it is what a store does.
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
        fn what_was_deleted_stays_deleted_and_what_was_published_later_lives(
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
            let lives = version.published > stone.deleted;
            prop_assert!(
                regions
                    .iter()
                    .all(|(_, catalogue)| catalogue.versions.contains(&version) == lives)
            );
        }
    }

    #[test]
    fn planning_is_not_quadratic_in_what_is_held() {
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
}
