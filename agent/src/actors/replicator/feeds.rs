//! What the replicator reads from other parts of the agent, as inputs.

use super::{arguments::ReplicatorArguments, routes::EgressRoutes};
use crate::{config::Config, cost::books::Books, snapshots::Feed};
use regionmesh_core::{gossip::BoardView, replication::Input};
use regionmesh_mesh::LinkInfo;
use regionmesh_protocol::identity::{AgentId, RegionName};
use regionmesh_store::ModelStore;
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::watch;

pub(super) struct Feeds {
    config: Arc<Config>,
    own: RegionName,
    store: Arc<ModelStore>,
    board: Feed<Arc<BoardView>>,
    links: Feed<Arc<BTreeMap<AgentId, LinkInfo>>>,
    is_current: Feed<bool>,
    books: Feed<Arc<Books>>,
    /// Writes to the store.
    changes: watch::Receiver<u64>,
}

impl Feeds {
    pub(super) fn new(arguments: &ReplicatorArguments) -> Self {
        let snapshots = &arguments.snapshots;
        Self {
            config: arguments.config.clone(),
            own: arguments.id.region.clone(),
            store: arguments.store.clone(),
            board: Feed::new(snapshots.board.subscribe()),
            links: Feed::new(snapshots.links.subscribe()),
            is_current: Feed::new(snapshots.is_current.subscribe()),
            books: Feed::new(arguments.books.clone()),
            changes: arguments.store.changes(),
        }
    }

    /// What changed since the last call. A write to the store is noticed before the end of the task
    /// that wrote: its message is sent later.
    pub(super) fn inputs(&mut self) -> Vec<Input> {
        let mut inputs = vec![Input::Leftovers(self.store.needs_cleaning())];
        let books = self.books.take();
        inputs.extend(books.map(|books| {
            let routes = EgressRoutes::new(&self.config, &self.own, books);
            Input::Routes(Arc::new(routes))
        }));
        inputs.extend(self.links.take().map(|links| {
            let round_trips = links
                .iter()
                .map(|(agent, link)| (agent.clone(), link.round_trip_us));
            Input::Links(Arc::new(round_trips.collect()))
        }));
        inputs.extend(self.is_current.take().map(Input::Current));

        if self.changes.has_changed().unwrap_or_default() {
            self.changes.mark_unchanged();
            inputs.push(Input::StoreChanged);
        }
        inputs.extend(self.board.take().map(Input::Board));

        inputs
    }
}
