//! Compares live cost with bills, to show how accurate live cost is.

use crate::money::{Amount, Currency, Totals};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use time::Date;

/// Cost by region of the mesh and day.
pub type DailyTotals = BTreeMap<(String, Date), Totals>;

/// Live and billed cost of a region over the days that both know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reconciliation {
    pub region: String,
    pub currency: Currency,
    /// Number of days with both costs.
    pub days: u32,
    /// The live plane's cost.
    pub live: Amount,
    /// The billed cost.
    pub billed: Amount,
    /// Live divided by billed, 1 if they agree; null if either is zero.
    pub ratio: Option<f64>,
}

/// Compares live with billed cost by region and currency, over the days for which both have an
/// amount.
pub fn reconcile(live: &DailyTotals, billed: &DailyTotals) -> Vec<Reconciliation> {
    let mut sums: BTreeMap<(&str, Currency), (u32, Amount, Amount)> = BTreeMap::new();
    for (place, totals) in live {
        let Some(bill) = billed.get(place) else {
            continue;
        };
        for (currency, amount) in &totals.0 {
            let on_bill = bill.of(*currency);
            if amount.is_zero() || on_bill.is_zero() {
                continue;
            }

            let (days, live, billed) = sums.entry((&place.0, *currency)).or_default();
            *days += 1;
            *live += *amount;
            *billed += on_bill;
        }
    }

    let compared =
        sums.into_iter().map(
            |((region, currency), (days, live, billed))| Reconciliation {
                region: region.to_owned(),
                currency,
                days,
                live,
                billed,
                ratio: (!live.is_zero() && !billed.is_zero())
                    .then(|| live.to_f64() / billed.to_f64()),
            },
        );

    compared.collect()
}
