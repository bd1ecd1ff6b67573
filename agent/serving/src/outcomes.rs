//! Outcomes of loading and testing each version. They survive a restart, so that a region does not
//! test all its versions again.

use crate::quarantine::VersionKey;
use parking_lot::Mutex;
use regionmesh_core::backoff::Backoff;
use regionmesh_protocol::{
    models::{
        digest::Digest,
        manifest::{ModelName, VersionName},
    },
    status::servability::Outcome,
};
use regionmesh_runtime::files::replace_file;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// Largest file that is read, bytes: some 100,000 versions.
const FILE_MAX: u64 = 64 << 20;
/// Pause before a version that can't be served is tried again: first and longest.
const RETRY_FIRST: Duration = Duration::from_secs(60);
const RETRY_LONGEST: Duration = Duration::from_secs(15 * 60);

#[derive(Debug, Clone)]
struct OutcomeRecord {
    outcome: Outcome,
    /// Whether it would end the same way after a restart.
    is_lasting: bool,
    /// Failures in a row before this one.
    failures: u32,
    /// When to try it again, if it can't be served.
    retry_at: Instant,
    /// Bytes of memory that were not free.
    needed_bytes: Option<u64>,
}

impl OutcomeRecord {
    fn new(outcome: Outcome, is_lasting: bool, failures: u32) -> Self {
        let pause = Backoff::new(RETRY_FIRST, RETRY_LONGEST).after(failures);
        Self {
            outcome,
            is_lasting,
            failures,
            retry_at: Instant::now() + pause,
            needed_bytes: None,
        }
    }
}

/// The content of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Document {
    /// What the outcomes depend on, apart from the files of the versions.
    engine: String,
    versions: Vec<(ModelName, VersionName, Digest, Outcome)>,
}

/// The outcomes, at most one per stored version: the loader drops those of deleted versions.
#[derive(Debug)]
pub(crate) struct Outcomes {
    known: Mutex<BTreeMap<VersionKey, OutcomeRecord>>,
    /// Versions with computations that don't end, and how many.
    stuck: Mutex<BTreeMap<VersionKey, usize>>,
    file: Option<PathBuf>,
    engine: String,
    changed: watch::Sender<u64>,
    /// How often failures were reset.
    forgotten: AtomicU64,
    /// Held while the file is written.
    writing: Mutex<()>,
}

impl Outcomes {
    /// Reads the outcomes that the same `engine` saved in `folder`.
    pub(crate) fn open(folder: Option<&Path>, engine: String) -> Self {
        let file = folder.map(|folder| folder.join("outcomes.json"));
        let known = file
            .as_deref()
            .and_then(|file| read(file, &engine))
            .unwrap_or_default();

        Self {
            known: Mutex::new(known),
            stuck: Mutex::default(),
            file,
            engine,
            changed: watch::Sender::default(),
            forgotten: AtomicU64::default(),
            writing: Mutex::default(),
        }
    }

