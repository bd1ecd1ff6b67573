#![allow(clippy::unwrap_used, clippy::panic)]

use super::{super::prices::replay_prices, *};

const FLAT: Rates = [[100.0; ORIGINS]; MODELS];

/// Runs `check` with a planner of the mesh.
fn with_planner(check: impl FnOnce(&Planner<'_>)) {
    let assumptions = Assumptions {
        warm_up_days: 1,
        ..Assumptions::default()
    };
    let prices = replay_prices().unwrap();
    let trips = RoundTrips::default();
    let list = PriceList::new(&prices, &assumptions);
    let strategy = Strategy::Mesh;

    check(&Planner {
        assumptions: &assumptions,
        list: &list,
        trips: &trips,
        strategy,
        choice: strategy.choices()[0],
    });
}

#[test]
fn a_forecast_does_not_use_the_future() {
    with_planner(|planner| {
        let mut demand = vec![FLAT; 9 * BINS_PER_DAY];
        for bin in [0, 1, BINS_PER_DAY, 8 * BINS_PER_DAY - 1] {
            let before = planner.forecast(&demand, bin);
            let kept = demand.clone();
            demand[bin + 1..]
                .iter_mut()
                .for_each(|rates| rates[0][0] = 1e6);
            assert_eq!(planner.forecast(&demand, bin), before, "bin {bin}");
            demand = kept;
        }
    });
}

#[test]
fn a_forecast_covers_recent_yesterdays_and_last_weeks_load() {
    with_planner(|planner| {
        let bin = 8 * BINS_PER_DAY;
        for (at, is_seen) in [
            (bin, true),
            (bin - LOOK_BACK_BINS + 1, true),
            (bin - LOOK_BACK_BINS, false),
            (bin - BINS_PER_DAY, true),
            (bin - BINS_PER_DAY + LOOK_AHEAD_BINS, true),
            (bin - BINS_PER_DAY + LOOK_AHEAD_BINS + 1, false),
            (bin - 7 * BINS_PER_DAY, true),
            (bin - 2 * BINS_PER_DAY, false),
        ] {
            let mut demand = vec![FLAT; 9 * BINS_PER_DAY];
            demand[at]
                .as_flattened_mut()
                .iter_mut()
                .for_each(|rate| *rate *= 3.0);

            let factor = planner.forecast(&demand, bin)[1][1] / FLAT[1][1];
            assert!(
                (factor - if is_seen { 3.0 } else { 1.0 }).abs() < 1e-9,
                "bin {at}: {factor}"
            );
        }
    });
}

#[test]
fn future_load_does_not_change_a_plan() {
    with_planner(|planner| {
        let rise = |bin: usize| {
            FLAT.map(|rates| rates.map(|rate| rate * (1.0 + bin as f64 / BINS_PER_DAY as f64)))
        };
        let demand: Vec<Rates> = (0..BINS_PER_DAY + 8).map(rise).collect();
        let plans = planner.plans(&demand).unwrap();

        assert!(plans[BINS_PER_DAY].committed[0] > 0);
        for until in [4, BINS_PER_DAY, BINS_PER_DAY + 3] {
            assert_eq!(
                planner.plans(&demand[..until]).unwrap(),
                plans[..until],
                "until bin {until}"
            );
        }
    });
}

#[test]
fn plans_of_the_mesh_survive_any_loss() {
    with_planner(|planner| {
        let work = planner.work(&FLAT);
        for plan in planner.plans(&vec![FLAT; BINS_PER_DAY + 2]).unwrap() {
            let nodes = plan.nodes.map(|nodes| f64::from(nodes.total()));
            let all: f64 = nodes.iter().sum();
            nodes
                .iter()
                .for_each(|lost| assert!(all - lost >= work, "{plan:?}"));
        }
    });
}

#[test]
fn commitments_cover_sustained_need_and_do_not_change() {
    with_planner(|planner| {
        let plan = |on_demand| Plan {
            nodes: [NodeCounts {
                on_demand,
                spot: 0,
                committed: 0,
            }; REGIONS.len()],
            shares: Shares::default(),
            committed: [0; REGIONS.len()],
        };

        // 10 nodes for 69 % of the time, 4 for the rest: in us-west-2 a committed node costs 68 %
        // of the usual price.
        let past: Vec<Plan> = (0..100)
            .map(|at| plan(if at < 69 { 10 } else { 4 }))
            .collect();
        assert_eq!(
            planner.commitments(1, &past, [0; REGIONS.len()]).unwrap()[0],
            10
        );

        let past: Vec<Plan> = (0..100)
            .map(|at| plan(if at < 67 { 10 } else { 4 }))
            .collect();
        assert_eq!(
            planner.commitments(1, &past, [0; REGIONS.len()]).unwrap()[0],
            4
        );

        assert_eq!(
            planner.commitments(1, &past, [7; REGIONS.len()]).unwrap()[0],
            7
        );
    });
}
