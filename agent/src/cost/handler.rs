//! The API's access to cost data.

use super::{archive::Archive, books::Books, view::LiveView};
use crate::actors::cost::CostMetrics;
use std::sync::Arc;
use tokio::sync::{Mutex, Semaphore, watch};

/// Questions answered concurrently; others wait.
const CONCURRENT_ANSWERS: usize = 2;

/// Answers the API's questions about cost. Clones share their state.
#[derive(Clone)]
pub(crate) struct CostHandler {
    pub archive: Archive,
    /// Bills and prices.
    pub books: watch::Receiver<Arc<Books>>,
    /// The live plane.
    pub live: watch::Receiver<Arc<LiveView>>,
    pub metrics: CostMetrics,
    /// One import at a time: each needs a core and memory.
    pub importing: Arc<Semaphore>,
    /// A few answers at a time, for the same reason.
    pub answering: Arc<Semaphore>,
    /// One price change at a time: each builds on the previous table.
    pub pricing: Arc<Mutex<()>>,
}

impl CostHandler {
    /// A handler that reads what the cost actor publishes.
    pub(crate) fn new(
        archive: Archive,
        books: watch::Receiver<Arc<Books>>,
        live: watch::Receiver<Arc<LiveView>>,
        metrics: CostMetrics,
    ) -> Self {
        let importing = Arc::new(Semaphore::new(1));
        let answering = Arc::new(Semaphore::new(CONCURRENT_ANSWERS));
        Self {
            archive,
            books,
            live,
            metrics,
            importing,
            answering,
            pricing: Arc::default(),
        }
    }
}
