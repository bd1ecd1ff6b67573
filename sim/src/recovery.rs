//! Simulates a region that comes back and answers some requests with errors: how much of its normal
//! traffic does it get before the ramp takes it out again? The plans are the leader's
//! ([`next_plan`]); the clock and the users are simulated.

use crate::random::Random;
use regionmesh_core::{
    planning::{PlanInputs, RegionInput, Strategy, next_plan},
    recovery::{
        canary::{CanaryComparison, Evidence},
        ramp::RecoveryPolicy,
    },
};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{Plan, TrafficState},
    status::{
        condition::Condition,
        served::{LATENCY_BUCKETS, Served},
    },
};
use std::collections::{BTreeMap, VecDeque};

/// The region that comes back, and the others.
#[derive(Debug, Clone, Copy)]
pub struct Comeback {
    /// Requests per second that each region normally gets.
    pub normal_rps: u32,
    /// Errors per million requests in the region that comes back.
    pub errors_ppm: u32,
    /// Errors per million requests in the regions that serve.
    pub control_ppm: u32,
}

/// The outcome of a comeback.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// Whether traffic was taken from it again before it had its full share.
    pub is_rolled_back: bool,
    /// Its requests from the first step until then, as a part of its normal traffic in that time.
    pub share: f64,
    /// How long that was, seconds.
    pub seconds: u64,
}

/// Two observers probe it twice a second.
const PROBES_PER_S: u64 = 4;
/// Age of agents' measurements when the leader uses them, seconds.
const EVIDENCE_DELAY_S: usize = 2;
/// The ramp ends long before this, seconds.
const END_S: u64 = 24 * 3_600;

/// Simulates one comeback with the default settings in a mesh of three regions. The same seed gives
/// the same outcome.
pub fn play(seed: u64, comeback: &Comeback) -> Outcome {
    let names: Vec<RegionName> = ["a", "b", "c"]
        .iter()
        .filter_map(|name| name.parse().ok())
        .collect();
    let back = names[0].clone();
    let mut simulation = Simulation::new(seed, *comeback, back, &names);

    for _ in 0..END_S {
        if let Some(outcome) = simulation.step() {
            return outcome;
        }
    }

    Outcome {
        seconds: END_S,
        ..simulation.outcome(false)
    }
}

struct Simulation {
    comeback: Comeback,
    random: Random,
    now_ms: u64,
    /// The region that comes back.
    back: RegionName,
    inputs: PlanInputs,
    plan: Option<Plan>,
    /// What the region has served in the current step.
    own: Served,
    /// What the other regions have served in the current step.
    control: Served,
    /// Measurements on their way to the leader, oldest first.
    delayed: VecDeque<Option<CanaryComparison>>,
    /// Requests to the region since its first step.
    requests: u64,
    /// Requests that it would normally have got in that time.
    normal_requests: u64,
    began_ms: Option<u64>,
    highest_step: usize,
}

impl Simulation {
    /// The region has failed and is healthy again a minute later.
    fn new(seed: u64, comeback: Comeback, back: RegionName, names: &[RegionName]) -> Self {
        let inputs = PlanInputs {
            regions: names
                .iter()
                .map(|name| (name.clone(), healthy()))
                .collect::<BTreeMap<_, _>>(),
            strategy: Strategy::Weighted,
            suspect_percent: 10,
            recovery: RecoveryPolicy::default(),
            max_out: 1,
            ttl_ms: 5_000,
            cost: None,
        };

        let mut simulation = Self {
            comeback,
            random: Random::new(seed),
            now_ms: 1_000_000,
            back,
            inputs,
            plan: None,
            own: Served::default(),
            control: Served::default(),
            delayed: VecDeque::from(vec![None; EVIDENCE_DELAY_S]),
            requests: 0,
            normal_requests: 0,
            began_ms: None,
            highest_step: 0,
        };

        simulation.update_plan();
        simulation.set_condition(Condition::Failed);
        simulation.now_ms += 60_000;
        simulation.set_condition(Condition::Healthy);
        simulation
    }

