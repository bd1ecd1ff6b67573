//! The state of the whole mesh as API types. Pure: it reads the snapshots and calls no actor.

pub(crate) mod agents;
pub(crate) mod entry;
pub(crate) mod models;
pub(crate) mod plans;
pub(crate) mod regions;

use crate::{config::Config, snapshots::Snapshots};
use agents::{agents, problems};
use models::models;
use plans::{frozen, leader, orders, plan_in_brief};
use regionmesh_client::Status;
use regionmesh_runtime::time::unix_ms;
use regions::regions;

/// The state of the mesh as this agent knows it.
pub(crate) fn status(config: &Config, snapshots: &Snapshots) -> Status {
    let now_ms = unix_ms();
    let plan = snapshots.plan_by_own_clock();

    Status {
        mesh: config.mesh.to_string(),
        answered_by: config.id().to_string(),
        answered_ms: now_ms,
        plan: plan
            .as_ref()
            .map(|committed| plan_in_brief(committed, now_ms)),
        leader: leader(snapshots),
        regions: regions(
            config,
            snapshots,
            plan.as_ref().map(|committed| &committed.plan),
        ),
        agents: agents(snapshots, now_ms),
        models: models(config, snapshots),
        problems: problems(&snapshots.board.borrow()),
        orders: plan
            .map(|committed| orders(&committed.plan, now_ms))
            .unwrap_or_default(),
        frozen: frozen(snapshots),
    }
}
