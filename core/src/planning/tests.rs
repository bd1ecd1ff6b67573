//! Laws of [`next_plan`] over histories; its rules one by one are in the modules below.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::{
    planning::{PlanInputs, RegionInput, Strategy, next_plan},
    recovery::{
        canary::Evidence,
        ramp::{RampStep, RecoveryPolicy},
    },
};
use regionmesh_protocol::{identity::RegionName, plan::*, status::condition::Condition};
use std::net::IpAddr;
// Not the whole prelude: its `Strategy` is another one.
use proptest::prelude::{
    Just, ProptestConfig, TestCaseError, any, prop, prop_assert, prop_assert_eq, prop_oneof,
    proptest,
};
use proptest::strategy::Strategy as Generator;
use std::net::Ipv4Addr;

mod capacity;
mod climb;
mod cost;
mod examples;
mod judging;
mod laws;
mod limited;
mod membership;
mod orders;
mod refusals;
mod survival;
mod time;
mod world;

use world::{World, condition, event, world};

const MINUTE: u64 = 60_000;
const SECOND: u64 = 1_000;

#[track_caller]
fn assert_says(reason: &str, words: &str) {
    assert!(reason.contains(words), "{reason}");
}

fn name(region: &str) -> RegionName {
    region.parse().unwrap()
}

fn input(last_octet: u8) -> RegionInput {
    RegionInput {
        weight_bp: FULL_WEIGHT_BP,
        priority: u16::from(last_octet),
        addresses: vec![IpAddr::V4(Ipv4Addr::new(192, 0, 2, last_octet))],
        condition: Condition::Healthy,
        since_ms: 0,
        reason: String::new(),
        is_complete: true,
        is_loaded: true,
        inference_passes: None,
        measured_capacity_rps: None,
        capacity_rps: None,
        load_rps: None,
        evidence: Evidence::NotMeasured,
    }
}

/// Cool-down 10 s; steps 10 % and 50 %, 5 s each.
fn recovery() -> RecoveryPolicy {
    RecoveryPolicy {
        cool_down_ms: 10 * SECOND,
        cool_down_max_ms: 30 * SECOND,
        forget_flaps_ms: 10 * MINUTE,
        steps: vec![
            RampStep {
                percent: 10,
                hold_ms: 5 * SECOND,
            },
            RampStep {
                percent: 50,
                hold_ms: 5 * SECOND,
            },
        ],
        ..RecoveryPolicy::default()
    }
}

const THREE: [&str; 3] = ["a", "b", "c"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn every_plan_of_every_history_obeys_the_laws(
        mut world in world(),
        events in prop::collection::vec(event(), 0..40),
    ) {
        world.apply();
        world.check(None)?;
        for event in &events {
            world.happen(event);
            let before = world.plan.clone();
            world.apply();
            world.check(before.as_ref())?;
            world.check_survival()?;
            prop_assert_eq!(
                next_plan(world.plan.as_ref(), &world.inputs, world.now_ms),
                None,
                "a plan is at rest at its own time: {:?}",
                world.plan
            );
        }
    }

    #[test]
    fn two_leaders_with_the_same_inputs_make_the_same_plan(
        world in world(),
        events in prop::collection::vec(event(), 0..20),
    ) {
        let mut one = world.clone();
        let mut other = world;
        for event in &events {
            one.happen(event);
            other.happen(event);
            prop_assert_eq!(one.apply(), other.apply());
        }

        prop_assert_eq!(one.plan, other.plan);
    }

    #[test]
    fn a_mesh_that_stays_healthy_returns_to_full_shares(
        mut world in world(),
        events in prop::collection::vec(event(), 0..20),
    ) {
        world.apply();
        for event in &events {
            world.happen(event);
            world.apply();
        }

        for (index, (_, input)) in world.inputs.regions.iter_mut().enumerate() {
            *input = self::input(index as u8 + 1);
            input.since_ms = world.now_ms;
        }

        for _ in 0..1_000 {
            world.wait(2_000);
        }
        for (region, part) in &world.plan.unwrap().regions {
            prop_assert_eq!(&part.traffic_state, &TrafficState::Serving, "{}", region);
        }
    }

    #[test]
    fn at_most_one_region_begins_its_ramp_at_a_time(
        mut world in world(),
        events in prop::collection::vec(event(), 0..40),
    ) {
        world.apply();
        let ramping = |plan: &Plan| {
            plan.regions
                .values()
                .filter(|part| matches!(part.traffic_state, TrafficState::Ramping { .. }))
                .count()
        };

        for event in &events {
            world.happen(event);
            let before = world.plan.clone().unwrap();
            world.apply();

            let had_other_carriers = before.regions.iter().any(|(region, part)| {
                let is_limited = matches!(part.traffic_state, TrafficState::Limited { .. });
                part.weight_bp > 0
                    && !is_limited
                    && world
                        .inputs
                        .regions
                        .get(region)
                        .is_some_and(|input| world.is_usable(input))
            });

            if had_other_carriers {
                let after = world.plan.as_ref().unwrap();
                prop_assert!(
                    ramping(after) <= ramping(&before).max(1),
                    "{before:?} then {after:?}"
                );
            }
        }
    }
}
