//! Loads in progress and failed loads.

use crate::{
    loading::{LoadError, Loaded},
    quarantine::VersionKey,
};
use regionmesh_core::backoff::Backoff;
use regionmesh_protocol::models::{
    digest::Digest,
    manifest::{ModelName, VersionName},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    task::{AbortHandle, JoinSet},
    time::Instant,
};

/// Delays before a load is repeated after a temporary failure.
const RETRY: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
/// How long a version whose files can't be read is skipped as a fallback and for test loads.
const UNREADABLE_SKIP: Duration = Duration::from_secs(15);
/// Minimum interval between repeated test loads: thousands of unservable versions must not occupy
/// the server.
const TEST_LOAD_INTERVAL: Duration = Duration::from_secs(5);

/// A failed load of a default version.
pub(crate) struct Failure {
    pub(crate) version: VersionName,
    pub(crate) content: Digest,
    pub(crate) reason: String,
    /// Whether the region waits for it, because its files can't be read now.
    pub(crate) is_awaited: bool,
    pub(crate) attempts: u32,
    /// When to try again; none if a retry is useless or in progress.
    pub(crate) retry_at: Option<Instant>,
    /// Whether another attempt is due or in progress.
    pub(crate) is_retrying: bool,
}

impl Failure {
    pub(crate) fn retry(&mut self) {
        self.retry_at = None;
        self.is_retrying = true;
    }
}

pub(crate) type Finished = (VersionKey, Result<Arc<Loaded>, LoadError>);

/// The private state of the task that loads models.
#[derive(Default)]
pub(crate) struct Progress {
    pub(crate) failures: BTreeMap<ModelName, Failure>,
    pub(crate) loads: JoinSet<Finished>,
    /// The load of each model that is in progress.
    pub(crate) loading: BTreeMap<ModelName, (VersionKey, AbortHandle)>,
    /// The test load of a version that is not a default.
    pub(crate) test_load: JoinSet<Finished>,
    pub(crate) testing: Option<VersionKey>,
    /// When a test load was last repeated.
    pub(crate) repeated_at: Option<Instant>,
    /// Versions whose files could not be read recently.
    pub(crate) backing_off: BTreeMap<VersionKey, Instant>,
    /// Models of which this server can't serve any version.
    pub(crate) unserved: Vec<ModelName>,
}

impl Progress {
    pub(crate) fn is_backing_off(&self, key: &VersionKey) -> bool {
        self.backing_off
            .get(key)
            .is_some_and(|since| since.elapsed() < UNREADABLE_SKIP)
    }

    pub(crate) fn may_repeat_test_load(&self) -> bool {
        self.repeated_at
            .is_none_or(|at| at.elapsed() >= TEST_LOAD_INTERVAL)
    }

    /// Whether the wanted version of a model can't be served, so that another may be served in its
    /// place.
    pub(crate) fn is_failed(&self, model: &ModelName) -> bool {
        self.failures
            .get(model)
            .is_some_and(|failure| !failure.is_retrying && !failure.is_awaited)
    }

    /// Whether the wanted version of a model failed, and is not being tried again.
    pub(crate) fn has_given_up(&self, model: &ModelName) -> bool {
        self.failures
            .get(model)
            .is_some_and(|failure| !failure.is_retrying)
    }

    /// Records why a wanted version is not served, and when it is tried again: immediately if the
    /// failure is outdated.
    pub(crate) fn fail(
        &mut self,
        (name, version, content): &VersionKey,
        error: &LoadError,
        is_overtaken: bool,
    ) {
        let before = self.failures.get(name);
        let attempts = before.map_or(0, |failure| failure.attempts);

        // A region that gave up its share for this version does not reclaim it because a retry
        // can't read the files.
        let may_await = before.is_none_or(|failure| failure.is_awaited);
        let delay = RETRY.after(attempts);
        let failure = Failure {
            version: version.clone(),
            content: *content,
            reason: error.to_string(),
            is_awaited: may_await && matches!(error, LoadError::Unreadable(_)),
            attempts,
            retry_at: error.is_transient().then(|| Instant::now() + delay),
            is_retrying: is_overtaken,
        };

        self.failures.insert(name.clone(), failure);
    }
}
