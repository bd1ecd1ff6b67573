//! The agent's actors, in the order in which they start.

use super::parts::Parts;
use crate::{
    actors::{
        core::{CoreActor, CoreArguments, CoreMetrics, IoActors, new_core},
        cost::CostActor,
        gossip::{GossipActor, GossipArguments},
        health::{HealthActor, HealthArguments},
        leader::{LeaderActor, LeaderArguments, Signing, load_plan},
        replicator::{ReplicatorActor, ReplicatorArguments},
    },
    address::Address,
    core_settings::core_settings,
    peer_service::RequestHandler,
    supervisor::Child,
};
use anyhow::Result;
use regionmesh_core::Keys;
use regionmesh_mesh::{MeshActor, PeerActor, PeerArguments};
use std::sync::Arc;

/// The agent's actors, in the order in which they start: the core begins with work for the others.
pub(super) async fn actors(parts: &Parts) -> Result<Vec<Child>> {
    let base = &parts.base;
    let io = IoActors {
        gossip: Address::vacant("gossip"),
        health: Address::vacant("health"),
        leader: base.leader.clone(),
        replicator: Address::vacant("replicator"),
    };
    let core = core(parts, io.clone()).await?;

    Ok(vec![
        Child::new(
            "mesh",
            || MeshActor,
            parts.network.mesh.clone(),
            Address::vacant("mesh"),
        ),
        Child::new("gossip", || GossipActor, gossip(parts), io.gossip),
        Child::new(
            "peer",
            || PeerActor,
            PeerArguments {
                service: Arc::new(request_handler(parts)),
            },
            Address::vacant("peer"),
        ),
        Child::new("health", || HealthActor, health(parts), io.health),
        Child::new(
            "replicator",
            || ReplicatorActor,
            replicator(parts),
            io.replicator,
        ),
        Child::new("dns-leader", || LeaderActor, leader(parts), io.leader),
        Child::new("core", || CoreActor, core, base.core.clone()),
        Child::new(
            "cost",
            || CostActor,
            parts.cost.arguments.clone(),
            Address::vacant("cost"),
        ),
    ])
}

async fn core(parts: &Parts, actors: IoActors) -> Result<CoreArguments> {
    let base = &parts.base;
    let settings = core_settings(&base.config, base.started_ms)?;
    base.metrics.leader.begin(&settings.leader);

    let data_dir = base.config.data_dir.clone();
    let saved = tokio::task::spawn_blocking(move || load_plan(&data_dir)).await?;
    let slots = [Some(parts.slots.own.clone()), parts.slots.witness.clone()];
    let is_embedded = base.config.serving.embedded;

    Ok(CoreArguments {
        config: base.config.clone(),
        core: new_core(settings, saved, &signing(parts)),
        actors,
        snapshots: base.snapshots.clone(),
        slots: slots.into_iter().flatten().collect(),
        store: parts.replication.models.clone(),
        pages: base.pages.clone(),
        books: parts.cost.books.clone(),
        own_serving: is_embedded.then(|| parts.serving.status.clone()),
        quarantine: parts.serving.quarantine.clone(),
        refusals: parts.network.refusals.clone(),
        metrics: CoreMetrics {
            gossip: base.metrics.gossip.clone(),
            health: base.metrics.health.clone(),
            leader: base.metrics.leader.clone(),
            replication: base.metrics.replication.clone(),
        },
    })
}

fn signing(parts: &Parts) -> Signing {
    Signing {
        mesh: parts.base.config.mesh.clone(),
        id: parts.base.id.clone(),
        keys: Keys {
            signer: parts.network.identity.clone(),
            verifier: parts.network.identity.clone(),
            orders: Arc::new(parts.network.operators.clone()),
        },
    }
}

fn gossip(parts: &Parts) -> GossipArguments {
    GossipArguments {
        transport: Arc::new(parts.network.mesh.clone()),
        metrics: parts.base.metrics.gossip.clone(),
    }
}

fn request_handler(parts: &Parts) -> RequestHandler {
    RequestHandler {
        core: parts.base.core.clone(),
        leader: parts.base.leader.clone(),
        orders: parts.orders.clone(),
        pages: parts.base.pages.clone(),
        publisher: parts.replication.publisher.clone(),
        operators: parts.network.operators.clone(),
        refusals: parts.network.refusals.clone(),
    }
}

fn health(parts: &Parts) -> HealthArguments {
    let base = &parts.base;
    HealthArguments::new(base.config.clone(), base.metrics.health.clone())
}

fn replicator(parts: &Parts) -> ReplicatorArguments {
    let base = &parts.base;
    ReplicatorArguments {
        core: base.core.clone(),
        store: parts.replication.models.clone(),
        peers: parts.network.proven.clone(),
        fetcher: parts.replication.fetcher.clone(),
        clock: base.clock.clone(),
    }
}

fn leader(parts: &Parts) -> LeaderArguments {
    let base = &parts.base;
    LeaderArguments {
        config: base.config.clone(),
        id: base.id.clone(),
        snapshots: base.snapshots.clone(),
        core: base.core.clone(),
        peers: parts.network.peers.clone(),
        store: parts.slots.own.clone(),
        witness: parts.slots.witness.clone(),
        signing: signing(parts),
        metrics: base.metrics.leader.clone(),
        refusals: parts.network.refusals.clone(),
    }
}
