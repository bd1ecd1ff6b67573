//! Versions that crashed the process are not loaded again.
//!
//! A model can make the engine abort the process, which can't be caught. Each load and first
//! inference has a marker file while it runs; a marker found at the start names a version that the
//! previous process was loading when it died. That version is quarantined until it is deleted or an
//! operator requests a retry (`regionmesh models retry`). If there are several markers, their
//! versions are suspects: each is loaded alone, so that the next crash leaves one marker. A power
//! failure leaves markers too; the kernel's boot id identifies those.

use parking_lot::Mutex;
use regionmesh_protocol::models::{
    digest::Digest,
    manifest::{ModelName, VersionName},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::watch;

/// Most versions in quarantine, and files that are read at the start.
const VERSIONS_MAX: usize = 1_024;
/// Largest file that is read, bytes.
const FILE_MAX: u64 = 4_096;
/// Changes at each start of the machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A version with its content.
pub(crate) type VersionKey = (ModelName, VersionName, Digest);

/// What a marker and a quarantine's file hold.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    model: ModelName,
    version: VersionName,
    content: Digest,
    #[serde(default)]
    boot_id: String,
    /// When the load began, Unix milliseconds.
    #[serde(default)]
    began_ms: u64,
    /// Whether it was loaded alone, as a suspect.
    #[serde(default)]
    is_alone: bool,
}

impl Record {
    fn key(&self) -> VersionKey {
        (self.model.clone(), self.version.clone(), self.content)
    }
}

/// The quarantine of one model server. It lives as long as the process, across restarts of the
/// server.
#[derive(Debug)]
pub struct Quarantine {
    folder: Option<PathBuf>,
    boot_id: String,
    held: Mutex<BTreeMap<VersionKey, u64>>,
    /// Versions of which one may have crashed the process, until each was loaded alone.
    suspects: Mutex<BTreeSet<VersionKey>>,
    /// Markers of loads in progress; none once the process is stopping in an orderly way.
    loading: Mutex<Option<BTreeSet<PathBuf>>>,
    retries: Mutex<Vec<(ModelName, VersionName)>>,
    changed: watch::Sender<u64>,
}

/// Exists while a version is loaded; removes its file when dropped.
#[derive(Debug)]
pub(crate) struct Marker {
    quarantine: Arc<Quarantine>,
    file: Option<PathBuf>,
}

impl Drop for Marker {
    fn drop(&mut self) {
        let Some(file) = self.file.take() else { return };
        let mut loading = self.quarantine.loading.lock();

        // The file was already removed if the server stopped.
        if loading
            .as_mut()
            .is_some_and(|loading| loading.remove(&file))
        {
            remove(&file);
        }
    }
}

fn remove(file: &Path) {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(file = %file.display(), %error, "cannot remove a marker; its version is \
                quarantined at the next start");
        }
        _ => {}
    }
}

fn boot_id() -> String {
    std::fs::read_to_string(BOOT_ID)
        .map(|id| id.trim().to_owned())
        .unwrap_or_default()
}

/// The records in a folder, and their files. Unreadable files are skipped.
fn records(folder: &Path) -> Vec<(PathBuf, Record)> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let read = |path: PathBuf| {
        let is_small =
            std::fs::metadata(&path).is_ok_and(|file| file.is_file() && file.len() <= FILE_MAX);
        let text = if is_small {
            std::fs::read(&path).ok()?
        } else {
            return None;
        };

        match serde_json::from_slice(&text) {
            Ok(record) => Some((path, record)),
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "not a record of a model load; \
                    ignoring it");
                None
            }
        }
    };

    entries
        .filter_map(|entry| read(entry.ok()?.path()))
        .take(VERSIONS_MAX)
        .collect()
}

impl Quarantine {
    /// Stores its files in `folder` if that is writable; otherwise nothing survives the process.
    pub fn open(folder: Option<&Path>) -> Arc<Self> {
        let usable = folder.filter(|folder| {
            let made = ["loading", "quarantined"]
                .iter()
                .try_for_each(|part| std::fs::create_dir_all(folder.join(part)));
            if let Err(error) = &made {
                let folder = folder.display();
                tracing::warn!(%folder, %error, "cannot create marker files: a model that \
                    crashes the server will be loaded again");
            }

            made.is_ok()
        });

        let quarantine = Arc::new(Self {
            folder: usable.map(Path::to_owned),
            boot_id: boot_id(),
            held: Mutex::default(),
            suspects: Mutex::default(),
            loading: Mutex::new(Some(BTreeSet::new())),
            retries: Mutex::default(),
            changed: watch::Sender::default(),
        });

        if let Some(folder) = usable {
            quarantine.recover(folder);
        }
        quarantine
    }

