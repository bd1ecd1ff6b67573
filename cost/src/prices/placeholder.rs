//! Detects placeholder prices. Each rule can be explained to the author of the file.

use super::{Price, PriceItem, RejectReason};
use crate::{
    cells::PricingClass,
    money::{Amount, ONE},
};
use std::collections::{BTreeMap, BTreeSet};

/// Least price of an hour of a node with an accelerator, in any currency: the cheapest share of one
/// costs several times that.
const GPU_HOUR_MIN: Amount = Amount(ONE / 50);
/// This many node types at one price are a placeholder.
const SAME_PRICE_NODES: usize = 3;

/// Why one amount is a placeholder. `is_free` and `is_verified` come from the file.
pub(super) fn check(
    amount: Amount,
    gpu: Option<&str>,
    is_free: bool,
    is_verified: bool,
) -> Result<(), RejectReason> {
    if amount < Amount::ZERO {
        return Err(RejectReason::Negative);
    }

    if amount.is_zero() {
        return if is_free {
            Ok(())
        } else {
            Err(RejectReason::Zero)
        };
    }

    if is_free {
        return Err(RejectReason::NotFree);
    }
    if is_verified {
        return Ok(());
    }
    if amount == Amount(ONE) {
        return Err(RejectReason::One);
    }

    let text = amount.to_string();
    let is_nines = text.bytes().all(|byte| matches!(byte, b'9' | b'.'));
    if is_nines && amount >= Amount(999 * ONE) {
        return Err(RejectReason::Nines);
    }
    if gpu.is_some() && amount < GPU_HOUR_MIN {
        return Err(RejectReason::GpuTooCheap);
    }

    Ok(())
}

/// Places in `prices` of node prices that are the same for all of a file's node types of a cloud
/// and pricing class, where these are at least three; those in `verified` count as types and are
/// not found.
pub(super) fn same_for_all(prices: &[Price], verified: &BTreeSet<usize>) -> Vec<(usize, usize)> {
    type Nodes<'a> = Vec<(usize, &'a str, Amount)>;

    let mut groups: BTreeMap<(&str, PricingClass), Nodes<'_>> = BTreeMap::new();
    for (place, price) in prices.iter().enumerate() {
        if let PriceItem::Node { at, sku, pricing } = &price.item {
            groups.entry((at.cloud(), *pricing)).or_default().push((
                place,
                sku,
                price.first().amount,
            ));
        }
    }

    let mut found = Vec::new();
    for nodes in groups.into_values() {
        let skus: BTreeSet<&str> = nodes.iter().map(|(_, sku, _)| *sku).collect();
        let amounts: BTreeSet<Amount> = nodes.iter().map(|(_, _, amount)| *amount).collect();
        if skus.len() >= SAME_PRICE_NODES && amounts.len() == 1 {
            found.extend(nodes.iter().map(|(place, ..)| (*place, skus.len())));
        }
    }

    found.retain(|(place, _)| !verified.contains(place));
    found
}
