//! Laws of [`next_plan`], then its rules one by one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::ramp::RampStep;
// Not the whole prelude: its `Strategy` is another one.
use proptest::prelude::{
    Just, ProptestConfig, TestCaseError, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest,
};
use proptest::strategy::Strategy as Generator;
use std::net::Ipv4Addr;

const MINUTE: u64 = 60_000;
const SECOND: u64 = 1_000;

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
    }
}

/// Gate 10 s, steps 10 % and 50 % of 5 s each.
fn recovery() -> RecoveryPolicy {
    RecoveryPolicy {
        gate_ms: 10 * SECOND,
        gate_max_ms: 30 * SECOND,
        forget_flaps_ms: 10 * MINUTE,
        steps: vec![RampStep { percent: 10, hold_ms: 5 * SECOND }, RampStep { percent: 50, hold_ms: 5 * SECOND }],
    }
}

/// A leader that applies every plan, and a world that it looks at.
#[derive(Debug, Clone)]
struct World {
    inputs: PlanInputs,
    plan: Option<Plan>,
    now_ms: u64,
}

impl World {
    fn of(regions: &[&str], strategy: Strategy) -> Self {
        let regions =
            regions.iter().enumerate().map(|(index, region)| (name(region), input(index as u8 + 1))).collect();
        let inputs = PlanInputs { regions, strategy, suspect_percent: 10, recovery: recovery() };
        let mut world = Self { inputs, plan: None, now_ms: 1_000_000 };
        world.apply();
        world
    }

    fn apply(&mut self) -> Option<String> {
        let next = next_plan(self.plan.as_ref(), &self.inputs, self.now_ms)?;
        let reason = next.reason.clone();
        self.plan = Some(next);
        Some(reason)
    }

    fn judge(&mut self, region: &str, condition: Condition) -> Option<String> {
        let input = self.inputs.regions.get_mut(&name(region)).unwrap();
        if input.condition != condition {
            (input.condition, input.since_ms) = (condition, self.now_ms);
        }
        self.apply()
    }

    fn wait(&mut self, ms: u64) -> Option<String> {
        self.now_ms += ms;
        self.apply()
    }

    fn weight(&self, region: &str) -> u16 {
        self.plan.as_ref().unwrap().regions[&name(region)].weight_bp
    }

    fn standing(&self, region: &str) -> Standing {
        self.plan.as_ref().unwrap().regions[&name(region)].standing.clone()
    }

    fn flaps(&self, region: &str) -> u32 {
        self.plan.as_ref().unwrap().regions[&name(region)].flaps
    }
}

const THREE: [&str; 3] = ["a", "b", "c"];

fn condition() -> impl Generator<Value = Condition> {
    prop_oneof![
        4 => Just(Condition::Healthy),
        1 => Just(Condition::Suspect),
        2 => Just(Condition::Failed),
        1 => Just(Condition::Unknown),
        1 => Just(Condition::Draining),
    ]
}

/// What happens to one region, and how long after the event before.
#[derive(Debug, Clone)]
enum Event {
    Judged(usize, Condition),
    Complete(usize, bool),
    Weight(usize, u16),
    Moved(usize, Vec<IpAddr>),
    Leaves(usize),
    Joins(usize),
    Nothing,
}

fn event() -> impl Generator<Value = (u64, Event)> {
    let region = 0usize..4;
    let what = prop_oneof![
        8 => (region.clone(), condition()).prop_map(|(region, condition)| Event::Judged(region, condition)),
        1 => (region.clone(), any::<bool>()).prop_map(|(region, is)| Event::Complete(region, is)),
        1 => (region.clone(), prop_oneof![Just(0u16), 1u16..=10_000, Just(u16::MAX)]).prop_map(|(region, bp)| Event::Weight(region, bp)),
        1 => (region.clone(), prop::collection::vec(any::<u32>().prop_map(|ip| IpAddr::V4(ip.into())), 0..3))
            .prop_map(|(region, addresses)| Event::Moved(region, addresses)),
        1 => region.clone().prop_map(Event::Leaves),
        1 => region.prop_map(Event::Joins),
        4 => Just(Event::Nothing),
    ];
    (prop_oneof![Just(0u64), 1u64..20_000, 1u64..200_000], what)
}

fn policy() -> impl Generator<Value = RecoveryPolicy> {
    let steps = prop::collection::vec((1u8..=100, prop_oneof![Just(0u64), 1u64..10_000]), 0..4);
    (prop_oneof![Just(0u64), 1u64..30_000], 0u64..100_000, 0u64..1_000_000, steps).prop_map(
        |(gate_ms, gate_max_ms, forget_flaps_ms, steps)| RecoveryPolicy {
            gate_ms,
            gate_max_ms,
            forget_flaps_ms,
            steps: steps.into_iter().map(|(percent, hold_ms)| RampStep { percent, hold_ms }).collect(),
        },
    )
}

