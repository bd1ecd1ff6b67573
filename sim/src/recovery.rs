//! A region comes back and answers some of its requests with errors: how much of its normal traffic
//! does it get before the ramp takes it away again? The plans are those of the leader
//! ([`next_plan`]), the clock and the users are made up.

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
    plan::TrafficState,
    status::{
        condition::Condition,
        served::{LATENCY_BUCKETS, Served},
    },
};
use std::collections::{BTreeMap, VecDeque};

/// What comes back, into what.
#[derive(Debug, Clone, Copy)]
pub struct Comeback {
    /// Requests a second that each region normally gets.
    pub normal_rps: u32,
    /// How many of a million requests the region that comes back answers with an error.
    pub errors_ppm: u32,
    /// The same of the regions that serve.
    pub control_ppm: u32,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// Whether traffic was taken from it again before it had its full share.
    pub is_rolled_back: bool,
    /// What it got from the first step on until then, as a part of its normal traffic in that time.
    pub share: f64,
    /// How long that was, seconds.
    pub seconds: u64,
}

/// Observers that probe it twice a second.
const PROBES_PER_S: u64 = 4;
/// What agents tell of themselves is so old when the leader reckons with it, seconds.
const TOLD_AFTER_S: usize = 2;
/// Long before this the ramp has an end, seconds.
const END_S: u64 = 24 * 3_600;

/// Plays one comeback, by the default settings of a mesh of three. The same seed, the same outcome.
pub fn play(seed: u64, comeback: &Comeback) -> Outcome {
    let mut random = Random::new(seed);
    let names: Vec<RegionName> = ["a", "b", "c"]
        .iter()
        .filter_map(|name| name.parse().ok())
        .collect();
    let recovery = RecoveryPolicy::default();
    let mut inputs = PlanInputs {
        regions: names
            .iter()
            .map(|name| (name.clone(), healthy()))
            .collect::<BTreeMap<_, _>>(),
        strategy: Strategy::Weighted,
        suspect_percent: 10,
        recovery: recovery.clone(),
        max_out: 1,
        ttl_ms: 5_000,
        cost: None,
    };

    let back = &names[0];
    let mut now_ms = 1_000_000;
    let mut plan = next_plan(None, &inputs, now_ms);
    let judge = |inputs: &mut PlanInputs, condition, now_ms| {
        if let Some(region) = inputs.regions.get_mut(back) {
            (region.condition, region.since_ms) = (condition, now_ms);
        }
    };

    judge(&mut inputs, Condition::Failed, now_ms);
    plan = next_plan(plan.as_ref(), &inputs, now_ms).or(plan);
    now_ms += 60_000;
    judge(&mut inputs, Condition::Healthy, now_ms);
    plan = next_plan(plan.as_ref(), &inputs, now_ms).or(plan);

    let mut own = Served::default();
    let mut control = Served::default();
    let mut told = VecDeque::from(vec![None; TOLD_AFTER_S]);
    let mut got = 0u64;
    let mut normal = 0u64;
    let mut began_ms = None;
    let mut highest = 0;

    for _ in 0..END_S {
        now_ms += 1_000;
        let traffic_state = plan
            .as_ref()
            .and_then(|plan| plan.regions.get(back))
            .map(|region| region.traffic_state.clone());
        let seconds = |began_ms: Option<u64>| began_ms.map_or(0, |began| (now_ms - began) / 1_000);
        let outcome = |is_rolled_back, got: u64, normal: u64| Outcome {
            is_rolled_back,
            share: got as f64 / normal.max(1) as f64,
            seconds: seconds(began_ms),
        };

        match traffic_state {
            Some(TrafficState::Ramping { step, since_ms }) => {
                if step < highest {
                    return outcome(true, got, normal);
                }

                if began_ms.is_none() || step > highest {
                    // A new step: its counters begin anew.
                    (own, control, highest) = (Served::default(), Served::default(), step);
                    began_ms = began_ms.or(Some(now_ms));
                }

                let hundredths =
                    u64::from(comeback.normal_rps) * u64::from(recovery.percent_at(step));
                let requests = hundredths / 100 + u64::from(random.below(100) < hundredths % 100);

                got += requests;
                normal += u64::from(comeback.normal_rps);
                serve(&mut own, requests, comeback.errors_ppm, &mut random);
                own.probes += PROBES_PER_S;
                serve(
                    &mut control,
                    2 * u64::from(comeback.normal_rps),
                    comeback.control_ppm,
                    &mut random,
                );

                told.push_back(Some(CanaryComparison {
                    step,
                    since_ms,
                    own,
                    control: Some(control),
                }));
            }
            Some(TrafficState::Serving) => return outcome(false, got, normal),
            // Before the first step, or after the fall from it.
            _ if began_ms.is_some() => return outcome(true, got, normal),
            _ => told.push_back(None),
        }

        if let Some(region) = inputs.regions.get_mut(back) {
            region.evidence = told
                .pop_front()
                .flatten()
                .map_or(Evidence::Missing, |trial| {
                    Evidence::Measured(Box::new(trial))
                });
        }

        plan = next_plan(plan.as_ref(), &inputs, now_ms).or(plan);
    }

    Outcome {
        is_rolled_back: false,
        share: got as f64 / normal.max(1) as f64,
        seconds: END_S,
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
