//! What a region lacks, and what applies if two regions changed the same thing: versions, aliases,
//! deletions.

use regionmesh_protocol::{
    identity::{IdentityError, RegionName},
    models::{
        catalogue::{AliasEntry, ByName, Catalogue, Deletions, Tombstone},
        manifest::{VersionName, VersionSummary},
    },
};
use std::{borrow::Borrow, collections::BTreeSet};

/// Which of two versions of one name keeps the name.
///
/// The earlier one (hybrid time, then region). The order is the same in every region.
pub fn name_winner<'a>(a: &'a VersionSummary, b: &'a VersionSummary) -> &'a VersionSummary {
    if (a.published, &a.origin, a.content) <= (b.published, &b.origin, b.content) {
        a
    } else {
        b
    }
}

/// The name that the loser of a conflict gets: `7` becomes `7+conflict.<origin>`, or, if an earlier
/// loser of the same origin has that name, `7+conflict.<origin>.<first 8 digits of the content>`.
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

/// One step that brings a region's catalogue in line with the mesh's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyncAction {
    /// Record a deletion and carry it out.
    Delete(Tombstone),
    /// Our version lost its name to an earlier one: keep it under another.
    Rename {
        from: VersionSummary,
        /// Its new name.
        to: VersionName,
    },
    /// Fetch this version from one of these regions.
    Fetch {
        version: VersionSummary,
        /// Who holds it with this content.
        regions: Vec<RegionName>,
    },
    /// Record this alias.
    SetAlias(AliasEntry),
}

/// How `loser`, which we hold, gives way. In every region the earliest loser of an origin has the
/// plain conflict name; if a later one of ours has it, that one moves on first.
fn renames<'a>(
    loser: &'a VersionSummary,
    winners: &ByName<'a>,
    own: &ByName<'a>,
    moved: &mut BTreeSet<&'a VersionSummary>,
) -> Vec<(&'a VersionSummary, VersionName)> {
    let (Ok(plain), Ok(crowded)) = (conflict_name(loser), crowded_name(loser)) else {
        return Vec::new();
    };
    let winner = winners.get(&(&loser.model, &plain));

    if winner
        .is_some_and(|other| other.content != loser.content && name_winner(other, loser) == *other)
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
        // Neither name is free: wait for the occupant to go.
        Some((_, Err(_))) => Vec::new(),
    }
}

/// What `own` lacks of what the peers hold, in the order in which to do it: deletions, renames,
/// aliases, fetches.
///
/// Takes time n log n in all that is held: it runs after every change.
pub fn plan_sync<C: Borrow<Catalogue>>(
    own: &Catalogue,
    peers: &[(RegionName, C)],
) -> Vec<SyncAction> {
    let peers: Vec<(&RegionName, &Catalogue)> = peers
        .iter()
        .map(|(region, peer)| (region, peer.borrow()))
        .collect();
    let all = union(own, &peers);
    let own_tombstones: BTreeSet<_> = own.tombstones.iter().collect();
    let own_aliases: BTreeSet<_> = own.aliases.iter().collect();

    let deletions = all
        .tombstones
        .iter()
        .filter(|stone| !own_tombstones.contains(stone))
        .cloned()
        .map(SyncAction::Delete);
    let aliases = all
        .aliases
        .iter()
        .filter(|alias| !own_aliases.contains(alias))
        .cloned()
        .map(SyncAction::SetAlias);
    let (renames, fetches) = sync_versions(own, &peers, &all);

    deletions
        .chain(renames)
        .chain(aliases)
        .chain(fetches)
        .collect()
}

/// Everything that is held anywhere, in its normal form.
fn union(own: &Catalogue, peers: &[(&RegionName, &Catalogue)]) -> Catalogue {
    let mut all = own.clone();
    for (_, peer) in peers {
        all.tombstones.extend(peer.tombstones.iter().cloned());
        all.aliases.extend(peer.aliases.iter().cloned());
        all.versions.extend(peer.versions.iter().cloned());
    }

    all.normalise();
    all
}

/// The renames and the fetches that `own` needs.
fn sync_versions(
    own: &Catalogue,
    peers: &[(&RegionName, &Catalogue)],
    all: &Catalogue,
) -> (Vec<SyncAction>, Vec<SyncAction>) {
    let deletions = Deletions::of(&all.tombstones);
    let own_versions = own.by_name();
    let peer_versions: Vec<_> = peers
        .iter()
        .map(|(region, peer)| (*region, peer.by_name()))
        .collect();

    let winners = winners(all);
    let mut moved = BTreeSet::new();
    let mut taken = BTreeSet::new();
    let mut renamed = Vec::new();
    let mut fetches = Vec::new();

    for (name, winner) in &winners {
        let ours = own_versions.get(name);
        match ours.filter(|ours| !deletions.cover(ours)) {
            Some(ours) if ours.content == winner.content => continue,
            Some(ours) if !moved.contains(ours) => {
                for (from, to) in renames(ours, &winners, &own_versions, &mut moved) {
                    let from = from.clone();
                    taken.insert((from.model.clone(), to.clone()));
                    renamed.push(SyncAction::Rename { from, to });
                }
            }
            _ => {}
        }

        // Names sort before the conflict names made from them, so every name given away above is
        // in `taken` by now.
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

    (renamed, fetches)
}

/// The version that keeps each name. A loser is renamed by the regions that hold it, and fetched
/// under its new name.
fn winners(all: &Catalogue) -> ByName<'_> {
    // Sorted by name, so that rivals are neighbours.
    let rivals = all
        .versions
        .chunk_by(|a, b| a.model == b.model && a.version == b.version);

    rivals
        .filter_map(|rivals| rivals.iter().reduce(|a, b| name_winner(a, b)))
        .map(|winner| ((&winner.model, &winner.version), winner))
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
