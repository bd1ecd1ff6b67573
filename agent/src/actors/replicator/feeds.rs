//! What the replicator reads from other parts of the agent, as inputs.

use super::{arguments::ReplicatorArguments, routes::EgressRoutes};
use crate::{config::Config, cost::books::Books};
use regionmesh_core::{gossip::BoardView, replication::Input};
use regionmesh_mesh::LinkInfo;
use regionmesh_protocol::identity::{AgentId, RegionName};
use regionmesh_store::ModelStore;
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::watch;

/// A watched value.
struct Feed<T> {
    receiver: watch::Receiver<T>,
    has_begun: bool,
}

impl<T: Clone> Feed<T> {
    /// Begins with the current value.
    fn new(receiver: watch::Receiver<T>) -> Self {
        Self {
            receiver,
            has_begun: false,
        }
    }

    /// The value, if it was not taken yet.
    fn take(&mut self) -> Option<T> {
        let is_new = self.receiver.has_changed().unwrap_or_default();
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        (is_new || is_first).then(|| self.receiver.borrow_and_update().clone())
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feed_begins_with_the_current_value_and_then_has_changes_alone() {
        let sender = watch::Sender::new(1);
        let mut feed = Feed::new(sender.subscribe());
        assert_eq!([feed.take(), feed.take()], [Some(1), None]);

        sender.send_replace(2);
        sender.send_replace(3);
        assert_eq!([feed.take(), feed.take()], [Some(3), None]);

        let mut late = Feed::new(sender.subscribe());
        drop(sender);
        assert_eq!([late.take(), late.take()], [Some(3), None]);
    }
}
