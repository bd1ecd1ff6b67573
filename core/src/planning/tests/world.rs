//! A leader, the world that it observes, and the events in it.

use super::*;
use crate::planning::{Explanation, explain};

/// A leader that applies every plan, and the world that it observes.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) inputs: PlanInputs,
    pub(super) plan: Option<Plan>,
    pub(super) now_ms: u64,
    /// Whether the last event changed the configuration, or an earlier change is still pending
    /// because the last shares stay while every region appears to be down. Such a change may take
    /// traffic from any region.
    pub(super) is_reconfigured: bool,
}

impl World {
    pub(super) fn of(regions: &[&str], strategy: Strategy) -> Self {
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

    pub(super) fn apply(&mut self) -> Option<String> {
        let next = next_plan(self.plan.as_ref(), &self.inputs, self.now_ms)?;
        let reason = next.reason.clone();
        self.plan = Some(next);
        Some(reason)
    }

    pub(super) fn judge(&mut self, region: &str, condition: Condition) -> Option<String> {
        let now_ms = self.now_ms;
        let input = self.region_mut(region);
        if input.condition != condition {
            (input.condition, input.since_ms) = (condition, now_ms);
        }
        self.apply()
    }

    pub(super) fn wait(&mut self, ms: u64) -> Option<String> {
        self.now_ms += ms;
        self.apply()
    }

    pub(super) fn region_mut(&mut self, region: &str) -> &mut RegionInput {
        self.inputs.regions.get_mut(&name(region)).unwrap()
    }

    pub(super) fn explain(&self, region: &str) -> Explanation {
        let plan = self.plan.as_ref().unwrap();
        explain(plan, &self.inputs, &name(region), self.now_ms).unwrap()
    }

    pub(super) fn is_cooling_down(&self, region: &str) -> bool {
        matches!(self.traffic_state(region), TrafficState::CoolingDown { .. })
    }

    pub(super) fn cooling_down_now(&self) -> TrafficState {
        let since_ms = self.now_ms;
        TrafficState::CoolingDown { since_ms }
    }

    pub(super) fn ramping_now(&self, step: usize) -> TrafficState {
        let since_ms = self.now_ms;
        TrafficState::Ramping { step, since_ms }
    }

    /// The step of the ramp that the region is on.
    pub(super) fn ramp_step(&self, region: &str) -> Option<usize> {
        match self.traffic_state(region) {
            TrafficState::Ramping { step, .. } => Some(step),
            _ => None,
        }
    }

    pub(super) fn weight(&self, region: &str) -> u16 {
        self.plan.as_ref().unwrap().regions[&name(region)].weight_bp
    }

    pub(super) fn traffic_state(&self, region: &str) -> TrafficState {
        self.plan.as_ref().unwrap().regions[&name(region)]
            .traffic_state
            .clone()
    }

    pub(super) fn flaps(&self, region: &str) -> u32 {
        self.plan.as_ref().unwrap().regions[&name(region)].flaps
    }
}

pub(super) fn condition() -> impl Generator<Value = Condition> {
    prop_oneof![
        4 => Just(Condition::Healthy),
        1 => Just(Condition::Suspect),
        2 => Just(Condition::Failed),
        1 => Just(Condition::Unknown),
        1 => Just(Condition::Draining),
    ]
}

/// An event, and how long after the previous one.
#[derive(Debug, Clone)]
pub(super) enum Event {
    Judged(usize, Condition),
    Complete(usize, bool),
    Weight(usize, u16),
    Moved(usize, Vec<IpAddr>),
    Leaves(usize),
    Joins(usize),
    Nothing,
}

pub(super) fn event() -> impl Generator<Value = (u64, Event)> {
    let region = 0usize..4;
    let weight = prop_oneof![Just(0u16), 1u16..=10_000, Just(u16::MAX)];
    let address = any::<u32>().prop_map(|ip| IpAddr::V4(ip.into()));
    let what = prop_oneof![
        8 => (region.clone(), condition())
            .prop_map(|(region, condition)| Event::Judged(region, condition)),
        1 => (region.clone(), any::<bool>()).prop_map(|(region, is)| Event::Complete(region, is)),
        1 => (region.clone(), weight).prop_map(|(region, bp)| Event::Weight(region, bp)),
        1 => (region.clone(), prop::collection::vec(address, 0..3))
            .prop_map(|(region, addresses)| Event::Moved(region, addresses)),
        1 => region.clone().prop_map(Event::Leaves),
        1 => region.prop_map(Event::Joins),
        4 => Just(Event::Nothing),
    ];

    (prop_oneof![Just(0u64), 1u64..20_000, 1u64..200_000], what)
}

pub(super) fn policy() -> impl Generator<Value = RecoveryPolicy> {
    let steps = prop::collection::vec((1u8..=100, prop_oneof![Just(0u64), 1u64..10_000]), 0..4);
    (
        prop_oneof![Just(0u64), 1u64..30_000],
        0u64..100_000,
        0u64..1_000_000,
        steps,
    )
        .prop_map(
            |(cool_down_ms, cool_down_max_ms, forget_flaps_ms, mut steps)| {
                // As the configuration must have them.
                steps.sort_by_key(|(percent, _)| *percent);
                let steps = steps
                    .into_iter()
                    .map(|(percent, hold_ms)| RampStep { percent, hold_ms })
                    .collect();

                RecoveryPolicy {
                    cool_down_ms,
                    cool_down_max_ms,
                    forget_flaps_ms,
                    steps,
                    ..RecoveryPolicy::default()
                }
            },
        )
}

pub(super) fn world() -> impl Generator<Value = World> {
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
    pub(super) fn happen(&mut self, (after_ms, event): &(u64, Event)) {
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
}
