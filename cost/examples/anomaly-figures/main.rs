//! Measures the anomaly detectors on data that others published.
//!
//! ```text
//! cargo run --release -p regionmesh-cost --example anomaly-figures            # both
//! cargo run --release -p regionmesh-cost --example anomaly-figures -- nab  [DATA] [RESULTS]
//! cargo run --release -p regionmesh-cost --example anomaly-figures -- live [DATA]
//! ```
//!
//! `DATA` is the folder of test data (`../shared/data`). With `RESULTS`, a folder of result files
//! as the Numenta Anomaly Benchmark writes them, these are scored instead of our detector: that is
//! how the scorer itself is checked.

mod live;
mod nab;

use std::{error::Error, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().unwrap_or_default();
    let data = PathBuf::from(
        arguments
            .next()
            .unwrap_or_else(|| "../shared/data".to_owned()),
    );

    if !data.is_dir() {
        println!("skipped: data not present in {}", data.display());
        return Ok(());
    }

    match what.as_str() {
        "nab" => nab::print(
            &data.join("nab"),
            arguments.next().map(PathBuf::from).as_deref(),
        ),
        "live" => live::print(&data),
        "" => nab::print(&data.join("nab"), None).and_then(|()| live::print(&data)),
        _ => Err("nab and live can be measured, or both without an argument".into()),
    }
}