    /// How often failures were reset so far. An attempt records it when it begins.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten.load(Relaxed)
    }

    /// Records the outcome of an attempt that began after `began` resets of failures. `is_lasting`:
    /// whether it would end the same way after a restart. A failure is ignored after a later reset:
    /// the attempt may have read files that were replaced since.
    pub(crate) fn record(&self, key: &VersionKey, outcome: Outcome, is_lasting: bool, began: u64) {
        let mut known = self.known.lock();
        if outcome != Outcome::Servable && began != self.forgotten() {
            return;
        }

        let before = known.get(key);
        let is_new = before.is_none_or(|before| before.outcome != outcome);
        let failed = before.filter(|before| before.outcome != Outcome::Servable);
        let failures = failed.map_or(0, |before| before.failures.saturating_add(1));

        known.insert(
            key.clone(),
            OutcomeRecord::new(outcome, is_lasting, failures),
        );
        drop(known);
        if is_new {
            self.changed.send_modify(|count| *count += 1);
        }
    }

    /// Records that a version can't be served for lack of memory: it is due once `needed_bytes` are
    /// free.
    pub(crate) fn await_room(&self, key: &VersionKey, needed_bytes: u64) {
        if let Some(known) = self.known.lock().get_mut(key) {
            known.needed_bytes = Some(needed_bytes);
        }
    }

    /// When the retry of a version that can't be served was scheduled, if it is due: at that time,
    /// or once there is memory for it. Without `now` only memory makes it due.
    pub(crate) fn due(
        &self,
        key: &VersionKey,
        now: Option<Instant>,
        free_bytes: u64,
    ) -> Option<Instant> {
        let known = self.known.lock();
        let known = known
            .get(key)
            .filter(|known| known.outcome != Outcome::Servable)?;
        let has_room = known
            .needed_bytes
            .is_some_and(|needed| needed <= free_bytes);
        let is_time = now.is_some_and(|now| known.retry_at <= now);

        (has_room || is_time).then_some(known.retry_at)
    }

    /// Records that a computation of this version does not end, or that it ended after all.
    pub(crate) fn stuck(&self, key: &VersionKey, is_stuck: bool) {
        let mut stuck = self.stuck.lock();
        let count = stuck.entry(key.clone()).or_default();
        *count = if is_stuck {
            *count + 1
        } else {
            count.saturating_sub(1)
        };

        if *count == 0 {
            stuck.remove(key);
        }
        drop(stuck);
        self.changed.send_modify(|count| *count += 1);
    }

    /// The version's outcome; none if it was not tried.
    pub(crate) fn of(&self, key: &VersionKey) -> Option<Outcome> {
        if let Some(count) = self.stuck.lock().get(key) {
            let reason =
                format!("{count} of its inferences are still running long after their deadline");
            return Some(Outcome::Unservable {
                reason,
                is_quarantined: false,
            });
        }

        self.known
            .lock()
            .get(key)
            .map(|known| known.outcome.clone())
    }

    /// Forgets that a version can't be served, regardless of its content.
    pub(crate) fn forget_failure(&self, model: &ModelName, version: &VersionName) {
        self.forgotten.fetch_add(1, Relaxed);
        self.retain_where(|key, known| {
            key.0 != *model || key.1 != *version || known.outcome == Outcome::Servable
        });
    }

    /// Forgets versions that are not held any more.
    pub(crate) fn retain(&self, is_held: impl Fn(&ModelName, &VersionName, Digest) -> bool) {
        self.retain_where(|(model, version, content), _| is_held(model, version, *content));
    }

    fn retain_where(&self, is_retained: impl Fn(&VersionKey, &OutcomeRecord) -> bool) {
        let mut known = self.known.lock();
        let before = known.len();
        known.retain(|key, known| is_retained(key, known));

        let is_changed = known.len() != before;
        drop(known);
        if is_changed {
            self.changed.send_modify(|count| *count += 1);
        }
    }

    /// Changes whenever an outcome does.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Writes the lasting outcomes to the file. Blocks.
    pub(crate) fn save(&self) {
        let Some(file) = &self.file else { return };
        let _writing = self.writing.lock();
        let lasting = self
            .known
            .lock()
            .iter()
            .filter(|(_, known)| known.is_lasting)
            .map(|((model, version, content), known)| {
                (
                    model.clone(),
                    version.clone(),
                    *content,
                    known.outcome.clone(),
                )
            })
            .collect();

        let document = Document {
            engine: self.engine.clone(),
            versions: lasting,
        };
        let written = serde_json::to_vec(&document).map_err(std::io::Error::other);
        let written = written.and_then(|text| replace_file(file, &text));

        if let Err(error) = written {
            tracing::warn!(file = %file.display(), %error, "cannot remember which versions were \
                tested; they are tested again after a restart");
        }
    }
}

