//! One run as a function: seed and options in, outcome out.

use super::{
    fault::Fault,
    laws::Violation,
    shape::{Options, Shape},
    sometimes::Reached,
    swarm,
    world::World,
};

/// How a run ended.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    pub seed: u64,
    /// Over every event of the run.
    pub hash: String,
    pub events: u64,
    /// Virtual length of the run times its regions.
    pub(crate) region_ms: u64,
    pub committed: usize,
    /// When the first plan was committed.
    pub first_plan_ms: Option<u64>,
    pub elections: u64,
    /// Regions that were taken out although their endpoints worked.
    pub wrong_failovers: u64,
    /// No majority of the acceptors kept its state.
    pub(crate) is_stuck: bool,
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

    let regions = shape.regions as u64;
    let mut world = match World::new(shape, faults, with_timeline) {
        Ok(world) => world,
        Err(error) => {
            let violation = Violation {
                law: "names are valid",
                what: error.to_string(),
                at_ms: 0,
            };
            return Outcome {
                seed,
                violation: Some(violation),
                ..Outcome::default()
            };
        }
    };

    let violation = world.run();
    Outcome {
        seed,
        hash: world.trace.hash().to_hex().to_string(),
        events: world.trace.events(),
        region_ms: world.now_ms * regions,
        committed: world.laws.committed.len(),
        first_plan_ms: world.laws.first_plan_ms,
        elections: world.laws.elections,
        wrong_failovers: world.laws.wrong_failovers,
        is_stuck: world.laws.is_stuck,
        violation,
        reached: world.reached,
        timeline: world.trace.take_timeline(),
        faults: world.faults,
    }
}
