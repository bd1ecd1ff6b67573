//! The result of judging budgets, anomalies and bills.

use crate::cost::answers::{BudgetBasis, BudgetProgress, Figures};
use regionmesh_cost::{Anomaly, Budget};
use regionmesh_protocol::status::money::CostNotice;
use std::collections::BTreeMap;
use time::Date;

/// The part of the bills that one budget needs.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) budget: Budget,
    pub(super) today: Date,
    pub(super) basis: BudgetBasis,
}

/// The result of judging.
#[derive(Debug)]
pub struct Verdict {
    pub(super) known: BTreeMap<String, Known>,
    pub(super) budgets: Vec<BudgetProgress>,
    pub(super) notices: Vec<CostNotice>,
    /// Incidents that are over.
    pub(super) ended: Vec<CostNotice>,
    /// Anomalies of bills and the figures of this month; none if they are unchanged.
    pub(super) billed: Option<(Vec<Anomaly>, Figures)>,
}
