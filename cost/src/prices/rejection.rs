//! Prices that were not used, and why.

use serde::{Deserialize, Serialize};

/// Most rejected prices that are quoted; the others are counted.
pub(super) const QUOTED_LIMIT: usize = 100;
/// Most characters of a value that are quoted.
const VALUE_LIMIT: usize = 80;

/// A record of a price file that was not used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("line {line}{}: {reason}{}", named(field.as_deref()), quoted(value))]
pub struct RejectedPrice {
    /// The line, from 1.
    pub line: u64,
    /// The field that is to blame, where one is.
    pub field: Option<String>,
    /// Its text, at most 80 characters, control characters escaped.
    pub value: String,
    /// Why it was not used and what to do.
    pub reason: RejectReason,
}

impl RejectedPrice {
    pub(super) fn new(line: u64, field: Option<&str>, value: &str, reason: RejectReason) -> Self {
        let value = value
            .chars()
            .take(VALUE_LIMIT)
            .flat_map(char::escape_debug)
            .collect();

        Self {
            line,
            field: field.map(str::to_owned),
            value,
            reason,
        }
    }
}

/// Rejected records: the first of them, and how many there are.
#[derive(Debug, Default)]
pub(super) struct Rejections {
    pub(super) quoted: Vec<RejectedPrice>,
    pub(super) count: u64,
}

impl Rejections {
    pub(super) fn push(&mut self, rejected: RejectedPrice) {
        self.count += 1;
        if self.quoted.len() < QUOTED_LIMIT {
            self.quoted.push(rejected);
        }
    }
}

fn named(field: Option<&str>) -> String {
    field.map(|field| format!(", {field}")).unwrap_or_default()
}

fn quoted(value: &str) -> String {
    if value.is_empty() {
        String::new()
    } else {
        format!(" (\"{value}\")")
    }
}

/// Why a price was not used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum RejectReason {
    /// A field that this kind of price needs is missing or empty.
    #[error("missing or empty")]
    Missing,
    /// The row has more or fewer fields than the header.
    #[error("has {found} fields where the header has {expected}")]
    Fields {
        /// Fields of the header.
        expected: usize,
        /// Fields of the row.
        found: usize,
    },
    /// Too long, not UTF-8 or with control characters.
    #[error("must be UTF-8 text of at most 256 bytes without control characters")]
    Text,
    /// Not one of the words that the field may have.
    #[error("must be one of {0}")]
    Choice(String),
    /// Not a number, `TBD` for example.
    #[error("not a price; expected a decimal number such as 0.526")]
    NotANumber,
    /// Larger than any price per unit.
    #[error("more than 1,000,000,000 per unit")]
    TooLarge,
    /// Below zero.
    #[error("a price can't be negative; enter a discount as a lower price")]
    Negative,
    /// Zero, and the file doesn't mark it as free.
    #[error("zero looks like a placeholder; set free = true if it costs nothing")]
    Zero,
    /// `free = true` with a price above zero.
    #[error("free = true contradicts a price above zero; remove one of them")]
    NotFree,
    /// Exactly 1.
    #[error("exactly 1 looks like a placeholder; set verified = true if the price is correct")]
    One,
    /// All nines.
    #[error("a price of only nines looks like a placeholder; set verified = true if it is correct")]
    Nines,
    /// An accelerator for almost nothing.
    #[error(
        "less than 0.02 an hour for a node with a GPU looks like a placeholder; set verified = \
            true if the price is correct"
    )]
    GpuTooCheap,
    /// One price for all node types.
    #[error(
        "all {0} node types of this cloud and pricing class share this price, which looks like a \
            placeholder; set verified = true if it is correct"
    )]
    SameForAll(usize),
    /// No day.
    #[error("not a date; write it as 2026-09-06")]
    Day,
    /// No currency.
    #[error("not a currency; expected three letters (ISO 4217)")]
    Currency,
    /// No region of a cloud.
    #[error("not a cloud region; write it as aws:us-west-2, or aws:* for all regions")]
    Place,
    /// No whole number of units.
    #[error(
        "not the end of a tier; expected a whole number of units above zero, counted from the \
            start of the month"
    )]
    TierEnd,
    /// The last tier has an end.
    #[error("its last tier ends at {0}; add one without up_to for the rest")]
    OpenEnd(u64),
    /// Too many tiers.
    #[error("has more than 32 tiers")]
    Tiers,
    /// The tiers of a price differ in their unit or currency.
    #[error("its tiers differ in unit or currency from the one on line {0}")]
    TierMismatch(u64),
    /// One of its tiers can't be used.
    #[error(
        "its tier on line {0} was rejected; without it the other tiers would apply to wrong \
            quantities"
    )]
    TierRejected(u64),
    /// The file already has a price for this day.
    #[error("line {0} already has a price for this day")]
    Duplicate(u64),
}
