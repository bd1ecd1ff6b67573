//! The whole chain over simulated hours: probes → conclusions → votes → verdicts → plans, with
//! endpoints that die, hang and come back, links that are cut, observers that stop, and leaders
//! that change. A failure prints its seed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use rand::{RngExt, SeedableRng, rngs::StdRng};
use regionmesh_core::{
    health::{
        probe::{ProbePolicy, ProbeResult, ProbeTracker},
        verdict::{Opinion, RegionVerdict, region_verdict},
    },
    planning::{PlanInputs, RegionInput, Strategy, next_plan},
    recovery::{canary::Evidence, ramp::RecoveryPolicy},
};
use regionmesh_protocol::{
    identity::{AgentId, RegionName},
    plan::{FULL_WEIGHT_BP, Plan, TrafficState},
    status::condition::Condition,
};
use std::collections::BTreeMap;

const POLICY: ProbePolicy = ProbePolicy::DEFAULT;
const MINUTE: u64 = 60_000;

/// What is so, as opposed to what is observed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Truth {
    Up,
    Refuses,
    Hangs,
}

/// One agent per region; all agents see each other's opinions of the tick before.
struct Mesh {
    names: Vec<RegionName>,
    agents: Vec<AgentId>,
    truth: Vec<Truth>,
    /// Whether the region's agent runs.
    observes: Vec<bool>,
    /// `is_cut[a][b]`: a's probes do not reach b.
    is_cut: Vec<Vec<bool>>,
    trackers: Vec<Vec<ProbeTracker>>,
    verdicts: Vec<BTreeMap<RegionName, RegionVerdict>>,
    plan: Option<Plan>,
    strategy: Strategy,
    now_ms: u64,
    /// Between two probes, milliseconds.
    tick_ms: u64,
}

impl Mesh {
    fn new(regions: usize, strategy: Strategy) -> Self {
        let names: Vec<RegionName> = (0..regions)
            .map(|index| format!("r{index}").parse().unwrap())
            .collect();
        let agents = names.iter().map(|region| AgentId {
            region: region.clone(),
            agent: "node-0".parse().unwrap(),
        });
        let mut mesh = Self {
            agents: agents.collect(),
            truth: vec![Truth::Up; regions],
            observes: vec![true; regions],
            is_cut: vec![vec![false; regions]; regions],
            trackers: vec![vec![ProbeTracker::new(0); regions]; regions],
            verdicts: vec![BTreeMap::new(); regions],
            plan: None,
            strategy,
            now_ms: 1_000_000,
            tick_ms: 500,
            names,
        };

        mesh.run(10_000);
        mesh
    }

    fn run(&mut self, for_ms: u64) {
        let until_ms = self.now_ms + for_ms;
        while self.now_ms < until_ms {
            self.tick();
        }
    }

    fn tick(&mut self) {
        self.now_ms += self.tick_ms;
        for observer in (0..self.names.len()).filter(|observer| self.observes[*observer]) {
            for region in 0..self.names.len() {
                let result = match self.truth[region] {
                    _ if self.is_cut[observer][region] => ProbeResult::Silence("no answer".into()),
                    Truth::Up => ProbeResult::Success {
                        round_trip_us: 1,
                        evidence: "200".into(),
                    },
                    Truth::Refuses => ProbeResult::DefiniteFailure("connection refused".into()),
                    Truth::Hangs => ProbeResult::Silence("no answer".into()),
                };

                self.trackers[observer][region].record(result, self.now_ms, &POLICY);
            }
        }

        // The first running agent leads; the others' verdicts decide nothing.
        let Some(leader) = self.observes.iter().position(|runs| *runs) else {
            return;
        };
        self.verdicts[leader] = self.judge(leader);
        if let Some(next) = next_plan(self.plan.as_ref(), &self.inputs(leader), self.now_ms) {
            self.plan = Some(next);
            assert_eq!(
                next_plan(self.plan.as_ref(), &self.inputs(leader), self.now_ms),
                None,
                "a plan at rest"
            );
        }

        self.check(leader);
    }

