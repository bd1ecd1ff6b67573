use super::*;
use ::parquet::arrow::ArrowWriter;
use arrow_array::builder::{MapBuilder, StringBuilder};
use arrow_array::{
    ArrayRef, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use bytes::Bytes;
use std::sync::Arc;

fn parquet(columns: Vec<(&str, ArrayRef)>) -> Bytes {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns
            .into_iter()
            .map(|(name, column)| (name, column, true)),
    )
    .unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();

    // Two row groups: codes of dictionaries change between them.
    writer.write(&batch).unwrap();
    writer.flush().unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes.into()
}

fn read_parquet(bytes: Bytes, tag: &str) -> Import {
    let mut importer = Importer::new(ImportOptions {
        tag_keys: vec![tag.into()],
        ..ImportOptions::default()
    });

    importer.read_parquet("file.parquet", bytes);
    importer.finish()
}

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

proptest! {
    #[test]
    fn parquet_and_csv_yield_the_same(charges in proptest::collection::vec(charge(), 1..40)) {
        let column = |text: &dyn Fn(&Charge) -> String| -> ArrayRef {
            Arc::new(
                charges
                    .iter()
                    .map(|charge| Some(text(charge)))
                    .collect::<StringArray>(),
            )
        };

        let costs = |place: usize| -> ArrayRef {
            let units = charges
                .iter()
                .map(|charge| Some(i128::from(charge.units[place])));
            Arc::new(
                units
                    .collect::<Decimal128Array>()
                    .with_precision_and_scale(30, 15)
                    .unwrap(),
            )
        };

        // 19,967 is 1 September 2024.
        let days = charges
            .iter()
            .map(|charge| (19_967 + i64::from(charge.day) - 1) * 86_400_000_000 + 5);
        let bytes = parquet(vec![
            ("BilledCost", costs(0)),
            ("EffectiveCost", costs(1)),
            ("ListCost", costs(2)),
            ("x_Other", costs(2)),
            (
                START,
                Arc::new(days.map(Some).collect::<TimestampMicrosecondArray>()),
            ),
            (
                "SubAccountId",
                column(&|charge| format!("00{}", charge.account)),
            ),
            (
                "ChargeCategory",
                column(&|charge| {
                    if charge.is_usage {
                        "Usage".into()
                    } else {
                        "Tax".into()
                    }
                }),
            ),
            ("ServiceName", column(&|charge| charge.name.clone())),
            ("BillingCurrency", column(&|_| "USD".into())),
        ]);

        let twice: Vec<Charge> = charges.iter().chain(&charges).cloned().collect();
        let order: Vec<usize> = (0..9).collect();
        let csv = read_with(
            ImportOptions {
                tag_keys: vec!["t".into()],
                ..Default::default()
            },
            written(&twice, &order, 1, "\n").as_bytes(),
        );

        let import = read_parquet(bytes, "t");
        prop_assert_eq!(&import.report.bad_rows, &[]);
        prop_assert_eq!(
            import.parts[0].cells.encode().unwrap(),
            csv.parts[0].cells.encode().unwrap()
        );
    }
}