    fn set_condition(&mut self, condition: Condition) {
        if let Some(region) = self.inputs.regions.get_mut(&self.back) {
            region.condition = condition;
            region.since_ms = self.now_ms;
        }
        self.update_plan();
    }

    fn update_plan(&mut self) {
        if let Some(plan) = next_plan(self.plan.as_ref(), &self.inputs, self.now_ms) {
            self.plan = Some(plan);
        }
    }

    /// Simulates one second; returns the outcome once the ramp has ended.
    fn step(&mut self) -> Option<Outcome> {
        self.now_ms += 1_000;
        let traffic_state = self
            .plan
            .as_ref()
            .and_then(|plan| plan.regions.get(&self.back))
            .map(|region| region.traffic_state.clone());

        match traffic_state {
            Some(TrafficState::Ramping { step, .. }) if step < self.highest_step => {
                return Some(self.outcome(true));
            }
            Some(TrafficState::Ramping { step, since_ms }) => {
                let comparison = self.serve_step(step, since_ms);
                self.delayed.push_back(Some(comparison));
            }
            Some(TrafficState::Serving) => return Some(self.outcome(false)),
            // The region was taken out again.
            _ if self.began_ms.is_some() => return Some(self.outcome(true)),
            // The ramp has not begun.
            _ => self.delayed.push_back(None),
        }

        if let Some(region) = self.inputs.regions.get_mut(&self.back) {
            region.evidence = self
                .delayed
                .pop_front()
                .flatten()
                .map_or(Evidence::Missing, |comparison| {
                    Evidence::Measured(Box::new(comparison))
                });
        }

        self.update_plan();
        None
    }

    /// Serves one second of a step.
    fn serve_step(&mut self, step: usize, since_ms: u64) -> CanaryComparison {
        if self.began_ms.is_none() || step > self.highest_step {
            // Each step has its own counters.
            self.own = Served::default();
            self.control = Served::default();
            self.highest_step = step;
            self.began_ms = self.began_ms.or(Some(self.now_ms));
        }

        let normal_rps = u64::from(self.comeback.normal_rps);
        let hundredths = normal_rps * u64::from(self.inputs.recovery.percent_at(step));
        let is_rounded_up = self.random.below(100) < hundredths % 100;
        let requests = hundredths / 100 + u64::from(is_rounded_up);

        self.requests += requests;
        self.normal_requests += normal_rps;
        let Comeback {
            errors_ppm,
            control_ppm,
            ..
        } = self.comeback;

        serve(&mut self.own, requests, errors_ppm, &mut self.random);
        self.own.probes += PROBES_PER_S;
        serve(
            &mut self.control,
            2 * normal_rps,
            control_ppm,
            &mut self.random,
        );

        CanaryComparison {
            step,
            since_ms,
            own: self.own,
            control: Some(self.control),
        }
    }

    fn outcome(&self, is_rolled_back: bool) -> Outcome {
        Outcome {
            is_rolled_back,
            share: self.requests as f64 / self.normal_requests.max(1) as f64,
            seconds: self
                .began_ms
                .map_or(0, |began_ms| (self.now_ms - began_ms) / 1_000),
        }
    }
}

fn serve(served: &mut Served, requests: u64, errors_ppm: u32, random: &mut Random) {
    for _ in 0..requests {
        if random.below(1_000_000) < u64::from(errors_ppm) {
            served.errors += 1;
        } else {
            served.answered += 1;
            served.latency[Served::bucket(7.0).min(LATENCY_BUCKETS - 1)] += 1;
        }
    }
}

fn healthy() -> RegionInput {
    RegionInput {
        weight_bp: 10_000,
        priority: 0,
        addresses: vec![std::net::Ipv4Addr::LOCALHOST.into()],
        condition: Condition::Healthy,
        since_ms: 0,
        reason: String::new(),
        is_complete: true,
        is_loaded: true,
        inference_passes: None,
        capacity_rps: None,
        measured_capacity_rps: None,
        load_rps: None,
        evidence: Evidence::Missing,
    }
}
