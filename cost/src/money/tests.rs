#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

proptest! {
    #[test]
    fn a_written_amount_reads_back(value in -(10i128.pow(29) - 1)..10i128.pow(29)) {
        let text = Amount(value).to_string();
        prop_assert_eq!(amount(&text), Amount(value));

        let json = serde_json::to_string(&Amount(value)).unwrap();
        prop_assert_eq!(json.clone(), format!("{text:?}"));
        prop_assert_eq!(
            serde_json::from_str::<Amount>(&json).unwrap(),
            Amount(value)
        );
    }

    #[test]
    fn parts_sum_to_the_whole_exactly(value in -10i128.pow(32)..10i128.pow(32), weights: Vec<u64>) {
        let parts = Amount(value).split(&weights);
        prop_assert_eq!(parts.len(), weights.len());

        let whole = if weights.iter().any(|weight| *weight > 0) {
            Amount(value)
        } else {
            Amount::ZERO
        };

        prop_assert_eq!(parts.iter().copied().sum::<Amount>(), whole);
        prop_assert!(
            parts
                .iter()
                .zip(&weights)
                .all(|(part, weight)| *weight > 0 || part.is_zero())
        );
    }

    #[test]
    fn an_exponent_moves_the_decimal_point(
        value in -(10i64.pow(12))..10i64.pow(12),
        exponent in -15i32..3,
    ) {
        let plain = Amount(i128::from(value) * 10i128.pow((15 + exponent) as u32));
        prop_assert_eq!(amount(&format!("{value}e{exponent}")), plain);
        prop_assert_eq!(amount(&format!("{value}.0E{exponent}")), plain);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, text in "[-+0-9.eE]{0,40}") {
        let _ = (
            Amount::parse(&bytes),
            Amount::parse(text.as_bytes()),
            Currency::parse(&bytes),
        );
    }

    #[test]
    fn a_float_is_read_as_it_is_written(value in -1e13f64..1e13) {
        prop_assert_eq!(
            Amount::from_f64(value).unwrap(),
            amount(&format!("{value}"))
        );
    }
}

#[test]
fn digits_beyond_the_fifteenth_are_rounded_half_to_even_and_reported() {
    for (text, units, is_rounded) in [
        ("0.0000000000000005", 0, true),
        ("0.0000000000000015", 2, true),
        ("0.00000000000000050000000000001", 1, true),
        ("-0.0000000000000016", -2, true),
        ("0.0000000000000010", 1, false),
        ("4E-7", 400_000_000, false),
        ("1e-16", 0, true),
        ("6e-16", 1, true),
        ("0e99", 0, false),
        ("0.00000000000001e14", ONE, false),
        (".5", ONE / 2, false),
        ("5.", 5 * ONE, false),
        ("99999999999999", 99_999_999_999_999 * ONE, false),
        ("000000000000000000001", ONE, false),
    ] {
        assert_eq!(
            Amount::parse(text.as_bytes()),
            Ok((Amount(units), is_rounded)),
            "{text}"
        );
    }

    for bad in [
        "", "-", ".", "1,5", "1.2.3", "$1", "NULL", "1e", "e5", " 1", "--1", "0x1", "∞", "NaN",
    ] {
        assert_eq!(
            Amount::parse(bad.as_bytes()),
            Err(AmountError::Syntax),
            "{bad}"
        );
    }

    for large in ["100000000000000", "1e14", "1e999999"] {
        assert_eq!(
            Amount::parse(large.as_bytes()),
            Err(AmountError::TooLarge),
            "{large}"
        );
    }
}

#[test]
fn displayed_amounts_are_rounded_without_a_negative_zero() {
    assert_eq!(amount("1234.565").rounded(2), "1234.56");
    assert_eq!(amount("1234.575").rounded(2), "1234.58");
    assert_eq!(amount("-0.001").rounded(2), "0.00");
    assert_eq!(amount("-2.5").rounded(0), "-2");
    assert_eq!(amount("-1.50").to_string(), "-1.5");
}

#[test]
fn currencies_are_never_added() {
    let mut totals = Totals::default();
    for (text, currency) in [("1.5", "USD"), ("2", "eur"), ("0.25", "USD")] {
        totals.add(Money {
            amount: amount(text),
            currency: currency.parse().unwrap(),
        });
    }

    assert_eq!(
        serde_json::to_string(&totals).unwrap(),
        r#"{"EUR":"2","USD":"1.75"}"#
    );

    for bad in ["", "U", "US$", "ÄÖÜ", "123456789"] {
        assert!(bad.parse::<Currency>().is_err(), "{bad}");
    }
}
