//! The ramp by what is measured: enough requests, not worse than the others, and what follows if it
//! is.

use super::*;
use crate::{
    planning::{Strategy, next_plan},
    recovery::canary::{CanaryComparison, Evidence},
};
use regionmesh_protocol::status::{
    condition::Condition,
    served::{LATENCY_BUCKETS, Served},
};

const STEPS: [(u8, u64); 3] = [(1, 120), (5, 180), (10, 300)];

/// A world in which region a is about to climb, by the rules of the defaults.
fn climbing() -> World {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.inputs.ttl_ms = 5 * SECOND;
    world.inputs.recovery.min_requests = 500;
    world.inputs.recovery.steps = STEPS
        .map(|(percent, seconds)| RampStep {
            percent,
            hold_ms: seconds * SECOND,
        })
        .to_vec();

    world.judge("a", Condition::Failed);
    world.judge("a", Condition::Healthy);
    world.wait(10 * SECOND);
    assert_eq!(world.traffic_state("a"), world.ramping_now(0));

    world
}

fn served(answered: u64, errors: u64, probes: u64) -> Served {
    let mut latency = [0; LATENCY_BUCKETS];
    latency[3] = answered;
    Served {
        answered,
        errors,
        probes,
        latency,
    }
}

impl World {
    /// The measurement of region a on its present step, compared with 10,000 good requests of the
    /// others.
    fn measure(&mut self, own: Served) -> Option<String> {
        let TrafficState::Ramping { step, since_ms } = self.traffic_state("a") else {
            panic!("not on the ramp")
        };
        let control = Some(served(10_000, 0, 0));

        self.region_mut("a").evidence = Evidence::Measured(Box::new(CanaryComparison {
            step,
            since_ms,
            own,
            control,
        }));

        self.apply()
    }

    fn doublings(&self) -> u8 {
        self.plan.as_ref().unwrap().regions[&name("a")].hold_doublings
    }
}

#[test]
fn a_region_on_the_ramp_serves_as_soon_as_the_settings_have_no_steps() {
    let mut world = climbing();
    world.measure(served(0, 0, 0));
    world.inputs.recovery.steps.clear();
    world.apply();
    assert_eq!(world.traffic_state("a"), TrafficState::Serving);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_ramp_never_skips_a_step_and_a_rollback_doubles_the_hold(
        samples in prop::collection::vec(
            (0u64..400, 0u64..2_000, prop_oneof![4 => Just(0u64), 1 => 1u64..100]),
            1..60,
        ),
    ) {
        let mut world = climbing();
        for (seconds, answered, errors) in samples {
            if !matches!(world.traffic_state("a"), TrafficState::Ramping { .. }) {
                break;
            }

            let before = world.traffic_state("a");
            let doublings = world.doublings();
            world.now_ms += seconds * SECOND;
            world.measure(served(answered, errors, 0));

            let TrafficState::Ramping {
                step: from,
                since_ms,
            } = before
            else {
                unreachable!()
            };

            match world.traffic_state("a") {
                TrafficState::Ramping { step: to, .. } if to > from => {
                    prop_assert_eq!(to, from + 1);
                    prop_assert!(answered + errors >= 500, "too few requests");
                    prop_assert!(
                        world.now_ms - since_ms >= (STEPS[from].1 * SECOND) << doublings,
                        "too early"
                    );

                    prop_assert_eq!(world.doublings(), 0);
                }
                TrafficState::Ramping { step: to, .. } if to < from => {
                    prop_assert_eq!((to, world.doublings()), (from - 1, (doublings + 1).min(6)));
                    prop_assert!(errors > 0);
                }
                TrafficState::Ramping {
                    step,
                    since_ms: since,
                } => prop_assert_eq!((step, since), (from, since_ms)),
                TrafficState::CoolingDown { .. } => {
                    prop_assert!(from == 0 && errors > 0 && world.weight("a") == 0)
                }
                TrafficState::Serving => {
                    prop_assert!(from == STEPS.len() - 1 && answered + errors >= 500)
                }
                other => prop_assert!(false, "{other:?}"),
            }

            let plan = world.plan.as_ref().unwrap();
            prop_assert_eq!(next_plan(Some(plan), &world.inputs, world.now_ms), None);
        }
    }
}

