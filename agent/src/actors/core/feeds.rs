//! What other parts of the agent provide, as inputs of the core.

use super::{arguments::CoreArguments, routes::EgressRoutes};
use crate::{
    config::Config,
    cost::books::Books,
    snapshots::{Feed, Snapshots},
};
use regionmesh_core::{agent::Input, health, replication};
use regionmesh_mesh::LinkInfo;
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    status::ServingStatus,
};
use regionmesh_store::ModelStore;
use std::{collections::BTreeMap, sync::Arc, time::Instant};
use tokio::sync::watch;

pub(super) struct Feeds {
    config: Arc<Config>,
    own: RegionName,
    links: Feed<Arc<BTreeMap<AgentId, LinkInfo>>>,
    books: Feed<Arc<Books>>,
    store: Arc<ModelStore>,
    /// Writes to the store.
    changes: watch::Receiver<u64>,
    has_leftovers: bool,
    serving: Option<watch::Receiver<ServingStatus>>,
    is_ready: bool,
    snapshots: Snapshots,
    resumed: watch::Receiver<Option<Instant>>,
    /// Whether the process stalled while this actor was down.
    has_missed_stall: bool,
}

impl Feeds {
    /// Begins with what is so now.
    pub(super) fn new(arguments: &CoreArguments) -> Self {
        let snapshots = &arguments.snapshots;
        let resumed = snapshots.resumed.subscribe();
        let has_stalled = resumed.borrow().is_some();

        Self {
            config: arguments.config.clone(),
            own: arguments.config.region.clone(),
            links: Feed::new(snapshots.links.subscribe()),
            books: Feed::new(arguments.books.clone()),
            store: arguments.store.clone(),
            changes: arguments.store.changes(),
            has_leftovers: false,
            serving: arguments.own_serving.clone(),
            is_ready: false,
            has_missed_stall: has_stalled && !*snapshots.is_current.borrow(),
            snapshots: snapshots.clone(),
            resumed,
        }
    }

    /// What changed since the last call. A write to the store is noticed before the end of the task
    /// that wrote: its message is sent later.
    pub(super) fn inputs(&mut self) -> Vec<Input> {
        let mut inputs = Vec::new();
        inputs.extend(self.stall());
        inputs.extend(self.links.take().map(|links| {
            let round_trips = links
                .iter()
                .map(|(agent, link)| (agent.clone(), link.round_trip_us));
            Input::Links(Arc::new(round_trips.collect()))
        }));
        inputs.extend(self.readiness().map(Input::from));
        inputs.extend(self.replication().into_iter().map(Input::from));

        inputs
    }

    fn stall(&mut self) -> Option<Input> {
        let is_new = self.resumed.has_changed().unwrap_or_default();
        if !is_new && !self.has_missed_stall {
            return None;
        }

        self.resumed.mark_unchanged();
        self.has_missed_stall = false;
        self.snapshots.is_current.send_replace(false);
        Some(Input::Resumed)
    }

    fn readiness(&mut self) -> Option<health::Input> {
        let is_ready = self.serving.as_ref()?.borrow().is_ready;
        let was_ready = std::mem::replace(&mut self.is_ready, is_ready);
        (is_ready != was_ready).then_some(health::Input::OwnServing(is_ready))
    }

    fn replication(&mut self) -> Vec<replication::Input> {
        let mut inputs = Vec::new();
        inputs.extend(self.books.take().map(|books| {
            let routes = EgressRoutes::new(&self.config, &self.own, books);
            replication::Input::Routes(Arc::new(routes))
        }));

        let has_leftovers = self.store.needs_cleaning();
        if std::mem::replace(&mut self.has_leftovers, has_leftovers) != has_leftovers {
            inputs.push(replication::Input::Leftovers(has_leftovers));
        }

        if self.changes.has_changed().unwrap_or_default() {
            self.changes.mark_unchanged();
            inputs.push(replication::Input::StoreChanged);
        }
        inputs
    }
}
