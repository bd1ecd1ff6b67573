//! The limits that budgets must keep to.

use super::{Budget, BudgetScope, THRESHOLD_MAX};
use crate::money::{Amount, Currency, Money, ONE};
use regionmesh_protocol::{status::money::NOTICES_MAX, text::unprintable};
use std::collections::BTreeSet;

/// Longest name of a budget and its scope, characters.
const NAME_CHARS_MAX: usize = 128;

/// Most thresholds of one kind.
const THRESHOLDS_MAX: usize = 16;

/// Most thresholds of all budgets: each takes a notice for its period, and anomalies and late bills
/// need some too.
const ALL_THRESHOLDS_MAX: usize = NOTICES_MAX - 32;

/// Highest amount, the highest that can be written: below 10^14.
const AMOUNT_MAX: Amount = Amount(ONE * 100_000_000_000_000 - 1);

/// An invalid budget.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BudgetError {
    /// A name is empty, too long or contains characters that can't be printed.
    #[error("budget {budget:?}: {field} must be 1 to {NAME_CHARS_MAX} printable characters")]
    Text {
        budget: String,
        /// Which text: `name`, `scope`.
        field: &'static str,
    },
    /// The amount is zero, negative or too large.
    #[error("budget {budget:?}: amount is {amount}; it must be more than 0 and less than 10^14")]
    Amount { budget: String, amount: Money },
    /// No currency is named.
    #[error("budget {budget:?}: amount has no currency; write it as \"12000 EUR\"")]
    NoCurrency { budget: String },
    /// A threshold is out of range.
    #[error(
        "budget {budget:?}: {field} contains {threshold}; thresholds are percents from 1 to \
            {THRESHOLD_MAX}"
    )]
    Threshold {
        budget: String,
        field: &'static str,
        threshold: u16,
    },
    /// A list names a threshold twice.
    #[error("budget {budget:?}: {field} contains {threshold} twice; remove one")]
    ThresholdTwice {
        budget: String,
        field: &'static str,
        threshold: u16,
    },
    /// A list of thresholds is too long.
    #[error(
        "budget {budget:?}: {field} has {count} thresholds; at most {THRESHOLDS_MAX} are allowed"
    )]
    TooManyThresholds {
        budget: String,
        field: &'static str,
        count: usize,
    },
    /// The budgets have too many thresholds in total.
    #[error(
        "the budgets have {count} thresholds in all; at most {ALL_THRESHOLDS_MAX} are allowed: \
         remove some of \
         actual_thresholds or forecast_thresholds, which default to 4 a budget"
    )]
    TooManyInAll { count: usize },
    /// The budget would never announce anything.
    #[error(
        "budget {budget:?}: both actual_thresholds and forecast_thresholds are empty; set at least \
            one threshold"
    )]
    NoThreshold { budget: String },
    /// Two budgets share a name.
    #[error("two budgets are named {budget:?}; names must be unique")]
    NameTwice { budget: String },
}

impl Budget {
    /// Checks names, amount and thresholds.
    pub fn check(&self) -> Result<(), BudgetError> {
        let budget = || self.name.chars().take(NAME_CHARS_MAX).collect::<String>();
        let texts: &[&str] = match &self.scope {
            BudgetScope::Mesh => &[],
            BudgetScope::Region(name) | BudgetScope::Model(name) => &[name],
            BudgetScope::Tag { key, value } => &[key, value],
        };

        if !is_name(&self.name) {
            return Err(BudgetError::Text {
                budget: budget(),
                field: "name",
            });
        }

        if !texts.iter().all(|text| is_name(text)) {
            return Err(BudgetError::Text {
                budget: budget(),
                field: "scope",
            });
        }

        let amount = self.amount;
        if amount.amount <= Amount::ZERO || amount.amount > AMOUNT_MAX {
            return Err(BudgetError::Amount {
                budget: budget(),
                amount,
            });
        }

        if amount.currency == Currency::NONE {
            return Err(BudgetError::NoCurrency { budget: budget() });
        }

        self.check_thresholds("actual_thresholds", &self.actual_thresholds)?;
        self.check_thresholds("forecast_thresholds", &self.forecast_thresholds)?;
        if self.actual_thresholds.is_empty() && self.forecast_thresholds.is_empty() {
            return Err(BudgetError::NoThreshold { budget: budget() });
        }

        Ok(())
    }

    fn check_thresholds(&self, field: &'static str, thresholds: &[u16]) -> Result<(), BudgetError> {
        let budget = self.name.clone();
        if thresholds.len() > THRESHOLDS_MAX {
            return Err(BudgetError::TooManyThresholds {
                budget,
                field,
                count: thresholds.len(),
            });
        }

        let mut seen = BTreeSet::new();
        for &threshold in thresholds {
            if !(1..=THRESHOLD_MAX).contains(&threshold) {
                return Err(BudgetError::Threshold {
                    budget,
                    field,
                    threshold,
                });
            }

            if !seen.insert(threshold) {
                return Err(BudgetError::ThresholdTwice {
                    budget,
                    field,
                    threshold,
                });
            }
        }

        Ok(())
    }
}

fn is_name(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= NAME_CHARS_MAX && unprintable(text).is_none()
}

/// Checks each budget, that no two have the same name, and how many thresholds they have together.
pub fn check_budgets(budgets: &[Budget]) -> Result<(), BudgetError> {
    let mut names = BTreeSet::new();
    for budget in budgets {
        budget.check()?;
        if !names.insert(&budget.name) {
            return Err(BudgetError::NameTwice {
                budget: budget.name.clone(),
            });
        }
    }

    let thresholds =
        |budget: &Budget| budget.actual_thresholds.len() + budget.forecast_thresholds.len();
    let count: usize = budgets.iter().map(thresholds).sum();

    if count > ALL_THRESHOLDS_MAX {
        return Err(BudgetError::TooManyInAll { count });
    }
    Ok(())
}
