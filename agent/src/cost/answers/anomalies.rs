//! Anomalies of bills.

use regionmesh_cost::{
    Anomaly, BilledSettings, Dimension, Ledger, billed_anomalies, billed_series, day_number,
};
use time::Date;

/// Anomalies of bills that are open, or began in the last 45 days of the bills.
pub(crate) fn billed(ledger: &Ledger, today: Date) -> Vec<Anomaly> {
    let ends = ledger.ends(today);
    let mut last = None;
    let mut found = Vec::new();

    for (by, part) in [
        (Dimension::Region, Dimension::Service),
        (Dimension::Service, Dimension::Region),
        (Dimension::Provider, Dimension::Service),
        (Dimension::Account, Dimension::Service),
    ] {
        let series = billed_series(ledger, &ends, by, part);
        last = last.max(series.iter().map(|series| series.last_day).max());
        found.extend(billed_anomalies(&series, &BilledSettings::default()));
    }

    let is_recent = |since: Date| last.is_some_and(|last| last - day_number(since) <= 45);
    found.retain(|anomaly| anomaly.until.is_none() || is_recent(anomaly.since.date()));
    found
}
