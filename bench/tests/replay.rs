//! Laws of the cost replay, on synthetic load and, if present, on two days of recorded load.
#![allow(clippy::unwrap_used, clippy::panic)]

use regionmesh_bench::{
    Assumptions, Candidate, Load, Outcome, Replay, Report, RoundTrips, Strategy, replay_prices,
};
use std::path::Path;

/// A day of warm-up and one that counts.
const DAYS: usize = 2;

fn assumptions() -> Assumptions {
    Assumptions {
        warm_up_days: 1,
        is_shifted: false,
        ..Assumptions::default()
    }
}

/// Synthetic load with a daily season and occasional bursts.
fn made_up() -> Load {
    let row = |bin: usize| {
        let season = 1.0 + 0.4 * (bin as f64 / 144.0 * std::f64::consts::TAU).sin();
        let burst = if bin.is_multiple_of(37) { 1.3 } else { 1.0 };
        let [large, mid, small] = [200.0, 1_500.0, 1_000.0].map(|rate| rate * season * burst);
        format!("{},{large},{mid},{small}\n", bin * 600)
    };
    let rows: String = (0..DAYS * 144).map(row).collect();

    Load::read(
        "made-up",
        &format!("seconds,m_large_rps,m_mid_rps,m_small_rps\n{rows}"),
    )
    .unwrap()
}

fn recorded() -> Option<Load> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/data/servegen-load/language_14d_10min.csv");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("skipped: data not present");
        return None;
    };

    Some(Load::read("language_14d_10min.csv", &text).unwrap())
}

fn replayed(
    load: &Load,
    assumptions: &Assumptions,
    seeds: &[u64],
    strategies: &[Strategy],
) -> Report {
    let prices = replay_prices().unwrap();
    let trips = RoundTrips::default();
    let days = assumptions.warm_up_days + 1;

    Replay {
        load,
        prices: &prices,
        trips: &trips,
        assumptions,
        days,
        seeds,
    }
    .run(strategies, false)
    .unwrap()
}

fn outcomes(report: &Report) -> impl Iterator<Item = (&Candidate, &Outcome)> {
    report.candidates.iter().flat_map(|candidate| {
        candidate
            .outcomes
            .iter()
            .map(move |outcome| (candidate, outcome))
    })
}

/// No more requests are answered than made, a bill's total is the sum of its parts, and a strategy
/// with a single region answers nothing after its loss.
fn check_sums(report: &Report) {
    for (candidate, outcome) in outcomes(report) {
        let bill = outcome.bill;
        let parts = [
            bill.on_demand,
            bill.spot,
            bill.committed,
            bill.fixed,
            bill.answers,
            bill.replication,
        ];

        assert_eq!(
            bill.total().0,
            parts.iter().map(|part| part.0).sum::<i128>()
        );

        assert!(parts.iter().all(|part| part.0 >= 0), "{candidate:?}");
        assert!(outcome.demanded > 0.0 && outcome.served > 0.0);
        assert!(
            outcome.served <= outcome.demanded * (1.0 + 1e-9),
            "{candidate:?}"
        );

        assert!(
            outcome.served_after_loss <= outcome.demanded * (1.0 + 1e-9),
            "{candidate:?}"
        );

        if candidate.regions.len() == 1 {
            assert_eq!(
                (outcome.served_after_loss, outcome.survivable_minutes),
                (0.0, 0)
            );
        }
    }
}

#[test]
fn bills_sum_their_parts_and_answers_never_exceed_requests() {
    check_sums(&replayed(
        &made_up(),
        &assumptions(),
        &[1, 2],
        &Strategy::ALL,
    ));

    if let Some(load) = recorded() {
        let strategies = [
            Strategy::AutoscaledMixed,
            Strategy::StandbyMixed,
            Strategy::Mesh,
        ];

        check_sums(&replayed(
            &load,
            &Assumptions {
                is_shifted: true,
                ..assumptions()
            },
            &[1],
            &strategies,
        ));
    }
}

#[test]
fn a_region_at_its_peak_costs_its_nodes_for_all_hours() {
    let flat: String = (0..DAYS * 144)
        .map(|bin| format!("{},100,500,1000\n", bin * 600))
        .collect();
    let load = Load::read(
        "flat",
        &format!("seconds,m_large_rps,m_mid_rps,m_small_rps\n{flat}"),
    )
    .unwrap();
    let report = replayed(
        &load,
        &assumptions(),
        &[1],
        &[Strategy::Peak, Strategy::StandbyPeak],
    );

    // 10 + 10 + 10 nodes' work and a tenth of headroom: 33 nodes of 0.192 for 24 hours.
    let bill = report.candidates[0].outcomes[0].bill;
    assert_eq!(
        (bill.on_demand.to_string(), bill.fixed.to_string()),
        ("152.064".to_owned(), "2.4".to_owned())
    );

    // The standby's cost 0.185892.
    let bill = report.candidates[1].outcomes[0].bill;
    assert_eq!(
        (bill.on_demand.to_string(), bill.fixed.to_string()),
        ("299.290464".to_owned(), "4.8".to_owned())
    );
}

#[test]
fn the_same_seed_gives_the_same_replay() {
    let load = made_up();
    let strategies = [Strategy::Mesh];
    let report = replayed(&load, &assumptions(), &[5, 6], &strategies);

    assert_eq!(
        replayed(&load, &assumptions(), &[5, 6], &strategies),
        report
    );

    assert!(
        report
            .candidates
            .iter()
            .all(|candidate| candidate.outcomes[0] != candidate.outcomes[1])
    );
}

/// Dollars per answered request.
fn unit_cost(candidate: &Candidate) -> f64 {
    let cost: f64 = candidate
        .outcomes
        .iter()
        .map(|outcome| outcome.bill.total().to_f64())
        .sum();

    cost / candidate
        .outcomes
        .iter()
        .map(|outcome| outcome.served)
        .sum::<f64>()
}

fn check_losses(load: &Load) {
    let seeds: Vec<u64> = (1..=6).collect();
    for strategy in [Strategy::StandbyMixed, Strategy::Mesh] {
        let mut last = 0.0;
        let mut losses = 0;
        for factor in [0.0, 1.0, 4.0, 16.0] {
            let mut assumptions = Assumptions {
                warm_up_days: 0,
                ..assumptions()
            };

            assumptions.spot.loss_per_hour *= factor;
            assumptions.spot.scarce_loss_per_hour =
                (assumptions.spot.scarce_loss_per_hour * factor).min(0.95);

            let report = replayed(load, &assumptions, &seeds, &[strategy]);
            let cost = unit_cost(&report.candidates[0]);
            assert!(
                cost >= last,
                "{strategy:?}: {cost} at {factor} times the losses, {last} before"
            );

            let lost = report.candidates[0]
                .outcomes
                .iter()
                .map(|outcome| outcome.spot_losses)
                .sum::<u64>();

            assert!(
                lost > losses || factor == 0.0,
                "{strategy:?}: {lost} nodes lost at {factor} times the losses"
            );

            (last, losses) = (cost, lost);
        }
    }
}

#[test]
fn more_losses_of_spot_nodes_never_make_a_request_cheaper() {
    check_losses(&made_up());
    if let Some(load) = recorded() {
        check_losses(&load);
    }
}
