use super::*;
use ::parquet::{
    arrow::ArrowWriter,
    basic::{Compression, Encoding},
    file::properties::{WriterProperties, WriterPropertiesBuilder, WriterVersion},
};
use arrow_array::{
    ArrayRef, Date32Array, Decimal128Array, Float64Array, RecordBatch, StringArray,
    TimestampMillisecondArray,
};
use bytes::Bytes;
use std::sync::Arc;

/// A row with values that are missing or bad now and then.
#[derive(Debug, Clone, Copy)]
struct Row {
    day: Option<i64>,
    billing_day: Option<i32>,
    units: Option<i64>,
    /// Choices of costs and texts.
    picks: [usize; 3],
}

fn row() -> impl Strategy<Value = Row> {
    let day = prop_oneof![
        1 => Just(None),
        1 => Just(Some(i64::MAX)),
        20 => (19_000i64..19_100).prop_map(|day| Some(day * 86_400_000 + 7)),
    ];
    let billing_day = proptest::option::weighted(0.7, 19_000..19_100);
    let units = proptest::option::weighted(
        0.9,
        -1_000_000_000_000_000_000i64..1_000_000_000_000_000_000,
    );

    (day, billing_day, units, any::<[usize; 3]>()).prop_map(|(day, billing_day, units, picks)| {
        Row {
            day,
            billing_day,
            units,
            picks,
        }
    })
}

const FLOATS: [Option<f64>; 5] = [Some(0.25), Some(-1e-9), Some(12.0), None, Some(f64::NAN)];

const KINDS: [Option<&str>; 6] = [
    Some("Usage"),
    Some("Usage"),
    Some("Tax"),
    Some("Purchase"),
    Some("Gift"),
    None,
];

const TAGS: [Option<&str>; 4] = [
    Some("{\"team\":\"a\"}"),
    Some("{\"team\":\"b\",\"x\":1}"),
    None,
    Some("{"),
];

fn batch(rows: &[Row]) -> RecordBatch {
    let pick = |at: usize, count: usize| rows.iter().map(move |row| row.picks[at] % count);
    let texts = |values: &[Option<&str>], at: usize| -> ArrayRef {
        Arc::new(
            pick(at, values.len())
                .map(|pick| values[pick])
                .collect::<StringArray>(),
        )
    };

    let decimals = |values: Vec<Option<i128>>, precision, scale| -> ArrayRef {
        Arc::new(
            values
                .into_iter()
                .collect::<Decimal128Array>()
                .with_precision_and_scale(precision, scale)
                .unwrap(),
        )
    };

    let names = pick(1, 700).map(|pick| (pick > 20).then(|| format!("service {pick}")));
    let days = rows.iter().map(|row| row.day);
    let billing_days = rows.iter().map(|row| row.billing_day);
    let billed = rows.iter().map(|row| Some(row.units?.into()));
    let effective = pick(0, 5).map(|pick| FLOATS[pick]);
    let list = rows
        .iter()
        .map(|row| Some(i128::from(row.units.unwrap_or(5) % 1_000)));
    let columns: Vec<(&str, ArrayRef)> = vec![
        (START, Arc::new(days.collect::<TimestampMillisecondArray>())),
        (
            "BillingPeriodStart",
            Arc::new(billing_days.collect::<Date32Array>()),
        ),
        ("BilledCost", decimals(billed.collect(), 25, 4)),
        (
            "EffectiveCost",
            Arc::new(effective.collect::<Float64Array>()),
        ),
        ("ListCost", decimals(list.collect(), 8, 2)),
        ("ServiceName", Arc::new(names.collect::<StringArray>())),
        ("ChargeCategory", texts(&KINDS, 2)),
        ("BillingCurrency", texts(&[Some("USD"), Some("EUR")], 0)),
        ("Tags", texts(&TAGS, 1)),
    ];

    RecordBatch::try_from_iter_with_nullable(
        columns
            .into_iter()
            .map(|(name, column)| (name, column, true)),
    )
    .unwrap()
}

fn import_written(batch: &RecordBatch, properties: WriterPropertiesBuilder) -> Import {
    let mut bytes = Vec::new();
    let mut writer =
        ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties.build())).unwrap();

    for _ in 0..2 {
        writer.write(batch).unwrap();
        writer.flush().unwrap();
    }

    writer.close().unwrap();
    let mut importer = Importer::new(ImportOptions {
        tag_keys: vec!["team".into()],
        ..ImportOptions::default()
    });

    importer.read_parquet("file.parquet", Bytes::from(bytes));
    importer.finish()
}

proptest! {
    #[test]
    fn pages_and_arrays_yield_the_same(
        runs in proptest::collection::vec((row(), 1usize..40), 1..120),
        dictionary_bytes in prop_oneof![Just(0usize), 10usize..300, Just(1 << 20)],
        page_rows in 1usize..3_000,
        is_second_version: bool,
        is_compressed: bool,
    ) {
        let rows: Vec<Row> = runs
            .iter()
            .flat_map(|(row, count)| std::iter::repeat_n(*row, *count))
            .collect();
        let batch = batch(&rows);

        // Only arrays are made of this encoding.
        let arrays = WriterProperties::builder()
            .set_column_dictionary_enabled("ServiceName".into(), false)
            .set_column_encoding("ServiceName".into(), Encoding::DELTA_BYTE_ARRAY);
        let pages = WriterProperties::builder()
            .set_dictionary_enabled(dictionary_bytes > 0)
            .set_dictionary_page_size_limit(dictionary_bytes.max(1))
            .set_data_page_row_count_limit(page_rows)
            .set_write_batch_size(64)
            .set_encoding(Encoding::PLAIN)
            .set_compression(if is_compressed {
                Compression::SNAPPY
            } else {
                Compression::UNCOMPRESSED
            })
            .set_writer_version(if is_second_version {
                WriterVersion::PARQUET_2_0
            } else {
                WriterVersion::PARQUET_1_0
            });

        let expected = import_written(&batch, arrays);
        let mut found = import_written(&batch, pages);
        prop_assert_eq!(&expected.parts, &found.parts);
        found.report.files[0].bytes = expected.report.files[0].bytes;
        prop_assert_eq!(expected.report, found.report);
    }
}