fn world() -> impl Generator<Value = World> {
    let strategy = prop_oneof![Just(Strategy::Weighted), Just(Strategy::ActivePassive)];
    (strategy, policy(), 0u8..=100, prop::collection::vec(condition(), 4)).prop_map(
        |(strategy, recovery, suspect_percent, conditions)| {
            let regions = ["a", "b", "c", "d"];
            let regions = regions.iter().zip(conditions).enumerate().map(|(index, (region, condition))| {
                (name(region), RegionInput { condition, ..input(index as u8 + 1) })
            });
            let inputs = PlanInputs { regions: regions.collect(), strategy, suspect_percent, recovery };
            World { inputs, plan: None, now_ms: 1_000_000 }
        },
    )
}

impl World {
    fn happen(&mut self, (after_ms, event): &(u64, Event)) {
        self.now_ms += after_ms;
        let region = |index: &usize| name(["a", "b", "c", "d"][*index]);
        match event {
            Event::Judged(index, condition) => {
                if let Some(input) = self.inputs.regions.get_mut(&region(index))
                    && input.condition != *condition
                {
                    (input.condition, input.since_ms) = (*condition, self.now_ms);
                }
            }
            Event::Complete(index, is_complete) => {
                self.inputs.regions.entry(region(index)).and_modify(|input| input.is_complete = *is_complete);
            }
            Event::Weight(index, weight_bp) => {
                self.inputs.regions.entry(region(index)).and_modify(|input| input.weight_bp = *weight_bp);
            }
            Event::Moved(index, addresses) => {
                self.inputs.regions.entry(region(index)).and_modify(|input| input.addresses = addresses.clone());
            }
            Event::Leaves(index) => {
                self.inputs.regions.remove(&region(index));
            }
            Event::Joins(index) => {
                self.inputs.regions.entry(region(index)).or_insert_with(|| input(*index as u8 + 1));
            }
            Event::Nothing => {}
        }
    }

    /// Whether traffic can be sent there: not known to be down.
    fn is_usable(&self, input: &RegionInput) -> bool {
        !input.addresses.is_empty() && !matches!(input.condition, Condition::Failed | Condition::Draining)
    }

    fn check(&self, before: Option<&Plan>) -> Result<(), TestCaseError> {
        let plan = self.plan.as_ref().unwrap();
        prop_assert!(plan.regions.keys().eq(self.inputs.regions.keys()), "a plan has exactly the mesh's regions");
        let has_address = self.inputs.regions.values().any(|input| !input.addresses.is_empty());
        prop_assert_eq!(plan.total_weight_bp() > 0, has_address, "never empty: {:?}", plan);
        prop_assert_eq!(plan.carrying().count() > 0, has_address);
        let is_anybody_usable = self.inputs.regions.values().any(|input| self.is_usable(input));
        for (region, part) in &plan.regions {
            let input = &self.inputs.regions[region];
            prop_assert_eq!(&part.addresses, &input.addresses);
            prop_assert!(part.weight_bp <= FULL_WEIGHT_BP);
            if input.condition == Condition::Failed && is_anybody_usable {
                prop_assert_eq!(part.weight_bp, 0, "{} failed and others are usable: {:?}", region, plan);
            }
            self.check_way_back(region, part, before)?;
        }
        let shares: f64 = plan.shares().values().sum();
        prop_assert!(!has_address || (shares - 1.0).abs() < 1e-9);
        Ok(())
    }

