//! What the cost actor publishes.

use super::{
    books::{Books, LIVE_GAP_MS},
    budgets::BudgetProgress,
};
use regionmesh_cost::{Anomaly, LiveMeter, LiveRegion, Plane, Pricing, RegionMap};
use std::sync::Arc;

/// The live plane, as of the last observation.
#[derive(Debug, Clone)]
pub struct LiveView {
    /// When it was observed, Unix milliseconds; 0 before the first time.
    pub at_ms: u64,
    /// What every region costs.
    pub regions: Vec<LiveRegion>,
    /// Everything observed so far.
    pub meter: Arc<LiveMeter>,
    /// Open anomalies of the live plane; open and recently ended ones of billed days.
    pub anomalies: Vec<Anomaly>,
    /// Progress of the budgets; only at the leader.
    pub budgets: Vec<BudgetProgress>,
}

impl LiveView {
    /// Anomalies of the live plane.
    pub fn live_anomalies(&self) -> impl Iterator<Item = &Anomaly> {
        self.anomalies
            .iter()
            .filter(|anomaly| anomaly.plane == Plane::Live)
    }
}

impl Default for LiveView {
    fn default() -> Self {
        let meter = Arc::new(LiveMeter::new(LIVE_GAP_MS));
        Self {
            at_ms: 0,
            regions: Vec::new(),
            meter,
            anomalies: Vec::new(),
            budgets: Vec::new(),
        }
    }
}

/// Prices and regions, as one argument.
pub(crate) fn pricing<'a>(books: &'a Books, regions: &'a RegionMap) -> Pricing<'a> {
    Pricing {
        prices: &books.prices,
        regions,
    }
}
