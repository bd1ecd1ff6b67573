//! What budgets have announced.

use super::{Budget, BudgetState, BudgetWindow, Crossing};
use crate::{cells::day_number, money::Money};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use time::Date;

/// Days for which a period is remembered after its end: agents' clocks differ, and bills are corrected late.
const MEMORY_DAYS: i32 = 62;

/// The crossings that were announced: a set that only grows, so that the ledgers of several agents merge into their union, in
/// any order and however often. Periods that ended more than two months ago are forgotten.
///
/// A new leader that has merged the ledger of the one before announces nothing twice. Whether the spending falls again,
/// because of a credit for example, makes no difference.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BudgetLedger(BTreeSet<Entry>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    budget: String,
    /// In the budget's text form, which has an order. A budget whose amount is changed announces its thresholds again.
    amount: String,
    /// Days since 1970-01-01 of the period's first and last day.
    first_day: i32,
    last_day: i32,
    crossing: Crossing,
}

impl Entry {
    fn new(budget: &Budget, window: BudgetWindow, crossing: Crossing) -> Self {
        let Money { amount, currency } = budget.amount;
        let (first_day, last_day) = (day_number(window.first), day_number(window.last));
        Self { budget: budget.name.clone(), amount: format!("{amount} {currency}"), first_day, last_day, crossing }
    }
}

impl BudgetLedger {
    /// The crossings of `state` that have not been announced in this period, which count as announced from now on.
    pub fn announce(&mut self, budget: &Budget, window: BudgetWindow, state: &BudgetState) -> Vec<Crossing> {
        let mut new = state.crossed.clone();
        new.retain(|crossing| self.0.insert(Entry::new(budget, window, *crossing)));
        new
    }

    /// Whether a crossing was announced in this period.
    pub fn contains(&self, budget: &Budget, window: BudgetWindow, crossing: Crossing) -> bool {
        self.0.contains(&Entry::new(budget, window, crossing))
    }

    /// Adds what another agent announced.
    pub fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Forgets periods that ended more than two months before `today`.
    pub fn prune(&mut self, today: Date) {
        let oldest = day_number(today).saturating_sub(MEMORY_DAYS);
        self.0.retain(|entry| entry.last_day >= oldest);
    }

    /// How many crossings it holds.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