#[test]
fn a_step_needs_its_time_and_its_requests_and_probes_count() {
    let mut world = climbing();
    world.now_ms += 119 * SECOND;
    assert_eq!(world.measure(served(10_000, 0, 0)), None, "too early");
    world.now_ms += 10 * 60 * SECOND;
    assert_eq!(world.measure(served(10, 0, 489)), None, "too few");
    assert_eq!(
        world.measure(served(10, 0, 490)).unwrap(),
        "a: ramps up to 5 % (step 2 of 3)"
    );
}

#[test]
fn every_step_is_held_for_five_times_the_time_to_live() {
    let mut world = climbing();
    world.inputs.ttl_ms = 60 * SECOND;
    world.now_ms += 299 * SECOND;
    assert_eq!(world.measure(served(10_000, 0, 0)), None);
    world.now_ms += SECOND;
    assert!(world.measure(served(10_000, 0, 0)).is_some());
}

#[test]
fn missing_or_outdated_measurements_stop_the_ramp() {
    let mut world = climbing();
    world.region_mut("a").evidence = Evidence::Missing;
    assert_eq!(world.wait(60 * MINUTE), None);

    let comparison = CanaryComparison {
        step: 0,
        since_ms: 7,
        own: served(9_999, 0, 0),
        control: None,
    };

    world.region_mut("a").evidence = Evidence::Measured(Box::new(comparison));
    assert_eq!(
        world.wait(MINUTE),
        None,
        "a measurement of another step does not count"
    );

    let words = world.explain("a");

    assert!(
        words
            .ramp
            .iter()
            .any(|line| line.contains("the ramp holds")),
        "{words:?}"
    );
}

#[test]
fn more_errors_cost_a_step_and_double_its_hold_or_the_whole_share_on_the_first() {
    let mut world = climbing();
    world.now_ms += 120 * SECOND;
    world.measure(served(600, 0, 0));

    let reason = world.measure(served(180, 20, 0)).unwrap();
    assert!(
        reason.contains(
            "a: worse than the regions that serve, back to 1 %, held for 240 s: 20 \
            errors in 200 requests"
        ),
        "{reason}"
    );

    world.now_ms += 239 * SECOND;
    assert_eq!(world.measure(served(600, 0, 0)), None);

    let reason = world.measure(served(180, 20, 0)).unwrap();
    assert_says(&reason, "back to 0 % and a cool-down of 20 s");

    assert_eq!((world.weight("a"), world.flaps("a")), (0, 2));
    assert_eq!(world.traffic_state("a"), world.cooling_down_now());
}

#[test]
fn slow_answers_cost_a_step_too() {
    let mut world = climbing();
    world.now_ms += 120 * SECOND;
    world.measure(served(600, 0, 0));

    let mut slow = served(0, 0, 0);
    (slow.answered, slow.latency[6]) = (600, 600);

    let reason = world.measure(slow).unwrap();
    assert_says(
        &reason,
        "99 % of its answers take up to 64 ms, 8 ms in the regions that serve",
    );
}

#[test]
fn a_cool_down_waits_for_loaded_models_and_says_so() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.judge("a", Condition::Failed);
    world.region_mut("a").is_loaded = false;
    world.judge("a", Condition::Healthy);
    world.wait(MINUTE);
    assert!(world.is_cooling_down("a"));

    let words = world.explain("a");

    assert!(
        words
            .cool_down
            .contains(&"waits: its models are loaded".to_owned()),
        "{words:?}"
    );

    world.region_mut("a").is_loaded = true;
    assert!(world.apply().is_some());
}

#[test]
fn a_cool_down_waits_while_the_synthetic_inference_fails() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.judge("a", Condition::Failed);
    world.region_mut("a").inference_passes = Some(false);

    world.judge("a", Condition::Healthy);
    world.wait(MINUTE);
    assert!(world.is_cooling_down("a"));

    let words = world.explain("a");

    assert!(
        words
            .cool_down
            .contains(&"waits: a synthetic inference passes there".to_owned()),
        "{words:?}"
    );

    world.region_mut("a").inference_passes = Some(true);

    assert!(world.apply().is_some());
}
