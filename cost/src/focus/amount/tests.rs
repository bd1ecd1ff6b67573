#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn eight_bytes_are_digits_or_not(text in "[0-9]{8}", at in 0usize..8, byte: u8) {
        let mut bytes: [u8; 8] = text.as_bytes().try_into().unwrap();
        prop_assert_eq!(eight_digits(u64::from_le_bytes(bytes)), text.parse().ok());
        bytes[at] = byte;

        let expected = std::str::from_utf8(&bytes)
            .ok()
            .filter(|_| byte.is_ascii_digit());
        prop_assert_eq!(
            eight_digits(u64::from_le_bytes(bytes)),
            expected.and_then(|text| text.parse().ok())
        );
    }

    #[test]
    fn the_fast_path_agrees_with_the_slow_one(
        text in "[-+]?[0-9]{0,16}\\.?[0-9]{0,17}(e-?[0-9])?.?",
    ) {
        prop_assert_eq!(parse(text.as_bytes()), Amount::parse(text.as_bytes()));
    }

    #[test]
    fn a_float_is_read_as_it_is_written(
        value in any::<f64>(),
        small in -1e9..1e9f64,
        cents: i32,
    ) {
        for value in [
            value,
            small,
            f64::from(cents) / 100.0,
            f64::from(cents) / 1e11,
        ] {
            prop_assert_eq!(from_f64(value), Amount::from_f64(value), "{}", value);
        }
    }
}

#[test]
fn plain_numbers_are_read() {
    for (text, units) in [
        ("0.00000080000", 800_000_000),
        ("-2.5", -2_500_000_000_000_000),
        ("7", 7 * crate::money::ONE),
    ] {
        assert_eq!(parse(text.as_bytes()), Ok((Amount(units), false)), "{text}");
    }

    for bad in ["", "-", ".", "1.2.3", "--1", "1,5", "abc"] {
        assert!(parse(bad.as_bytes()).is_err(), "{bad}");
    }
}
