//! Syncs a growing file to disk before it is complete.

use parking_lot::Mutex;
use std::{
    fs::File,
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::task::JoinHandle;

/// Unsynced bytes of a growing file that start a sync.
pub(crate) const SYNC_EVERY: u64 = 64 << 20;

/// Syncs a file while it still grows, so that little is left for the sync at its end: a large model
/// then takes the longer of the times for receiving and writing, not their sum. Clones share the
/// file.
#[derive(Debug, Clone)]
pub(crate) struct EarlySync {
    file: Arc<File>,
    waiting: Arc<AtomicU64>,
    /// The sync in progress, or the last one.
    running: Arc<Mutex<Option<JoinHandle<()>>>>,
    /// The kernel reports a write error only once; a later sync would miss it.
    failure: Arc<Mutex<Option<io::Error>>>,
}

impl EarlySync {
    /// For an existing file. Create it before the first write reported to [`EarlySync::wrote`].
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        let file = Arc::new(File::open(path)?);
        Ok(Self {
            file,
            waiting: Arc::default(),
            running: Arc::default(),
            failure: Arc::default(),
        })
    }

    /// Reports `bytes` written. Does not block; must be called within a tokio runtime.
    pub(crate) fn wrote(&self, bytes: u64) {
        if self.waiting.fetch_add(bytes, Ordering::Relaxed) + bytes >= SYNC_EVERY {
            self.begin();
        }
    }

    fn begin(&self) {
        let mut running = self.running.lock();
        if running.as_ref().is_some_and(|sync| !sync.is_finished()) {
            return;
        }
        self.waiting.store(0, Ordering::Relaxed);

        let file = self.file.clone();
        let failure = self.failure.clone();
        *running = Some(tokio::task::spawn_blocking(move || {
            if let Err(error) = file.sync_data() {
                failure.lock().get_or_insert(error);
            }
        }));
    }

    /// Waits for the sync in progress; fails if any sync failed.
    pub(crate) async fn finish(self) -> io::Result<()> {
        let running = self.running.lock().take();

        if let Some(sync) = running {
            sync.await.map_err(io::Error::other)?;
        }
        self.failure.lock().take().map_or(Ok(()), Err)
    }
}
