#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

/// A charge as small numbers: day, provider, region, tag, units of 1e-15.
type Charge = (u8, u8, u8, u8, i64);

fn built(charges: &[Charge]) -> Cells {
    let mut builder = CellsBuilder::new(vec!["team".into()]);
    for (day, provider, region, tag, units) in charges {
        let provider = format!("p{}", provider % 3);
        let region = format!("r{}", region % 3);
        let tag = format!("t{}", tag % 2);
        let key = CellKey {
            day: day_of(20_000 + i32::from(*day % 5)).unwrap(),
            kind: ChargeKind::Usage,
            pricing: PricingClass::OnDemand,
            currency: Currency::USD,
            texts: [&provider, "", &region, "", "", ""],
            tags: &[&tag],
        };

        let place = builder.place(&key);
        let amount = Amount(i128::from(*units));
        builder.add(
            place,
            Sums {
                effective: amount,
                billed: amount,
                list: -amount,
                rows: 1,
            },
        );
    }

    builder.finish()
}

proptest! {
    #[test]
    fn the_order_of_rows_does_not_matter_and_no_row_is_lost(charges: Vec<Charge>, seed: u64) {
        let cells = built(&charges);
        let mut shuffled = charges.clone();
        shuffled.rotate_left(seed as usize % charges.len().max(1));
        prop_assert_eq!(cells.encode().unwrap(), built(&shuffled).encode().unwrap());

        let all = (0..cells.len()).map(|index| cells.sums(index));
        let total = all.fold(Sums::default(), |mut total, sums| {
            total += sums;
            total
        });
        let expected: i128 = charges.iter().map(|charge| i128::from(charge.4)).sum();

        prop_assert_eq!(
            (total.effective, total.list, total.rows),
            (Amount(expected), Amount(-expected), charges.len() as u64)
        );

        prop_assert_eq!(Cells::decode(&cells.encode().unwrap()).unwrap(), cells);
    }

    #[test]
    fn arbitrary_and_damaged_bytes_never_panic(
        charges: Vec<Charge>,
        at: usize,
        to: u8,
        garbage: Vec<u8>,
    ) {
        let mut bytes = built(&charges).encode().unwrap();
        let at = at % bytes.len();
        bytes[at] = to;
        for bytes in [bytes, garbage] {
            if let Ok(cells) = Cells::decode(&bytes) {
                for index in 0..cells.len() {
                    let _ = (
                        cells.text(Dimension::Region, index),
                        cells.sums(index),
                        day_of(cells.day(index)),
                    );
                }
            }
        }
    }
}

#[test]
fn a_single_month_reads_back_as_written() {
    let period: Period = "2024-12".parse().unwrap();
    assert_eq!(
        (period.next().to_string(), period.days()),
        ("2025-01".into(), 31)
    );

    for bad in [
        "",
        "2024",
        "2024-13",
        "2024-1",
        "24-01",
        "+024-01",
        "2024-01-01",
    ] {
        assert!(bad.parse::<Period>().is_err(), "{bad}");
    }
}
