//! Explains an excess by its parts.

use super::Contributor;
use crate::money::Amount;
use std::{cmp::Reverse, collections::BTreeMap};

/// Contributors that are named.
const NAMED_MAX: usize = 5;
/// All that are not.
pub(super) const OTHER: &str = "(other)";

/// Splits what was expected over the parts as they usually are, and lists by how much each differs.
/// The contributors sum to the sum of `actual` less `expected`, exactly.
pub(super) fn explain(
    actual: &BTreeMap<String, Amount>,
    usual: &BTreeMap<String, Amount>,
    expected: Amount,
) -> Vec<Contributor> {
    let mut parts: BTreeMap<&str, (Amount, Amount)> = BTreeMap::new();
    for (part, amount) in actual {
        parts.entry(part).or_default().0 += *amount;
    }
    for (part, amount) in usual {
        parts.entry(part).or_default().1 += *amount;
    }

    let has_usual = parts.values().any(|(_, usual)| usual.0 > 0);
    let shares = expected.split(&weights(
        parts
            .values()
            .map(|(now, usual)| if has_usual { *usual } else { *now }),
    ));
    let mut contributors: Vec<Contributor> = Vec::new();
    let mut unsplit = expected;

    for ((part, (now, _)), share) in parts.into_iter().zip(shares) {
        unsplit -= share;
        contributors.push(Contributor {
            part: part.to_owned(),
            excess: now - share,
        });
    }

    contributors.retain(|contributor| !contributor.excess.is_zero());
    contributors.sort_by_key(|contributor| Reverse(contributor.excess.0.unsigned_abs()));

    let rest = contributors.split_off(contributors.len().min(NAMED_MAX));
    let other = rest
        .into_iter()
        .map(|contributor| contributor.excess)
        .sum::<Amount>()
        - unsplit;

    if !other.is_zero() {
        contributors.push(Contributor {
            part: OTHER.to_owned(),
            excess: other,
        });
    }

    contributors
}

/// Positive amounts in proportion, as 64-bit numbers.
fn weights(amounts: impl Iterator<Item = Amount>) -> Vec<u64> {
    let amounts: Vec<u128> = amounts.map(|amount| amount.0.max(0) as u128).collect();
    let bits = u128::BITS
        - amounts
            .iter()
            .max()
            .map_or(u128::BITS, |largest| largest.leading_zeros());
    let shift = bits.saturating_sub(u64::BITS);

    amounts
        .into_iter()
        .map(|amount| (amount >> shift) as u64)
        .collect()
}

#[cfg(test)]
mod tests;
