//! The built-in prices.

use super::{PriceDefaults, PriceTable, read_prices};
use std::sync::LazyLock;

/// Entries are only ever added to it, with the day from which they hold: a report about an old day
/// must not change.
pub(super) const TEXT: &str = include_str!("builtin.toml");

static TABLE: LazyLock<PriceTable> = LazyLock::new(|| {
    let mut table = PriceTable::default();
    let prices = read_prices("builtin.toml", TEXT.as_bytes(), &PriceDefaults::default())
        .map(|file| file.prices);

    // A test reads the same text and accepts no rejected entry.
    let _ = table.apply(prices.unwrap_or_default(), false);
    table
});

pub(super) fn table() -> &'static PriceTable {
    &TABLE
}
