//! The parts that actors and services are made from.

use super::{
    base::Base,
    cost::Cost,
    network::Network,
    replication::Replication,
    serving::Serving,
    stores::{Slots, Stores},
};
use crate::{actors::leader::CoreJudge, failover::OrderHandler};
use anyhow::Result;
use regionmesh_mesh::Identity;
use regionmesh_store::ModelStore;
use std::sync::Arc;
use tokio::sync::watch;

/// The parts that actors and services are made from.
pub(super) struct Parts {
    pub(super) base: Base,
    pub(super) slots: Slots,
    pub(super) network: Network,
    pub(super) replication: Replication,
    pub(super) cost: Cost,
    pub(super) serving: Serving,
    pub(super) orders: OrderHandler,
}

impl Parts {
    pub(super) fn new(
        base: Base,
        identity: Arc<Identity>,
        stores: &Stores,
        draining: watch::Receiver<bool>,
    ) -> Result<Self> {
        let models = Arc::new(ModelStore::new(stores.region.clone()));
        let judge = Arc::new(CoreJudge(base.core.clone()));
        let slots = stores.slots(base.metrics.slots.clone(), judge);
        let network = Network::new(&base, identity, &models);
        let serving = Serving::new(&base, &models, draining);
        let replication = Replication::new(&base, &network, models)?;
        let cost = Cost::new(&base, &replication);
        let orders = OrderHandler {
            core: base.core.clone(),
            peers: network.peers.clone(),
            snapshots: base.snapshots.clone(),
            operators: network.operators.clone(),
        };

        Ok(Self {
            base,
            slots,
            network,
            replication,
            cost,
            serving,
            orders,
        })
    }
}