    fn recover(&self, folder: &Path) {
        for (_, record) in records(&folder.join("quarantined")) {
            self.held.lock().insert(record.key(), record.began_ms);
        }

        let markers = records(&folder.join("loading"));
        let interrupted: Vec<&Record> = markers
            .iter()
            .map(|(_, record)| record)
            .filter(|record| record.boot_id == self.boot_id)
            .collect();

        // Abandoned threads leave markers too. Of several, the suspect that was loaded last is the
        // culprit.
        let is_candidate = |record: &&&Record| interrupted.len() == 1 || record.is_alone;
        let culprit = interrupted
            .iter()
            .filter(is_candidate)
            .max_by_key(|record| record.began_ms)
            .map(|record| record.key());

        for record in &interrupted {
            let model = &record.model;
            let version = &record.version;
            if culprit == Some(record.key()) {
                tracing::error!(%model, %version, "the process died while it loaded this version; \
                    it is quarantined");
                self.put(record);
            } else {
                tracing::warn!(%model, %version, "the process died while it loaded several \
                    versions; this one is loaded alone");
                self.suspects.lock().insert(record.key());
            }
        }

        for (file, _) in &markers {
            remove(file);
        }
    }

    fn put(&self, record: &Record) {
        self.held.lock().insert(record.key(), record.began_ms);
        if let Err(error) = self.write("quarantined", record) {
            tracing::error!(%error, "cannot record a quarantine; it ends with this process");
        }
    }

    fn write(&self, part: &str, record: &Record) -> std::io::Result<Option<PathBuf>> {
        let Some(folder) = &self.folder else {
            return Ok(None);
        };
        let file = folder.join(part).join(file_name(&record.key()));
        let text = serde_json::to_vec(record).map_err(std::io::Error::other)?;

        std::fs::write(&file, text)?;
        Ok(Some(file))
    }

    /// Marks that this version is being loaded, until the marker is dropped. Blocks for a small
    /// write.
    pub(crate) fn mark(self: &Arc<Self>, (model, version, content): &VersionKey) -> Marker {
        let record = Record {
            model: model.clone(),
            version: version.clone(),
            content: *content,
            boot_id: self.boot_id.clone(),
            began_ms: regionmesh_runtime::time::unix_ms(),
            is_alone: self.is_suspect(&(model.clone(), version.clone(), *content)),
        };
        let mut loading = self.loading.lock();

        let Some(loading) = loading.as_mut() else {
            return Marker {
                quarantine: self.clone(),
                file: None,
            };
        };

        let file = self.write("loading", &record).unwrap_or_else(|error| {
            tracing::warn!(%model, %version, %error, "cannot write the marker of a load");
            None
        });

        loading.extend(file.clone());
        Marker {
            quarantine: self.clone(),
            file,
        }
    }

    /// Removes the markers of running loads and creates no more: the process is about to stop in an
    /// orderly way.
    pub(crate) fn close(&self) {
        let loading = self.loading.lock().take();
        loading.into_iter().flatten().for_each(|file| remove(&file));
    }

    /// Whether a version is quarantined.
    pub(crate) fn holds(&self, key: &VersionKey) -> bool {
        self.held.lock().contains_key(key)
    }

    /// Whether a version must be loaded alone, since it may have crashed the process.
    pub(crate) fn is_suspect(&self, key: &VersionKey) -> bool {
        self.suspects.lock().contains(key)
    }

    /// The process survived loading this version.
    pub(crate) fn clear_suspect(&self, key: &VersionKey) {
        self.suspects.lock().remove(key);
    }

    /// Requests a retry of a version that is quarantined or could not be loaded. Returns whether it
    /// was quarantined.
    pub fn retry(&self, model: &ModelName, version: &VersionName) -> bool {
        let matches_key = |key: &VersionKey| key.0 == *model && key.1 == *version;
        let was_held = self.drop_where(matches_key);
        tracing::info!(%model, %version, was_quarantined = was_held, "an operator requested a \
            retry");
        self.try_again(model, version);
        was_held
    }

    /// Requests a retry of a version, unless it is quarantined.
    pub fn try_again(&self, model: &ModelName, version: &VersionName) {
        let mut retries = self.retries.lock();
        if retries.len() < VERSIONS_MAX {
            retries.push((model.clone(), version.clone()));
        }
        drop(retries);
        self.changed.send_modify(|count| *count += 1);
    }

    /// Ends the quarantine of versions that `is_held` rejects: they were deleted.
    pub(crate) fn retain(&self, is_held: impl Fn(&ModelName, &VersionName, Digest) -> bool) {
        self.drop_where(|(model, version, content)| !is_held(model, version, *content));
        self.suspects
            .lock()
            .retain(|(model, version, content)| is_held(model, version, *content));
    }

