//! The ramp protects users from a region that comes back unhealthy, and lets a healthy one come
//! back in time.

use regionmesh_sim::recovery::{Comeback, play};

const RUNS: u64 = 100;

fn count(comeback: Comeback, holds: impl Fn(regionmesh_sim::recovery::Outcome) -> bool) -> u64 {
    (0..RUNS)
        .filter(|seed| holds(play(*seed, &comeback)))
        .count() as u64
}

#[test]
fn a_region_with_two_percent_of_errors_is_taken_out_again_on_its_first_percent() {
    let ill = Comeback {
        normal_rps: 500,
        errors_ppm: 20_000,
        control_ppm: 500,
    };
    let good = count(ill, |outcome| {
        outcome.is_rolled_back && outcome.share <= 0.02
    });

    assert!(good * 100 >= RUNS * 99, "only {good} of {RUNS}");
}

#[test]
fn a_region_as_good_as_the_others_recovers_in_the_expected_time() {
    let well = Comeback {
        normal_rps: 100,
        errors_ppm: 500,
        control_ppm: 500,
    };
    let good = count(well, |outcome| {
        !outcome.is_rolled_back && outcome.seconds < 45 * 60
    });

    assert!(good * 100 >= RUNS * 90, "only {good} of {RUNS}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let comeback = Comeback {
        normal_rps: 100,
        errors_ppm: 20_000,
        control_ppm: 500,
    };

    assert_eq!(play(7, &comeback), play(7, &comeback));
}
