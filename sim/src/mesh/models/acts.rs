//! Draws what users do with models, like faults: when, through which agent, and what.

use super::act::Act;
use crate::mesh::{
    fault::{Fault, FaultKind},
    shape::Shape,
    streams::{Purpose, stream},
};
use rand::{RngExt, rngs::StdRng};

/// A mesh with more agents is large.
const LARGE: usize = 6;
/// Publications that a fault meets: their first name, and how many there are at most.
const INTERRUPTED: u32 = 100;
const INTERRUPTED_MAX: usize = 2;
/// No act before the mesh has begun.
const BEGIN_MS: u64 = 5_000;

/// The acts of a run with these faults.
pub(crate) fn draw(shape: &Shape, others: &[Fault]) -> Vec<Fault> {
    let mut rng = stream(shape.seed, Purpose::Models, 0);
    let mut faults = Vec::new();
    // Each change goes to every agent: large meshes spend most of their time on a few.
    let most = if shape.agents() > LARGE { 2 } else { 6 };
    for name in 0..rng.random_range(0..=most) {
        let at_ms = rng.random_range(BEGIN_MS..shape.faults_ms);
        let mut acts = of_name(name, shape, &mut rng);
        acts.retain(|(after_ms, _)| at_ms + after_ms < shape.faults_ms);

        let fault = |(after_ms, act)| Fault {
            at_ms: at_ms + after_ms,
            for_ms: 0,
            kind: FaultKind::Model(act),
        };
        faults.extend(acts.into_iter().map(fault));
    }

    let interrupted = others
        .iter()
        .filter_map(|other| troubled(other, shape, &mut rng));
    for (number, (at_ms, agent)) in interrupted.take(INTERRUPTED_MAX).enumerate() {
        let name = INTERRUPTED + number as u32;
        let content = u64::from(name) << 8;
        faults.push(Fault {
            at_ms,
            for_ms: 0,
            kind: FaultKind::Model(Act::Publish {
                agent,
                name,
                content,
            }),
        });
    }
    faults
}

/// When to publish, and through which agent, so that a fault meets the publication.
fn troubled(fault: &Fault, shape: &Shape, rng: &mut StdRng) -> Option<(u64, usize)> {
    let before_ms = rng.random_range(20..400);
    let part: f64 = rng.random();
    let agent = rng.random_range(0..shape.agents_per_region);
    let at_ms = match fault.kind {
        FaultKind::Crash { .. } => fault.at_ms.checked_sub(before_ms)?,
        FaultKind::Store { .. } => fault.at_ms + (part * fault.for_ms as f64) as u64,
        _ => return None,
    };
    let agent = match fault.kind {
        FaultKind::Crash { agent, .. } => agent,
        FaultKind::Store { store, .. } if store < shape.regions => store + agent * shape.regions,
        _ => return None,
    };

    let is_drawn = rng.random_bool(0.5) && (BEGIN_MS..shape.faults_ms).contains(&at_ms);
    is_drawn.then_some((at_ms, agent))
}

/// What happens to one name, and how long after its first publication.
fn of_name(name: u32, shape: &Shape, rng: &mut StdRng) -> Vec<(u64, Act)> {
    let agent = rng.random_range(0..shape.agents());
    let publish = |agent, content| Act::Publish {
        agent,
        name,
        content: u64::from(name) << 8 | content,
    };
    let mut any = || rng.random_range(0..shape.agents());
    let others = [any(), any(), any()];
    let delete = |agent, is_conflict| Act::Delete {
        agent,
        name,
        is_conflict,
    };
    let mut acts = vec![(0, publish(agent, 0))];

    // At the same time, or nearly, with other content or the same.
    if rng.random_bool(0.5) {
        let most_ms = [50, 500, 20_000][rng.random_range(0..3)];
        let content = u64::from(rng.random_bool(0.8));
        acts.push((rng.random_range(0..most_ms), publish(others[0], content)));
    }
    if rng.random_bool(0.4) {
        let deleted_ms = rng.random_range(1_000..40_000);
        let is_conflict = rng.random_bool(0.3);
        acts.push((deleted_ms, delete(others[1], is_conflict)));
        if rng.random_bool(0.5) {
            let again_ms = deleted_ms + rng.random_range(100..20_000);
            let content = u64::from(rng.random_bool(0.3));
            acts.push((again_ms, publish(others[2], content)));
        }
    }
    if rng.random_bool(0.3) {
        let agent = others[2];
        acts.push((rng.random_range(500..20_000), Act::Alias { agent, name }));
    }
    if rng.random_bool(0.15) {
        let region = rng.random_range(0..shape.regions);
        let lost_ms = rng.random_range(5_000..60_000);
        acts.push((lost_ms, Act::LoseFile { region, name }));
    }
    acts
}
