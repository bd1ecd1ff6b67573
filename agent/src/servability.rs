//! The model versions that each region can serve, from the board: for promotions, the status, and
//! this agent's readiness. Also this agent's problems with versions.

use crate::{config::Config, snapshots::Snapshots};
use regionmesh_core::{
    gossip::{AgentView, BoardView},
    planning::servability::{RegionModels, RegionState},
};
use regionmesh_protocol::{
    identity::RegionName,
    models::{
        digest::Digest,
        manifest::{ModelName, VersionName},
    },
    status::{StatusEntry, StatusKind, problem::ProblemKind, servability::Servability},
};
use regionmesh_runtime::problems::Problems;
use regionmesh_serving::ServingProblem;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::sync::watch;

/// Lowest interval of updates: the board changes many times a second, served models rarely.
const BOARD_PAUSE: Duration = Duration::from_millis(500);

fn servability(view: &AgentView) -> Option<&Servability> {
    match &*view
        .status_entries
        .get(&StatusKind::Servability)?
        .status_entry
    {
        StatusEntry::Servability(servability) => Some(servability),
        _ => None,
    }
}

/// Whether the agent lists this content of a version among the newest that its region holds.
fn is_newest(
    view: &AgentView,
    (model, version, content): (&ModelName, &VersionName, &Digest),
) -> bool {
    let is_it = |held: &(ModelName, VersionName, Digest)| {
        held.0 == *model && held.1 == *version && held.2 == *content
    };
    view.holdings()
        .is_some_and(|holdings| holdings.versions.iter().any(is_it))
}

fn living<'a>(board: &'a BoardView, region: &'a RegionName) -> impl Iterator<Item = &'a AgentView> {
    board
        .agents
        .iter()
        .filter(move |(id, view)| id.region == *region && view.is_alive)
        .map(|(_, view)| view)
}

/// The models that each other region serves and can't serve; without regions that have no embedded
/// model server.
pub(crate) fn others(board: &BoardView, own: &RegionName) -> BTreeMap<RegionName, RegionModels> {
    let mut regions: BTreeMap<RegionName, RegionModels> = BTreeMap::new();
    for (id, view) in board
        .agents
        .iter()
        .filter(|(id, view)| id.region != *own && view.is_alive)
    {
        let Some(known) = servability(view) else {
            continue;
        };
        let models = regions.entry(id.region.clone()).or_default();

        models.unserved.extend(known.unserved.iter().cloned());
        if let Some(StatusEntry::Serving(serving)) = view
            .status_entries
            .get(&StatusKind::Serving)
            .map(|seen| &*seen.status_entry)
        {
            models
                .served
                .extend(serving.models.iter().map(|(model, _)| model.clone()));
        }
    }

    regions
}

/// Updates `peers` with [`others`] at every change. Never ends.
pub(crate) async fn watch_others(
    mut board: watch::Receiver<Arc<BoardView>>,
    own: RegionName,
    peers: Arc<watch::Sender<Arc<BTreeMap<RegionName, RegionModels>>>>,
) {
    loop {
        let now = others(&board.borrow_and_update().clone(), &own);
        peers.send_if_modified(|known| {
            let is_changed = **known != now;
            *known = Arc::new(now);
            is_changed
        });

        tokio::time::sleep(BOARD_PAUSE).await;
        if board.changed().await.is_err() {
            // The sender lives as long as the agent.
            std::future::pending::<()>().await;
        }
    }
}

/// The state of one version in every region; `holders` hold it.
pub(crate) fn states(
    config: &Config,
    board: &BoardView,
    holders: &BTreeSet<RegionName>,
    held: (&ModelName, &VersionName, &Digest),
) -> BTreeMap<RegionName, RegionState> {
    let (model, version, content) = held;
    let state = |region: &RegionName| {
        let agents = living(board, region).map(|view| {
            servability(view).map(|known| known.of(model, version, content, is_newest(view, held)))
        });
        RegionState::of(holders.contains(region), agents)
    };

    config
        .regions
        .iter()
        .map(|region| (region.name.clone(), state(&region.name)))
        .collect()
}

/// Removes regions that are no longer members: only members may serve.
pub(crate) fn members(snapshots: &Snapshots, states: &mut BTreeMap<RegionName, RegionState>) {
    if let Some(committed) = snapshots.plan.borrow().as_ref() {
        states.retain(|region, _| committed.plan.members.may_serve(region));
    }
}

/// Sets this agent's problems with versions to those of its model server.
pub(crate) fn report(problems: &Problems, found: &[ServingProblem]) {
    for kind in [ProblemKind::ModelUnservable, ProblemKind::ModelQuarantined] {
        let is_quarantined = kind == ProblemKind::ModelQuarantined;
        let of_kind = || {
            found
                .iter()
                .filter(|problem| problem.is_quarantined == is_quarantined)
        };

        problems.retain(kind, |subject| {
            of_kind().any(|problem| problem.subject == subject)
        });
        of_kind().for_each(|problem| {
            problems.set(kind, problem.subject.clone(), problem.detail.clone())
        });
    }
}

#[cfg(test)]
mod tests;
