//! Laws of [`next_plan`] over histories; its rules one by one are in the modules below.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::{
    planning::{PlanInputs, RegionInput, Strategy, next_plan},
    recovery::{
        ramp::{RampStep, RecoveryPolicy},
        trial::Evidence,
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
mod membership;
mod orders;
mod survival;
mod time;

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
        is_loaded: true,
        inference_passes: None,
        measured_capacity_rps: None,
        capacity_rps: None,
        load_rps: None,
        evidence: Evidence::NotMeasured,
    }
}

/// Gate 10 s, steps 10 % and 50 % of 5 s each.
fn recovery() -> RecoveryPolicy {
    RecoveryPolicy {
        gate_ms: 10 * SECOND,
        gate_max_ms: 30 * SECOND,
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

/// A leader that applies every plan, and a world that it looks at.
#[derive(Debug, Clone)]
struct World {
    inputs: PlanInputs,
    plan: Option<Plan>,
    now_ms: u64,
    /// Whether the last event was a change of the configuration, or one before it that waits: while
    /// all look down the last shares stay. That may take traffic from anybody.
    is_reconfigured: bool,
}

impl World {
    fn of(regions: &[&str], strategy: Strategy) -> Self {
        let regions = regions
            .iter()
            .enumerate()
            .map(|(index, region)| (name(region), input(index as u8 + 1)))
            .collect();
        let inputs = PlanInputs {
            regions,
            strategy,
            suspect_percent: 10,
            recovery: recovery(),
            max_out: 1,
            ttl_ms: 0,
            cost: None,
        };

        let mut world = Self {
            inputs,
            plan: None,
            now_ms: 1_000_000,
            is_reconfigured: false,
        };

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
        self.plan.as_ref().unwrap().regions[&name(region)]
            .standing
            .clone()
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
    (
        prop_oneof![Just(0u64), 1u64..30_000],
        0u64..100_000,
        0u64..1_000_000,
        steps,
    )
        .prop_map(|(gate_ms, gate_max_ms, forget_flaps_ms, mut steps)| {
            // As the configuration must have them.
            steps.sort_by_key(|(percent, _)| *percent);
            let steps = steps
                .into_iter()
                .map(|(percent, hold_ms)| RampStep { percent, hold_ms })
                .collect();

            RecoveryPolicy {
                gate_ms,
                gate_max_ms,
                forget_flaps_ms,
                steps,
                ..RecoveryPolicy::default()
            }
        })
}

fn world() -> impl Generator<Value = World> {
    let strategy = prop_oneof![Just(Strategy::Weighted), Just(Strategy::ActivePassive)];
    (
        strategy,
        policy(),
        0u8..=100,
        0u16..3,
        prop::collection::vec(condition(), 4),
    )
        .prop_map(
            |(strategy, recovery, suspect_percent, max_out, conditions)| {
                let regions = ["a", "b", "c", "d"];
                let regions = regions.iter().zip(conditions).enumerate().map(
                    |(index, (region, condition))| {
                        (
                            name(region),
                            RegionInput {
                                condition,
                                ..input(index as u8 + 1)
                            },
                        )
                    },
                );

                let inputs = PlanInputs {
                    regions: regions.collect(),
                    strategy,
                    suspect_percent,
                    recovery,
                    max_out,
                    ttl_ms: 0,
                    cost: None,
                };

                World {
                    inputs,
                    plan: None,
                    now_ms: 1_000_000,
                    is_reconfigured: false,
                }
            },
        )
}

impl World {
    fn happen(&mut self, (after_ms, event): &(u64, Event)) {
        self.now_ms += after_ms;
        let waits = self.is_reconfigured && self.keeps_last_shares();
        self.is_reconfigured = waits
            || !matches!(
                event,
                Event::Judged(..) | Event::Complete(..) | Event::Nothing
            );

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
                self.inputs
                    .regions
                    .entry(region(index))
                    .and_modify(|input| input.is_complete = *is_complete);
            }
            Event::Weight(index, weight_bp) => {
                self.inputs
                    .regions
                    .entry(region(index))
                    .and_modify(|input| input.weight_bp = *weight_bp);
            }
            Event::Moved(index, addresses) => {
                self.inputs
                    .regions
                    .entry(region(index))
                    .and_modify(|input| input.addresses = addresses.clone());
            }
            Event::Leaves(index) => {
                self.inputs.regions.remove(&region(index));
            }
            Event::Joins(index) => {
                self.inputs
                    .regions
                    .entry(region(index))
                    .or_insert_with(|| input(*index as u8 + 1));
            }
            Event::Nothing => {}
        }
    }

    /// Whether nobody that has traffic is usable.
    fn keeps_last_shares(&self) -> bool {
        let is_usable = |region| {
            self.inputs
                .regions
                .get(region)
                .is_some_and(|input| self.is_usable(input))
        };

        !self
            .plan
            .iter()
            .flat_map(Plan::carrying)
            .any(|(region, _)| is_usable(region))
    }

    /// Whether traffic can be sent there: not known to be down.
    fn is_usable(&self, input: &RegionInput) -> bool {
        !input.addresses.is_empty()
            && !matches!(input.condition, Condition::Failed | Condition::Draining)
    }

    fn check(&self, before: Option<&Plan>) -> Result<(), TestCaseError> {
        let plan = self.plan.as_ref().unwrap();
        prop_assert!(
            plan.regions.keys().eq(self.inputs.regions.keys()),
            "a plan has exactly the mesh's regions"
        );

        let has_address = self
            .inputs
            .regions
            .values()
            .any(|input| !input.addresses.is_empty());

        prop_assert_eq!(
            plan.total_weight_bp() > 0,
            has_address,
            "never empty: {:?}",
            plan
        );

        prop_assert_eq!(plan.carrying().count() > 0, has_address);
        let is_anybody_usable = self
            .inputs
            .regions
            .values()
            .any(|input| self.is_usable(input));

        for (region, part) in &plan.regions {
            let input = &self.inputs.regions[region];
            prop_assert_eq!(&part.addresses, &input.addresses);
            prop_assert!(part.weight_bp <= FULL_WEIGHT_BP);
            if input.condition == Condition::Failed && is_anybody_usable {
                let most = match part.standing {
                    Standing::Limited { .. } => {
                        FULL_WEIGHT_BP.div_ceil(100) * u16::from(self.inputs.suspect_percent)
                    }
                    _ => 0,
                };

                prop_assert!(
                    part.weight_bp <= most,
                    "{region} failed and others are usable: {plan:?}"
                );
            }

            self.check_way_back(region, part, before)?;
        }

        if let Some(before) = before {
            self.check_max_out(before, plan)?;
            self.check_healthy_lose_nothing(before, plan)?;
        }

        let shares: f64 = plan.shares().values().sum();
        prop_assert!(!has_address || (shares - 1.0).abs() < 1e-9);
        Ok(())
    }

    /// Automation takes a region that serves out only if fewer than `max_out` are out then. (One
    /// that fails on the ramp loses what it had been given back in any case.)
    fn check_max_out(&self, before: &Plan, plan: &Plan) -> Result<(), TestCaseError> {
        let newly = plan.taken_out().filter(|region| {
            let last = before.regions.get(*region);
            last.is_some_and(|last| {
                matches!(
                    last.standing,
                    Standing::Serving | Standing::Reduced | Standing::Limited { .. }
                )
            })
        });

        let newly = newly.count();
        let out = plan.taken_out().count();
        prop_assert!(
            newly == 0 || out <= usize::from(self.inputs.max_out),
            "{newly} more of {out} out: {plan:?}"
        );

        Ok(())
    }

    /// A region that was and is healthy and serves keeps its weight, whatever happens to others; in
    /// an active-passive mesh only a region before it that comes back takes it over. (One that was
    /// limited while all looked down had kept its last share, whatever the configuration said
    /// meanwhile.)
    fn check_healthy_lose_nothing(&self, before: &Plan, plan: &Plan) -> Result<(), TestCaseError> {
        let has_standbys = self
            .inputs
            .regions
            .values()
            .any(|input| input.weight_bp == 0);

        if self.inputs.strategy == Strategy::ActivePassive || has_standbys || self.is_reconfigured {
            return Ok(());
        }

        for (region, last) in &before.regions {
            let Some(input) = self.inputs.regions.get(region) else {
                continue;
            };
            let Some(part) = plan.regions.get(region) else {
                continue;
            };
            let is_healthy = input.condition == Condition::Healthy && !input.addresses.is_empty();
            let was_limited = matches!(last.standing, Standing::Limited { .. });

            if is_healthy && !was_limited && last.weight_bp > 0 && last.weight_bp <= input.weight_bp
            {
                prop_assert!(
                    part.weight_bp >= last.weight_bp,
                    "{region} lost traffic: {before:?} then {plan:?}"
                );
            }
        }

        Ok(())
    }

    /// From out or gated a region gets to its full share by every step of the ramp only (steps held
    /// for no time are passed at once).
    fn check_way_back(
        &self,
        region: &RegionName,
        part: &RegionPlan,
        before: Option<&Plan>,
    ) -> Result<(), TestCaseError> {
        let Some(last) = before.and_then(|plan| plan.regions.get(region)) else {
            return Ok(());
        };
        let steps = &self.inputs.recovery.steps;
        let may_pass =
            |from: usize, to: usize| steps[from..to].iter().all(|step| step.hold_ms == 0);
        let is_last_resort = self.inputs.regions.iter().all(|(other, input)| {
            other == region
                || !self.is_usable(input)
                || before.is_some_and(|plan| {
                    plan.regions.get(other).is_none_or(|part| {
                        !matches!(
                            part.standing,
                            Standing::Serving | Standing::Reduced | Standing::Ramping { .. }
                        )
                    })
                })
        });

        match (&last.standing, &part.standing) {
            (Standing::Out { .. }, Standing::Ramping { .. } | Standing::Serving)
                if !is_last_resort =>
            {
                prop_assert!(
                    self.inputs.recovery.gate_for(last.flaps) == 0,
                    "{region} passed no gate: {before:?} then {:?}",
                    self.plan
                );
            }
            (Standing::Gated { since_ms }, Standing::Ramping { .. } | Standing::Serving)
                if !is_last_resort =>
            {
                prop_assert!(
                    self.now_ms - since_ms >= self.inputs.recovery.gate_for(last.flaps),
                    "{region}'s gate was shut"
                );
                prop_assert!(self.inputs.regions[region].is_complete);
            }
            _ => {}
        }

        // A cold start in which all look down lets all serve: the one way without a ramp.
        let all_down = self
            .inputs
            .regions
            .values()
            .all(|input| !self.is_usable(input));

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
            (Standing::Ramping { step: from, .. }, Standing::Ramping { step: to, .. })
                if to > from =>
            {
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
    fn every_plan_of_every_history_keeps_the_laws(
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
    fn two_leaders_that_know_the_same_make_the_same_plan(
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
    fn a_mesh_that_stays_healthy_comes_back_to_full_shares(
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
            prop_assert_eq!(&part.standing, &Standing::Serving, "{}", region);
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
                .filter(|part| matches!(part.standing, Standing::Ramping { .. }))
                .count()
        };

        for event in &events {
            world.happen(event);
            let before = world.plan.clone().unwrap();
            world.apply();

            let had_other_carriers = before.regions.iter().any(|(region, part)| {
                let is_limited = matches!(part.standing, Standing::Limited { .. });
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