#[test]
fn all_types_are_understood() {
    let mut tags = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    tags.keys().append_value("team");
    tags.values().append_value("a");
    tags.append(true).unwrap();
    tags.append(false).unwrap();
    tags.append(true).unwrap();

    let bytes = parquet(vec![
        (
            START,
            texts(&[
                Some("2024-09-01T00:00:00Z"),
                Some("2024-09-01"),
                Some("soon"),
            ]),
        ),
        (
            "BillingPeriodStart",
            Arc::new(Date32Array::from(vec![Some(19_967), None, None])),
        ),
        (
            "BilledCost",
            Arc::new(Float64Array::from(vec![Some(0.1), Some(0.2), Some(1.0)])),
        ),
        (
            "EffectiveCost",
            texts(&[Some("1.5"), Some(" 2 "), Some("1")]),
        ),
        ("ListCost", Arc::new(Int64Array::from(vec![1, 2, 3]))),
        (
            "SubAccountId",
            Arc::new(Int64Array::from(vec![Some(7), None, None])),
        ),
        ("Tags", Arc::new(tags.finish())),
    ]);

    let import = read_parquet(bytes, "team");
    let reason = "ChargePeriodStart is \"soon\": not a date: write it as 2024-09-18T22:00:00Z";
    assert_eq!(
        reasons(&import),
        [
            format!("file.parquet:3: {reason}"),
            format!("file.parquet:6: {reason}")
        ]
    );

    let totals = |metric| import.report.totals[&metric].of(Currency::NONE).to_string();
    assert_eq!(
        [Metric::Billed, Metric::Effective, Metric::List].map(totals),
        ["0.6", "7", "6"]
    );

    let cells = &import.parts[0].cells;
    let team = cells.tag_column("team").unwrap();
    let named: Vec<_> = (0..cells.len())
        .map(|index| {
            (
                cells.text(Dimension::Account, index),
                cells.texts()[team[index] as usize].as_str(),
            )
        })
        .collect();

    assert_eq!(named, [("", ""), ("7", "a")]);
}

#[test]
fn usage_without_a_list_cost_keeps_its_other_costs() {
    let lists: [ArrayRef; 2] = [
        texts(&[Some("3"), None, None, None]),
        Arc::new(
            Decimal128Array::from(vec![Some(3), None, None, None])
                .with_precision_and_scale(20, 0)
                .unwrap(),
        ),
    ];

    for list in lists {
        let bytes = parquet(vec![
            (START, texts(&[Some("2024-09-01"); 4])),
            (
                "EffectiveCost",
                Arc::new(Int64Array::from(vec![Some(1), Some(10), Some(100), None])),
            ),
            (
                "BilledCost",
                Arc::new(Int64Array::from(vec![2, 20, 200, 2])),
            ),
            ("ListCost", list),
            (
                "ChargeCategory",
                texts(&[Some("Usage"), Some("Usage"), Some("Tax"), Some("Usage")]),
            ),
            ("BillingCurrency", texts(&[Some("USD"); 4])),
        ]);

        let import = read_parquet(bytes, "team");
        assert_eq!(import.report.bad, [(BadReason::Missing, 2)].into());
        assert_eq!(
            Metric::ALL.map(|metric| total(&import, metric)),
            ["222", "444", "6"]
        );

        assert_eq!(import.report.files[0].warnings, [Warning::NoListCost(2)]);
    }
}

#[test]
fn json_tags_nulls_and_damage_are_handled() {
    let columns = || {
        vec![
            (
                START,
                Arc::new(Date32Array::from(vec![19_967, 19_968, 19_968])) as ArrayRef,
            ),
            (
                "BilledCost",
                Arc::new(
                    Decimal128Array::from(vec![Some(5), None, Some(7)])
                        .with_precision_and_scale(20, 17)
                        .unwrap(),
                ),
            ),
            (
                "BillingCurrency",
                texts(&[Some("USD"), Some("USD"), Some("NULL")]),
            ),
            ("Tags", texts(&[Some("{\"team\":\"b\"}"), None, Some("{")])),
        ]
    };

    let bytes = parquet(columns());
    let import = read_parquet(bytes.clone(), "team");
    assert_eq!(import.report.bad, [(BadReason::Missing, 4)].into());

    // 5e-17 twice, both rounded to nothing.
    assert_eq!(
        (
            import.report.rounded,
            total(&import, Metric::Billed).as_str()
        ),
        (2, "0")
    );

    assert_eq!(
        import.report.files[0].warnings.last(),
        Some(&Warning::Tags(2))
    );

    let cut = read_parquet(bytes.slice(..bytes.len() - 20), "team");
    assert!(matches!(
        cut.report.files[0].error,
        Some(FileError::Format { .. })
    ));

    for at in (0..bytes.len()).step_by(7) {
        let mut damaged = bytes.to_vec();
        damaged[at] ^= 0x5a;
        read_parquet(damaged.into(), "team");
    }
}
