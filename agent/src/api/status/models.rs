//! Models: where their versions are held and can be served.

use crate::{config::Config, servability, snapshots::Snapshots};
use regionmesh_client::{ModelStatus, UnservableStatus, VersionStatus};
use regionmesh_core::{
    gossip::{AgentView, BoardView},
    planning::servability::RegionState,
};
use regionmesh_protocol::{
    identity::RegionName,
    models::{
        catalogue::{AliasEntry, Catalogue},
        digest::Digest,
        manifest::{ModelName, VersionName, VersionSummary},
    },
    status::Holdings,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

#[derive(Default)]
struct Known {
    versions: BTreeMap<(VersionName, Digest), BTreeSet<RegionName>>,
    aliases: BTreeMap<VersionName, AliasEntry>,
}

/// Every model that this region holds or a live agent reports for its region, and the aliases that
/// this region has.
fn known_models(
    config: &Config,
    snapshots: &Snapshots,
    own: &Catalogue,
    board: &BoardView,
) -> BTreeMap<ModelName, Known> {
    let catalogues = snapshots.peer_catalogues.borrow().clone();
    let mut known: BTreeMap<ModelName, Known> = BTreeMap::new();
    let mut add_holder =
        |model: &ModelName, version: &VersionName, content: Digest, region: &RegionName| {
            let versions = &mut known.entry(model.clone()).or_default().versions;
            versions
                .entry((version.clone(), content))
                .or_default()
                .insert(region.clone());
        };

    for version in &own.versions {
        add_holder(
            &version.model,
            &version.version,
            version.content,
            &config.region,
        );
    }

    let others = holdings(board, &config.region);
    for (region, held) in &others {
        for (model, version, content) in &held.versions {
            add_holder(model, version, *content, region);
        }
        for version in unpublished(&catalogues, region, held) {
            add_holder(&version.model, &version.version, version.content, region);
        }
    }

    // Other regions' aliases count once they have been replicated into this region's store, with
    // proof.
    for entry in &own.aliases {
        known
            .entry(entry.model.clone())
            .or_default()
            .aliases
            .insert(entry.alias.clone(), entry.clone());
    }

    known.retain(|model, _| !model.is_internal());
    known
}

/// Every model, and where each of its versions is held and can be served.
pub(crate) fn models(config: &Config, snapshots: &Snapshots) -> Vec<ModelStatus> {
    let own = snapshots.catalogue.borrow().clone();
    let board = snapshots.board.borrow().clone();
    let model = |(model, known): (ModelName, Known)| {
        let version =
            |((version, content), regions): ((VersionName, Digest), BTreeSet<RegionName>)| {
                let summary = own
                    .version(&model, &version)
                    .filter(|summary| summary.content == content);
                let states =
                    servability::states(config, &board, &regions, (&model, &version, &content));
                let of = |is: fn(&RegionState) -> bool| {
                    states
                        .iter()
                        .filter(|(_, state)| is(state))
                        .map(|(region, _)| region.clone())
                        .collect()
                };

                VersionStatus {
                    version: version.to_string(),
                    content: content.to_string(),
                    size: summary.map(|summary| summary.size),
                    published_ms: summary.map(|summary| summary.published.wall_ms),
                    origin: summary.map(|summary| summary.origin.to_string()),
                    regions: regions.into_iter().collect(),
                    servable: of(|state| *state == RegionState::Servable),
                    unservable: states.iter().filter_map(unservable).collect(),
                    untested: of(|state| *state == RegionState::Untested),
                }
            };

        ModelStatus {
            model: model.to_string(),
            versions: known.versions.into_iter().map(version).collect(),
            aliases: known.aliases.into_values().map(Into::into).collect(),
        }
    };

    known_models(config, snapshots, &own, &board)
        .into_iter()
        .map(model)
        .collect()
}

fn unservable((region, state): (&RegionName, &RegionState)) -> Option<UnservableStatus> {
    match state {
        RegionState::Unservable(reason) => Some(UnservableStatus {
            region: region.clone(),
            reason: reason.clone(),
        }),
        _ => None,
    }
}

/// The state of a version in every region. If contents differ, it is the content that this region
/// holds, else the one that most regions hold.
pub(crate) fn version_states(
    config: &Config,
    snapshots: &Snapshots,
    model: &ModelName,
    version: &VersionName,
) -> BTreeMap<RegionName, RegionState> {
    let board = snapshots.board.borrow().clone();
    let own = snapshots.catalogue.borrow().clone();
    let known = known_models(config, snapshots, &own, &board)
        .remove(model)
        .unwrap_or_default();
    let contents = known
        .versions
        .into_iter()
        .filter(|((name, _), _)| name == version);
    let rank = |holders: &BTreeSet<RegionName>| (holders.contains(&config.region), holders.len());
    let best = contents.max_by_key(|(_, holders)| rank(holders));

    let (content, holders) = best.map_or(
        (Digest([0; 32]), BTreeSet::new()),
        |((_, content), holders)| (content, holders),
    );
    let mut states = servability::states(config, &board, &holders, (model, version, &content));

    servability::members(snapshots, &mut states);
    states
}

/// The entries of a model's aliases that this region or a live agent of another region knows.
pub(crate) fn aliases(
    config: &Config,
    snapshots: &Snapshots,
    model: &ModelName,
) -> Vec<AliasEntry> {
    let own = snapshots.catalogue.borrow().clone();
    let board = snapshots.board.borrow().clone();
    let others = holdings(&board, &config.region);
    let entries = own
        .aliases
        .iter()
        .chain(others.iter().flat_map(|(_, held)| &held.aliases));

    entries
        .filter(|entry| entry.model == *model)
        .cloned()
        .collect()
}

/// The content of a version as a live agent reports it, or as a region's catalogue has it.
pub(crate) fn content(
    snapshots: &Snapshots,
    model: &ModelName,
    version: &VersionName,
) -> Option<Digest> {
    let board = snapshots.board.borrow().clone();
    let held = board
        .agents
        .values()
        .filter(|view| view.is_alive)
        .filter_map(AgentView::holdings);
    let mut versions = held.flat_map(|held| &held.versions);
    let published = versions
        .find(|(m, v, _)| m == model && v == version)
        .map(|(_, _, content)| *content);
    let catalogues = snapshots.peer_catalogues.borrow().clone();

    published.or_else(|| {
        catalogues
            .values()
            .find_map(|catalogue| Some(catalogue.version(model, version)?.content))
    })
}

/// All versions in the region's last catalogue, if its agents publish only the newest ones.
fn unpublished<'a>(
    catalogues: &'a BTreeMap<RegionName, Arc<Catalogue>>,
    region: &RegionName,
    held: &Holdings,
) -> &'a [VersionSummary] {
    let has_more = held.version_count > held.versions.len() as u64;
    catalogues
        .get(region)
        .filter(|_| has_more)
        .map(|catalogue| catalogue.versions.as_slice())
        .unwrap_or_default()
}

/// The holdings of each other region, as its live agents report them.
fn holdings<'a>(board: &'a BoardView, own: &RegionName) -> Vec<(&'a RegionName, &'a Holdings)> {
    let living = board
        .agents
        .iter()
        .filter(|(id, view)| view.is_alive && id.region != *own);

    living
        .filter_map(|(id, view)| Some((&id.region, view.holdings()?)))
        .collect()
}
