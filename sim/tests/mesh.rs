//! The simulator itself: equal seeds give equal runs, and the laws hold over many of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use regionmesh_sim::mesh::{Options, Profile, run, run_batch};
use std::process::Command;

/// Number of runs, which `MESH_SEEDS` overrides.
fn runs(usual: u64) -> u64 {
    std::env::var("MESH_SEEDS")
        .ok()
        .and_then(|runs| runs.parse().ok())
        .unwrap_or(usual)
}

#[track_caller]
fn obeys_all_laws(first_seed: u64, runs: u64, options: &Options) {
    let batch = run_batch(first_seed, runs, options);
    if let Some(failed) = batch.failed {
        let violation = failed.violation.unwrap();
        panic!(
            "seed {}: {}: {}",
            failed.seed, violation.law, violation.what
        );
    }

    assert!(
        batch.stuck * 100 <= batch.runs,
        "{} of {} runs lost a majority of stores",
        batch.stuck,
        batch.runs
    );
}

#[test]
fn no_fault_breaks_a_law() {
    obeys_all_laws(1, runs(10), &Options::default());
}

#[test]
fn no_lie_of_a_thief_breaks_a_law() {
    let options = Options {
        with_liar: true,
        ..Options::default()
    };
    obeys_all_laws(1, runs(5), &options);
}

#[test]
fn agents_that_do_not_judge_let_a_thief_move_traffic() {
    let options = Options {
        with_liar: true,
        without_judging: true,
        profile: Profile::Calm,
        regions: Some(3),
        ..Options::default()
    };
    let violation = run_batch(1, 20, &options)
        .failed
        .unwrap()
        .violation
        .unwrap();
    assert_eq!(violation.law, "a thief moves no traffic");
}

#[test]
fn a_healthy_mesh_elects_once_within_seconds_and_moves_no_traffic() {
    let options = Options {
        profile: Profile::Calm,
        minutes: Some(1),
        ..Options::default()
    };
    for seed in 1..5 {
        let outcome = run(seed, &options);
        assert_eq!(outcome.violation, None, "seed {seed}");
        assert_eq!(outcome.wrong_failovers, 0, "seed {seed}");
        assert_eq!(outcome.elections, 1, "seed {seed}");
        let first_plan_ms = outcome.first_plan_ms.unwrap();
        assert!(first_plan_ms < 5_000, "seed {seed}: {first_plan_ms} ms");
    }
}

#[test]
fn loss_and_bursts_move_no_traffic() {
    let options = Options {
        profile: Profile::Lossy,
        regions: Some(3),
        ..Options::default()
    };
    let batch = run_batch(1, runs(5), &options);
    assert!(batch.failed.is_none());
    assert_eq!(batch.wrong_failovers, 0);
}

#[test]
fn the_same_seed_gives_the_same_trace_in_two_processes() {
    let trace = || {
        let output = Command::new(env!("CARGO_BIN_EXE_regionmesh-sim"))
            .args(["replay", "--seed", "3"])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let trace = text.lines().find(|line| line.starts_with("Trace "));
        trace.unwrap().to_string()
    };
    let first = trace();

    assert_eq!(trace(), first);
    let here = run(3, &Options::default());
    let expected = format!("Trace {} of {} events", here.hash, here.events);
    assert_eq!(first, expected);
}

#[test]
fn different_seeds_give_different_traces() {
    let options = Options::default();
    assert_ne!(run(1, &options).hash, run(2, &options).hash);
}
