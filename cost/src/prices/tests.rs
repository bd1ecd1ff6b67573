#![allow(clippy::unwrap_used, clippy::panic)]

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

proptest! {
    #[test]
    fn parts_of_a_month_cost_what_the_month_costs(
        mut ends in prop::collection::btree_set(1u64..1_000, 0..4),
        amounts in prop::collection::vec(0..10 * ONE, 4),
        cuts in prop::collection::vec(0u64..1 << 42, 1..6),
    ) {
        while ends.len() > 3 {
            ends.pop_last();
        }

        let price = tiered(&ends.into_iter().collect::<Vec<_>>(), &amounts);
        let mut cuts = cuts;
        cuts.sort_unstable();

        let whole = price.cost(0, *cuts.last().unwrap()).amount;
        let starts = std::iter::once(0).chain(cuts.iter().copied());
        let parts: Amount = starts
            .zip(cuts.iter())
            .map(|(from, to)| price.cost(from, *to).amount)
            .sum();

        prop_assert_eq!(parts, whole);
    }

    #[test]
    fn whole_units_cost_their_tiers(
        units in 0u64..100,
        end in 1u64..100,
        low in 0i128..ONE,
        high in 0i128..ONE,
    ) {
        let price = tiered(&[end], &[high, low]);
        let expected =
            i128::from(units.min(end)) * high + i128::from(units.saturating_sub(end)) * low;
        prop_assert_eq!(price.cost(0, units << 30).amount, Amount(expected));
    }

    #[test]
    fn merging_is_commutative_associative_and_idempotent(
        tables in prop::collection::vec(prop::collection::vec(any_price(), 0..6), 3),
    ) {
        let [a, b, c] = tables.map_into();
        let merged = |tables: &[&PriceTable]| {
            let mut sum = PriceTable::default();
            tables.iter().for_each(|table| sum.merge((*table).clone()));
            sum
        };
        let all = merged(&[&a, &b, &c]);

        prop_assert_eq!(&merged(&[&c, &b, &a]), &all);
        prop_assert_eq!(&merged(&[&merged(&[&b, &c]), &a, &a]), &all);
    }

    #[test]
    fn a_later_catalogue_leaves_earlier_days_alone(
        old in prop::collection::vec(any_price(), 1..6),
        new in any_price(),
        ago in 1i64..5,
    ) {
        let mut table = PriceTable::default();
        table.apply(old.clone(), false).unwrap();

        let day = new.valid_from - Duration::days(ago);
        let before = table.get(&new.item, day).cloned();
        table.apply(vec![new.clone()], true).unwrap();
        prop_assert_eq!(table.get(&new.item, day).cloned(), before);
        prop_assert_eq!(
            table.get(&new.item, new.valid_from).map(Price::first),
            Some(new.first())
        );
    }

    #[test]
    fn arbitrary_files_never_panic(
        bytes: Vec<u8>,
        text in "(kind|amount|node|egress|[,\"=\\[\\]{}\n#.0-9a-z:*-]){0,60}",
    ) {
        for name in ["a.csv", "a.toml"] {
            let _ = read_prices(name, &bytes, &PriceDefaults::default());
            let _ = read_prices(name, text.as_bytes(), &PriceDefaults::default());
            let csv = format!("kind,amount,cloud,region,sku,from,to\n{text}");
            let _ = read_prices(name, csv.as_bytes(), &PriceDefaults::default());
        }

        let _ = PriceTable::decode(&bytes);
    }

    #[test]
    fn a_table_survives_the_bucket_and_json(list in prop::collection::vec(any_price(), 0..6)) {
        let mut table = PriceTable::default();
        table.apply(list, true).unwrap();
        prop_assert_eq!(
            &PriceTable::decode(&table.encode().unwrap()).unwrap(),
            &table
        );

        let json = serde_json::to_string(&table).unwrap();
        prop_assert_eq!(&serde_json::from_str::<PriceTable>(&json).unwrap(), &table);
    }
}

trait MapInto {
    fn map_into(self) -> [PriceTable; 3];
}

impl MapInto for Vec<Vec<Price>> {
    fn map_into(self) -> [PriceTable; 3] {
        let tables: Vec<PriceTable> = self
            .into_iter()
            .map(|list| PriceTable::try_from(list).unwrap())
            .collect();
        tables.try_into().unwrap()
    }
}

