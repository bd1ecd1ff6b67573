#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn all_prices_in_the_file_are_valid() {
    let file = read_prices(
        FILE,
        include_bytes!("../prices.toml"),
        &PriceDefaults::default(),
    )
    .unwrap();

    assert_eq!((file.rejected, file.prices.len()), (Vec::new(), 3));
}
