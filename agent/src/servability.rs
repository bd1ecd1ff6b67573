//! Which model versions the regions of the mesh can serve, from the board: for promotions, for the
//! status, and for this agent's own readiness; and this agent's problems with versions.

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

/// The board changes many times a second; what regions serve changes rarely.
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

/// Whether the agent names this content of a version among the newest that its region holds.
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

/// What each of the other regions serves and can't serve; regions without an embedded model server
/// are left out.
pub fn others(board: &BoardView, own: &RegionName) -> BTreeMap<RegionName, RegionModels> {
    let mut regions: BTreeMap<RegionName, RegionModels> = BTreeMap::new();
    for (id, view) in board
        .agents
        .iter()
        .filter(|(id, view)| id.region != *own && view.is_alive)
    {
        let Some(told) = servability(view) else {
            continue;
        };
        let models = regions.entry(id.region.clone()).or_default();

        models.unserved.extend(told.unserved.iter().cloned());
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

/// Keeps `peers` equal to what [`others`] says, for ever.
pub async fn watch_others(
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

/// Where every region stands with one version; `holders` hold it.
pub fn states(
    config: &Config,
    board: &BoardView,
    holders: &BTreeSet<RegionName>,
    held: (&ModelName, &VersionName, &Digest),
) -> BTreeMap<RegionName, RegionState> {
    let (model, version, content) = held;
    let state = |region: &RegionName| {
        let agents = living(board, region).map(|view| {
            servability(view).map(|told| told.of(model, version, content, is_newest(view, held)))
        });
        RegionState::of(holders.contains(region), agents)
    };

    config
        .regions
        .iter()
        .map(|region| (region.name.clone(), state(&region.name)))
        .collect()
}

/// The regions of the mesh that may serve: all that are configured, without those that are no
/// members any more.
pub fn members(snapshots: &Snapshots, states: &mut BTreeMap<RegionName, RegionState>) {
    if let Some(committed) = snapshots.plan.borrow().as_ref() {
        states.retain(|region, _| committed.plan.members.may_serve(region));
    }
}

/// Makes this agent's problems with versions those that its server tells.
pub fn report(problems: &Problems, told: &[ServingProblem]) {
    for kind in [ProblemKind::ModelUnservable, ProblemKind::ModelQuarantined] {
        let is_quarantined = kind == ProblemKind::ModelQuarantined;
        let of_kind = || {
            told.iter()
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
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn problem(subject: &str, is_quarantined: bool) -> ServingProblem {
        ServingProblem {
            subject: subject.into(),
            detail: "can't be served".into(),
            is_quarantined,
        }
    }

    #[test]
    fn problems_follow_what_the_server_tells() {
        let problems = Problems::default();
        report(&problems, &[problem("m@1", false), problem("m@2", true)]);
        assert_eq!(problems.count(ProblemKind::ModelUnservable), 1);
        assert_eq!(problems.count(ProblemKind::ModelQuarantined), 1);
        report(&problems, &[problem("m@2", false)]);

        let active: Vec<_> = problems
            .active()
            .into_iter()
            .map(|active| (active.kind, active.subject))
            .collect();

        assert_eq!(active, [(ProblemKind::ModelUnservable, "m@2".into())]);
    }
}
