//! Live cost against bills: how far one can be believed before the other is there.

use crate::money::{Amount, Currency, Totals};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use time::Date;

/// Cost by region of the mesh and day.
pub type DailyTotals = BTreeMap<(String, Date), Totals>;

/// Live and billed cost of a region over the days that both know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reconciliation {
    /// The region of the mesh.
    pub region: String,
    /// The currency of both.
    pub currency: Currency,
    /// How many days both know.
    pub days: u32,
    /// What the live plane says.
    pub live: Amount,
    /// What the bills say.
    pub billed: Amount,
    /// Live by billed: 1 where they agree; none where either is zero.
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
