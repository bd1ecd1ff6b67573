//! `scripts/figures`: measures what docs/explanation/measurements.md promises, on real processes on
//! this machine.
//!
//! Figures are measured from outside, as users and their resolvers see the mesh: DNS answers, HTTP
//! answers, the kernel's accounting of a process. Throughput is relative to a raw QUIC connection
//! in the same run. The exit code is 0 only if every goal was reached.

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
use side_by_side::MESHES_MAX;
use std::process::ExitCode;

/// Measures a real mesh on this machine and compares it with the goals.
#[derive(Debug, Parser)]
struct Arguments {
    /// Maximum number of rounds of each part, for a quick look; the goals apply to the full number
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Number of concurrent meshes, which share the rounds; the default is what two cores can run
    /// without mutual disturbance
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=i64::from(MESHES_MAX)))]
    meshes: Option<u8>,
    /// Size of the model that is replicated, MiB
    #[arg(long, default_value_t = 1_024, value_parser = clap::value_parser!(u64).range(1..))]
    mebibytes: u64,
    /// Measure only these parts
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Part>,
    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
}

/// Kills of the serving region, and the number of meshes that share them.
const FAILOVER_ROUNDS: u32 = 100;
const FAILOVER_MESHES: u8 = 5;

/// Kills, and as many silences, of distant regions; kills of agents in a region that still serves.
const AFAR_KILLS: u32 = 500;
const AFAR_AGENTS: u32 = 200;
const AFAR_MESHES: u8 = 10;

/// Simulated comebacks of a region.
const RAMP_RUNS: u32 = 1_000;

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Kills of the serving region and of the leader
    Failover,
    /// Kills and silences of distant regions; needs root
    Afar,
    /// Kills of agents in a region that still serves
    Apart,
    /// The DNS server on one core, compared with others, and under attack
    Dns,
    /// CPU and memory of an idle agent
    Idle,
    /// Replication of a large model to both other regions
    Replication,
    /// Traffic of a region that comes back unhealthy; simulated
    Ramp,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    // One crypto provider per process, as in the agent.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let is_wanted = |part| arguments.only.is_empty() || arguments.only.contains(&part);
    let rounds = |usual: u32| arguments.rounds.map_or(usual, |most| usual.min(most));
    let meshes = |usual: u8| arguments.meshes.unwrap_or(usual);
    let mut report = Report::default();

    if is_wanted(Part::Ramp) {
        ramp::measure(&mut report, rounds(RAMP_RUNS));
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