    /// From out or gated a region gets to its full share by every step of the ramp only (steps held for no time are
    /// passed at once).
    fn check_way_back(
        &self,
        region: &RegionName,
        part: &RegionPlan,
        before: Option<&Plan>,
    ) -> Result<(), TestCaseError> {
        let Some(last) = before.and_then(|plan| plan.regions.get(region)) else { return Ok(()) };
        let steps = &self.inputs.recovery.steps;
        let may_pass = |from: usize, to: usize| steps[from..to].iter().all(|step| step.hold_ms == 0);
        let is_last_resort = self.inputs.regions.iter().all(|(other, input)| {
            other == region
                || !self.is_usable(input)
                || before.is_some_and(|plan| {
                    plan.regions
                        .get(other)
                        .is_none_or(|part| matches!(part.standing, Standing::Out { .. } | Standing::Gated { .. }))
                })
        });
        match (&last.standing, &part.standing) {
            (Standing::Out { .. }, Standing::Ramping { .. } | Standing::Serving) if !is_last_resort => {
                prop_assert!(self.inputs.recovery.gate_for(last.flaps) == 0, "{region} passed no gate");
            }
            (Standing::Gated { since_ms }, Standing::Ramping { .. } | Standing::Serving) if !is_last_resort => {
                prop_assert!(
                    self.now_ms - since_ms >= self.inputs.recovery.gate_for(last.flaps),
                    "{region}'s gate was shut"
                );
                prop_assert!(self.inputs.regions[region].is_complete);
            }
            _ => {}
        }
        // A cold start in which all look down lets all serve: the one way without a ramp.
        let all_down = self.inputs.regions.values().all(|input| !self.is_usable(input));
        match (&last.standing, &part.standing) {
            (Standing::Out { .. } | Standing::Gated { .. }, Standing::Serving) if !all_down => {
                prop_assert!(may_pass(0, steps.len()))
            }
            (Standing::Out { .. } | Standing::Gated { .. }, Standing::Ramping { step, .. }) => {
                prop_assert!(may_pass(0, *step))
            }
            (Standing::Ramping { step, .. }, Standing::Serving) => {
                prop_assert!(*step >= steps.len() || may_pass(step + 1, steps.len()));
            }
            (Standing::Ramping { step: from, .. }, Standing::Ramping { step: to, .. }) if to > from => {
                prop_assert!(may_pass(from + 1, *to));
            }
            _ => {}
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn every_plan_of_every_history_keeps_the_laws(mut world in world(), events in prop::collection::vec(event(), 0..40)) {
        world.apply();
        world.check(None)?;
        for event in &events {
            world.happen(event);
            let before = world.plan.clone();
            world.apply();
            world.check(before.as_ref())?;
            prop_assert_eq!(next_plan(world.plan.as_ref(), &world.inputs, world.now_ms), None, "a plan is at rest at its own time");
        }
    }

    #[test]
    fn two_leaders_that_know_the_same_make_the_same_plan(world in world(), events in prop::collection::vec(event(), 0..20)) {
        let (mut one, mut other) = (world.clone(), world);
        for event in &events {
            one.happen(event);
            other.happen(event);
            prop_assert_eq!(one.apply(), other.apply());
        }
        prop_assert_eq!(one.plan, other.plan);
    }

    #[test]
    fn a_mesh_that_stays_healthy_comes_back_to_full_shares(mut world in world(), events in prop::collection::vec(event(), 0..20)) {
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
            prop_assert_eq!(&part.standing, &Standing::Serving, "{}", region);
        }
    }

    #[test]
    fn at_most_one_region_begins_its_ramp_at_a_time(mut world in world(), events in prop::collection::vec(event(), 0..40)) {
        world.apply();
        let ramping = |plan: &Plan| plan.regions.values().filter(|part| matches!(part.standing, Standing::Ramping { .. })).count();
        for event in &events {
            world.happen(event);
            let before = world.plan.clone().unwrap();
            world.apply();
            let had_other_carriers = before.regions.iter().any(|(region, part)| {
                part.weight_bp > 0 && world.inputs.regions.get(region).is_some_and(|input| world.is_usable(input))
            });
            if had_other_carriers {
                prop_assert!(ramping(world.plan.as_ref().unwrap()) <= ramping(&before).max(1));
            }
        }
    }
}

#[test]
fn at_a_cold_start_all_that_is_not_known_to_be_down_serves() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.plan = None;
    world.inputs.regions.get_mut(&name("a")).unwrap().condition = Condition::Unknown;
    world.inputs.regions.get_mut(&name("b")).unwrap().condition = Condition::Failed;
    world.apply();
    assert_eq!([world.weight("a"), world.weight("b"), world.weight("c")], [10_000, 0, 10_000]);
}

#[test]
fn at_a_cold_start_with_all_down_all_serve() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.plan = None;
    world.inputs.regions.values_mut().for_each(|input| input.condition = Condition::Failed);
    world.apply();
    assert_eq!(THREE.map(|region| world.weight(region)), [10_000; 3]);
}

#[test]
fn a_suspect_region_keeps_a_tenth_and_gets_all_back_at_once() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.judge("a", Condition::Suspect);
    assert_eq!((world.weight("a"), world.standing("a")), (1_000, Standing::Reduced));
    world.wait(SECOND);
    world.judge("a", Condition::Healthy);
    assert_eq!((world.weight("a"), world.standing("a"), world.flaps("a")), (10_000, Standing::Serving, 0));
}

