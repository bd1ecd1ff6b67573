//! The cost actor's arguments, and the API's access to what it publishes.

use super::{base::Base, replication::Replication};
use crate::{
    actors::cost::CostArguments,
    cost::{books::Books, handler::CostHandler, view::LiveView},
};
use std::sync::Arc;
use tokio::sync::watch;

/// The cost actor's arguments, and the API's access to what it publishes.
pub(super) struct Cost {
    pub(super) arguments: CostArguments,
    pub(super) handler: CostHandler,
    pub(super) books: watch::Receiver<Arc<Books>>,
}

impl Cost {
    pub(super) fn new(base: &Base, replication: &Replication) -> Self {
        let (books_sender, books) = watch::channel(Arc::<Books>::default());
        let (view_sender, view) = watch::channel(Arc::<LiveView>::default());
        let metrics = base.metrics.cost.clone();
        let archive = replication.archive(base);
        let arguments = CostArguments {
            live: base.live.clone(),
            id: base.id.clone(),
            started_ms: base.started_ms,
            snapshots: base.snapshots.clone(),
            core: base.core.clone(),
            meter: base.meter.clone(),
            archive: archive.clone(),
            books: Arc::new(books_sender),
            view: Arc::new(view_sender),
            metrics: metrics.clone(),
        };

        Self {
            arguments,
            handler: CostHandler::new(archive, books.clone(), view, metrics),
            books,
        }
    }
}
