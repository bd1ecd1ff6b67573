//! A region that comes back unhealthy: how much of its normal traffic it gets before the ramp takes
//! it out again. Simulated with the leader's rules.

use crate::report::Report;
use regionmesh_sim::recovery::{Comeback, Outcome, play};

/// Errors per million requests in the regions that serve.
const CONTROL_PPM: u32 = 500;
/// 2 % of errors, and the largest share of its normal traffic that such a region may get.
const ILL_PPM: u32 = 20_000;
const SHARE: f64 = 0.02;
/// Normal requests per second of a region: of the goal, and others for information.
const GOAL_RPS: u32 = 500;
const OTHER_RPS: [u32; 3] = [20, 100, 5_000];

pub(crate) fn measure(report: &mut Report, runs: u32) {
    let run = |normal_rps, errors_ppm| -> Vec<Outcome> {
        let comeback = Comeback {
            normal_rps,
            errors_ppm,
            control_ppm: CONTROL_PPM,
        };

        (0..u64::from(runs))
            .map(|seed| play(seed, &comeback))
            .collect()
    };

    let percent = |outcomes: &[Outcome], holds: fn(&Outcome) -> bool| {
        outcomes.iter().filter(|outcome| holds(outcome)).count() as f64 * 100.0
            / outcomes.len().max(1) as f64
    };
    let is_caught = |outcome: &Outcome| outcome.is_rolled_back && outcome.share <= SHARE;
    let ill = run(GOAL_RPS, ILL_PPM);
    let worst = ill
        .iter()
        .map(|outcome| outcome.share * 100.0)
        .fold(0.0, f64::max);
    let detail = format!(
        "{runs} runs at {GOAL_RPS} requests/s, at worst {worst:.2} % of its normal traffic"
    );

    report.at_least(
        "a region with 2 % of errors gets at most 2 % of its normal traffic before it is rolled \
            back, in",
        percent(&ill, is_caught),
        99.0,
        "% of runs",
        &detail,
    );

    let others: Vec<String> = OTHER_RPS
        .iter()
        .map(|rps| {
            format!(
                "{:.1} % at {rps}/s",
                percent(&run(*rps, ILL_PPM), is_caught)
            )
        })
        .collect();

    report.note(
        "the same with thinner and thicker traffic",
        others.join(", "),
    );

    let well = run(100, CONTROL_PPM);
    report.note(
        "a region as good as the others comes back without a step lost",
        format!(
            "{:.1} % of runs",
            percent(&well, |outcome| !outcome.is_rolled_back)
        ),
    );
}
