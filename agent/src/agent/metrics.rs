//! Every metric of the binary: the agent takes its metrics from here, and the documentation lists
//! them.

use crate::{
    actors::{
        cost::CostMetrics, events::EventMetrics, gossip::GossipMetrics, health::HealthMetrics,
        leader::LeaderMetrics,
    },
    alerts::ReceiverMetrics,
    api::{events::Streams, metrics::ApiMetrics},
    front_door::FrontDoorMetrics,
    refusals::RefusalMetrics,
    reload::ReloadMetrics,
    supervisor::SupervisorMetrics,
};
use prometheus::register_int_gauge_vec_with_registry;
use regionmesh_dns::{DnsMetrics, route53::ProviderMetrics};
use regionmesh_mesh::MeshMetrics;
use regionmesh_replication::ReplicationMetrics;
use regionmesh_runtime::metrics::{Description, Registry};
use regionmesh_serving::ServingMetrics;
use regionmesh_store::{SlotMetrics, StoreMetrics};

/// The metrics of every agent; those of a DNS provider are registered where one is configured.
#[derive(Clone)]
pub(super) struct AgentMetrics {
    pub(super) api: ApiMetrics,
    pub(super) streams: Streams,
    pub(super) cost: CostMetrics,
    pub(super) dns: DnsMetrics,
    pub(super) events: EventMetrics,
    pub(super) gossip: GossipMetrics,
    pub(super) health: HealthMetrics,
    pub(super) leader: LeaderMetrics,
    pub(super) mesh: MeshMetrics,
    pub(super) receivers: ReceiverMetrics,
    pub(super) refusals: RefusalMetrics,
    pub(super) reload: ReloadMetrics,
    pub(super) replication: ReplicationMetrics,
    pub(super) serving: ServingMetrics,
    pub(super) slots: SlotMetrics,
    pub(super) stores: StoreMetrics,
    pub(super) supervisor: SupervisorMetrics,
}

impl AgentMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        register_int_gauge_vec_with_registry!(
            "regionmesh_build_info",
            "1, labelled with the version.",
            &["version"],
            registry
        )?
        .with_label_values(&[crate::VERSION])
        .set(1);

        Ok(Self {
            api: ApiMetrics::new(registry)?,
            streams: Streams::new(registry)?,
            cost: CostMetrics::new(registry)?,
            dns: DnsMetrics::new(registry)?,
            events: EventMetrics::new(registry)?,
            gossip: GossipMetrics::new(registry)?,
            health: HealthMetrics::new(registry)?,
            leader: LeaderMetrics::new(registry)?,
            mesh: MeshMetrics::new(registry)?,
            receivers: ReceiverMetrics::new(registry)?,
            refusals: RefusalMetrics::new(registry)?,
            reload: ReloadMetrics::new(registry)?,
            replication: ReplicationMetrics::new(registry)?,
            serving: ServingMetrics::new(registry)?,
            slots: SlotMetrics::new(registry)?,
            stores: StoreMetrics::new(registry)?,
            supervisor: SupervisorMetrics::new(registry)?,
        })
    }
}

/// The descriptions of all metrics that agents, model servers and front doors can export, by name.
/// Those of the process itself are missing: they depend on the system.
pub fn descriptions() -> prometheus::Result<Vec<Description>> {
    let registry = Registry::new();
    AgentMetrics::new(&registry)?;
    ProviderMetrics::new(&registry)?;
    FrontDoorMetrics::new(&registry)?;

    Ok(registry.descriptions())
}
