#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::cells::{Cells, ChargeKind, Dimension, PricingClass};
use crate::date::day_of;
use crate::money::Amount;
use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use std::io::Write;
use std::path::PathBuf;

mod data;
mod laws;
#[cfg(feature = "parquet")]
mod pages;
#[cfg(feature = "parquet")]
mod parquet;

const START: &str = "ChargePeriodStart";

fn read(text: &str) -> Import {
    read_with(ImportOptions::default(), text.as_bytes())
}

fn read_with(options: ImportOptions, bytes: &[u8]) -> Import {
    let mut importer = Importer::new(options);
    importer.read("file.csv", bytes);
    importer.finish()
}

fn total(import: &Import, metric: Metric) -> String {
    import.report.totals[&metric].of(Currency::USD).to_string()
}

fn reasons(import: &Import) -> Vec<String> {
    import
        .report
        .bad_rows
        .iter()
        .map(ToString::to_string)
        .collect()
}

/// A row as text by column.
#[derive(Debug, Clone)]
struct Charge {
    day: u8,
    account: u8,
    is_usage: bool,
    units: [i64; 3],
    name: String,
}

fn charge() -> impl Strategy<Value = Charge> {
    (
        1u8..28,
        0u8..3,
        any::<bool>(),
        any::<[i64; 3]>(),
        "[a-z\",\n]{0,5}",
    )
        .prop_map(|(day, account, is_usage, units, name)| Charge {
            day,
            account,
            is_usage,
            units,
            name,
        })
}

fn written(charges: &[Charge], order: &[usize], quoting: u64, end: &str) -> String {
    const NAMES: [&str; 9] = [
        "BilledCost",
        START,
        "EffectiveCost",
        "ListCost",
        "SubAccountId",
        "ChargeCategory",
        "servicename",
        "x_More",
        "BillingCurrency",
    ];

    let mut seed = quoting;
    let mut quoted = |text: String| {
        seed = seed.rotate_left(7).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let is_needed = text.contains(['"', ',', '\n']);
        if is_needed || seed.is_multiple_of(2) {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text
        }
    };

    let mut line = |values: [String; 9]| {
        order
            .iter()
            .map(|place| quoted(values[*place].clone()))
            .collect::<Vec<_>>()
            .join(",")
            + end
    };
    let mut text = line(NAMES.map(str::to_owned));

    for charge in charges {
        let [billed, effective, list] = charge
            .units
            .map(|units| Amount(i128::from(units)).to_string());
        let start = format!("2024-09-{:02} 10:00:00", charge.day);
        let kind = if charge.is_usage { "Usage" } else { "Tax" };

        text += &line([
            billed,
            start,
            effective,
            list,
            format!("00{}", charge.account),
            kind.into(),
            charge.name.clone(),
            "?".into(),
            "USD".into(),
        ]);
    }

    text
}

#[test]
fn every_field_finds_its_place() {
    let text = "\u{feff}billedcost,EFFECTIVECOST,ListCost,ServiceProviderName,ProviderName,\
        BillingAccountId,SubAccountId,RegionId,\
        AvailabilityZone,ServiceName,ServiceCategory,ChargeCategory,PricingCategory,\
            CommitmentDiscountStatus,BillingCurrency,\
        ChargePeriodStart,BillingPeriodStart,Tags,x_A,Id\r\n\
        1,2,3,New,Old,007,1E5,r1,z1,\"S, \
        \"\"A\"\"\",Compute,usage,Committed,Unused,eur,2024-09-30T23:00:00-02:00,2024-09-01,\
        \"{\"\"team\"\":\"\"a\"\"}\",,\r\n\
        1,2,3,NULL,Old,007,null,,NULL,S,,Purchase,Dynamic,,EUR,2024-09-30,NULL,NULL,,\r\n";

    let options = ImportOptions {
        tag_keys: vec!["team".into()],
        ..ImportOptions::default()
    };
    let import = read_with(options, text.as_bytes());

    assert_eq!(reasons(&import), Vec::<String>::new());
    let part = |source: &str| {
        import
            .parts
            .iter()
            .find(|part| part.source == source)
            .unwrap()
    };
    let texts = |cells: &Cells| Dimension::ALL.map(|dimension| cells.text(dimension, 0).to_owned());

    let new = part("New 007");
    assert_eq!(
        texts(&new.cells),
        ["New", "1E5", "r1", "z1", "S, \"A\"", "Compute"]
    );

    assert_eq!(new.period.to_string(), "2024-09");
    assert_eq!(day_of(new.cells.day(0)).unwrap().to_string(), "2024-10-01");
    assert_eq!(
        (new.cells.kind(0), new.cells.pricing(0)),
        (ChargeKind::Usage, PricingClass::Unused)
    );

    let tag = new.cells.tag_column("team").unwrap()[0];
    assert_eq!(new.cells.texts()[tag as usize], "a");
    assert_eq!(
        new.totals[&Metric::List]
            .of("EUR".parse().unwrap())
            .to_string(),
        "3"
    );

    let old = part("Old 007");
    assert_eq!(texts(&old.cells), ["Old", "007", "", "", "S", ""]);
    assert_eq!(
        (old.cells.kind(0), old.cells.pricing(0)),
        (ChargeKind::Purchase, PricingClass::Spot)
    );

    assert!(old.cells.sums(0).list.is_zero());
}

