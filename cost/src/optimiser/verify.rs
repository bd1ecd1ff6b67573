//! Verifies predictions against the bill.

use super::{HOURS_PER_MONTH, recommendation::Saving};
use crate::money::{Amount, Currency};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Minimum days before and after the change.
const DAYS_MIN: usize = 7;
/// Largest change of load that can be adjusted for, as a factor.
const LOAD_CHANGE_MAX: f64 = 1.5;
/// Savings below this share of the expected one don't count.
const SEEN_PART: f64 = 0.2;
/// Differences within this many standard errors are noise.
const NOISE_ERRORS: f64 = 2.0;

/// Some days of the bill for what the recommendation is about: a region, a service, or the whole
/// mesh.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BillWindow {
    /// Cost of each day.
    pub days: Vec<Amount>,
    pub currency: Currency,
    /// Mean load over these days, requests per second.
    pub load: f64,
}

/// What the bill says about a prediction.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[schemars(rename = "VerificationVerdict")]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// At least the low end of the prediction was saved.
    Confirmed,
    /// Something was saved, but less.
    Partly,
    /// Almost nothing was saved.
    NotSeen,
    /// The bill is inconclusive.
    #[serde(rename = "cant-tell")]
    Inconclusive,
}

/// A prediction compared with the bill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verification {
    pub verdict: Verdict,
    pub predicted: Saving,
    /// Before, per month.
    pub monthly_before: Amount,
    /// The same at the load after the change.
    pub adjusted_before: Amount,
    /// After, per month.
    pub monthly_after: Amount,
    /// Adjusted cost before, less cost after.
    pub seen: Amount,
    /// How far `seen` may be off because days differ.
    pub noise: Amount,
    pub why: String,
}

/// Compares a prediction with the bill before and after the change.
///
/// A month has 730 hours. `load_share` is the share of the cost that is proportional to the load, 0
/// to 1: before, this share is scaled to the load after the change. `seen` is uncertain by two
/// standard errors of the daily means.
pub fn verify(
    predicted: Saving,
    before: &BillWindow,
    after: &BillWindow,
    load_share: f64,
) -> Verification {
    let (before_mean, before_error) = mean_and_error(&before.days);
    let (after_mean, after_error) = mean_and_error(&after.days);
    let is_load_known =
        before.load > 0.0 && after.load > 0.0 && before.load.is_finite() && after.load.is_finite();
    let load_ratio = if is_load_known {
        after.load / before.load
    } else {
        1.0
    };

    let share = if load_share.is_finite() {
        load_share.clamp(0.0, 1.0)
    } else {
        0.0
    };
    let adjustment = 1.0 - share + share * load_ratio;

    let adjusted = before_mean * adjustment;
    let seen = adjusted - after_mean;
    let noise = NOISE_ERRORS * (before_error * adjustment).hypot(after_error);
    let objection = objection(before, after, share, is_load_known, load_ratio);
    let (verdict, why) = match objection {
        Some(why) => (Verdict::Inconclusive, why),
        None => judge(predicted, seen, noise),
    };

    Verification {
        verdict,
        predicted,
        monthly_before: amount(before_mean),
        adjusted_before: amount(adjusted),
        monthly_after: amount(after_mean),
        seen: amount(seen),
        noise: amount(noise),
        why,
    }
}

fn objection(
    before: &BillWindow,
    after: &BillWindow,
    share: f64,
    is_load_known: bool,
    load_ratio: f64,
) -> Option<String> {
    let had = before.days.len();
    let has = after.days.len();
    if had < DAYS_MIN || has < DAYS_MIN {
        return Some(format!(
            "{had} days before and {has} after the change are on the bill; {DAYS_MIN} of each are \
                needed"
        ));
    }

    if before.currency != after.currency {
        return Some(format!(
            "the bill's currency changed from {} to {}",
            before.currency, after.currency
        ));
    }

    if share > 0.0 && !is_load_known {
        return Some("the load before or after the change is not known".to_owned());
    }

    let is_other_load = !(1.0 / LOAD_CHANGE_MAX..=LOAD_CHANGE_MAX).contains(&load_ratio);
    (share > 0.0 && is_other_load)
        .then(|| format!("load changed by a factor of {load_ratio:.2}, too much to adjust for"))
}

fn judge(predicted: Saving, seen: f64, noise: f64) -> (Verdict, String) {
    let expected = predicted.expected.to_f64();
    let low = predicted.low.to_f64();
    let text = |what: &str| {
        format!(
            "{what}: {seen:.2} a month of {expected:.2} predicted (at least {low:.2}), give or \
                take {noise:.2}"
        )
    };

    // The bill is conclusive only if both ends of the noise lead to the same verdict.
    let of = |seen: f64| {
        if seen >= low {
            Verdict::Confirmed
        } else if seen >= expected * SEEN_PART {
            Verdict::Partly
        } else {
            Verdict::NotSeen
        }
    };

    if noise >= expected && of(seen - noise) != of(seen + noise) {
        return (
            Verdict::Inconclusive,
            text("the days of the bill differ by more than the saving"),
        );
    }

    let verdict = of(seen);
    let what = match verdict {
        Verdict::Confirmed => "the bill shows the saving",
        Verdict::Partly => "the bill shows a part of the saving",
        Verdict::NotSeen | Verdict::Inconclusive => "the bill doesn't show the saving",
    };

    (verdict, text(what))
}

/// Mean and standard error of a month's cost.
fn mean_and_error(days: &[Amount]) -> (f64, f64) {
    let days_per_month = f64::from(HOURS_PER_MONTH) / 24.0;
    let count = days.len() as f64;
    if days.is_empty() {
        return (0.0, 0.0);
    }

    let mean = days.iter().copied().sum::<Amount>().to_f64() / count;
    if days.len() < 2 {
        return (mean * days_per_month, 0.0);
    }

    let squares: f64 = days.iter().map(|day| (day.to_f64() - mean).powi(2)).sum();
    let error = (squares / (count - 1.0) / count).sqrt();
    (mean * days_per_month, error * days_per_month)
}

/// To a hundred-millionth.
fn amount(value: f64) -> Amount {
    Amount::from_f64((value * 1e8).round() / 1e8).unwrap_or_default()
}

#[cfg(test)]
mod tests;
