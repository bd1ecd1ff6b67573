//! What users do with models, as data like faults: when, through which agent, and what.

use super::{
    commit::{file_path, manifest_path},
    laws::{deletions, held},
    objects::Bytes,
    publish::Upload,
    work,
};
use crate::mesh::{
    fault::{Fault, FaultKind},
    shape::Shape,
    streams::{Purpose, stream},
    world::World,
};
use rand::{RngExt, rngs::StdRng};
use regionmesh_protocol::{
    identity::IdentityError,
    models::manifest::{ModelName, VersionName},
};

/// A mesh with more agents is large.
const LARGE: usize = 6;
/// Publications that a fault meets: their first name, and how many there are at most.
const INTERRUPTED: u32 = 100;
const INTERRUPTED_MAX: usize = 2;
/// No act before the mesh has begun.
const BEGIN_MS: u64 = 5_000;

/// What users do with a version, or what happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Publish the content with this number.
    Publish {
        agent: usize,
        name: u32,
        content: u64,
    },
    /// Delete the version of that name, or one that lost it.
    Delete {
        agent: usize,
        name: u32,
        is_conflict: bool,
    },
    /// Let an alias name it.
    Alias { agent: usize, name: u32 },
    /// A file vanishes from a store, if another has the version.
    LoseFile { region: usize, name: u32 },
}

impl Act {
    /// The agent that users ask.
    pub(super) fn agent(self) -> Option<usize> {
        match self {
            Self::Publish { agent, .. }
            | Self::Delete { agent, .. }
            | Self::Alias { agent, .. } => Some(agent),
            Self::LoseFile { .. } => None,
        }
    }

    pub(super) fn name(self) -> Result<(ModelName, VersionName), IdentityError> {
        let name = match self {
            Self::Publish { name, .. }
            | Self::Delete { name, .. }
            | Self::Alias { name, .. }
            | Self::LoseFile { name, .. } => name,
        };
        let model = ModelName::new(format!("m{}", name % 2))?;
        Ok((model, VersionName::new(name.to_string())?))
    }
}

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

/// One to four files of a few bytes.
pub(super) fn upload(model: ModelName, version: VersionName, content: u64) -> Upload {
    let digest = blake3::hash(&content.to_le_bytes());
    let seed = digest.as_bytes();
    let files = (0..1 + usize::from(seed[0] % 4)).map(|index| {
        let size = 8 + usize::from(seed[index + 1] % 2) * 8;
        let bytes = blake3::keyed_hash(seed, &[index as u8]);
        Bytes::from(&bytes.as_bytes()[..size])
    });
    Upload {
        model,
        version,
        files: files.collect(),
    }
}

impl World {
    /// A user acts, or a file vanishes.
    pub(crate) fn act(&mut self, act: Act) {
        let Ok((model, version)) = act.name() else {
            return;
        };
        let Some(agent) = act.agent() else {
            return self.lose_file(act, &manifest_path(&model, &version));
        };
        if !self.machines[agent].reacts(self.now_ms) {
            return;
        }

        let process = self.process(agent);
        let machine = &self.machines[agent];
        let deletions = deletions(&self.stores[machine.region].objects);
        let context = machine.models.context.clone();
        let number = self.laws.models.begin(act, agent, self.now_ms, deletions);
        let work = work::of_act(context, act, number, model, version);
        self.begin_work(process, work);
    }

    /// Loses the first file of a version, if another region has all of it.
    fn lose_file(&mut self, act: Act, path: &str) {
        let Act::LoseFile { region, .. } = act else {
            return;
        };
        let Some(manifest) = held(&self.stores[region].objects, path) else {
            return;
        };
        let has_other = (0..self.shape.regions)
            .filter(|other| *other != region)
            .any(|other| self.holds_whole(other, path, &manifest));
        if has_other && let Some(file) = manifest.files.first() {
            let file = file_path(&manifest.model, &manifest.version, &file.path);
            self.stores[region].objects.lose(&file);
            self.laws.models.lost.insert((region, path.to_owned()));
        }
    }
}
