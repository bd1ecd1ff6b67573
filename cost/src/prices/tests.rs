#![allow(clippy::unwrap_used, clippy::panic)]

mod import;
mod laws;

use super::*;
use crate::money::ONE;
use proptest::prelude::*;
use time::{Duration, macros::date};

const DAY: Date = date!(2026 - 10 - 01);

fn region(text: &str) -> CloudRegion {
    text.parse().unwrap()
}

fn read(name: &str, text: &str) -> PriceFile {
    read_prices(
        name,
        text.as_bytes(),
        &PriceDefaults {
            imported_ms: 7,
            ..PriceDefaults::default()
        },
    )
    .unwrap()
}

/// Prices after importing a file of good prices.
fn prices(csv: &str) -> Prices {
    let file = read("p.csv", csv);
    assert_eq!(file.rejected, []);
    let mut table = PriceTable::default();
    table.apply(file.prices, false).unwrap();
    Prices::new(table)
}

fn messages(file: &PriceFile) -> Vec<String> {
    file.rejected.iter().map(ToString::to_string).collect()
}

fn node(sku: &str, amount: i128, valid_from: Date, imported_ms: u64) -> Price {
    Price {
        item: PriceItem::node(&region("aws:us-west-2"), sku, PricingClass::OnDemand),
        valid_from,
        currency: Currency::USD,
        unit: Unit::Hour,
        tiers: vec![Tier {
            up_to: None,
            amount: Amount(amount),
        }],
        gpu: None,
        source: "test".into(),
        imported_ms,
    }
}

fn tiered(ends: &[u64], amounts: &[i128]) -> Price {
    let ends = ends.iter().copied().map(Some).chain([None]);
    let tiers = ends
        .zip(amounts)
        .map(|(up_to, amount)| Tier {
            up_to,
            amount: Amount(*amount),
        })
        .collect();

    let item = PriceItem::Egress {
        from: region("aws:us-west-2"),
        to: Destination::Internet,
    };

    Price {
        item,
        unit: Unit::Gib,
        tiers,
        ..node("", 0, DAY, 0)
    }
}

fn any_price() -> impl Strategy<Value = Price> {
    (0usize..3, 1i128..5, 0i64..3, 0u64..3).prop_map(|(sku, amount, day, at)| {
        node(
            ["a", "b", "c"][sku],
            amount * ONE,
            DAY + Duration::days(day),
            at,
        )
    })
}

#[test]
fn the_built_in_table_is_valid_and_prices_the_example_regions() {
    let file = read("builtin.toml", builtin::TEXT);
    assert_eq!(messages(&file), Vec::<String>::new());
    assert!(file.ignored_fields.is_empty());
    assert_eq!(builtin::table().len(), file.prices.len());
    assert!(
        builtin::table()
            .iter()
            .all(|price| price.imported_ms == 0 && price.source.len() > 10)
    );

    let prices = Prices::default();
    let regions = ["aws:us-west-2", "gcp:europe-west1", "azure:centralindia"].map(region);
    for (at, sku) in regions
        .iter()
        .zip(["g4dn.xlarge", "g2-standard-4", "Standard_NC4as_T4_v3"])
    {
        for pricing in [PricingClass::OnDemand, PricingClass::Committed] {
            assert!(prices.node(DAY, at, sku, pricing).unwrap().first().amount > Amount(ONE / 10));
        }
        assert!(prices.storage(DAY, at, "standard").is_ok());
        assert!(prices.egress(DAY, at, None).is_ok());

        for to in &regions {
            assert_eq!(
                prices
                    .egress(DAY, at, Some(to))
                    .unwrap()
                    .first()
                    .amount
                    .is_zero(),
                at == to
            );
        }
    }

    assert!(
        prices
            .node(
                date!(2026 - 09 - 05),
                &regions[0],
                "m5.large",
                PricingClass::OnDemand
            )
            .is_err()
    );
}

#[test]
fn the_newest_price_valid_on_the_day_is_used() {
    let prices = prices(
        "kind,cloud,region,sku,amount,valid_from\n\
         node,aws,us-west-2,m5.xlarge,0.5,2026-10-10\n\
         node,AWS,us-west-2,M5.xlarge,0.4,2026-10-01\n",
    );
    let at = region("aws:us-west-2");

    for (day, amount) in [
        (date!(2026 - 09 - 30), "0.192"),
        (date!(2026 - 10 - 01), "0.4"),
        (date!(2026 - 10 - 09), "0.4"),
        (date!(2026 - 10 - 10), "0.5"),
        (date!(2027 - 10 - 10), "0.5"),
    ] {
        let price = prices
            .node(day, &at, "m5.xlarge", PricingClass::OnDemand)
            .unwrap();
        assert_eq!(price.first().amount.to_string(), amount, "{day}");
    }

    let spot = prices
        .node(DAY, &at, "m5.xlarge", PricingClass::Spot)
        .unwrap();
    assert_eq!(spot.imported_ms, 0);

    let shown = prices.on(DAY);
    assert_eq!(shown.len(), builtin::table().len());
    assert_eq!(
        shown.iter().filter(|price| price.imported_ms == 7).count(),
        1
    );
}

