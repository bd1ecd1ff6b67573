//! `scripts/figures`: measures what docs/explanation/measurements.md promises, on real processes
//! on this machine.
//!
//! Each figure is seen from outside, as users and their resolvers see it: DNS answers, HTTP
//! answers, the kernel's account of a process. Throughput is a ratio against a raw QUIC connection
//! in the same run. Exit code 0 only if every goal was reached.

mod afar;
mod apart;
mod distance;
mod dns;
mod failover;
mod idle;
mod mesh;
mod ramp;
mod raw;
mod replication;
mod report;
mod side_by_side;

use afar::Amount;
use clap::{Parser, ValueEnum};
use report::Report;
use std::process::ExitCode;

/// Measures a real mesh on this machine and compares it with the goals.
#[derive(Debug, Parser)]
struct Arguments {
    /// At most so many rounds of each part: for a first look. The goals are about the full number
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Meshes side by side, which share the rounds; without it, as many as were seen not to disturb
    /// each other on two cores
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=i64::from(side_by_side::MESHES_MAX)))]
    meshes: Option<u8>,
    /// Size of the model that is replicated, MiB
    #[arg(long, default_value_t = 1_024, value_parser = clap::value_parser!(u64).range(1..))]
    mebibytes: u64,
    /// Measure only these
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Part>,
    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
}

/// Kills of the serving region, and the meshes that share them.
const FAILOVER_ROUNDS: u32 = 100;
const FAILOVER_MESHES: u8 = 5;

/// The same between regions far from each other, and silences as many; kills of agents whose region
/// serves on.
const AFAR_KILLS: u32 = 500;
const AFAR_AGENTS: u32 = 200;
const AFAR_MESHES: u8 = 10;

/// Comebacks of a region, simulated.
const RAMP_TRIALS: u32 = 1_000;

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Kills of the serving region and of the leader
    Failover,
    /// Kills and silence of regions far from each other, as root
    Afar,
    /// Agents killed while their region serves on
    Apart,
    /// The DNS server on one core beside others, and under attack
    Dns,
    /// What an agent costs that has nothing to do
    Idle,
    /// A large model to both other regions
    Replication,
    /// Traffic of a region that comes back ill; simulated
    Ramp,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    // One provider in the whole process, as in the agent.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let is_wanted = |part| arguments.only.is_empty() || arguments.only.contains(&part);
    let rounds = |usual: u32| arguments.rounds.map_or(usual, |most| usual.min(most));
    let meshes = |usual: u8| arguments.meshes.unwrap_or(usual);
    let mut report = Report::default();

    if is_wanted(Part::Ramp) {
        ramp::measure(&mut report, rounds(RAMP_TRIALS));
    }
    if is_wanted(Part::Idle) {
        idle::measure(&mut report).await?;
    }
    if is_wanted(Part::Dns) {
        dns::measure(&mut report).await?;
    }

    if is_wanted(Part::Replication) {
        replication::measure(&mut report, arguments.mebibytes << 20).await?;
    }
    if is_wanted(Part::Apart) {
        apart::measure(&mut report).await?;
    }

    if is_wanted(Part::Failover) {
        failover::measure(
            &mut report,
            meshes(FAILOVER_MESHES),
            rounds(FAILOVER_ROUNDS),
        )
        .await;
    }

    if is_wanted(Part::Afar) {
        let meshes = meshes(AFAR_MESHES);
        let kills = rounds(AFAR_KILLS);
        let silences = rounds(AFAR_KILLS);
        let agents = rounds(AFAR_AGENTS);

        afar::measure(
            &mut report,
            Amount {
                kills,
                silences,
                agents,
                meshes,
            },
        )
        .await;
    }

    println!(
        "{}",
        if arguments.json {
            report.json()
        } else {
            report.table()
        }
    );

    Ok(if report.holds() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
