//! The built-in prices, and a few that the replay needs beside them.

use super::ReplayError;
use regionmesh_cost::{PriceDefaults, PriceTable, Prices, read_prices};

const FILE: &str = "sim/src/replay/prices.toml";

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
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn all_prices_of_the_file_are_good_ones() {
        let file = read_prices(
            FILE,
            include_bytes!("prices.toml"),
            &PriceDefaults::default(),
        )
        .unwrap();

        assert_eq!((file.rejected, file.prices.len()), (Vec::new(), 3));
    }
}