#[test]
fn the_built_in_table_has_no_bad_entry_and_prices_the_example_regions() {
    let file = read("builtin.toml", builtin::TEXT);
    assert_eq!(messages(&file), Vec::<String>::new());
    assert!(file.ignored_fields.is_empty());
    assert_eq!(Prices::builtin().len(), file.prices.len());
    assert!(
        Prices::builtin()
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
fn the_newest_price_that_is_valid_on_the_day_is_used() {
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
    assert_eq!(shown.len(), Prices::builtin().len());
    assert_eq!(
        shown.iter().filter(|price| price.imported_ms == 7).count(),
        1
    );
}

#[test]
fn a_missing_price_says_what_is_missing() {
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
fn bad_prices_are_reported_with_line_and_field_and_the_others_kept() {
    let file = read(
        "p.csv",
        "\u{feff}kind,cloud,region,sku,amount,valid_from,gpu,free,verified,nonsense\r\n\
         node,aws,us-west-2,a,TBD,2026-10-01,,,,\r\n\
         \r\n\
         node,aws,us-west-2,b,0.5,2026-10-01,,,,\r\n\
         node,aws,us-west-2,c,-1,2026-10-01,,,,\r\n\
         node,aws,us-west-2,d,0.0,2026-10-01,,,,\r\n\
         node,aws,us-west-2,e,999.99,2026-10-01,,,,\r\n\
         node,aws,us-west-2,f,1.00,2026-10-01,,,,\r\n\
         node,aws,us-west-2,g,0.01,2026-10-01,1x T4,,,\r\n\
         node,aws,us-west-2,h,,2026-10-01,,,,\r\n\
         node,aws,us-west-2,i,0.5,01.10.2026,,,,\r\n\
         disk,aws,us-west-2,j,0.5,2026-10-01,,,,\r\n\
         node,aws,us-west-2,k\r\n\
         node,aws,us-west-2,l,0,2026-10-01,,true,,\r\n\
         node,aws,us-west-2,m,1,2026-10-01,,,true,\r\n\
         node,aws,us-west-2,n,99.99,2026-10-01,,,,\r\n\
         node,aws,us-west-2,b,0.6,2026-10-01,,,,\r\n",
    );

    let kept: Vec<String> = file
        .prices
        .iter()
        .map(|price| price.item.to_string())
        .collect();
    let expected = ["b", "l", "m", "n"].map(|sku| format!("node {sku} on-demand in aws:us-west-2"));

    assert_eq!(kept, expected);
    assert_eq!(file.ignored_fields.iter().collect::<Vec<_>>(), ["nonsense"]);
    assert_eq!(file.rejected_count, 11);

    let expected = [
        "line 2, amount: not a price: a decimal number is expected, such as 0.526 (\"TBD\")",
        "line 5, amount: a price can't be negative; enter a discount as a lower price (\"-1\")",
        "line 6, amount: zero is taken for a placeholder; set free = true if it costs nothing \
            (\"0.0\")",
        "line 7, amount: a price of nines alone is taken for a placeholder; set verified = true if \
            it is the price (\"999.99\")",
        "line 8, amount: exactly 1 is taken for a placeholder; set verified = true if it is the \
            price (\"1.00\")",
        "line 9, amount: less than 0.02 an hour for a node with a GPU is taken for a placeholder; \
            set verified = true if it is the price (\"0.01\")",
        "line 10, amount: missing or empty",
        "line 11, valid_from: no day: write it as 2026-09-06 (\"01.10.2026\")",
        "line 12, kind: must be one of node, egress, storage, requests (\"disk\")",
        "line 13: has 4 fields where the header has 10",
        "line 17: has a price for this day in line 4 already",
    ];

    let found = messages(&file);
    for message in expected {
        assert!(
            found.iter().any(|found| found == message),
            "{message}\n{found:#?}"
        );
    }
}

#[test]
fn parts_of_a_unit_cost_their_part_rounded_once() {
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
fn one_price_for_all_node_types_is_a_placeholder() {
    let rows = |amounts: &[&str]| {
        let row = |(place, amount): (usize, &&str)| {
            format!("node,aws,us-west-2,type{place},{amount},2026-10-01,\n")
        };
        let rows: String = amounts.iter().enumerate().map(row).collect();

        read(
            "p.csv",
            &format!("kind,cloud,region,sku,amount,valid_from,verified\n{rows}"),
        )
    };

    let file = rows(&["0.5", "0.50", "0.500"]);
    assert_eq!((file.prices.len(), file.rejected_count), (0, 3));
    assert_eq!(file.rejected[2].line, 4);
    assert_eq!(file.rejected[2].reason, RejectReason::SameForAll(3));
    assert_eq!(rows(&["0.5", "0.5", "0.6"]).prices.len(), 3);
    assert_eq!(rows(&["0.5", "0.5"]).prices.len(), 2);

    let verified = "kind,cloud,region,sku,amount,valid_from,verified\n\
                    node,aws,us-west-2,a,0.5,2026-10-01,true\n\
                    node,aws,us-west-2,b,0.5,2026-10-01,true\n\
                    node,aws,us-west-2,c,0.5,2026-10-01,false\n";

    assert_eq!(read("p.csv", verified).prices.len(), 2);
}

#[test]
fn toml_gives_defaults_exact_numbers_and_lines() {
    let file = read(
        "p.toml",
        r#"
currency = "EUR"
valid_from = 2026-10-01

[[prices]]
kind = "node"
cloud = "aws"
region = "us-west-2"
sku = "x"
amount = 0.100_000_000_000_000_1

[[prices]]
kind = "storage"
cloud = "gcp"
region = "europe-west1"
sku = "standard"
unit = "gib-hour"
amount = "0.02"
colour = "red"
"#,
    );

    assert_eq!(
        messages(&file),
        ["line 17, unit: must be one of gb-month, gib-month (\"gib-hour\")"]
    );

    assert_eq!(file.ignored_fields.iter().collect::<Vec<_>>(), ["colour"]);
    let price = &file.prices[0];
    assert_eq!(price.first().to_string(), "0.1 EUR");
    assert_eq!(
        (price.valid_from, price.source.as_str(), price.imported_ms),
        (DAY, "p.toml", 7)
    );

    let file = read(
        "p.toml",
        "valid_from = 2026-10-01\nprices = \
            [{kind='node',cloud='a',region='b',sku='c',amount=1e-3}]",
    );

    assert_eq!(file.prices[0].first().to_string(), "0.001 USD");
    let error = read_prices("p.toml", b"prices = [\n{\n", &PriceDefaults::default()).unwrap_err();
    assert!(error.to_string().starts_with("p.toml: line "), "{error}");

    let error = read_prices(
        "p.toml",
        b"valid_form = 1\nprices = []",
        &PriceDefaults::default(),
    )
    .unwrap_err();

    assert!(
        error
            .to_string()
            .starts_with("p.toml: line 1: unknown field `valid_form`"),
        "{error}"
    );
}

#[test]
fn a_price_is_never_used_without_one_of_its_tiers() {
    let header = "kind,from,to,up_to,amount,valid_from,unit\n";
    let read = |rows: &str| read("p.csv", &format!("{header}{rows}"));
    let file = read(
        "egress,a:b,internet,,0.05,2026-10-01,\n\
         egress,a:b,internet,10,0.09,2026-10-01,\n\
         egress,a:b,internet,100,0.07,2026-10-01,\n",
    );
    let tiers: Vec<_> = file.prices[0]
        .tiers
        .iter()
        .map(|tier| (tier.up_to, tier.amount.to_string()))
        .collect();

    assert_eq!(
        tiers,
        [
            (Some(10), "0.09".into()),
            (Some(100), "0.07".into()),
            (None, "0.05".into())
        ]
    );

    for (rows, reason) in [
        (
            "egress,a:b,internet,10,TBD,2026-10-01,\negress,a:b,internet,,0.05,2026-10-01,\n",
            RejectReason::TierRejected(2),
        ),
        (
            "egress,a:b,internet,,0.05,2026-10-01,\negress,a:b,internet,10,0.09,soon,\n",
            RejectReason::TierRejected(3),
        ),
        (
            "egress,a:b,internet,10,0.09,2026-10-01,\n",
            RejectReason::OpenEnd(10),
        ),
        (
            "egress,a:b,internet,10,0.09,2026-10-01,gb\negress,a:b,internet,,0.05,2026-10-01,gib\n",
            RejectReason::TierRejected(3),
        ),
        (
            "egress,a:b,internet,0,0.09,2026-10-01,\n",
            RejectReason::TierEnd,
        ),
        ("egress,a,internet,,0.09,2026-10-01,\n", RejectReason::Place),
    ] {
        let file = read(rows);
        assert_eq!(file.prices, [], "{rows}");
        assert!(
            file.rejected
                .iter()
                .any(|rejected| rejected.reason == reason),
            "{rows} {:?}",
            file.rejected
        );
    }
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

#[test]
fn files_that_are_no_price_files_are_refused_as_a_whole() {
    let columns = read_prices("p.csv", b"sku,amount\n", &PriceDefaults::default()).unwrap_err();
    assert_eq!(
        columns.to_string(),
        "p.csv: the header has no column kind; it has: sku, amount"
    );

    let large = read_prices("p.csv", &vec![b'a'; 9 << 20], &PriceDefaults::default()).unwrap_err();
    assert!(matches!(large, PriceFileError::TooLarge { .. }));

    let many = format!("kind,amount\n{}", "x,1\n".repeat(100_001));
    let many = read_prices("p.csv", many.as_bytes(), &PriceDefaults::default()).unwrap_err();
    assert!(matches!(many, PriceFileError::TooLarge { .. }));

    let bad = read("p.csv", &format!("kind,amount\n{}", "x,1\n".repeat(1_000)));
    assert_eq!((bad.rejected.len(), bad.rejected_count), (100, 1_000));
}