#[test]
fn a_missing_price_is_named() {
    let missing = Prices::default()
        .node(
            DAY,
            &region("gcp:us-west1"),
            "a3-highgpu-8g",
            PricingClass::Spot,
        )
        .unwrap_err();

    assert_eq!(
        missing.to_string(),
        "no price of node a3-highgpu-8g spot in gcp:us-west1 on 2026-10-01; import one with \
            `regionmesh cost prices import`"
    );

    let json = serde_json::to_string(&missing).unwrap();
    assert_eq!(serde_json::from_str::<NoPrice>(&json).unwrap(), missing);
}

#[test]
fn egress_takes_the_closest_destination_and_never_the_internet_within_a_cloud() {
    let prices = prices(
        "kind,from,to,amount,valid_from\n\
         egress,hz:fsn1,hz:hel1,0.01,2026-10-01\n\
         egress,hz:fsn1,gcp:*,0.03,2026-10-01\n\
         egress,hz:*,internet,0.05,2026-10-01\n",
    );
    let from = region("hz:fsn1");
    let amount = |to: &str| {
        prices
            .egress(DAY, &from, Some(&region(to)))
            .map(|price| price.first().amount.to_string())
    };

    assert_eq!(amount("hz:fsn1").unwrap(), "0");
    assert_eq!(amount("hz:hel1").unwrap(), "0.01");
    assert_eq!(amount("gcp:europe-west1").unwrap(), "0.03");
    assert_eq!(amount("aws:us-west-2").unwrap(), "0.05");
    assert!(amount("hz:nbg1").is_err());
    assert_eq!(
        prices
            .egress(DAY, &from, None)
            .unwrap()
            .first()
            .amount
            .to_string(),
        "0.05"
    );
}

#[test]
fn fractions_of_a_unit_cost_their_fraction_rounded_once() {
    let price = tiered(&[1], &[3, 5]);
    let costs =
        [1 << 28, 1 << 29, 1 << 30, 5 << 28, 15 << 28].map(|bytes| price.cost(0, bytes).amount);

    // 0.75, 1.5, 3, 3 + 1.25 and 3 + 13.75 units of 1e-15.
    assert_eq!(costs, [1, 2, 3, 4, 17].map(Amount));
    assert_eq!(
        tiered(&[], &[ONE]).per_gb().unwrap().amount.rounded(6),
        "0.931323"
    );
}

#[test]
fn a_price_of_the_same_day_is_replaced_only_on_request() {
    let mut table = PriceTable::default();
    table.apply(vec![node("a", 5, DAY, 1)], false).unwrap();

    let again = table
        .apply(vec![node("a", 5, DAY, 2), node("b", 5, DAY, 2)], false)
        .unwrap();
    assert_eq!((again.added, again.unchanged, again.replaced), (1, 1, 0));

    let refused = table.apply(vec![node("a", 6, DAY, 3)], false).unwrap();
    assert_eq!(refused.refused, [node("a", 6, DAY, 3)]);
    assert_eq!(
        table
            .get(&node("a", 0, DAY, 0).item, DAY)
            .unwrap()
            .first()
            .amount,
        Amount(5)
    );

    assert_eq!(
        table
            .apply(vec![node("a", 6, DAY, 3)], true)
            .unwrap()
            .replaced,
        1
    );

    assert_eq!(
        table
            .get(&node("a", 0, DAY, 0).item, DAY)
            .unwrap()
            .first()
            .amount,
        Amount(6)
    );
}

#[test]
fn a_table_from_outside_is_checked() {
    for price in [
        Price {
            tiers: Vec::new(),
            ..node("a", 5, DAY, 1)
        },
        tiered(&[10, 10], &[5, 5, 5]),
        Price {
            unit: Unit::Gib,
            ..node("a", 5, DAY, 1)
        },
        node("a", -5, DAY, 1),
        node("a", i128::MAX, DAY, 1),
    ] {
        let bytes = codec_bytes(&price);
        assert!(
            matches!(
                PriceTable::decode(&bytes),
                Err(PriceTableError::Price { .. })
            ),
            "{price:?}"
        );
    }
}

fn codec_bytes(price: &Price) -> Vec<u8> {
    regionmesh_protocol::codec::encode_document(&vec![price]).unwrap()
}
