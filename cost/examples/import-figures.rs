//! How fast and in how much memory billing exports are imported.
//!
//! `cargo run --release -p regionmesh-cost --features parquet --example import-figures [ROWS
//! [KEPT_FOLDER]]` repeats the rows of `../shared/data/focus-sample` with other days and amounts,
//! writes them as CSV, CSV.gz and (with the feature) Parquet, and imports each file in a process of
//! its own, three times. The best time counts: processor time, not what other programs take.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use flate2::{Compression, write::GzEncoder};
use regionmesh_cost::{FileFormat, ImportOptions, Importer};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

const RUNS: usize = 3;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("--file") => measure(Path::new(&arguments[1])),
        rows => {
            let rows = rows.map_or(1_000_000, |rows| rows.parse().expect("the number of rows"));
            let kept = arguments.get(1).map(PathBuf::from);
            run(rows, kept);
        }
    }
}

fn run(rows: usize, kept: Option<PathBuf>) {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/data/focus-sample/focus_sample.csv");
    let Ok(sample) = fs::read_to_string(sample) else {
        println!("skipped: data not present");
        return;
    };
    let temporary = tempfile::tempdir().unwrap();
    let folder = kept.unwrap_or_else(|| temporary.path().to_owned());
    let files = [folder.join("focus.csv"), folder.join("focus.csv.gz")];

    let columnar_files: &[PathBuf] = if cfg!(feature = "parquet") {
        &[folder.join("focus.parquet")]
    } else {
        &[]
    };
    let mut csv = BufWriter::new(File::create(&files[0]).unwrap());
    let mut gzip = GzEncoder::new(
        BufWriter::new(File::create(&files[1]).unwrap()),
        Compression::default(),
    );

    for line in lines(&sample, rows) {
        csv.write_all(line.as_bytes()).unwrap();
        gzip.write_all(line.as_bytes()).unwrap();
    }

    csv.flush().unwrap();
    gzip.finish().unwrap().flush().unwrap();
    #[cfg(feature = "parquet")]
    columnar::write(&sample, rows, &columnar_files[0]);

    for file in files.iter().chain(columnar_files) {
        let size = fs::metadata(file).unwrap().len();
        println!(
            "{} ({:.0} MB)",
            file.file_name().unwrap().to_string_lossy(),
            size as f64 / 1e6
        );

        let status = Command::new(std::env::current_exe().unwrap())
            .arg("--file")
            .arg(file)
            .status()
            .unwrap();

        assert!(status.success());
    }
}

