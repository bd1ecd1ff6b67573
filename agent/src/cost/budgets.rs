//! How budgets are doing, and what bills say of them.

use regionmesh_cost::{Amount, BilledDays, Budget, BudgetState, BudgetWindow};
use std::{collections::BTreeMap, time::Instant};
use time::Date;

/// A budget and how much of it is used.
#[derive(Debug, Clone, PartialEq)]
pub struct BudgetProgress {
    pub budget: Budget,
    /// Its current period.
    pub window: BudgetWindow,
    /// How much is spent and forecast.
    pub state: BudgetState,
}

/// The part of a budget's evaluation that is slow, and can be reused for a while.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BudgetBasis {
    /// Billed cost by day; valid until the bills change or the day ends.
    pub billed: BilledDays,
    /// Expected cost of each remaining day of the period, and when it was computed; none if it has
    /// to be computed.
    pub rest: Option<(Option<BTreeMap<Date, Amount>>, Instant)>,
}
