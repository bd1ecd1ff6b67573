//! The agent's actors, in the order in which they start.

use super::parts::Parts;
use crate::{
    actors::{
        cost::CostActor,
        gossip::{GossipActor, GossipArguments, GossipSetup},
        health::{HealthActor, HealthArguments},
        leader::{LeaderActor, LeaderArguments, Signing},
        replicator::{ReplicatorActor, ReplicatorArguments},
    },
    address::Address,
    peer_service::RequestHandler,
    supervisor::Child,
};
use regionmesh_mesh::{MeshActor, PeerActor, PeerArguments};
use std::sync::Arc;

/// The agent's actors, in the order in which they start: the mesh carries gossip, and health and
/// the leader read what gossip collects.
pub(super) fn actors(parts: &Parts) -> Vec<Child> {
    let base = &parts.base;
    vec![
        Child::new(
            "mesh",
            || MeshActor,
            parts.network.mesh.clone(),
            Address::vacant("mesh"),
        ),
        Child::new("gossip", || GossipActor, gossip(parts), base.gossip.clone()),
        Child::new(
            "peer",
            || PeerActor,
            PeerArguments {
                service: Arc::new(request_handler(parts)),
            },
            Address::vacant("peer"),
        ),
        Child::new("health", || HealthActor, health(parts), base.health.clone()),
        Child::new(
            "replicator",
            || ReplicatorActor,
            replicator(parts),
            base.replicator.clone(),
        ),
        Child::new(
            "dns-leader",
            || LeaderActor,
            leader(parts),
            base.leader.clone(),
        ),
        Child::new(
            "cost",
            || CostActor,
            parts.cost.arguments.clone(),
            Address::vacant("cost"),
        ),
    ]
}

fn gossip(parts: &Parts) -> GossipArguments {
    let base = &parts.base;
    let setup = GossipSetup {
        own: base.id.clone(),
        mesh: base.config.mesh.clone(),
        boot: base.boot,
        started_ms: base.started_ms,
        transport: Arc::new(parts.network.mesh.clone()),
        signer: parts.network.identity.clone(),
        verifier: parts.network.identity.clone(),
        snapshots: base.snapshots.clone(),
        metrics: base.metrics.gossip.clone(),
    };

    GossipArguments::from(setup)
}

fn request_handler(parts: &Parts) -> RequestHandler {
    RequestHandler {
        leader: parts.base.leader.clone(),
        orders: parts.orders.clone(),
        replicator: parts.base.replicator.clone(),
        publisher: parts.replication.publisher.clone(),
        operators: parts.network.operators.clone(),
        refusals: parts.network.refusals.clone(),
    }
}

fn health(parts: &Parts) -> HealthArguments {
    let base = &parts.base;
    let own_serving = base
        .config
        .serving
        .embedded
        .then(|| parts.serving.status.clone());

    HealthArguments::new(
        base.config.clone(),
        base.snapshots.clone(),
        base.gossip.clone(),
        base.metrics.health.clone(),
        own_serving,
    )
}

fn replicator(parts: &Parts) -> ReplicatorArguments {
    let base = &parts.base;
    ReplicatorArguments {
        config: base.config.clone(),
        id: base.id.clone(),
        store: parts.replication.models.clone(),
        snapshots: base.snapshots.clone(),
        gossip: base.gossip.clone(),
        peers: parts.network.proven.clone(),
        fetcher: parts.replication.fetcher.clone(),
        clock: base.clock.clone(),
        books: parts.cost.books.clone(),
        quarantine: parts.serving.quarantine.clone(),
    }
}

fn leader(parts: &Parts) -> LeaderArguments {
    let base = &parts.base;
    LeaderArguments {
        config: base.config.clone(),
        id: base.id.clone(),
        boot: base.boot,
        snapshots: base.snapshots.clone(),
        gossip: base.gossip.clone(),
        peers: parts.network.peers.clone(),
        store: parts.slots.own.clone(),
        witness: parts.slots.witness.clone(),
        signing: Signing {
            mesh: base.config.mesh.clone(),
            id: base.id.clone(),
            signer: parts.network.identity.clone(),
            verifier: parts.network.identity.clone(),
        },
        metrics: base.metrics.leader.clone(),
        refusals: parts.network.refusals.clone(),
    }
}
