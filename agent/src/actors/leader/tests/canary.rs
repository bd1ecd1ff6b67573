//! What agents publish of their serving, as the input of a ramp.

use super::*;

/// A board on which each region's agent publishes its serving status.
fn serving_board(statuses: &[(&str, bool, ServingStatus)]) -> BoardView {
    let snapshots = Snapshots::default();
    for (region, is_alive, status) in statuses {
        let id: AgentId = format!("{region}/a").parse().unwrap();
        publish_to(&snapshots, &id, &StatusEntry::Serving(status.clone()));
        snapshots.board.send_modify(|board| {
            Arc::make_mut(board).agents.get_mut(&id).unwrap().is_alive = *is_alive;
        });
    }

    (**snapshots.board.borrow()).clone()
}

fn served(requests_total: u64, errors_total: u64) -> ServingStatus {
    ServingStatus {
        is_ready: true,
        requests_total,
        errors_total,
        ..ServingStatus::default()
    }
}

/// A plan in which eu-west-1 is on step 2 of its ramp and the others serve.
fn ramping_plan() -> Plan {
    let part = |traffic_state| RegionPlan {
        weight_bp: 100,
        traffic_state,
        ..RegionPlan::default()
    };
    let regions = REGIONS.map(|name| {
        let traffic_state = if name == "eu-west-1" {
            TrafficState::Ramping {
                step: 2,
                since_ms: 5,
            }
        } else {
            TrafficState::Serving
        };

        (name.parse().unwrap(), part(traffic_state))
    });

    Plan {
        regions: regions.into(),
        ..Plan::default()
    }
}

/// All alive; `others` is what the other two regions have answered.
fn all(eu: ServingStatus, others: u64) -> BoardView {
    serving_board(&[
        ("ap-south-1", true, served(others, 0)),
        ("eu-west-1", true, eu),
        ("us-west-2", true, served(others, 0)),
    ])
}

#[test]
fn a_ramp_is_judged_by_the_serving_status_that_agents_publish() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config("us-west-2", dir.path());
    config.regions[1].capacity_rps = Some(500);

    let plan = ramping_plan();
    let eu = "eu-west-1".parse().unwrap();
    let verdicts = BTreeMap::new();
    let mut meter = LoadMeter::default();
    let mut input = |config: &Config, board: &BoardView, now_ms| {
        meter.observe(board::served(board), now_ms);
        board::plan_inputs(
            config,
            board,
            &verdicts,
            &mut meter,
            Some(&plan),
            &plan.members,
        )
        .regions[&eu]
            .clone()
    };

    input(&config, &all(served(1_000, 0), 1_000), 0);
    let seen = input(&config, &all(served(1_090, 10), 2_000), 5_000);
    let Evidence::Measured(comparison) = &seen.evidence else {
        panic!("{seen:?}")
    };

    assert_eq!(
        (
            comparison.step,
            comparison.since_ms,
            comparison.own.answered,
            comparison.own.errors
        ),
        (2, 5, 90, 10)
    );

    assert_eq!(comparison.control.unwrap().answered, 2_000);
    assert_eq!(
        (seen.load_rps, seen.capacity_rps, seen.is_loaded),
        (Some(20), Some(500), true)
    );

    let loading = ServingStatus {
        is_ready: false,
        ..served(1_090, 10)
    };

    assert!(!input(&config, &all(loading, 2_000), 6_000).is_loaded);
    // A serving region falls silent: its evidence is missing, not absent.
    let silent = serving_board(&[
        ("ap-south-1", false, served(2_000, 0)),
        ("eu-west-1", true, served(1_090, 10)),
    ]);

    assert_eq!(input(&config, &silent, 7_000).evidence, Evidence::Missing);
    config.serving.embedded = false;

    let seen = input(&config, &silent, 8_000);
    assert_eq!(
        (seen.evidence, seen.is_loaded),
        (Evidence::NotMeasured, true)
    );
}
