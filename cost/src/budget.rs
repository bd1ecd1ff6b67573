//! Budgets: spending limits per period, and which of their thresholds are crossed.
//!
//! A budget only notifies, unless its action is `shift`.

mod check;

use crate::{
    cells::Metric,
    money::{Amount, Currency, Money, Totals},
};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{collections::BTreeSet, fmt};
use time::{Date, Month};

pub use check::{BudgetError, check_budgets};

/// Highest threshold, percent.
const THRESHOLD_MAX: u16 = 1_000;

/// A limit on what is spent per period. In a configuration:
///
/// ```toml
/// [[cost.budgets]]
/// name = "europe"
/// scope = { region = "eu-west-1" }
/// amount = "12000 EUR"
/// ```
///
/// Reading one checks it as [`Budget::check`] does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Budget {
    /// Unique name in notifications and reports, at most 128 characters.
    pub name: String,
    /// The cost that counts.
    #[serde(default)]
    pub scope: BudgetScope,
    /// The limit, more than zero: `"12000 EUR"`. Costs in other currencies are not counted but
    /// reported as a problem.
    #[serde(with = "money_text")]
    #[schemars(with = "String")]
    pub amount: Money,
    /// The budget period; it begins at midnight UTC.
    #[serde(default)]
    pub period: BudgetPeriod,
    /// The cost metric.
    #[serde(default)]
    pub metric: Metric,
    /// Percentages of the amount to announce when spent; at most 16.
    #[serde(default = "actual_thresholds")]
    #[schemars(inner(range(min = 1, max = THRESHOLD_MAX)))]
    pub actual_thresholds: Vec<u16>,
    /// Percentages of the amount to announce when forecast; at most 16, and 128 thresholds in all
    /// budgets.
    #[serde(default = "forecast_thresholds")]
    #[schemars(inner(range(min = 1, max = THRESHOLD_MAX)))]
    pub forecast_thresholds: Vec<u16>,
    /// The action when a threshold is crossed.
    #[serde(default)]
    pub action: BudgetAction,
}

fn actual_thresholds() -> Vec<u16> {
    vec![50, 80, 100]
}

fn forecast_thresholds() -> Vec<u16> {
    vec![100]
}

/// The cost that a budget limits.
#[derive(
    Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum BudgetScope {
    /// Everything.
    #[default]
    Mesh,
    /// One region of the mesh.
    Region(String),
    /// One model.
    Model(String),
    /// Everything with a tag.
    Tag {
        /// The tag's key.
        key: String,
        value: String,
    },
}

/// A budget's period, which begins at midnight UTC.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum BudgetPeriod {
    /// Each day.
    Daily,
    /// Each calendar month.
    #[default]
    Monthly,
    /// In January, April, July and October.
    Quarterly,
    /// Each calendar year.
    Yearly,
}

/// The action when a threshold is crossed.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum BudgetAction {
    /// The receivers are notified.
    #[default]
    Notify,
    /// The receivers are notified, and traffic may shift to cheaper regions.
    Shift,
}

/// One period of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BudgetWindow {
    /// Its first day, UTC.
    pub first: Date,
    /// Its last day.
    pub last: Date,
}

impl BudgetPeriod {
    /// The period that a day is in.
    pub fn window(self, day: Date) -> BudgetWindow {
        let month = u8::from(day.month());
        let (from, to) = match self {
            Self::Daily => {
                return BudgetWindow {
                    first: day,
                    last: day,
                };
            }
            Self::Monthly => (month, month),
            Self::Quarterly => {
                let from = (month - 1) / 3 * 3 + 1;
                (from, from + 2)
            }
            Self::Yearly => (1, 12),
        };

        let month_of = |number: u8| Month::try_from(number).unwrap_or(day.month());
        let date = |month: Month, day_of_month: u8| {
            Date::from_calendar_date(day.year(), month, day_of_month).unwrap_or(day)
        };
        let last = month_of(to);

        BudgetWindow {
            first: date(month_of(from), 1),
            last: date(last, last.length(day.year())),
        }
    }
}

/// The amount that a threshold applies to.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum CrossingKind {
    Actual,
    /// The forecast cost of the period.
    Forecast,
}

/// A threshold that was reached.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct Crossing {
    pub kind: CrossingKind,
    /// The threshold, percent of the amount.
    pub threshold: u16,
}

/// Why a budget's state is incomplete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum BudgetProblem {
    /// Some cost is in other currencies and counts neither as spent nor as forecast.
    OtherCurrencies {
        /// Cost in other currencies.
        spent: Totals,
        /// Forecast cost in other currencies.
        forecast: Totals,
    },
}