    fn judge(&self, judge: usize) -> BTreeMap<RegionName, RegionVerdict> {
        let verdict = |region: usize| {
            let opinions: Vec<Opinion<'_>> = (0..self.names.len())
                .map(|observer| Opinion {
                    agent: &self.agents[observer],
                    condition: self.trackers[observer][region].condition(),
                    evidence: self.trackers[observer][region].evidence(),
                    is_fresh: self.observes[observer],
                })
                .collect();
            let previous = self.verdicts[judge].get(&self.names[region]);

            region_verdict(&self.names[region], &opinions, &[], previous, self.now_ms)
        };

        (0..self.names.len())
            .map(|region| (self.names[region].clone(), verdict(region)))
            .collect()
    }

    fn inputs(&self, leader: usize) -> PlanInputs {
        let input = |(index, name): (usize, &RegionName)| {
            let verdict = &self.verdicts[leader][name];
            let input = RegionInput {
                weight_bp: FULL_WEIGHT_BP,
                priority: index as u16,
                addresses: vec![format!("192.0.2.{}", index + 1).parse().unwrap()],
                condition: verdict.condition,
                since_ms: verdict.since_ms,
                reason: verdict.reason.clone(),
                is_complete: true,
                is_loaded: true,
                inference_passes: None,
                measured_capacity_rps: None,
                capacity_rps: None,
                load_rps: None,
                evidence: Evidence::NotMeasured,
            };

            (name.clone(), input)
        };

        PlanInputs {
            regions: self.names.iter().enumerate().map(input).collect(),
            strategy: self.strategy,
            suspect_percent: 10,
            recovery: RecoveryPolicy::default(),
            max_out: 1,
            ttl_ms: 5_000,
            cost: None,
        }
    }

    /// What must hold at every moment.
    fn check(&self, leader: usize) {
        let plan = self.plan.as_ref().unwrap();
        assert!(plan.total_weight_bp() > 0, "an empty answer: {plan:?}");

        let verdict = |region: &RegionName| self.verdicts[leader][region].condition;
        let is_anybody_left = self
            .names
            .iter()
            .any(|region| verdict(region) != Condition::Failed);

        for (region, part) in &plan.regions {
            if verdict(region) == Condition::Failed && is_anybody_left {
                let is_limited = matches!(part.traffic_state, TrafficState::Limited { .. });
                // A tenth of a full share, next to at least one region that is not known to be
                // down.
                let most_bp = if is_limited { FULL_WEIGHT_BP / 10 } else { 0 };

                assert!(
                    part.weight_bp <= most_bp,
                    "{region} failed and is answered: {plan:?}"
                );
            }
        }
    }

    fn share(&self, region: usize) -> f64 {
        self.plan.as_ref().unwrap().shares()[&self.names[region]]
    }

    fn traffic_state(&self, region: usize) -> &TrafficState {
        &self.plan.as_ref().unwrap().regions[&self.names[region]].traffic_state
    }

    /// How long until `is_so`, milliseconds.
    fn until(&mut self, within_ms: u64, is_so: impl Fn(&Self) -> bool) -> u64 {
        let start_ms = self.now_ms;
        while !is_so(self) {
            assert!(
                self.now_ms - start_ms <= within_ms,
                "not within {within_ms} ms: {:?}",
                self.plan
            );

            self.tick();
        }

        self.now_ms - start_ms
    }
}

#[test]
fn a_refusing_region_is_taken_out_within_two_seconds_and_returns_in_forty_minutes() {
    let mut mesh = Mesh::new(3, Strategy::Weighted);
    mesh.truth[0] = Truth::Refuses;
    assert!(mesh.until(2_000, |mesh| mesh.share(0) == 0.0) <= 1_500);
    mesh.run(10 * MINUTE);
    assert_eq!(mesh.share(0), 0.0);
    mesh.truth[0] = Truth::Up;

    let back_ms = mesh.until(60 * MINUTE, |mesh| {
        *mesh.traffic_state(0) == TrafficState::Serving
    });
    assert!((40 * MINUTE..=41 * MINUTE).contains(&back_ms), "{back_ms}");
}