#[test]
fn a_failed_region_is_out_at_once_and_the_reason_tells_why() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.inputs.regions.get_mut(&name("a")).unwrap().reason = "2 of 2 observing regions say failed".into();
    assert_eq!(world.judge("a", Condition::Failed).unwrap(), "a: failed: 2 of 2 observing regions say failed");
    assert_eq!(
        (world.weight("a"), world.standing("a"), world.flaps("a")),
        (0, Standing::Out { since_ms: 1_000_000 }, 1)
    );
}

#[test]
fn draining_is_no_flap_and_comes_back_by_the_gate() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.judge("a", Condition::Draining);
    assert_eq!((world.weight("a"), world.flaps("a")), (0, 0));
    world.judge("a", Condition::Healthy);
    assert_eq!(world.standing("a"), Standing::Gated { since_ms: world.now_ms });
}

#[test]
fn the_way_back_is_gate_then_every_step_then_the_full_share() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.judge("a", Condition::Failed);
    world.wait(MINUTE);
    world.judge("a", Condition::Healthy);
    let mut weights = Vec::new();
    for _ in 0..25 {
        world.wait(SECOND);
        weights.push(world.weight("a"));
    }
    let expected = [[0; 9].as_slice(), &[1_000; 5], &[5_000; 5], &[10_000; 6]].concat();
    assert_eq!(weights, expected);
}

#[test]
fn the_gate_stays_shut_while_models_are_missing() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.judge("a", Condition::Failed);
    world.inputs.regions.get_mut(&name("a")).unwrap().is_complete = false;
    world.judge("a", Condition::Healthy);
    world.wait(MINUTE);
    assert!(matches!(world.standing("a"), Standing::Gated { .. }));
    world.inputs.regions.get_mut(&name("a")).unwrap().is_complete = true;
    world.apply();
    assert!(matches!(world.standing("a"), Standing::Ramping { step: 0, .. }));
}

#[test]
fn a_failure_on_the_ramp_means_out_again_and_a_longer_gate() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.judge("a", Condition::Failed);
    world.judge("a", Condition::Healthy);
    world.wait(10 * SECOND);
    assert!(matches!(world.standing("a"), Standing::Ramping { .. }));
    world.judge("a", Condition::Failed);
    assert_eq!((world.weight("a"), world.flaps("a")), (0, 2));
    world.judge("a", Condition::Healthy);
    world.wait(19 * SECOND);
    assert!(matches!(world.standing("a"), Standing::Gated { .. }));
    world.wait(SECOND);
    assert!(matches!(world.standing("a"), Standing::Ramping { step: 0, .. }));
}

#[test]
fn a_suspicion_on_the_ramp_costs_one_step_however_long_it_lasts() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.inputs.recovery.steps = [10, 20, 30, 40].map(|percent| RampStep { percent, hold_ms: 5 * SECOND }).to_vec();
    world.judge("a", Condition::Failed);
    world.judge("a", Condition::Healthy);
    world.wait(10 * SECOND);
    for _ in 0..3 {
        world.wait(5 * SECOND);
    }
    assert!(matches!(world.standing("a"), Standing::Ramping { step: 3, .. }));
    world.wait(SECOND);
    world.judge("a", Condition::Suspect);
    for _ in 0..10 {
        world.wait(SECOND);
    }
    assert!(matches!(world.standing("a"), Standing::Ramping { step: 2, .. }));
    world.judge("a", Condition::Healthy);
    world.wait(SECOND);
    world.judge("a", Condition::Suspect);
    assert!(matches!(world.standing("a"), Standing::Ramping { .. }));
    assert_eq!(world.flaps("a"), 1);
}

#[test]
fn one_region_ramps_at_a_time_and_the_plan_says_so() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.judge("a", Condition::Failed);
    world.judge("b", Condition::Failed);
    world.judge("a", Condition::Healthy);
    world.judge("b", Condition::Healthy);
    let reason = world.wait(10 * SECOND).unwrap();
    assert!(reason.contains("b must wait"), "{reason}");
    assert!(matches!(world.standing("a"), Standing::Ramping { .. }));
    assert!(matches!(world.standing("b"), Standing::Gated { .. }));
    world.wait(5 * SECOND);
    world.wait(5 * SECOND);
    assert_eq!(world.standing("a"), Standing::Serving);
    assert!(matches!(world.standing("b"), Standing::Ramping { step: 0, .. }));
}

#[test]
fn failures_are_forgotten_after_a_while() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.judge("a", Condition::Failed);
    world.judge("a", Condition::Healthy);
    for _ in 0..600 {
        world.wait(SECOND);
    }
    assert_eq!((world.flaps("a"), world.standing("a")), (0, Standing::Serving));
}

