//! Days with cost but no usage data, and days with usage but no bill.

use super::usage::{Costs, RegionDays};
use crate::{
    money::{Money, Totals},
    report::{Warning, WarningKind, listed},
};
use std::collections::{BTreeMap, BTreeSet};

/// Regions with serving cost on days without usage data.
pub(super) fn without_usage(costs: &Costs, days: &RegionDays) -> Vec<Warning> {
    let mut missing: BTreeMap<&str, (BTreeSet<&str>, Totals)> = BTreeMap::new();
    for ((day, region, currency), cost) in costs {
        if !cost.shared.is_zero() && !days.contains_key(&(day.clone(), region.clone())) {
            let (days, totals) = missing.entry(region).or_default();
            days.insert(day);
            totals.add(Money {
                amount: cost.shared,
                currency: *currency,
            });
        }
    }

    let warning = |(region, (days, totals)): (&str, (BTreeSet<&str>, Totals))| {
        let sums: Vec<String> = totals
            .0
            .iter()
            .map(|(currency, amount)| format!("{} {currency}", amount.rounded(2)))
            .collect();
        let days: Vec<String> = days.into_iter().map(str::to_owned).collect();
        let region = if region.is_empty() {
            "no region"
        } else {
            region
        };

        let message = format!(
            "{region}: no usage data on {}; {} of serving cost is unallocated",
            listed(&days),
            listed(&sums)
        );

        Warning {
            kind: WarningKind::UsageMissing,
            message,
        }
    };

    missing.into_iter().map(warning).collect()
}

/// Regions with usage on unbilled days, which is left out: requests would look too cheap.
pub(super) fn without_bill(costs: &Costs, days: &RegionDays) -> Vec<Warning> {
    let billed: BTreeSet<(&str, &str)> = costs
        .keys()
        .map(|(day, region, _)| (day.as_str(), region.as_str()))
        .collect();
    let mut missing: BTreeMap<&str, Vec<String>> = BTreeMap::new();

    for (day, region) in days
        .keys()
        .filter(|(day, region)| !billed.contains(&(day.as_str(), region.as_str())))
    {
        missing.entry(region).or_default().push(day.clone());
    }

    let warning = |(region, days): (&str, Vec<String>)| {
        let message = format!(
            "{region}: no charges on {}; usage on these days is left out",
            listed(&days)
        );

        Warning {
            kind: WarningKind::UsageNotBilled,
            message,
        }
    };

    missing.into_iter().map(warning).collect()
}
