//! One run as a function: seed and options in, outcome out.

use super::{
    core_node,
    fault::Fault,
    laws::Violation,
    liar,
    shape::{Options, Shape},
    sometimes::Reached,
    swarm,
    world::World,
};

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub seed: u64,
    /// Over every event of the run.
    pub hash: String,
    pub events: u64,
    /// Virtual length of the run times its regions.
    pub region_ms: u64,
    pub committed: usize,
    pub elections: u64,
    /// Regions that were taken out although their endpoints worked.
    pub wrong_failovers: u64,
    /// No majority of the acceptors kept its state.
    pub is_stuck: bool,
    pub violation: Option<Violation>,
    pub(crate) reached: Reached,
    pub(crate) timeline: Vec<(u64, String)>,
    pub(crate) faults: Vec<Fault>,
}

/// Plays one run. The same seed and options give the same outcome.
pub fn run(seed: u64, options: &Options) -> Outcome {
    play(seed, options, None, false)
}

/// Plays a run with some of its faults only: those with these numbers.
pub(crate) fn play(
    seed: u64,
    options: &Options,
    only: Option<&[usize]>,
    with_timeline: bool,
) -> Outcome {
    let shape = Shape::draw(seed, options);
    let numbered = swarm::draw(&shape, options.profile).into_iter().enumerate();
    let faults: Vec<Fault> = numbered
        .filter(|(number, _)| only.is_none_or(|only| only.contains(number)))
        .map(|(_, fault)| fault)
        .collect();

    let build = match shape.liar {
        Some(_) => liar::build,
        None => core_node::build,
    };
    let regions = shape.regions as u64;
    let mut outcome = Outcome {
        seed,
        hash: String::new(),
        events: 0,
        region_ms: 0,
        committed: 0,
        elections: 0,
        wrong_failovers: 0,
        is_stuck: false,
        violation: None,
        reached: Reached::default(),
        timeline: Vec::new(),
        faults: faults.clone(),
    };

    let mut world = match World::new(shape, faults, build, with_timeline) {
        Ok(world) => world,
        Err(error) => {
            outcome.violation = Some(Violation {
                law: "names are valid",
                what: error.to_string(),
                at_ms: 0,
            });
            return outcome;
        }
    };
    outcome.violation = world.run();
    outcome.hash = world.trace.hash().to_hex().to_string();
    outcome.events = world.trace.events();
    outcome.region_ms = world.now_ms * regions;
    outcome.committed = world.laws.committed.len();
    outcome.elections = world.laws.elections;
    outcome.wrong_failovers = world.laws.wrong_failovers;
    outcome.is_stuck = world.laws.is_stuck;
    outcome.reached = world.reached.clone();
    outcome.timeline = world.trace.take_timeline();
    outcome
}