fn read(file: &Path, engine: &str) -> Option<BTreeMap<VersionKey, OutcomeRecord>> {
    let is_small =
        std::fs::metadata(file).is_ok_and(|file| file.is_file() && file.len() <= FILE_MAX);
    let text = if is_small {
        std::fs::read(file).ok()?
    } else {
        return None;
    };
    let document: Document = serde_json::from_slice(&text).ok()?;

    if document.engine != engine {
        return None;
    }

    let known = |(model, version, content, outcome)| {
        (
            (model, version, content),
            OutcomeRecord::new(outcome, true, 0),
        )
    };
    Some(document.versions.into_iter().map(known).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn key(version: &str) -> VersionKey {
        (
            "m".parse().unwrap(),
            version.parse().unwrap(),
            Digest([7; 32]),
        )
    }

    fn is_servable(outcomes: &Outcomes) -> bool {
        outcomes.of(&key("1")) == Some(Outcome::Servable)
    }

    fn bad() -> Outcome {
        Outcome::Unservable {
            reason: "broken".into(),
            is_quarantined: false,
        }
    }

    #[test]
    fn lasting_outcomes_are_restored_by_the_same_engine_only() {
        let folder = tempfile::tempdir().unwrap();
        let first = Outcomes::open(Some(folder.path()), "1".into());
        first.record(&key("1"), Outcome::Servable, true, 0);
        first.record(&key("2"), bad(), true, 0);
        first.record(&key("3"), bad(), false, 0);
        first.save();

        let second = Outcomes::open(Some(folder.path()), "1".into());
        assert!(is_servable(&second));
        assert_eq!(
            (second.of(&key("2")), second.of(&key("3"))),
            (Some(bad()), None)
        );

        assert_eq!(
            Outcomes::open(Some(folder.path()), "2".into()).of(&key("1")),
            None
        );

        std::fs::write(folder.path().join("outcomes.json"), b"{").unwrap();
        assert_eq!(
            Outcomes::open(Some(folder.path()), "1".into()).of(&key("1")),
            None
        );
    }

    #[test]
    fn an_unservable_version_is_retried_with_backoff() {
        let outcomes = Outcomes::open(None, String::new());
        for minutes in [1, 2, 4, 8, 15, 15] {
            let pause = Duration::from_secs(minutes * 60);
            let before = Instant::now();
            outcomes.record(&key("1"), bad(), true, 0);

            let after = Instant::now();
            let is_due_at = |at| outcomes.due(&key("1"), Some(at), u64::MAX).is_some();
            assert!(
                !is_due_at(before + pause - Duration::from_secs(1)) && is_due_at(after + pause),
                "{minutes}"
            );

            assert_eq!(
                outcomes.due(&key("1"), None, u64::MAX),
                None,
                "time alone makes it due"
            );
        }

        outcomes.record(&key("1"), Outcome::Servable, true, 0);
        let late = Instant::now() + RETRY_LONGEST;
        assert_eq!(outcomes.due(&key("1"), Some(late), u64::MAX), None);
        outcomes.record(&key("1"), bad(), true, 0);
        assert!(
            outcomes
                .due(&key("1"), Some(Instant::now() + RETRY_FIRST), 0)
                .is_some(),
            "the pause starts again"
        );
    }

    #[test]
    fn a_failure_of_an_attempt_from_before_a_reset_is_ignored() {
        let outcomes = Outcomes::open(None, String::new());
        let (model, version, _) = key("1");
        let began = outcomes.forgotten();

        outcomes.forget_failure(&model, &version);
        outcomes.record(&key("1"), bad(), true, began);
        assert_eq!(outcomes.of(&key("1")), None);
        outcomes.record(&key("1"), bad(), true, outcomes.forgotten());
        assert_eq!(outcomes.of(&key("1")), Some(bad()));
        outcomes.record(&key("1"), Outcome::Servable, true, began);
        assert!(is_servable(&outcomes));
    }

    #[test]
    fn a_version_that_lacked_memory_is_retried_once_memory_is_free() {
        let outcomes = Outcomes::open(None, String::new());
        outcomes.record(&key("1"), bad(), false, 0);
        outcomes.await_room(&key("1"), 10);
        assert_eq!(outcomes.due(&key("1"), None, 9), None);
        assert!(outcomes.due(&key("1"), None, 10).is_some());
        outcomes.record(&key("1"), bad(), false, 0);
        assert_eq!(outcomes.due(&key("1"), None, 10), None);
    }

    #[test]
    fn outcomes_of_all_stored_versions_are_retained() {
        let folder = tempfile::tempdir().unwrap();
        let outcomes = Outcomes::open(Some(folder.path()), String::new());
        let keys: Vec<_> = (0..5_000)
            .map(|number| key(&format!("v{number}")))
            .collect();

        keys.iter()
            .for_each(|key| outcomes.record(key, bad(), true, 0));
        assert!(keys.iter().all(|key| outcomes.of(key).is_some()));
        outcomes.save();

        let again = Outcomes::open(Some(folder.path()), String::new());
        assert!(keys.iter().all(|key| again.of(key).is_some()));
    }

    #[test]
    fn a_version_with_hung_computations_is_unservable() {
        let outcomes = Outcomes::open(None, String::new());
        outcomes.record(&key("1"), Outcome::Servable, true, 0);
        outcomes.stuck(&key("1"), true);
        outcomes.stuck(&key("1"), true);
        outcomes.stuck(&key("1"), false);
        assert!(!is_servable(&outcomes));
        outcomes.stuck(&key("1"), false);
        assert!(is_servable(&outcomes));

        let forget = || outcomes.forget_failure(&"m".parse().unwrap(), &"1".parse().unwrap());
        forget();
        assert!(is_servable(&outcomes));
        outcomes.record(&key("1"), bad(), true, outcomes.forgotten());
        assert_eq!(outcomes.of(&key("1")), Some(bad()));
        forget();
        assert_eq!(outcomes.of(&key("1")), None);
    }
}