#[test]
fn a_hanging_region_is_reduced_in_three_seconds_and_taken_out_in_nine() {
    let mut mesh = Mesh::new(3, Strategy::Weighted);
    mesh.truth[1] = Truth::Hangs;
    mesh.until(3_000, |mesh| mesh.share(1) < 0.1);
    mesh.until(6_000, |mesh| mesh.share(1) == 0.0);
}

#[test]
fn five_seconds_of_silence_have_no_lasting_effect() {
    let mut mesh = Mesh::new(3, Strategy::Weighted);
    mesh.truth[1] = Truth::Hangs;
    mesh.run(5_000);
    mesh.truth[1] = Truth::Up;
    mesh.run(500);
    assert_eq!(
        (
            mesh.traffic_state(1),
            mesh.plan.as_ref().unwrap().regions[&mesh.names[1]].flaps
        ),
        (&TrafficState::Serving, 0)
    );
}

#[test]
fn the_death_of_a_regions_agents_moves_no_traffic() {
    for region in 0..3 {
        let mut mesh = Mesh::new(3, Strategy::Weighted);
        mesh.observes[region] = false;
        let before = mesh.plan.clone();
        mesh.run(60 * MINUTE);
        assert_eq!(mesh.plan, before);
    }
}

#[test]
fn one_isolated_observer_moves_no_traffic() {
    let mut mesh = Mesh::new(4, Strategy::Weighted);
    mesh.is_cut[3] = vec![true; 4];
    let before = mesh.plan.clone();
    mesh.run(60 * MINUTE);
    assert_eq!(mesh.plan, before);
}

#[test]
fn if_all_regions_appear_down_the_last_plan_stays() {
    let mut mesh = Mesh::new(3, Strategy::Weighted);
    let before = mesh.plan.clone().unwrap().regions;
    mesh.truth = vec![Truth::Refuses; 3];
    mesh.run(60 * MINUTE);

    let plan = mesh.plan.unwrap();
    assert_eq!(plan.regions, before);
    assert!(plan.all_failed_ms.is_some());
}

#[test]
fn an_active_passive_mesh_of_two_survives_the_death_of_its_primary_with_its_agents() {
    let mut mesh = Mesh::new(2, Strategy::ActivePassive);
    assert_eq!(mesh.share(0), 1.0);
    mesh.truth[0] = Truth::Refuses;
    mesh.observes[0] = false;
    mesh.until(2_000, |mesh| mesh.share(1) == 1.0);
}

/// Random hours: the laws of [`Mesh::check`] at every tick, then quiet, and all must serve again.
fn random_hours(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let regions = rng.random_range(1..6);
    let strategy = if rng.random_bool(0.5) {
        Strategy::Weighted
    } else {
        Strategy::ActivePassive
    };
    let mut mesh = Mesh::new(regions, strategy);

    for _ in 0..40 {
        let region = rng.random_range(0..regions);
        match rng.random_range(0..6) {
            0 => mesh.truth[region] = Truth::Refuses,
            1 => mesh.truth[region] = Truth::Hangs,
            2 | 3 => mesh.truth[region] = Truth::Up,
            4 => mesh.observes[region] = rng.random_bool(0.6),
            _ => mesh.is_cut[region][rng.random_range(0..regions)] = rng.random_bool(0.5),
        }

        let pause_ms = if rng.random_bool(0.7) {
            rng.random_range(500..15_000)
        } else {
            rng.random_range(500..10 * MINUTE)
        };

        mesh.run(pause_ms);
    }

    mesh.truth.fill(Truth::Up);
    mesh.observes.fill(true);
    mesh.is_cut.iter_mut().for_each(|row| row.fill(false));
    mesh.tick_ms = 10_000;

    // A cool-down of at most an hour each, then one ramp of 35 minutes after the other.
    mesh.run(60 * MINUTE + regions as u64 * 37 * MINUTE);
    for region in 0..regions {
        assert_eq!(
            *mesh.traffic_state(region),
            TrafficState::Serving,
            "region {region}"
        );
    }
}

#[test]
fn random_histories_obey_the_laws_and_recover() {
    for seed in 0..20 {
        if let Err(panic) = std::panic::catch_unwind(|| random_hours(seed)) {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
