//! What the actor `cost` shows to whoever answers questions about money.

use super::{answers::BudgetProgress, archive::Archive, books::Books};
use crate::actors::cost::CostMetrics;
use regionmesh_cost::{Anomaly, LiveMeter, LiveRegion, Plane, Pricing, RegionMap};
use std::sync::Arc;
use tokio::sync::{Mutex, Semaphore, watch};

/// Questions that are answered at once; further ones wait.
const ANSWERS_AT_ONCE: usize = 2;

/// The live plane, as of the last observation.
#[derive(Debug, Clone)]
pub struct LiveView {
    /// When it was observed, Unix milliseconds; 0 before the first time.
    pub at_ms: u64,
    /// What every region costs.
    pub regions: Vec<LiveRegion>,
    /// All that was observed.
    pub meter: Arc<LiveMeter>,
    /// Incidents of the live plane that are open, and those of billed days that ended lately or are
    /// open.
    pub anomalies: Vec<Anomaly>,
    /// How the budgets stand; only at the leader.
    pub budgets: Vec<BudgetProgress>,
}

impl LiveView {
    /// Incidents of the live plane.
    pub fn live_anomalies(&self) -> impl Iterator<Item = &Anomaly> {
        self.anomalies
            .iter()
            .filter(|anomaly| anomaly.plane == Plane::Live)
    }
}

impl Default for LiveView {
    fn default() -> Self {
        let meter = Arc::new(LiveMeter::new(super::books::LIVE_GAP_MS));
        Self {
            at_ms: 0,
            regions: Vec::new(),
            meter,
            anomalies: Vec::new(),
            budgets: Vec::new(),
        }
    }
}

/// What the API answers questions about money with. Clones share it.
#[derive(Clone)]
pub struct CostHandler {
    /// The documents.
    pub archive: Archive,
    /// Bills and prices.
    pub books: watch::Receiver<Arc<Books>>,
    /// The live plane.
    pub live: watch::Receiver<Arc<LiveView>>,
    /// The metrics.
    pub metrics: CostMetrics,
    /// One import at a time: each takes a processor and memory.
    pub importing: Arc<Semaphore>,
    /// A few answers at a time, for the same reason.
    pub answering: Arc<Semaphore>,
    /// One change of prices at a time: each rests on the table before.
    pub pricing: Arc<Mutex<()>>,
}

impl CostHandler {
    /// A desk that answers from what the actor shows.
    pub fn new(
        archive: Archive,
        books: watch::Receiver<Arc<Books>>,
        live: watch::Receiver<Arc<LiveView>>,
        metrics: CostMetrics,
    ) -> Self {
        let importing = Arc::new(Semaphore::new(1));
        let answering = Arc::new(Semaphore::new(ANSWERS_AT_ONCE));
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

/// Prices and regions, as one argument.
pub fn pricing<'a>(books: &'a Books, regions: &'a RegionMap) -> Pricing<'a> {
    Pricing {
        prices: &books.prices,
        regions,
    }
}