#[test]
fn a_bad_row_is_reported_and_the_others_count() {
    let import = read(
        "ChargePeriodStart,BilledCost,ChargeCategory,BillingCurrency,ServiceName,\
            BillingPeriodStart\n\
        2024-09-01,1,Usage,USD,\"two\nlines\",\n\
        2024-09-01,x,Usage,USD,,\n\
        2024-09-01,NULL,Usage,USD,,\n\
        2024-09-01,123456789012345,Usage,USD,,\n\
        4/1/25,1,Usage,USD,,\n\
        ,1,Usage,USD,,\n\
        2024-09-01,1,Gift,USD,,\n\
        2024-09-01,1,Usage,,,\n\
        2024-09-01,1,Usage,US-D,,\n\
        2024-09-01,1,Usage,USD\n\
        2024-09-01,1,Usage,USD,,9/1/24\n\
        2024-09-01, 2.50 ,Usage,USD,,\n",
    );

    assert_eq!(
        reasons(&import),
        [
            "file.csv:4: BilledCost is \"x\": not a decimal number",
            "file.csv:5: BilledCost is \"NULL\": a value is required",
            "file.csv:6: BilledCost is \"123456789012345\": more than 14 digits before the decimal \
                point",
            "file.csv:7: ChargePeriodStart is \"4/1/25\": not a date: write it as \
                2024-09-18T22:00:00Z",
            "file.csv:8: ChargePeriodStart is \"\": a value is required",
            "file.csv:9: ChargeCategory is \"Gift\": not Usage, Purchase, Tax, Credit or \
                Adjustment",
            "file.csv:10: BillingCurrency is \"\": a value is required",
            "file.csv:11: BillingCurrency is \"US-D\": not a currency code",
            "file.csv:12: the number of fields differs from the header: 4 of 6: \
                2024-09-01,1,Usage,USD",
            "file.csv:13: BillingPeriodStart is \"9/1/24\": not a date: write it as \
                2024-09-18T22:00:00Z",
        ]
    );

    assert_eq!((import.report.rows, import.report.imported), (12, 2));
    assert_eq!(total(&import, Metric::Billed), "3.5");
    assert_eq!(import.parts[0].cells.len(), 2);
    assert!(import.report.is_complete());
}

#[test]
fn usage_without_a_list_cost_keeps_its_other_costs() {
    let import = read(
        "ChargePeriodStart,EffectiveCost,BilledCost,ListCost,ChargeCategory,BillingCurrency\n\
        2024-09-01,1,2,3,Usage,USD\n\
        2024-09-01,10,20,,Usage,USD\n\
        2024-09-01,100,200,NULL,Usage,USD\n\
        2024-09-01,1000,2000,,Tax,USD\n\
        2024-09-01,1,2,x,Usage,USD\n\
        2024-09-01,NULL,2,,Usage,USD\n\
        2024-09-01,1,,,Usage,USD\n",
    );

    assert_eq!(
        reasons(&import),
        [
            "file.csv:6: ListCost is \"x\": not a decimal number",
            "file.csv:7: EffectiveCost is \"NULL\": a value is required",
            "file.csv:8: BilledCost is \"\": a value is required",
        ]
    );

    assert_eq!(
        Metric::ALL.map(|metric| total(&import, metric)),
        ["1111", "2222", "3"]
    );

    assert_eq!(import.report.files[0].warnings, [Warning::NoListCost(2)]);
}

#[test]
fn a_value_that_is_not_text_is_quoted_and_short() {
    let mut bytes = b"ChargePeriodStart,BilledCost,ServiceName\n2024-09-01,1,a\xff\n2024-09-01,1,\
            ok\n2024-09-01,"
        .to_vec();
    bytes.extend_from_slice(&[b'7'; 500]);
    bytes.extend_from_slice(b",\n");

    let import = read_with(ImportOptions::default(), &bytes);
    assert_eq!(
        reasons(&import)[0],
        "file.csv:2: ServiceName is \"a\\xff\": not UTF-8"
    );

    assert_eq!(import.report.bad_rows[1].value, "7".repeat(80));
    assert_eq!(import.report.imported, 1);
}

