//! How loading and trying each version ended; remembered over a restart, so that a region doesn't load all that it holds
//! again.

use super::quarantine::VersionKey;
use regionmesh_protocol::{
    manifest::{Digest, ModelName, VersionName},
    servability::Outcome,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// Most versions that are remembered.
const VERSIONS_MAX: usize = 4_096;
/// Largest file that is read, bytes.
const FILE_MAX: u64 = 16 << 20;

#[derive(Debug, Clone)]
struct Known {
    outcome: Outcome,
    /// Whether it would end the same way after a restart.
    is_lasting: bool,
}

/// What is written.
#[derive(Debug, Serialize, Deserialize)]
struct Document {
    /// What the outcomes depend on, beside the files of the versions.
    engine: String,
    versions: Vec<(ModelName, VersionName, Digest, Outcome)>,
}

/// The outcomes.
#[derive(Debug)]
pub struct Outcomes {
    known: Mutex<BTreeMap<VersionKey, Known>>,
    /// Versions with computations that don't end, and how many.
    stuck: Mutex<BTreeMap<VersionKey, usize>>,
    file: Option<PathBuf>,
    engine: String,
    changed: watch::Sender<u64>,
    /// Held while the file is written.
    writing: Mutex<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Outcomes {
    /// Reads what was remembered in `folder` by the same `engine`.
    pub fn open(folder: Option<&Path>, engine: String) -> Self {
        let file = folder.map(|folder| folder.join("outcomes.json"));
        let known = file.as_deref().and_then(|file| read(file, &engine)).unwrap_or_default();
        Self {
            known: Mutex::new(known),
            stuck: Mutex::default(),
            file,
            engine,
            changed: watch::Sender::default(),
            writing: Mutex::default(),
        }
    }

    /// Notes how it ended. `is_lasting`: whether it would end the same way after a restart.
    pub fn record(&self, key: &VersionKey, outcome: Outcome, is_lasting: bool) {
        let mut known = lock(&self.known);
        if known.len() < VERSIONS_MAX || known.contains_key(key) {
            known.insert(key.clone(), Known { outcome, is_lasting });
        }
        drop(known);
        self.changed.send_modify(|count| *count += 1);
    }

    /// A computation of this version does not end, or did in the end.
    pub fn stuck(&self, key: &VersionKey, is_stuck: bool) {
        let mut stuck = lock(&self.stuck);
        let count = stuck.entry(key.clone()).or_default();
        *count = if is_stuck { *count + 1 } else { count.saturating_sub(1) };
        if *count == 0 {
            stuck.remove(key);
        }
        drop(stuck);
        self.changed.send_modify(|count| *count += 1);
    }

    /// How it ended; none if it was not tried.
    pub fn of(&self, key: &VersionKey) -> Option<Outcome> {
        if let Some(count) = lock(&self.stuck).get(key) {
            let reason = format!("{count} of its inferences are still running long after their deadline");
            return Some(Outcome::Unservable { reason, is_quarantined: false });
        }
        lock(&self.known).get(key).map(|known| known.outcome.clone())
    }

    /// Whether it is known to be servable.
    pub fn is_servable(&self, key: &VersionKey) -> bool {
        self.of(key) == Some(Outcome::Servable)
    }

    /// Forgets a version, whatever its content.
    pub fn forget(&self, model: &ModelName, version: &VersionName) {
        self.retain(|known, other, _| known != model || other != version);
    }

    /// Forgets what `is_held` denies.
    pub fn retain(&self, is_held: impl Fn(&ModelName, &VersionName, Digest) -> bool) {
        let mut known = lock(&self.known);
        let before = known.len();
        known.retain(|(model, version, content), _| is_held(model, version, *content));
        let is_changed = known.len() != before;
        drop(known);
        if is_changed {
            self.changed.send_modify(|count| *count += 1);
        }
    }

    /// Wakes its owner at each change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Writes what lasts to the file. Blocks.
    pub fn save(&self) {
        let Some(file) = &self.file else { return };
        let _writing = lock(&self.writing);
        let lasting = lock(&self.known)
            .iter()
            .filter(|(_, known)| known.is_lasting)
            .map(|((model, version, content), known)| (model.clone(), version.clone(), *content, known.outcome.clone()))
            .collect();
        let document = Document { engine: self.engine.clone(), versions: lasting };
        let written = serde_json::to_vec(&document).map_err(std::io::Error::other).and_then(|text| {
            let partial = file.with_extension("partial");
            std::fs::write(&partial, text)?;
            std::fs::rename(&partial, file)
        });
        if let Err(error) = written {
            tracing::warn!(file = %file.display(), %error, "cannot remember which versions were tested; they are tested again after a restart");
        }
    }
}

fn read(file: &Path, engine: &str) -> Option<BTreeMap<VersionKey, Known>> {
    let is_small = std::fs::metadata(file).is_ok_and(|file| file.is_file() && file.len() <= FILE_MAX);
    let text = if is_small { std::fs::read(file).ok()? } else { return None };
    let document: Document = serde_json::from_slice(&text).ok()?;
    if document.engine != engine {
        return None;
    }
    let versions = document.versions.into_iter().take(VERSIONS_MAX);
    Some(
        versions
            .map(|(model, version, content, outcome)| ((model, version, content), Known { outcome, is_lasting: true }))
            .collect(),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn key(version: &str) -> VersionKey {
        ("m".parse().unwrap(), version.parse().unwrap(), Digest([7; 32]))
    }

    fn bad() -> Outcome {
        Outcome::Unservable { reason: "broken".into(), is_quarantined: false }
    }

    #[test]
    fn what_lasts_is_remembered_by_the_same_engine_alone() {
        let folder = tempfile::tempdir().unwrap();
        let first = Outcomes::open(Some(folder.path()), "1".into());
        first.record(&key("1"), Outcome::Servable, true);
        first.record(&key("2"), bad(), true);
        first.record(&key("3"), bad(), false);
        first.save();
        let second = Outcomes::open(Some(folder.path()), "1".into());
        assert!(second.is_servable(&key("1")));
        assert_eq!((second.of(&key("2")), second.of(&key("3"))), (Some(bad()), None));
        assert_eq!(Outcomes::open(Some(folder.path()), "2".into()).of(&key("1")), None);
        std::fs::write(folder.path().join("outcomes.json"), b"{").unwrap();
        assert_eq!(Outcomes::open(Some(folder.path()), "1".into()).of(&key("1")), None);
    }

    #[test]
    fn a_version_is_unservable_while_its_computations_do_not_end() {
        let outcomes = Outcomes::open(None, String::new());
        outcomes.record(&key("1"), Outcome::Servable, true);
        outcomes.stuck(&key("1"), true);
        outcomes.stuck(&key("1"), true);
        outcomes.stuck(&key("1"), false);
        assert!(!outcomes.is_servable(&key("1")));
        outcomes.stuck(&key("1"), false);
        assert!(outcomes.is_servable(&key("1")));
        outcomes.forget(&"m".parse().unwrap(), &"1".parse().unwrap());
        assert_eq!(outcomes.of(&key("1")), None);
    }
}