/// The header, and rows of the sample with other days and amounts, the same ones every time.
fn lines(sample: &str, rows: usize) -> impl Iterator<Item = String> {
    let mut lines = sample.lines();
    let header = lines.next().unwrap();
    let names: Vec<&str> = header
        .split(',')
        .map(|name| name.trim_matches('"'))
        .collect();
    let place = |wanted: &str| names.iter().position(|name| *name == wanted).unwrap();
    let start = place("ChargePeriodStart");
    let costs = ["BilledCost", "EffectiveCost", "ListCost"].map(place);

    let parsed: Vec<Vec<String>> = lines
        .map(fields)
        .filter(|row| row[start].starts_with("\"2024-09-"))
        .collect();
    let mut state = 1u64;
    let mut random = move |below: usize| {
        // Knuth's MMIX generator.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };

    let body = (0..rows).map(move |_| {
        let mut row = parsed[random(parsed.len())].clone();
        let day = format!("{:02}", 1 + random(30));
        row[start].replace_range(9..11, &day);
        for cost in costs {
            if random(10) < 7 {
                let sign = if row[cost].starts_with('-') { "-" } else { "" };
                row[cost] = format!("{sign}0.{:011}", random(1_000_000_000));
            }
        }

        row.join(",") + "\n"
    });

    std::iter::once(format!("{header}\n")).chain(body)
}

/// The fields of a line, as they are written.
fn fields(line: &str) -> Vec<String> {
    let mut is_quoted = false;
    let is_end = |character: char| {
        is_quoted ^= character == '"';
        character == ',' && !is_quoted
    };

    line.split(is_end).map(str::to_owned).collect()
}

fn measure(path: &Path) {
    let head = fs::File::open(path).map(|mut file| {
        let mut head = [0; 4];
        std::io::Read::read_exact(&mut file, &mut head).unwrap();
        head
    });
    let format = FileFormat::of(&head.unwrap());
    let mut best = f64::INFINITY;
    let mut rows = 0;
    let mut cells = 0;

    for _ in 0..RUNS {
        let mut importer = Importer::new(ImportOptions::default());
        let file = File::open(path).unwrap();
        let name = path.to_string_lossy();
        let before = processor_seconds();

        match format {
            #[cfg(feature = "parquet")]
            FileFormat::Parquet => importer.read_parquet(&name, file),
            _ => importer.read(&name, file),
        };

        let import = importer.finish();
        best = best.min(processor_seconds() - before);
        assert!(
            import.report.is_complete() && import.report.bad.is_empty(),
            "{:?}",
            import.report
        );

        rows = import.report.imported;
        cells = import.parts.iter().map(|part| part.cells.len()).sum();
    }

    let speed = rows as f64 / best / 1e6;
    println!(
        "  {rows} rows, {cells} cells: {best:.3} s, {speed:.2} M rows per core-second, {} resident",
        resident()
    );
}

fn processor_seconds() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

/// The most memory that this process had so far.
fn resident() -> String {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();

    line.trim().to_owned()
}

#[cfg(feature = "parquet")]
mod columnar {
    use super::{fields, lines};
    use arrow_array::{
        ArrayRef, Decimal128Array, RecordBatch, StringArray, TimestampMillisecondArray,
    };
    use parquet::arrow::ArrowWriter;
    use parquet::basic::Compression;
    use parquet::file::properties::WriterProperties;
    use std::{fs::File, path::Path, sync::Arc};
    use time::{PrimitiveDateTime, macros::format_description};

    const BATCH: usize = 10_000;
    /// As the large providers write it: a file of their exports has row groups of about this size.
    const GROUP: usize = 250_000;

    pub(super) fn write(sample: &str, rows: usize, path: &Path) {
        let mut lines = lines(sample, rows);
        let header = lines.next().unwrap();
        let names: Vec<String> = header
            .trim()
            .split(',')
            .map(|name| name.trim_matches('"').to_owned())
            .collect();
        let mut writer: Option<ArrowWriter<File>> = None;

        loop {
            let batch: Vec<Vec<String>> = lines
                .by_ref()
                .take(BATCH)
                .map(|line| fields(line.trim_end()))
                .collect();

            if batch.is_empty() {
                break;
            }

            let columns = names
                .iter()
                .enumerate()
                .map(|(place, name)| (name, column(name, place, &batch)));
            let batch = RecordBatch::try_from_iter_with_nullable(
                columns.map(|(name, column)| (name, column, true)),
            );
            let batch = batch.unwrap();
            let writer = writer.get_or_insert_with(|| {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::SNAPPY)
                    .set_max_row_group_row_count(Some(GROUP))
                    .build();

                ArrowWriter::try_new(
                    File::create(path).unwrap(),
                    batch.schema(),
                    Some(properties),
                )
                .unwrap()
            });

            writer.write(&batch).unwrap();
        }

        writer.unwrap().close().unwrap();
    }

    fn column(name: &str, place: usize, rows: &[Vec<String>]) -> ArrayRef {
        let texts = rows
            .iter()
            .map(|row| row[place].trim_matches('"'))
            .map(|text| (text != "NULL").then_some(text));

        if name.ends_with("Cost") {
            let values = texts.map(|text| {
                let value: regionmesh_cost::Amount = text?.parse().ok()?;
                Some(value.0 / 10_000)
            });

            return Arc::new(
                values
                    .collect::<Decimal128Array>()
                    .with_precision_and_scale(38, 11)
                    .unwrap(),
            );
        }

        if name.ends_with("Start") || name.ends_with("End") {
            let form = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
            let values = texts.map(|text| {
                let moment = PrimitiveDateTime::parse(text?, &form).unwrap();
                Some(moment.assume_utc().unix_timestamp() * 1_000)
            });

            return Arc::new(values.collect::<TimestampMillisecondArray>());
        }

        Arc::new(
            texts
                .map(|text| text.map(|text| text.replace("\"\"", "\"")))
                .collect::<StringArray>(),
        )
    }
}
