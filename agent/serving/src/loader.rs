//! Loads the default version of every model and test-loads every other version once (again if it
//! can't be served), as the catalogue changes.
//!
//! One task writes the [`View`]; requests read it without a lock. A swap publishes a new view:
//! requests that hold the old version finish with it. A default that can't be loaded leaves the old
//! one serving; without one, after a restart, the newest older version that loads is served.

mod adopt;
mod loads;
mod publish;

use crate::{
    extras::Extras,
    loading::{LoadError, Loaded, Loading},
    metrics::ServingMetrics,
    progress::{Failure, Progress},
    quarantine::VersionKey,
    refusal::{Refusal, quoted},
    view::{ServingProblem, View},
};
use arc_swap::ArcSwap;
use regionmesh_core::planning::servability::RegionModels;
use regionmesh_protocol::{
    identity::RegionName,
    models::{
        catalogue::Catalogue,
        manifest::{ModelName, VersionName},
    },
    status::{
        ServingStatus,
        servability::{Outcome, Servability},
        served::{LATENCY_BUCKETS, Served},
    },
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{sync::watch, time::Instant};

/// How often the request counters go into the published status: it travels through the mesh, so not
/// with every request.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);

/// The other regions, for [`regionmesh_core::planning::servability::given_up_for`].
pub(crate) type Peers = watch::Receiver<Arc<BTreeMap<RegionName, RegionModels>>>;

/// What a [`VersionRegistry`] is made with.
pub(crate) struct VersionRegistryArguments {
    pub(crate) region: RegionName,
    /// Loads versions.
    pub(crate) loading: Arc<Loading>,
    /// Versions kept in addition to the default ones.
    pub(crate) extra_versions: usize,
    /// Inferences that run in parallel.
    pub(crate) places: u32,
    /// Whether versions that are not a default are test-loaded too.
    pub(crate) tests_versions: bool,
    pub(crate) metrics: ServingMetrics,
}

/// Inferences since the start.
#[derive(Debug, Default)]
struct Counts {
    answered: AtomicU64,
    errors: AtomicU64,
    probes: AtomicU64,
    latency: [AtomicU64; LATENCY_BUCKETS],
}

/// Reads: requests. Writes: the task that [`VersionRegistry::run`] is.
pub(crate) struct VersionRegistry {
    arguments: VersionRegistryArguments,
    view: ArcSwap<View>,
    extras: Arc<Extras>,
    status: watch::Sender<ServingStatus>,
    servability: watch::Sender<Servability>,
    problems: watch::Sender<Vec<ServingProblem>>,
    counts: Counts,
}

impl VersionRegistry {
    /// An empty registry.
    pub(crate) fn new(arguments: VersionRegistryArguments) -> Arc<Self> {
        let extras = Extras::new(arguments.extra_versions, arguments.loading.clone());
        Arc::new(Self {
            arguments,
            view: ArcSwap::default(),
            extras,
            status: watch::Sender::default(),
            servability: watch::Sender::default(),
            problems: watch::Sender::default(),
            counts: Counts::default(),
        })
    }

    /// Which versions can be served.
    pub(crate) fn servability(&self) -> watch::Receiver<Servability> {
        self.servability.subscribe()
    }

    /// What can't be served, described for an operator.
    pub(crate) fn problems(&self) -> watch::Receiver<Vec<ServingProblem>> {
        self.problems.subscribe()
    }

    /// How loading a version ended.
    pub(crate) fn outcome(&self, key: &VersionKey) -> Option<Outcome> {
        // A stored outcome predates the crash.
        if self.arguments.loading.quarantine().holds(key) {
            return Some(LoadError::quarantined(key));
        }
        self.arguments.loading.outcomes().of(key)
    }

    /// Reports that a computation of this version does not end, or that it ended after all.
    pub(crate) fn stuck(&self, loaded: &Loaded, is_stuck: bool) {
        self.arguments
            .loading
            .outcomes()
            .stuck(&loaded.key(), is_stuck);
    }

    /// The models now.
    pub(crate) fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// The status that the mesh publishes.
    pub(crate) fn status(&self) -> watch::Receiver<ServingStatus> {
        self.status.subscribe()
    }

    /// Counts an inference that was answered, and how long that took.
    pub(crate) fn served(&self, took: Duration) {
        self.counts.answered.fetch_add(1, Relaxed);
        self.counts.latency[Served::bucket(took.as_secs_f64() * 1e3)].fetch_add(1, Relaxed);
    }

    /// Counts an inference that ended in an error of ours.
    pub(crate) fn failed(&self) {
        self.counts.errors.fetch_add(1, Relaxed);
    }

    /// Counts a positive answer to a readiness check.
    pub(crate) fn probed(&self) {
        self.counts.probes.fetch_add(1, Relaxed);
    }

    /// The version that a request means, loaded.
    pub(crate) async fn resolve(
        &self,
        model: &str,
        version: Option<&str>,
    ) -> Result<Arc<Loaded>, Refusal> {
        let view = self.view.load_full();
        let unknown =
            || Refusal::not_found(format!("model {} is not in this region", quoted(model)));
        let name: ModelName = model.parse().map_err(|_| unknown())?;
        let entry = view.models.get(&name).ok_or_else(unknown)?;
        let Some(version) = version else {
            return match (&entry.default, &entry.wanted, &entry.failure) {
                (Some(loaded), ..) => Ok(loaded.clone()),
                (None, Some((version, _)), Some(reason)) => Err(Refusal::unavailable(format!(
                    "model {name}@{version} can't be loaded: {reason}"
                ))),
                (None, Some((version, _)), None) => Err(Refusal::unavailable(format!(
                    "model {name}@{version} is being loaded"
                ))),
                (None, None, _) => Err(Refusal::not_found(format!(
                    "model {name} has no default version here; name one in the path, or promote \
                        one to production"
                ))),
            };
        };

        let unknown = || {
            Refusal::not_found(format!(
                "model {name} has no version or alias {} in this region",
                quoted(version)
            ))
        };
        let wanted: VersionName = version.parse().map_err(|_| unknown())?;
        let (version, content) = entry.held.resolve(&wanted).ok_or_else(unknown)?;

        if let Some(loaded) = entry
            .default
            .as_ref()
            .filter(|loaded| loaded.version == *version && loaded.content == content)
        {
            return Ok(loaded.clone());
        }

        if !self.extras.is_enabled() {
            let reason = "serving.extra_versions is 0, so that only the default version is served";
            return Err(Refusal::unavailable(format!(
                "model {name}@{version}: {reason}"
            )));
        }

        let loaded = self.extras.get(&name, version, content).await;
        loaded.map_err(|error| {
            Refusal::unavailable(format!("model {name}@{version} can't be loaded: {error}"))
        })
    }

    /// Loads the catalogue's models. Never returns.
    pub(crate) async fn run(
        self: Arc<Self>,
        mut catalogue: watch::Receiver<Arc<Catalogue>>,
        mut peers: Peers,
    ) {
        let mut progress = Progress::default();
        let loading = &self.arguments.loading;
        let mut outcomes = loading.outcomes().changes();
        let mut retries = loading.quarantine().changes();
        let mut is_open = true;
        let mut has_peers = true;

        // A first value that is not empty means that the writer has read the store.
        let is_read = catalogue.has_changed().unwrap_or(false)
            || **catalogue.borrow() != Catalogue::default();
        if is_read {
            self.adopt(&catalogue.borrow_and_update().clone(), &mut progress);
        }

        let mut status_tick = tokio::time::interval(STATUS_INTERVAL);
        status_tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.retry_due(&mut progress);
            self.start_loads(&mut progress);
            self.start_test_load(&mut progress);
            self.judge(&mut progress, &peers.borrow_and_update().clone());

            let retry_at = progress
                .failures
                .values()
                .filter_map(|failure| failure.retry_at)
                .min();

            tokio::select! {
                changed = catalogue.changed(), if is_open => {
                    is_open = changed.is_ok();
                    if is_open {
                        let latest = catalogue.borrow_and_update().clone();
                        self.adopt(&latest, &mut progress);
                    }
                }
                Some(finished) = progress.loads.join_next_with_id() => {
                    self.load_ended(finished, &mut progress);
                }
                Some(finished) = progress.test_load.join_next() => {
                    self.test_load_ended(finished, &mut progress);
                }
                () = sleep_until(retry_at), if retry_at.is_some() => {
                    let now = Instant::now();
                    let due = |failure: &&mut Failure| failure.retry_at.is_some_and(|at| at <= now);
                    for failure in progress.failures.values_mut().filter(due) {
                        failure.attempts += 1;
                        failure.retry();
                    }
                }
                // Without a mesh there are no other regions, and the sender is gone.
                changed = peers.changed(), if has_peers => has_peers = changed.is_ok(),
                Ok(()) = outcomes.changed() => self.remember(),
                Ok(()) = retries.changed() => self.retry(&mut progress),
                _ = status_tick.tick() => {}
            }
        }
    }

    /// Saves the outcomes to the disk, off the runtime's threads.
    fn remember(&self) {
        let outcomes = self.arguments.loading.outcomes().clone();
        drop(tokio::task::spawn_blocking(move || outcomes.save()));
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
