#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use proptest::prelude::*;

fn parts() -> impl Strategy<Value = BTreeMap<String, Amount>> {
    let amount =
        prop_oneof![Just(0i128), -5i128..5, -(10i128.pow(29))..10i128.pow(29)].prop_map(Amount);
    proptest::collection::btree_map("[a-j]", amount, 0..10)
}

proptest! {
    #[test]
    fn contributors_sum_to_the_excess_exactly(
        actual in parts(),
        usual in parts(),
        expected in -(10i128.pow(30))..10i128.pow(30),
    ) {
        let contributors = explain(&actual, &usual, Amount(expected));
        let excess = actual.values().copied().sum::<Amount>() - Amount(expected);
        prop_assert_eq!(
            contributors.iter().map(|part| part.excess).sum::<Amount>(),
            excess
        );

        prop_assert!(contributors.len() <= NAMED_MAX + 1);
    }
}

#[test]
fn the_part_that_grew_is_first() {
    let amounts = |pairs: [(&str, &str); 3]| -> BTreeMap<String, Amount> {
        pairs
            .into_iter()
            .map(|(part, amount)| (part.to_owned(), amount.parse().unwrap()))
            .collect()
    };
    let usual = amounts([("EC2", "60"), ("S3", "30"), ("Lambda", "10")]);
    let actual = amounts([("EC2", "60"), ("S3", "31"), ("Lambda", "110")]);
    let contributors = explain(&actual, &usual, "100".parse().unwrap());
    let expected = [("Lambda", "100"), ("S3", "1")];

    let expected = expected.map(|(part, excess)| Contributor {
        part: part.to_owned(),
        excess: excess.parse().unwrap(),
    });

    assert_eq!(contributors, expected);
}