#[test]
fn the_last_region_keeps_its_share_and_the_first_that_returns_is_let_in_early() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    for region in THREE {
        world.judge(region, Condition::Failed);
    }
    assert_eq!(THREE.map(|region| world.weight(region)), [0, 0, 10_000]);
    let reason = world.judge("b", Condition::Healthy).unwrap();
    assert!(reason.contains("its gate opens early"), "{reason}");
    assert_eq!(THREE.map(|region| world.weight(region)), [0, 1_000, 0]);
}

#[test]
fn when_all_fail_at_once_nothing_moves() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.inputs.regions.values_mut().for_each(|input| input.condition = Condition::Failed);
    assert_eq!(world.apply(), None);
}

#[test]
fn where_one_of_two_regions_dies_with_its_observers_the_gated_other_takes_over() {
    let mut world = World::of(&["a", "b"], Strategy::Weighted);
    world.judge("b", Condition::Failed);
    world.judge("b", Condition::Healthy);
    // Region a is gone, and with it the only observers of b.
    world.judge("b", Condition::Unknown);
    world.judge("a", Condition::Failed);
    assert_eq!(world.weight("a"), 0);
    assert!(world.weight("b") > 0);
}

#[test]
fn a_draining_region_outranks_a_failed_one_when_nobody_else_is_left() {
    let mut world = World::of(&["a", "b"], Strategy::Weighted);
    world.inputs.regions.get_mut(&name("a")).unwrap().condition = Condition::Draining;
    world.judge("b", Condition::Failed);
    assert_eq!((world.weight("a"), world.weight("b")), (10_000, 0));
}

#[test]
fn active_passive_sends_all_to_the_first_and_moves_to_the_next() {
    let mut world = World::of(&THREE, Strategy::ActivePassive);
    assert_eq!(THREE.map(|region| world.weight(region)), [10_000, 0, 0]);
    assert_eq!(world.standing("b"), Standing::Serving);
    world.judge("a", Condition::Suspect);
    assert_eq!(THREE.map(|region| world.weight(region)), [1_000, 9_000, 0]);
    world.judge("a", Condition::Failed);
    assert_eq!(THREE.map(|region| world.weight(region)), [0, 10_000, 0]);
    world.judge("a", Condition::Healthy);
    world.wait(10 * SECOND);
    assert_eq!(THREE.map(|region| world.weight(region)), [1_000, 9_000, 0]);
    world.wait(5 * SECOND);
    assert_eq!(THREE.map(|region| world.weight(region)), [5_000, 5_000, 0]);
    world.wait(5 * SECOND);
    assert_eq!(THREE.map(|region| world.weight(region)), [10_000, 0, 0]);
}

#[test]
fn a_standby_of_weight_zero_serves_only_when_nobody_else_does() {
    let mut world = World::of(&["a", "b"], Strategy::Weighted);
    world.inputs.regions.get_mut(&name("b")).unwrap().weight_bp = 0;
    world.apply();
    assert_eq!((world.weight("a"), world.weight("b")), (10_000, 0));
    world.judge("a", Condition::Failed);
    assert_eq!((world.weight("a"), world.weight("b")), (0, 10_000));
}

#[test]
fn a_region_that_joins_ramps_up_and_one_that_leaves_is_dropped() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.inputs.regions.insert(name("d"), input(4));
    let reason = world.apply().unwrap();
    assert!(reason.contains("d: joined the mesh") && world.weight("d") == 0, "{reason}");
    world.inputs.regions.remove(&name("a"));
    assert_eq!(world.apply().unwrap(), "a: left the mesh");
}

#[test]
fn a_change_of_addresses_or_weights_makes_a_new_plan() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.inputs.regions.get_mut(&name("a")).unwrap().addresses = vec![IpAddr::V4(Ipv4Addr::new(192, 0, 2, 99))];
    assert_eq!(world.apply().unwrap(), "a: addresses changed");
    world.inputs.regions.get_mut(&name("a")).unwrap().weight_bp = 5_000;
    assert_eq!(world.apply().unwrap(), "the configured shares changed");
    let shares = world.plan.unwrap().shares();
    assert_eq!(THREE.map(|region| shares[&name(region)]), [0.2, 0.4, 0.4]);
}

#[test]
fn a_long_reason_is_cut() {
    let mut world = World::of(&THREE, Strategy::Weighted);
    world.inputs.regions.get_mut(&name("a")).unwrap().reason = "é".repeat(5_000);
    let reason = world.judge("a", Condition::Failed).unwrap();
    assert!(reason.len() < 1_010 && reason.ends_with('…'));
}
