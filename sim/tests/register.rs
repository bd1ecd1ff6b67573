//! The register's laws over thousands of simulated runs; a failure names its seed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use regionmesh_sim::register::{Outcome, Scenario, run};

fn sweep(first_seed: u64, runs: u64, scenario: impl Fn(u64) -> Scenario + Sync) -> Vec<Outcome> {
    let threads = std::thread::available_parallelism().map_or(2, |threads| threads.get() as u64);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|worker| {
                let scenario = &scenario;
                scope.spawn(move || {
                    let seeds =
                        (first_seed..first_seed + runs).filter(|seed| seed % threads == worker);
                    seeds
                        .map(|seed| {
                            run(scenario(seed)).unwrap_or_else(|broken| panic!("{broken:?}"))
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();

        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect()
    })
}

fn calm(regions: usize, faults_ms: u64) -> Scenario {
    Scenario {
        seed: 1,
        regions,
        spare_regions: 0,
        is_eventful: false,
        is_attacked: false,
        agents_per_region: 1,
        faults_ms,
    }
}

/// Number of runs, which `REGISTER_SEEDS` overrides.
fn runs(usual: u64) -> u64 {
    std::env::var("REGISTER_SEEDS")
        .ok()
        .and_then(|runs| runs.parse().ok())
        .unwrap_or(usual)
}

#[test]
fn no_fault_commits_two_values_or_loses_a_plan_and_a_healed_mesh_elects_one_leader() {
    let outcomes = sweep(1, runs(1_000), |seed| Scenario {
        seed,
        regions: if seed % 4 == 0 { 5 } else { 3 },
        spare_regions: 0,
        is_eventful: false,
        is_attacked: false,
        agents_per_region: 1 + (seed % 3 == 0) as usize,
        faults_ms: 12_000,
    });

    // The faults must leave something to check.
    let committed: usize = outcomes.iter().map(|outcome| outcome.committed).sum();
    let elections: usize = outcomes.iter().map(|outcome| outcome.elections).sum();

    assert!(
        committed > outcomes.len() * 5 && elections > outcomes.len() * 3 / 2,
        "{committed} {elections}"
    );
}

#[test]
fn no_change_of_members_and_no_deleted_slot_commits_two_values_or_loses_a_plan() {
    let outcomes = sweep(1, runs(1_000), |seed| Scenario {
        seed,
        regions: 3,
        spare_regions: 1 + (seed % 3) as usize,
        is_eventful: true,
        is_attacked: false,
        agents_per_region: 1 + (seed % 3 == 0) as usize,
        faults_ms: 20_000,
    });

    let sum = |count: fn(&Outcome) -> usize| outcomes.iter().map(count).sum::<usize>();
    let committed = sum(|o| o.committed);
    let changes = sum(|o| o.member_changes);
    let losses = sum(|o| o.losses);

    println!(
        "{} runs: {committed} plans, {changes} changes of members, {losses} stores lost slots",
        outcomes.len()
    );

    let stuck = outcomes.iter().filter(|outcome| outcome.is_stuck).count();
    assert!(
        stuck * 100 <= outcomes.len(),
        "{stuck} of {} runs lost a majority of stores",
        outcomes.len()
    );

    assert!(
        changes > outcomes.len() * 2 && losses > outcomes.len(),
        "{committed} {changes} {losses}"
    );
}

#[test]
fn no_ballot_of_a_thief_blocks_elections_or_commits_two_values() {
    let outcomes = sweep(1, runs(1_000), |seed| Scenario {
        seed,
        regions: if seed % 4 == 0 { 5 } else { 3 },
        spare_regions: 0,
        is_eventful: false,
        is_attacked: true,
        agents_per_region: 1 + (seed % 3 == 0) as usize,
        faults_ms: 12_000,
    });

    let committed: usize = outcomes.iter().map(|outcome| outcome.committed).sum();
    assert!(committed > outcomes.len() * 2, "{committed}");
    assert!(outcomes.iter().all(|outcome| !outcome.is_stuck));
}

#[test]
fn a_healthy_mesh_is_led_within_seconds_and_elects_once() {
    let scenario = |seed| Scenario { seed, ..calm(3, 0) };
    let outcomes = sweep(1, runs(1_000), scenario);
    assert!(
        outcomes.iter().all(|outcome| outcome.elections == 1),
        "a vote was given twice"
    );

    let mut times_ms: Vec<u64> = outcomes
        .iter()
        .map(|outcome| outcome.healed_after_ms)
        .collect();

    times_ms.sort_unstable();
    let p99_ms = times_ms[times_ms.len() * 99 / 100];
    println!("from a cold start to a leader known to all and a plan: p99 {p99_ms} ms");
    assert!(p99_ms < 3_000, "p99 {p99_ms} ms");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let scenario = Scenario {
        seed: 42,
        agents_per_region: 2,
        spare_regions: 2,
        is_eventful: true,
        ..calm(3, 10_000)
    };

    assert_eq!(
        format!("{:?}", run(scenario)),
        format!("{:?}", run(scenario))
    );
}
