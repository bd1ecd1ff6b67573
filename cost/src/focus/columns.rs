//! Finds the columns of a file.

use super::report::{FileError, Warning};
use crate::cells::Metric;

/// Columns whose texts distinguish charges, in the order of [`TEXT_NAMES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Text {
    ServiceProvider,
    Provider,
    BillingAccount,
    SubAccount,
    Region,
    Zone,
    Service,
    Category,
    ChargeCategory,
    PricingCategory,
    CommitmentStatus,
    Currency,
}

pub(super) const TEXT_NAMES: [&str; 12] = [
    // Since FOCUS 1.3; 1.4 removes the next one.
    "ServiceProviderName",
    "ProviderName",
    "BillingAccountId",
    "SubAccountId",
    "RegionId",
    "AvailabilityZone",
    "ServiceName",
    "ServiceCategory",
    "ChargeCategory",
    "PricingCategory",
    "CommitmentDiscountStatus",
    "BillingCurrency",
];

pub(super) const CHARGE_START: &str = "ChargePeriodStart";
pub(super) const BILLING_START: &str = "BillingPeriodStart";
pub(super) const TAGS: &str = "Tags";

/// The columns of costs, in the order of [`Metric::ALL`].
pub(super) const COST_NAMES: [&str; 3] = ["EffectiveCost", "BilledCost", "ListCost"];

/// Names of columns that an error lists.
const LISTED_MAX: usize = 100;
const NAME_CHARS_MAX: usize = 60;

/// Indices of a file's columns, from 0.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    pub(super) texts: [Option<usize>; TEXT_NAMES.len()],
    pub(super) costs: [Option<usize>; COST_NAMES.len()],
    pub(super) charge_start: usize,
    pub(super) billing_start: Option<usize>,
    pub(super) tags: Option<usize>,
}

impl Columns {
    /// Finds the columns by name, ignoring case, and reports missing ones.
    pub(super) fn find(
        file: &str,
        names: &[String],
        has_currency: bool,
    ) -> Result<(Self, Vec<Warning>), FileError> {
        let mut warnings = Vec::new();
        let mut place = |wanted: &str| {
            let is_wanted = |name: &String| name.trim().eq_ignore_ascii_case(wanted);
            let mut places = names
                .iter()
                .enumerate()
                .filter(|(_, name)| is_wanted(name))
                .map(|(place, _)| place);
            let first = places.next();

            if places.next().is_some() {
                warnings.push(Warning::Duplicate(wanted.into()));
            }
            first
        };

        let texts = TEXT_NAMES.map(&mut place);
        let costs = COST_NAMES.map(&mut place);
        let charge_start = place(CHARGE_START);
        let billing_start = place(BILLING_START);
        let tags = place(TAGS);

        let is_without_cost = costs.iter().all(Option::is_none);
        let Some(charge_start) = charge_start.filter(|_| !is_without_cost) else {
            let start = charge_start.is_none().then_some(CHARGE_START);
            let cost = is_without_cost.then_some("EffectiveCost, BilledCost or ListCost");
            let missing = start
                .into_iter()
                .chain(cost)
                .collect::<Vec<_>>()
                .join(", nor ");

            return Err(FileError::Columns {
                file: file.into(),
                missing,
                found: listed(names),
            });
        };

        for (metric, cost) in Metric::ALL.into_iter().zip(costs) {
            if cost.is_none() {
                warnings.push(Warning::NoMetric(metric));
            }
        }

        if texts[Text::Currency as usize].is_none() && !has_currency {
            warnings.push(Warning::NoCurrency);
        }
        if texts[Text::ChargeCategory as usize].is_none() {
            warnings.push(Warning::NoChargeCategory);
        }

        Ok((
            Self {
                texts,
                costs,
                charge_start,
                billing_start,
                tags,
            },
            warnings,
        ))
    }

    pub(super) fn has(&self, text: Text) -> bool {
        self.texts[text as usize].is_some()
    }
}

fn listed(names: &[String]) -> String {
    let short = |name: &String| name.trim().chars().take(NAME_CHARS_MAX).collect::<String>();
    let mut list = names
        .iter()
        .take(LISTED_MAX)
        .map(short)
        .collect::<Vec<_>>()
        .join(", ");

    if names.len() > LISTED_MAX {
        list.push_str(", …");
    }
    list
}
