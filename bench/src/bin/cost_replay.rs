//! `cargo run --release -p regionmesh-bench --bin cost_replay`: the cost of a mesh and of other
//! ways of running models, replayed from 14 days of production load.
//! docs/explanation/measurements.md lists the assumptions.
//!
//! Exit code 0 if every goal was reached, 1 if one was missed, 2 if nothing could be replayed.

use anyhow::Context;
use clap::Parser;
use regionmesh_bench::{
    Assumptions, Load, Replay, RoundTrips, SEEDS_MAX, Sensitivity, Strategy, replay_prices,
    sensitivity,
};
use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

/// Replays recorded load with dated prices and spot markets, and compares the cost of a mesh with
/// that of other deployments
#[derive(Debug, Parser)]
struct Arguments {
    /// Folder with servegen-load/language_14d_10min.csv and, optionally,
    /// skyplane-network/latency.csv
    #[arg(long, default_value = "../shared/data")]
    data: PathBuf,
    /// First seed of the spot markets
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of seeds to replay
    #[arg(
        long,
        default_value_t = 20,
        value_parser = clap::value_parser!(u64).range(1..=SEEDS_MAX as u64)
    )]
    seeds: u64,
    /// Days to replay, including 2 days of warm-up; the goals apply to all 14
    #[arg(long, default_value_t = 14)]
    days: usize,
    /// Replay again with one assumption changed at a time
    #[arg(long)]
    sensitivity: bool,
    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,
}

const LOAD: &str = "servegen-load/language_14d_10min.csv";
const LATENCY: &str = "skyplane-network/latency.csv";

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether all goals were reached.
fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let path = arguments.data.join(LOAD);
    let text = std::fs::read_to_string(&path).with_context(|| {
        format!(
            "can't read {}; name the folder of the data with --data",
            path.display()
        )
    })?;
    let load = Load::read(&path.display().to_string(), &text)?;
    let trips = match std::fs::read_to_string(arguments.data.join(LATENCY)) {
        Ok(text) => RoundTrips::read(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => RoundTrips::default(),
        Err(error) => {
            return Err(error)
                .with_context(|| format!("can't read {LATENCY} in {}", arguments.data.display()));
        }
    };

    let prices = replay_prices()?;
    let assumptions = Assumptions::default();
    let seeds: Vec<u64> = (0..arguments.seeds)
        .map(|index| arguments.seed.wrapping_add(index))
        .collect();
    let replay = Replay {
        load: &load,
        prices: &prices,
        trips: &trips,
        assumptions: &assumptions,
        days: arguments.days,
        seeds: &seeds,
    };

    let report = replay.run(&Strategy::ALL, true)?;
    let goals = report.goals();
    let variants = if arguments.sensitivity {
        sensitivity(&replay)?
    } else {
        Vec::new()
    };
    let mut out = io::stdout().lock();

    if arguments.json {
        let json = serde_json::json!({ "report": report, "goals": goals, "sensitivity": variants });
        writeln!(out, "{json}")?;
    } else {
        write!(out, "{report}")?;
        if !variants.is_empty() {
            write!(out, "\n{}", Sensitivity::table(&variants))?;
        }
    }

    Ok(goals.iter().all(|goal| goal.is_reached))
}
