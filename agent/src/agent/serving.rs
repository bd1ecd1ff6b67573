//! The embedded model server, and what it exchanges with the mesh.

use super::base::Base;
use crate::{servability, serving::BucketModels, snapshots::Snapshots};
use regionmesh_core::planning::servability::RegionModels;
use regionmesh_protocol::{
    identity::RegionName,
    status::{ServingStatus, servability::Servability},
};
use regionmesh_runtime::describe::io_error;
use regionmesh_serving::{Quarantine, Server, ServingArguments, ServingProblem};
use regionmesh_store::ModelStore;
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

/// The embedded model server. Its arguments exist in every agent; it runs only where it is enabled.
pub(super) struct Serving {
    pub(super) arguments: ServingArguments,
    pub(super) relay: Arc<ServingRelay>,
    pub(super) status: watch::Receiver<ServingStatus>,
    /// None without the embedded server.
    pub(super) servability: watch::Receiver<Option<Servability>>,
    /// None without the embedded server.
    pub(super) quarantine: Option<Arc<Quarantine>>,
}

impl Serving {
    pub(super) fn new(
        base: &Base,
        models: &Arc<ModelStore>,
        draining: watch::Receiver<bool>,
    ) -> Self {
        let config = &base.config;
        let is_embedded = config.serving.embedded;
        let state_dir = config.data_dir.join("serving");
        let quarantine = is_embedded.then(|| Quarantine::open(Some(&state_dir)));

        let (peers_sender, peers) = watch::channel(Arc::default());
        let (status_sender, status) = watch::channel(ServingStatus::default());
        let (servability_sender, servability) =
            watch::channel(is_embedded.then(Servability::default));

        let arguments = ServingArguments {
            region: config.region.clone(),
            peers,
            tests_versions: true,
            state_dir: Some(state_dir),
            quarantine: quarantine.clone().unwrap_or_else(|| Quarantine::open(None)),
            config: config.serving.clone(),
            source: Arc::new(BucketModels(models.clone())),
            catalogue: base.snapshots.catalogue.subscribe(),
            draining,
            metrics: base.metrics.serving.clone(),
            meter: base.meter.clone(),
        };
        let relay = Arc::new(ServingRelay {
            status: status_sender,
            servability: servability_sender,
            peers: Arc::new(peers_sender),
            snapshots: base.snapshots.clone(),
        });

        Self {
            arguments,
            relay,
            status,
            servability,
            quarantine,
        }
    }
}

/// Carries the status of the model server to the mesh, and the other regions' models to the server.
pub(super) struct ServingRelay {
    status: watch::Sender<ServingStatus>,
    servability: watch::Sender<Option<Servability>>,
    peers: Arc<watch::Sender<Arc<BTreeMap<RegionName, RegionModels>>>>,
    snapshots: Snapshots,
}

impl ServingRelay {
    /// Publishes the server's status at every change. Never ends.
    async fn publish(
        &self,
        mut status: watch::Receiver<ServingStatus>,
        mut servability: watch::Receiver<Servability>,
        mut problems: watch::Receiver<Vec<ServingProblem>>,
    ) {
        loop {
            self.status.send_replace(status.borrow_and_update().clone());
            self.servability
                .send_replace(Some(servability.borrow_and_update().clone()));
            servability::report(
                &self.snapshots.problems,
                &problems.borrow_and_update().clone(),
            );

            // The senders live as long as the server.
            tokio::select! {
                Ok(()) = status.changed() => {}
                Ok(()) = servability.changed() => {}
                Ok(()) = problems.changed() => {}
                else => std::future::pending().await,
            }
        }
    }
}

/// Runs the model server until `stop`.
pub(super) async fn run_serving(
    arguments: ServingArguments,
    address: SocketAddr,
    relay: Arc<ServingRelay>,
    stop: CancellationToken,
) -> Result<(), String> {
    let listener = TcpListener::bind(address).await.map_err(|error| {
        format!(
            "serving can't listen on {address}: {}; free the port or change listen.serving",
            io_error(&error)
        )
    })?;
    let own = arguments.region.clone();
    let server = Server::new(arguments);
    let board = relay.snapshots.board.subscribe();
    let publish = relay.publish(server.status(), server.servability(), server.problems());

    tokio::select! {
        ended = server.run(listener, stop) => ended.map_err(|error| error.to_string()),
        () = publish => Ok(()),
        () = servability::watch_others(board, own, relay.peers.clone()) => Ok(()),
    }
}