impl fmt::Display for BudgetProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::OtherCurrencies { spent, forecast } = self;
        let currencies: BTreeSet<&str> = spent
            .0
            .keys()
            .chain(forecast.0.keys())
            .map(Currency::as_str)
            .collect();
        let currencies: Vec<&str> = currencies.into_iter().collect();

        write!(
            f,
            "costs in {} are not counted, because the budget is in another currency; add a budget \
                in each currency",
            currencies.join(", ")
        )
    }
}

/// A budget's current state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetState {
    /// Cost in the period so far, in the budget's currency.
    pub spent: Amount,
    /// The forecast cost of the period, in the budget's currency; `None` if there is no forecast in
    /// it.
    pub forecast: Option<Amount>,
    /// Spent as a part of the budget's amount; 1 is all of it. Negative where credits exceed costs.
    pub ratio: f64,
    /// Forecast as a part of the budget's amount.
    pub forecast_ratio: Option<f64>,
    /// The thresholds that are reached now: actual ones first, each kind from the lowest to the
    /// highest.
    pub crossed: Vec<Crossing>,
    /// Cost that the figures leave out.
    pub problem: Option<BudgetProblem>,
}

/// Compares a budget with what was spent in its current period and what the whole period is
/// forecast to cost, both within its scope and by its metric. Only amounts in the budget's currency
/// are compared; the state reports others.
pub fn evaluate_budget(budget: &Budget, spent: &Totals, forecast: Option<&Totals>) -> BudgetState {
    let currency = budget.amount.currency;
    let limit = budget.amount.amount;
    let forecast_amount = forecast.and_then(|totals| totals.0.get(&currency)).copied();
    let spent_amount = spent.of(currency);

    let mut crossed = Vec::new();
    let kinds = [
        (
            CrossingKind::Actual,
            Some(spent_amount),
            &budget.actual_thresholds,
        ),
        (
            CrossingKind::Forecast,
            forecast_amount,
            &budget.forecast_thresholds,
        ),
    ];

    for (kind, amount, thresholds) in kinds {
        let Some(amount) = amount else { continue };
        let reached = thresholds
            .iter()
            .filter(|threshold| is_reached(limit, **threshold, amount));
        crossed.extend(reached.map(|&threshold| Crossing { kind, threshold }));
    }

    crossed.sort_unstable();

    let others = |totals: &Totals| {
        let others = totals
            .0
            .iter()
            .filter(|(other, amount)| **other != currency && !amount.is_zero());
        Totals(others.map(|(other, amount)| (*other, *amount)).collect())
    };
    let spent_others = others(spent);
    let forecast_others = forecast.map(others).unwrap_or_default();
    let is_complete = spent_others.0.is_empty() && forecast_others.0.is_empty();

    let problem = (!is_complete).then_some(BudgetProblem::OtherCurrencies {
        spent: spent_others,
        forecast: forecast_others,
    });

    let ratio = |amount: Amount| {
        if limit.is_zero() {
            0.0
        } else {
            amount.to_f64() / limit.to_f64()
        }
    };

    BudgetState {
        spent: spent_amount,
        forecast: forecast_amount,
        ratio: ratio(spent_amount),
        forecast_ratio: forecast_amount.map(ratio),
        crossed,
        problem,
    }
}

/// Whether `amount` is at least `threshold` percent of the limit, exactly.
fn is_reached(limit: Amount, threshold: u16, amount: Amount) -> bool {
    amount.0.saturating_mul(100) >= limit.0.saturating_mul(i128::from(threshold))
}

/// Money as one text: `12000 EUR`.
mod money_text {
    use crate::money::Money;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(
        money: &Money,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(money)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Money, D::Error> {
        let text = String::deserialize(deserializer)?;
        let shape = || {
            de::Error::custom(format!(
                "{text:?} is not an amount of money; write it as \"12000 EUR\""
            ))
        };
        let (amount, currency) = text.trim().split_once(' ').ok_or_else(shape)?;
        let amount = amount
            .parse()
            .map_err(|error| de::Error::custom(format!("{text:?}: the amount is {error}")))?;
        let currency = currency.trim().parse().map_err(de::Error::custom)?;

        Ok(Money { amount, currency })
    }
}

impl Serialize for Budget {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Budget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let budget = Self::deserialize(deserializer)?;
        budget.check().map_err(de::Error::custom)?;
        Ok(budget)
    }
}

#[cfg(test)]
mod tests;