    fn drop_where(&self, matches_key: impl Fn(&VersionKey) -> bool) -> bool {
        let mut held = self.held.lock();
        let gone: Vec<_> = held
            .keys()
            .filter(|key| matches_key(key))
            .cloned()
            .collect();
        for key in &gone {
            held.remove(key);
            if let Some(folder) = &self.folder {
                remove(&folder.join("quarantined").join(file_name(key)));
            }
        }

        !gone.is_empty()
    }

    /// The retries requested since the last call.
    pub(crate) fn take_retries(&self) -> Vec<(ModelName, VersionName)> {
        std::mem::take(&mut *self.retries.lock())
    }

    /// Changes when a retry is requested.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

/// The content is part of the name: a version may be deleted and republished while it is loaded.
fn file_name((model, version, content): &VersionKey) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(model.as_str().as_bytes())
        .update(b"@")
        .update(version.as_str().as_bytes())
        .update(&content.0);

    format!("{}.json", hasher.finalize().to_hex())
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

    fn versions(quarantine: &Quarantine) -> Vec<VersionKey> {
        quarantine.held.lock().keys().cloned().collect()
    }

    #[test]
    fn a_version_that_crashed_the_load_is_quarantined_until_retried_or_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Quarantine::open(Some(folder.path()));
        let first = open();

        drop(first.mark(&key("1")));
        // Simulates a crash: nothing is dropped.
        std::mem::forget(first.mark(&key("2")));

        let second = open();
        assert_eq!(versions(&second), [key("2")]);
        std::mem::forget(second.mark(&key("3")));

        // The first one stays, although it was not loaded in between.
        let third = open();
        assert_eq!(versions(&third), [key("2"), key("3")]);

        let model = "m".parse().unwrap();
        let version = "2".parse().unwrap();
        third.try_again(&model, &version);
        assert_eq!(third.take_retries().len(), 1);
        assert!(third.holds(&key("2")) && third.retry(&model, &version));
        assert_eq!(third.take_retries().len(), 1);
        third.retain(|_, version, _| version.as_str() != "3");
        assert!(versions(&open()).is_empty());
    }

    #[test]
    fn of_several_suspects_the_one_that_crashes_alone_is_quarantined() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Quarantine::open(Some(folder.path()));
        let first = open();

        std::mem::forget(first.mark(&key("1")));
        std::mem::forget(first.mark(&key("2")));

        let second = open();
        assert!(versions(&second).is_empty());
        assert!(
            second.is_suspect(&key("1"))
                && second.is_suspect(&key("2"))
                && !second.is_suspect(&key("3"))
        );

        drop(second.mark(&key("1")));
        second.clear_suspect(&key("1"));
        assert!(!second.is_suspect(&key("1")));

        // An abandoned computation of another version continues.
        std::mem::forget(second.mark(&key("3")));
        std::mem::forget(second.mark(&key("2")));

        let third = open();
        assert_eq!(versions(&third), [key("2")]);
        assert!(
            third.is_suspect(&key("3"))
                && !third.is_suspect(&key("1"))
                && !third.is_suspect(&key("2"))
        );
    }

    #[test]
    fn a_clean_stop_or_a_reboot_quarantines_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let first = Quarantine::open(Some(folder.path()));
        std::mem::forget(first.mark(&key("1")));
        first.close();

        // No longer leads to a quarantine.
        std::mem::forget(first.mark(&key("1")));

        let second = Quarantine::open(Some(folder.path()));
        assert!(versions(&second).is_empty());

        std::mem::forget(second.mark(&key("2")));
        let marker = folder.path().join("loading").join(file_name(&key("2")));
        let text = std::fs::read_to_string(&marker)
            .unwrap()
            .replace(&boot_id(), "another");

        std::fs::write(&marker, text).unwrap();
        if !boot_id().is_empty() {
            assert!(versions(&Quarantine::open(Some(folder.path()))).is_empty());
        }
    }

    #[test]
    fn a_damaged_or_missing_folder_is_harmless() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Quarantine::open(Some(folder.path()));
        drop(open());
        std::fs::write(folder.path().join("loading").join("x.json"), b"\xff{").unwrap();
        std::fs::write(
            folder.path().join("quarantined").join("y.json"),
            vec![b'{'; 10_000],
        )
        .unwrap();

        assert!(versions(&open()).is_empty());
        let nowhere = Quarantine::open(None);
        drop(nowhere.mark(&key("1")));
        assert!(!nowhere.retry(&"m".parse().unwrap(), &"1".parse().unwrap()));
    }
}