#[test]
fn files_that_cant_be_imported_say_why() {
    let error = |bytes: &[u8]| {
        read_with(ImportOptions::default(), bytes).report.files[0]
            .error
            .clone()
            .unwrap()
            .to_string()
    };

    assert_eq!(
        error(b"ChargePeriodStart,Cost\n"),
        "file.csv: no column EffectiveCost, BilledCost or ListCost; columns found: \
            ChargePeriodStart, Cost"
    );

    assert_eq!(
        error(b"BilledCost,B\n"),
        "file.csv: no column ChargePeriodStart; columns found: BilledCost, B"
    );

    for (bytes, problem) in [
        (&b""[..], "the file is empty"),
        (b"\xff\xfeB\0i\0", "the file is in UTF-16"),
        (b"PK\x03\x04\0\0", "the first line is not text"),
        (b"PAR1\0\0", "a Parquet file can't be read as a stream"),
    ] {
        assert!(
            error(bytes).starts_with(&format!("file.csv: {problem}")),
            "{}",
            error(bytes)
        );
    }
}

#[test]
fn missing_values_are_reported_and_not_invented() {
    let import = read("ChargePeriodStart,EffectiveCost\n2024-09-01,5\n");
    let warnings: Vec<String> = import.report.files[0]
        .warnings
        .iter()
        .map(ToString::to_string)
        .collect();

    assert_eq!(warnings.len(), 4, "{warnings:?}");
    assert_eq!(
        import.parts[0].totals.keys().collect::<Vec<_>>(),
        [&Metric::Effective]
    );

    assert_eq!(import.parts[0].cells.currency(0), Currency::NONE);
    assert_eq!(import.parts[0].source, "file.csv");

    let options = ImportOptions {
        currency: Some(Currency::USD),
        source: Some("mine".into()),
        ..Default::default()
    };
    let import = read_with(
        options,
        b"ChargePeriodStart,EffectiveCost,Tags\n2024-09-01,5,\n",
    );

    assert_eq!(
        (
            import.parts[0].cells.currency(0),
            import.parts[0].source.as_str()
        ),
        (Currency::USD, "mine")
    );
}

fn gzip(text: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_ref()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn multi_member_gzip_is_read_and_a_truncated_one_is_an_error() {
    let rows = |from: usize| {
        (from..from + 500)
            .map(|cents| format!("2024-09-01,0.{cents:04}\n"))
            .collect::<String>()
    };
    let mut bytes = gzip(format!("ChargePeriodStart,BilledCost\n{}", rows(0)));

    bytes.extend(gzip(rows(500)));
    let whole = read_with(ImportOptions::default(), &bytes);
    assert_eq!(
        (whole.report.imported, whole.report.is_complete()),
        (1000, true)
    );

    let cut = read_with(ImportOptions::default(), &bytes[..bytes.len() - 300]);
    assert!(
        (500..1000).contains(&cut.report.imported),
        "{}",
        cut.report.imported
    );

    assert!(
        matches!(cut.report.files[0].error, Some(FileError::EndsEarly { .. })),
        "{:?}",
        cut.report.files[0]
    );

    let mut broken = bytes.clone();
    broken[60] ^= 0x55;
    broken[90] ^= 0x55;
    assert!(
        !read_with(ImportOptions::default(), &broken)
            .report
            .is_complete()
    );
}

#[test]
fn a_file_that_ends_within_a_row_is_an_error_and_its_rows_count() {
    let import = read("ChargePeriodStart,BilledCost\n2024-09-01,1\n2024-0");
    assert_eq!(
        (import.report.imported, import.report.bad),
        (1, [(BadReason::Cut, 1)].into())
    );

    assert_eq!(
        import.report.files[0].error,
        Some(FileError::EndsEarly {
            file: "file.csv".into(),
            line: 3
        })
    );
}

#[test]
fn files_of_a_month_add_up_and_months_stay_separate() {
    let mut importer = Importer::new(ImportOptions::default());
    let header = "ChargePeriodStart,BillingPeriodStart,BilledCost,ProviderName,BillingCurrency";
    importer.read(
        "a.csv",
        format!("{header}\n2024-09-01,2024-09-01,1,AWS,USD\n2024-10-01,2024-10-01,2,AWS,USD\n")
            .as_bytes(),
    );

    importer.read(
        "b.csv",
        format!("{header},EffectiveCost\n2024-09-01,2024-09-01,3,AWS,USD,0.0000000000000001\n")
            .as_bytes(),
    );

    let import = importer.finish();
    let parts: Vec<_> = import
        .parts
        .iter()
        .map(|part| (part.period.to_string(), part.rows, part.cells.len()))
        .collect();

    assert_eq!(parts, [("2024-09".into(), 2, 1), ("2024-10".into(), 1, 1)]);
    // The first file has no effective cost.
    assert_eq!(
        import.report.totals.keys().collect::<Vec<_>>(),
        [&Metric::Billed]
    );

    assert_eq!(
        (
            total(&import, Metric::Billed).as_str(),
            import.report.rounded
        ),
        ("6", 1)
    );

    let days = import.report.days.unwrap();
    assert_eq!(
        (days.0.to_string(), days.1.to_string()),
        ("2024-09-01".into(), "2024-10-01".into())
    );

    assert!(
        serde_json::to_string(&import.report)
            .unwrap()
            .contains("\"6\"")
    );
}

fn shared(path: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/data")
        .join(path);
    if !path.exists() {
        println!("skipped: data not present");
        return None;
    }

    Some(path)
}
