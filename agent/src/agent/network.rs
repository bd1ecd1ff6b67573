//! The mesh and the agent's calls to others.

use super::base::Base;
use crate::{
    operators::{Operators, link::AttestedLink},
    refusals::Refusals,
    replication_adapters::{BulkAdapter, StoreAdapter},
};
use regionmesh_mesh::{Identity, Mesh, MeshArguments, Peers};
use regionmesh_replication::BulkServer;
use regionmesh_store::ModelStore;
use std::sync::Arc;

/// The mesh and the agent's calls to others.
pub(super) struct Network {
    pub(super) identity: Arc<Identity>,
    pub(super) mesh: Mesh,
    /// Calls to other agents.
    pub(super) peers: Arc<dyn Peers>,
    /// Calls whose answers must carry an operator's proof.
    pub(super) proven: Arc<dyn Peers>,
    pub(super) operators: Operators,
    pub(super) refusals: Refusals,
}

impl Network {
    pub(super) fn new(base: &Base, identity: Arc<Identity>, models: &Arc<ModelStore>) -> Self {
        let mesh = Mesh::new(MeshArguments {
            settings: base.config.mesh_settings(),
            identity: identity.clone(),
            links: base.snapshots.links.clone(),
            gateways: base.snapshots.gateways.subscribe(),
            gossip: Arc::new(base.core.clone()),
            bulk: Arc::new(BulkAdapter(BulkServer::new(
                Arc::new(StoreAdapter(models.clone())),
                base.metrics.replication.clone(),
                base.meter.clone(),
            ))),
            metrics: base.metrics.mesh.clone(),
        });

        let peers: Arc<dyn Peers> = Arc::new(mesh.clone());
        let refusals = Refusals::new(
            base.metrics.refusals.clone(),
            base.snapshots.problems.clone(),
        );
        let operators =
            Operators::new(base.config.mesh.clone(), base.id.clone(), base.live.clone());

        // What regions report about models is only accepted with an operator's proof.
        let proven = Arc::new(AttestedLink {
            peers: peers.clone(),
            operators: operators.clone(),
            refusals: refusals.clone(),
        });

        Self {
            identity,
            mesh,
            peers,
            proven,
            operators,
            refusals,
        }
    }
}
