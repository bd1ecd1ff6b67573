//! What agents publish of their serving and their holdings, as inputs of a plan.

use super::*;
use crate::{
    gossip::{AgentView, SeenStatus},
    testing::plan_settings,
};
use regionmesh_protocol::status::entry::EntryVersion;
use std::{sync::Arc, time::Instant};

const REGIONS: [&str; 3] = ["ap-south-1", "eu-west-1", "us-west-2"];

/// The settings of a mesh of these regions, with capacity declared for eu-west-1.
fn settings() -> PlanSettings {
    let mut settings = plan_settings(&REGIONS);
    let limited = RegionName::new("eu-west-1").unwrap();
    settings.regions.get_mut(&limited).unwrap().capacity_rps = Some(500);
    settings
}

/// A board with these entries, each of an agent of its own.
fn board_of(entries: impl IntoIterator<Item = (String, bool, StatusEntry)>) -> BoardView {
    let view = |(agent, is_alive, entry): (String, bool, StatusEntry)| {
        let kind = entry.kind();
        let seen = SeenStatus {
            status_entry: Arc::new(entry),
            version: EntryVersion::default(),
            seen_at: Instant::now(),
        };
        let view = AgentView {
            is_alive,
            status_entries: [(kind, seen)].into(),
        };

        (agent.parse().unwrap(), view)
    };

    BoardView {
        agents: entries.into_iter().map(view).collect(),
    }
}

/// A board on which each region's agent publishes its serving status.
fn serving_board(statuses: &[(&str, bool, ServingStatus)]) -> BoardView {
    let entry = |(region, is_alive, status): &(&str, bool, ServingStatus)| {
        let status_entry = StatusEntry::Serving(status.clone());
        (format!("{region}/a"), *is_alive, status_entry)
    };

    board_of(statuses.iter().map(entry))
}

fn counted(requests_total: u64, errors_total: u64) -> ServingStatus {
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
        ("ap-south-1", true, counted(others, 0)),
        ("eu-west-1", true, eu),
        ("us-west-2", true, counted(others, 0)),
    ])
}

#[test]
fn a_ramp_is_judged_by_the_serving_status_that_agents_publish() {
    let mut settings = settings();
    let plan = ramping_plan();
    let eu = "eu-west-1".parse().unwrap();
    let verdicts = BTreeMap::new();
    let mut meter = LoadMeter::default();
    let mut input = |settings: &PlanSettings, board: &BoardView, now_ms| {
        meter.observe(served(board), now_ms);
        plan_inputs(
            settings,
            board,
            &verdicts,
            &mut meter,
            Some(&plan),
            &plan.members,
        )
        .regions[&eu]
            .clone()
    };

    input(&settings, &all(counted(1_000, 0), 1_000), 0);
    let seen = input(&settings, &all(counted(1_090, 10), 2_000), 5_000);
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
        ..counted(1_090, 10)
    };

    assert!(!input(&settings, &all(loading, 2_000), 6_000).is_loaded);
    // A serving region falls silent: its evidence is missing, not absent.
    let silent = serving_board(&[
        ("ap-south-1", false, counted(2_000, 0)),
        ("eu-west-1", true, counted(1_090, 10)),
    ]);

    assert_eq!(input(&settings, &silent, 7_000).evidence, Evidence::Missing);
    settings.is_serving_embedded = false;

    let seen = input(&settings, &silent, 8_000);
    assert_eq!(
        (seen.evidence, seen.is_loaded),
        (Evidence::NotMeasured, true)
    );
}

fn board(holdings: &[(&str, Holdings)]) -> BoardView {
    let entry = |(agent, held): &(&str, Holdings)| {
        let status_entry = StatusEntry::Holdings(held.clone());
        ((*agent).to_owned(), true, status_entry)
    };

    board_of(holdings.iter().map(entry))
}

#[test]
fn an_unknown_catalogue_delays_a_region_only_if_no_region_with_traffic_vouches_for_it() {
    let own: RegionName = "a".parse().unwrap();
    let broken: RegionName = "c".parse().unwrap();
    let lacking = Holdings {
        unknown: vec![broken],
        ..Holdings::default()
    };
    let board = board(&[
        ("a/n", lacking),
        ("b/n", Holdings::default()),
        ("c/n", Holdings::default()),
    ]);

    let plan = |weight_bp: u16| {
        let part = |weight_bp| RegionPlan {
            weight_bp,
            ..RegionPlan::default()
        };
        let parts = [("a", 0), ("b", weight_bp), ("c", 100)]
            .map(|(name, bp)| (name.parse().unwrap(), part(bp)));

        Plan {
            regions: parts.into(),
            ..Plan::default()
        }
    };

    assert!(is_complete(&board, &own, Some(&plan(100))));
    assert!(!is_complete(&board, &own, Some(&plan(0))));
    assert!(!is_complete(&board, &own, None));
}
