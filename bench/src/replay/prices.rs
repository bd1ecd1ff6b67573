//! The built-in prices, and a few more that the replay needs.

use super::error::ReplayError;
use regionmesh_cost::{PriceDefaults, PriceTable, Prices, read_prices};

const FILE: &str = "bench/src/replay/prices.toml";

/// The prices of the documented case.
pub fn replay_prices() -> Result<Prices, ReplayError> {
    let file = read_prices(
        FILE,
        include_bytes!("prices.toml"),
        &PriceDefaults::default(),
    )?;
    let mut table = PriceTable::default();

    table.apply(file.prices, true)?;
    Ok(Prices::new(table))
}

#[cfg(test)]
mod tests;
