//! A charge as the texts of its row describe it.

use super::columns::{Columns, TEXT_NAMES, Text};
use super::report::BadReason;
use crate::cells::{ChargeKind, Metric, PricingClass};
use crate::money::Currency;
use std::borrow::Cow;

/// The texts of a row, unquoted; empty if it has none. In the order of [`TEXT_NAMES`].
pub(super) type Texts<'a> = [Cow<'a, [u8]>; TEXT_NAMES.len()];

/// A value that makes a row bad.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) column: &'static str,
    pub(super) value: Vec<u8>,
    pub(super) reason: BadReason,
}

impl Fault {
    pub(super) fn new(column: &'static str, value: &[u8], reason: BadReason) -> Self {
        Self {
            column,
            value: value.to_vec(),
            reason,
        }
    }

    fn of_text(text: Text, texts: &Texts<'_>, reason: BadReason) -> Self {
        Self::new(TEXT_NAMES[text as usize], &texts[text as usize], reason)
    }
}

/// Properties of all rows of a file.
#[derive(Debug, Clone)]
pub(super) struct FileContext {
    pub(super) name: String,
    /// The default for rows without a currency.
    pub(super) currency: Option<Currency>,
    pub(super) has_currency: bool,
    pub(super) has_charge_category: bool,
    /// Whether the file has each of [`Metric::ALL`].
    pub(super) has_cost: [bool; Metric::ALL.len()],
}

impl FileContext {
    pub(super) fn new(name: &str, columns: &Columns, currency: Option<Currency>) -> Self {
        Self {
            name: name.into(),
            currency,
            has_currency: columns.has(Text::Currency),
            has_charge_category: columns.has(Text::ChargeCategory),
            has_cost: columns.costs.map(|cost| cost.is_some()),
        }
    }
}

/// FOCUS 1.3 has a new name for the column, and 1.4 drops the old one.
pub(super) fn provider<'a>(text: &impl Fn(Text) -> &'a str) -> &'a str {
    first(text(Text::ServiceProvider), text(Text::Provider))
}

pub(super) fn first<'a>(text: &'a str, other: &'a str) -> &'a str {
    if text.is_empty() { other } else { text }
}

pub(super) fn charge_kind(file: &FileContext, texts: &Texts<'_>) -> Result<ChargeKind, Fault> {
    let fault = |reason| Fault::of_text(Text::ChargeCategory, texts, reason);
    match &*texts[Text::ChargeCategory as usize] {
        [] if !file.has_charge_category => Ok(ChargeKind::Usage),
        [] => Err(fault(BadReason::Missing)),
        text => known_kind(text).ok_or_else(|| fault(BadReason::ChargeCategory)),
    }
}

pub(super) fn currency(file: &FileContext, texts: &Texts<'_>) -> Result<Currency, Fault> {
    let fault = |reason| Fault::of_text(Text::Currency, texts, reason);
    match (&*texts[Text::Currency as usize], file.currency) {
        ([], Some(currency)) => Ok(currency),
        ([], None) if file.has_currency => Err(fault(BadReason::Missing)),
        ([], None) => Ok(Currency::NONE),
        (text, _) => Currency::parse(text).map_err(|_| fault(BadReason::Currency)),
    }
}

fn known_kind(text: &[u8]) -> Option<ChargeKind> {
    let kinds = [
        ("Usage", ChargeKind::Usage),
        ("Purchase", ChargeKind::Purchase),
        ("Tax", ChargeKind::Tax),
        ("Credit", ChargeKind::Credit),
        ("Adjustment", ChargeKind::Adjustment),
    ];

    kinds
        .into_iter()
        .find(|(name, _)| text.eq_ignore_ascii_case(name.as_bytes()))
        .map(|(_, kind)| kind)
}

pub(super) fn pricing_class(texts: &Texts<'_>) -> PricingClass {
    let category = &texts[Text::PricingCategory as usize];
    let commitment_status = &texts[Text::CommitmentStatus as usize];

    // Also where the category is `Committed`.
    if commitment_status.eq_ignore_ascii_case(b"Unused") {
        return PricingClass::Unused;
    }

    let classes = [
        ("Standard", PricingClass::OnDemand),
        ("Dynamic", PricingClass::Spot),
        ("Committed", PricingClass::Committed),
    ];
    let class = classes
        .into_iter()
        .find(|(name, _)| category.eq_ignore_ascii_case(name.as_bytes()));

    class.map_or(PricingClass::Other, |(_, class)| class)
}
