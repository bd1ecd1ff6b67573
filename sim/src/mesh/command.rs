//! The command line.

use super::{
    batch::{Batch, run_batch},
    minimise::{Minimal, minimise},
    outcome::{Outcome, play},
    shape::{Options, Profile},
};
use clap::{Args, Parser, Subcommand};
use std::process::ExitCode;

/// Lines of a timeline that lead to a violation.
const TIMELINE: usize = 60;

/// Simulates whole meshes: agents' real cores under virtual time, with faults from a seed.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Play runs with consecutive seeds until one breaks a law
    Run {
        /// The first seed
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// How many runs
        #[arg(long, default_value_t = 1)]
        runs: u64,
        /// Report a violation with all faults of its run, not the few that it needs
        #[arg(long)]
        all_faults: bool,
        #[command(flatten)]
        mesh: Mesh,
    },
    /// Play one run again and print its timeline
    Replay {
        #[arg(long)]
        seed: u64,
        /// The numbers of the faults to keep, separated by commas; all by default
        #[arg(long, value_delimiter = ',', num_args = 0..)]
        faults: Option<Vec<usize>>,
        #[command(flatten)]
        mesh: Mesh,
    },
}

#[derive(Debug, Clone, Default, Args)]
struct Mesh {
    /// Length of the faults, virtual minutes; drawn by default
    #[arg(long)]
    minutes: Option<u32>,
    /// Number of regions; drawn by default
    #[arg(long)]
    regions: Option<usize>,
    /// Agents in each region; drawn by default
    #[arg(long)]
    agents: Option<usize>,
    /// Which faults there are
    #[arg(long, value_enum, default_value_t)]
    profile: Profile,
    /// With one agent whose key is stolen, or one store whose credentials are
    #[arg(long)]
    liar: bool,
    /// With agents that sign whatever a leader proposes
    #[arg(long)]
    without_judging: bool,
}

impl Mesh {
    fn options(&self) -> Options {
        Options {
            minutes: self.minutes,
            regions: self.regions,
            agents_per_region: self.agents,
            profile: self.profile,
            with_liar: self.liar,
            without_judging: self.without_judging,
        }
    }

    /// The arguments that give the same mesh again.
    fn arguments(&self) -> String {
        let number = |name: &str, value: Option<u64>| {
            value.map_or_else(String::new, |value| format!(" --{name} {value}"))
        };
        let flag = |name: &str, is_set: bool| match is_set {
            true => format!(" --{name}"),
            false => String::new(),
        };

        let profile = match self.profile {
            Profile::Swarm => String::new(),
            profile => format!(" --profile {}", <&str>::from(profile)),
        };

        [
            profile,
            number("minutes", self.minutes.map(u64::from)),
            number("regions", self.regions.map(|count| count as u64)),
            number("agents", self.agents.map(|count| count as u64)),
            flag("liar", self.liar),
            flag("without-judging", self.without_judging),
        ]
        .concat()
    }
}

/// Runs the command line of this process. 0: no law was broken; 1: one was; 2: bad usage.
pub fn command() -> ExitCode {
    match Cli::parse().command {
        Command::Run {
            seed,
            runs,
            all_faults,
            mesh,
        } => {
            let batch = run_batch(seed, runs, &mesh.options());
            report(&batch, &mesh, all_faults)
        }
        Command::Replay { seed, faults, mesh } => {
            let outcome = play(seed, &mesh.options(), faults.as_deref(), true);
            print_run(&outcome, usize::MAX);
            match outcome.violation {
                Some(_) => ExitCode::FAILURE,
                None => ExitCode::SUCCESS,
            }
        }
    }
}

fn report(batch: &Batch, mesh: &Mesh, has_all_faults: bool) -> ExitCode {
    println!(
        "{} runs, {} events, {:.1} region-hours ({:.2} region-days) in {:.1} s: {:.0} region-hours \
            per minute",
        batch.runs,
        batch.events,
        batch.region_ms as f64 / 3.6e6,
        batch.region_ms as f64 / 86.4e6,
        batch.duration.as_secs_f64(),
        batch.region_hours_per_minute(),
    );
    println!(
        "{} plans committed, {} elections, {} wrong failovers, {} runs without a majority",
        batch.committed, batch.elections, batch.wrong_failovers, batch.stuck,
    );
    for (state, count) in batch.reached.all() {
        println!("  {count:>8}  {}", <&str>::from(state));
    }

    if let Some(failed) = &batch.failed {
        let minimal = match has_all_faults {
            true => play_all(failed, mesh),
            false => minimise(failed, &mesh.options()),
        };
        explain(failed, &minimal, mesh);
        return ExitCode::FAILURE;
    }
    let missing = batch.missing(&mesh.options());
    if !missing.is_empty() {
        println!(
            "FAILED: never reached in {} runs: {}",
            batch.runs,
            missing.join(", ")
        );
        return ExitCode::FAILURE;
    }

    ExitCode::SUCCESS
}

/// The failed run with its whole schedule.
fn play_all(failed: &Outcome, mesh: &Mesh) -> Minimal {
    Minimal {
        only: (0..failed.faults.len()).collect(),
        outcome: play(failed.seed, &mesh.options(), None, true),
    }
}

/// Prints a schedule that breaks the law, and how to play it again.
fn explain(failed: &Outcome, minimal: &Minimal, mesh: &Mesh) {
    let Minimal { only, outcome } = minimal;
    let numbers: Vec<String> = only.iter().map(ToString::to_string).collect();

    println!(
        "\nFAILED: seed {}, {} of {} faults needed",
        failed.seed,
        only.len(),
        failed.faults.len()
    );
    print_run(outcome, TIMELINE);
    println!("\nPlay it again:");
    println!(
        "  cargo run --release -p regionmesh-sim -- replay --seed {} --faults {}{}",
        failed.seed,
        numbers.join(","),
        mesh.arguments(),
    );
}

fn print_run(outcome: &Outcome, lines: usize) {
    println!("Faults:");
    for fault in &outcome.faults {
        println!("  {fault}");
    }
    println!("Timeline:");
    let skipped = outcome.timeline.len().saturating_sub(lines);
    for (at_ms, line) in outcome.timeline.iter().skip(skipped) {
        println!("  {:8.3} s  {line}", *at_ms as f64 / 1e3);
    }

    println!("Trace {} of {} events", outcome.hash, outcome.events);
    if let Some(violation) = &outcome.violation {
        println!(
            "BROKEN at {:.3} s: {}: {}",
            violation.at_ms as f64 / 1e3,
            violation.law,
            violation.what
        );
    }
}
