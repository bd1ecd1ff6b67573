use super::*;

#[test]
fn bad_prices_are_reported_with_line_and_field_and_valid_ones_imported() {
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
        "line 2, amount: not a price; expected a decimal number such as 0.526 (\"TBD\")",
        "line 5, amount: a price can't be negative; enter a discount as a lower price (\"-1\")",
        "line 6, amount: zero looks like a placeholder; set free = true if it costs nothing \
            (\"0.0\")",
        "line 7, amount: a price of only nines looks like a placeholder; set verified = true if \
            it is correct (\"999.99\")",
        "line 8, amount: exactly 1 looks like a placeholder; set verified = true if the price \
            is correct (\"1.00\")",
        "line 9, amount: less than 0.02 an hour for a node with a GPU looks like a placeholder; \
            set verified = true if the price is correct (\"0.01\")",
        "line 10, amount: missing or empty",
        "line 11, valid_from: not a date; write it as 2026-09-06 (\"01.10.2026\")",
        "line 12, kind: must be one of node, egress, storage, requests (\"disk\")",
        "line 13: has 4 fields where the header has 10",
        "line 17: line 4 already has a price for this day",
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
fn other_files_are_refused_as_a_whole() {
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
