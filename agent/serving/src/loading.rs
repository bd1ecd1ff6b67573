//! From the files of a version to a loaded model.

use crate::settings::ServingConfig;
use crate::{
    admission::Admission,
    budget::{Budget, Reservation},
    engine::{self, Engine, EngineError},
    metrics::ServingMetrics,
    outcomes::Outcomes,
    quarantine::{Quarantine, VersionKey},
    source::ModelSource,
    work::{self, Control, WorkError},
};
use bytes::Bytes;
use regionmesh_protocol::{
    models::{
        digest::Digest,
        manifest::{ModelName, VersionName},
    },
    status::servability::Outcome,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::AtomicUsize},
    time::{Duration, Instant},
};
use tokio::sync::{RwLock, Semaphore};

/// Versions loaded at once: building plans takes a core each, and inferences need cores too.
const PARALLEL_LOADS: usize = 2;
/// A load that takes longer gives its place to the next one.
const SLOW_AFTER: Duration = Duration::from_secs(2);
/// The synthetic inference of a load may take as long as a user's (serving.inference_timeout_ms),
/// and at least this long; never longer than serving.load_timeout_ms.
const TRIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// Loads that go on without a place.
const SLOW_LOADS_MAX: usize = 4;

/// A version that is ready to serve.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The model.
    pub(crate) model: ModelName,
    /// The version.
    pub(crate) version: VersionName,
    /// Its content: a version that was deleted and published anew is another one.
    pub(crate) content: Digest,
    /// The engine.
    pub(crate) engine: Arc<Engine>,
    /// Why no synthetic inference succeeded after loading; none if one did.
    pub(crate) trial_failure: Option<String>,
    /// Its inferences: a model whose requests take long fills its own places and nobody else's.
    pub(crate) places: Admission,
    /// Computations that nobody waits for any more, and that go on.
    pub(crate) abandoned: AtomicUsize,
    metrics: ServingMetrics,
}

impl Loaded {
    /// What it is.
    pub(crate) fn key(&self) -> VersionKey {
        (self.model.clone(), self.version.clone(), self.content)
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        self.metrics.loaded.dec();
    }
}

/// Why a version can't be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LoadError {
    /// Its files can't be read now.
    #[error("its files can't be read: {0}")]
    Unreadable(String),
    /// There is no room now.
    #[error("needs {needed} bytes of memory, serving.memory_limit is {limit} and {used} are taken")]
    NoRoom {
        /// Bytes to be set aside.
        needed: u64,
        /// The limit.
        limit: u64,
        /// Taken by other versions.
        used: u64,
    },
    /// It is not a model that can be served; trying again is of no use.
    #[error("{0}")]
    Unservable(String),
    /// Loading it took too long; its thread may go on.
    #[error("loading it and running one inference took longer than {} s", .0.as_secs_f32())]
    Overrun(Duration),
    /// It took the process down before.
    #[error(
        "it is quarantined: the process died while loading it; delete it, or run `regionmesh \
            models retry {0} {1}`"
    )]
    Quarantined(ModelName, VersionName),
}

impl LoadError {
    /// Whether a later attempt may succeed.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            LoadError::Unreadable(_) => true,
            LoadError::NoRoom { needed, limit, .. } => needed <= limit,
            LoadError::Unservable(_) | LoadError::Overrun(_) | LoadError::Quarantined(..) => false,
        }
    }

    /// What the mesh is told of a version in quarantine.
    pub(crate) fn quarantined((model, version, _): &VersionKey) -> Outcome {
        let reason = LoadError::Quarantined(model.clone(), version.clone()).to_string();
        Outcome::Unservable {
            reason,
            is_quarantined: true,
        }
    }

    /// What the mesh is told, and whether it would end the same way after a restart; none where the
    /// version itself was not tried.
    pub(crate) fn outcome(&self) -> Option<(Outcome, bool)> {
        let unservable = Outcome::Unservable {
            reason: self.to_string(),
            is_quarantined: false,
        };

        match self {
            // The quarantine itself tells of the latter.
            LoadError::Unreadable(_) | LoadError::Quarantined(..) => None,
            LoadError::Unservable(_) => Some((unservable, true)),
            LoadError::NoRoom { .. } | LoadError::Overrun(_) => Some((unservable, false)),
        }
    }
}

impl From<WorkError> for LoadError {
    fn from(error: WorkError) -> Self {
        match error {
            WorkError::Overrun(time) => LoadError::Overrun(time),
            WorkError::Thread(why) => LoadError::Unreadable(why),
        }
    }
}

impl From<EngineError> for LoadError {
    fn from(error: EngineError) -> Self {
        LoadError::Unservable(error.to_string())
    }
}

/// What versions are loaded with.
pub(crate) struct LoadingArguments {
    /// Reads versions.
    pub(crate) source: Arc<dyn ModelSource>,
    /// Limits.
    pub(crate) config: ServingConfig,
    /// The counters.
    pub(crate) metrics: ServingMetrics,
    /// Keeps what took the process down away.
    pub(crate) quarantine: Arc<Quarantine>,
    /// Remembers how loads ended.
    pub(crate) outcomes: Arc<Outcomes>,
}

/// Loads versions, a few at a time.
pub(crate) struct Loading {
    arguments: LoadingArguments,
    budget: Arc<Budget>,
    slots: Semaphore,
    slow: Semaphore,
    /// Written by a suspect while it computes, read by all others.
    computing: RwLock<()>,
}

impl Loading {
    /// Within the configured memory.
    pub(crate) fn new(arguments: LoadingArguments) -> Self {
        let budget = Budget::new(arguments.config.memory_limit);
        Self {
            arguments,
            budget,
            slots: Semaphore::new(PARALLEL_LOADS),
            slow: Semaphore::new(SLOW_LOADS_MAX),
            computing: RwLock::default(),
        }
    }

    /// How loads ended.
    pub(crate) fn outcomes(&self) -> &Arc<Outcomes> {
        &self.arguments.outcomes
    }

    /// What is not loaded any more.
    pub(crate) fn quarantine(&self) -> &Arc<Quarantine> {
        &self.arguments.quarantine
    }

    /// The budget.
    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Loads a version and runs one inference on it. `make_room` is asked to free memory while
    /// there is not enough; it answers `false` when it has nothing left to give up. `before` is the
    /// version that this one shall replace, if any.
    pub(crate) async fn load(
        &self,
        model: &ModelName,
        version: &VersionName,
        content: Digest,
        before: Option<Arc<Loaded>>,
        make_room: impl Fn() -> bool + Send,
    ) -> Result<Arc<Loaded>, LoadError> {
        let key = (model.clone(), version.clone(), content);
        let LoadingArguments {
            metrics,
            outcomes,
            quarantine,
            ..
        } = &self.arguments;

        if quarantine.holds(&key) {
            return Err(LoadError::Quarantined(model.clone(), version.clone()));
        }

        let mut slot = Some(
            self.slots
                .acquire()
                .await
                .map_err(|error| LoadError::Unreadable(error.to_string()))?,
        );
        let started = Instant::now();
        let began = outcomes.forgotten();
        let mut attempt = Box::pin(self.attempt(&key, before, make_room));
        let mut slow = None;

        let result = match tokio::time::timeout(SLOW_AFTER, attempt.as_mut()).await {
            Ok(result) => result,
            Err(_) => {
                slow = self.slow.try_acquire().ok();
                if slow.is_some() {
                    slot = None;
                }
                attempt.await
            }
        };

        drop((slot, slow));
        let took_ms = started.elapsed().as_millis() as u64;
        metrics
            .loaded_bytes
            .set(i64::try_from(self.budget.used()).unwrap_or(i64::MAX));

        let (outcome, trial) = match &result {
            Ok(loaded) => match &loaded.trial_failure {
                None => (Some((Outcome::Servable, true)), "answered"),
                Some(why) => {
                    let reason =
                        format!("it was loaded, but no synthetic inference succeeded: {why}");
                    (
                        Some((
                            Outcome::Unservable {
                                reason,
                                is_quarantined: false,
                            },
                            true,
                        )),
                        "failed",
                    )
                }
            },
            Err(error) => (error.outcome(), "not reached"),
        };

        match &result {
            Ok(_) => tracing::info!(%model, %version, took_ms, trial, "loaded a model version"),
            Err(error) => {
                metrics
                    .load_failures
                    .with_label_values(&[model.as_str()])
                    .inc();
                tracing::error!(%model, %version, took_ms, %error, "cannot load a model version");
            }
        }

        if let Some((outcome, is_lasting)) = outcome {
            outcomes.record(&key, outcome, is_lasting, began);
            quarantine.acquit(&key);
        }

        if let Err(LoadError::NoRoom { needed, .. }) = &result {
            outcomes.await_room(&key, *needed);
        }
        result
    }

    async fn attempt(
        &self,
        key: &VersionKey,
        before: Option<Arc<Loaded>>,
        make_room: impl Fn() -> bool + Send,
    ) -> Result<Arc<Loaded>, LoadError> {
        let (model, version, content) = key;
        let LoadingArguments {
            source,
            config,
            metrics,
            ..
        } = &self.arguments;

        let files = source
            .files(model, version)
            .await
            .map_err(LoadError::Unreadable)?;
        let (path, mut size) = model_file(&files)?;
        let read = |path: String| async move {
            source
                .read(model, version, &path)
                .await
                .map_err(LoadError::Unreadable)
        };

        // Before reading: a file beyond the limit must not be in memory even once.
        let mut resident = self.reserve(size, &make_room)?;
        let bytes = read(path).await?;
        let (mut proto, names): (_, BTreeSet<String>) = self
            .compute(key, move |_| {
                let mut proto = engine::decode(&bytes)?;
                let names = engine::external_files(&mut proto);
                Ok((proto, names))
            })
            .await?;

        let mut contents: BTreeMap<String, Bytes> = BTreeMap::new();
        if !names.is_empty() {
            for name in &names {
                size += file_size(&files, name)?;
            }
            drop(resident);
            resident = self.reserve(size, &make_room)?;
            for name in names {
                contents.insert(name.clone(), read(name).await?);
            }
        }

        let budget = self.budget.clone();
        let tensor_limit = config.max_tensor_bytes;
        let engine = self
            .compute(key, move |_| {
                engine::inline_external(&mut proto, &contents)?;
                Engine::build(&proto, size, resident, budget, tensor_limit).map(Arc::new)
            })
            .await?;
        let trial_failure = self.try_out(key, &engine).await?;

        if let Some(before) = before {
            let warmed = engine.clone();
            let warm = move |control: &Control| {
                warmed.warm_like(&before.engine, control);
                Ok(())
            };

            self.compute(key, warm).await?;
        }

        metrics.loaded.inc();
        metrics.begin(model, version);
        Ok(Arc::new(Loaded {
            model: model.clone(),
            version: version.clone(),
            content: *content,
            engine,
            trial_failure,
            places: Admission::new(config, metrics.clone()),
            abandoned: AtomicUsize::new(0),
            metrics: metrics.clone(),
        }))
    }

    /// Runs one synthetic inference; answers why none succeeded. Fails where the model can't be
    /// run.
    async fn try_out(
        &self,
        key: &VersionKey,
        engine: &Arc<Engine>,
    ) -> Result<Option<String>, LoadError> {
        let config = &self.arguments.config;
        let inference = Duration::from_millis(config.inference_timeout_ms).max(TRIAL_TIMEOUT);
        let time = Duration::from_millis(config.load_timeout_ms).min(inference);
        let tried = engine.clone();

        match self
            .compute_within(time, key, move |control| tried.try_out(control))
            .await
        {
            Ok(failure) => Ok(failure.map(|error| error.to_string())),
            // Requests may well choose sizes that take less time than ours.
            Err(LoadError::Overrun(_)) if engine.is_open() => Ok(Some(format!(
                "none was done within {} s",
                time.as_secs_f32()
            ))),
            Err(error) => Err(error),
        }
    }

    async fn compute<T: Send + 'static>(
        &self,
        key: &VersionKey,
        work: impl FnOnce(&Control) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, LoadError> {
        let time = Duration::from_millis(self.arguments.config.load_timeout_ms);
        self.compute_within(time, key, work).await
    }

    /// Runs a part of a load in a thread of its own, marked as what may take the process down; a
    /// suspect's with no other at the same time.
    async fn compute_within<T: Send + 'static>(
        &self,
        time: Duration,
        key: &VersionKey,
        work: impl FnOnce(&Control) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, LoadError> {
        let quarantine = self.arguments.quarantine.clone();
        let key = key.clone();
        let is_suspect = quarantine.is_suspect(&key);
        let _alone = if is_suspect {
            Some(self.computing.write().await)
        } else {
            None
        };
        let _shared = if is_suspect {
            None
        } else {
            Some(self.computing.read().await)
        };

        let marked = move |control: &Control| {
            let _marker = quarantine.mark(&key);
            engine::guarded(|| work(control))
        };

        match work::in_thread(time, &self.arguments.metrics.abandoned, marked).await? {
            Err(EngineError::Stopped(_)) => Err(LoadError::Overrun(time)),
            other => other.map_err(LoadError::from),
        }
    }

    fn reserve(&self, size: u64, make_room: &impl Fn() -> bool) -> Result<Reservation, LoadError> {
        let needed = Engine::resident_bytes(size);
        loop {
            if let Some(reservation) = self.budget.reserve(needed) {
                return Ok(reservation);
            }

            // What can never fit shall not push anything out.
            if needed > self.budget.limit() || !make_room() {
                return Err(LoadError::NoRoom {
                    needed,
                    limit: self.budget.limit(),
                    used: self.budget.used(),
                });
            }
        }
    }
}

/// `model.onnx`, else the only file that ends so.
fn model_file(files: &[(String, u64)]) -> Result<(String, u64), LoadError> {
    let found: Vec<_> = files
        .iter()
        .filter(|(path, _)| path.ends_with(".onnx"))
        .collect();
    let named = found.iter().find(|(path, _)| path == "model.onnx");

    match (named, &found[..]) {
        (Some(file), _) => Ok((**file).clone()),
        (None, [file]) => Ok((*file).clone()),
        (None, []) => Err(LoadError::Unservable(
            "it has no .onnx file, the only format that is served here".into(),
        )),
        (None, _) => {
            let paths: Vec<_> = found.iter().map(|(path, _)| path.as_str()).collect();
            Err(LoadError::Unservable(format!(
                "it has several .onnx files and none is model.onnx: {paths:?}"
            )))
        }
    }
}

fn file_size(files: &[(String, u64)], name: &str) -> Result<u64, LoadError> {
    files
        .iter()
        .find(|(path, _)| path == name)
        .map(|(_, size)| *size)
        .ok_or_else(|| {
            LoadError::Unservable(format!(
                "its weights are in a file that the version does not have: {name:?}"
            ))
        })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::source::Directory;

    #[tokio::test]
    async fn a_suspect_computes_while_no_other_does_and_is_acquitted_by_the_end_of_its_load() {
        let models = tempfile::tempdir().unwrap();
        let state = tempfile::tempdir().unwrap();
        let model: ModelName = "m".parse().unwrap();
        let version: VersionName = "1".parse().unwrap();
        let content = Digest([7; 32]);

        std::fs::create_dir_all(models.path().join("m/1")).unwrap();
        std::fs::write(models.path().join("m/1/model.onnx"), b"damaged").unwrap();

        let before = Quarantine::open(Some(state.path()));
        // As if the process had died: nothing is dropped.
        for name in ["1", "2"] {
            std::mem::forget(before.mark(&(model.clone(), name.parse().unwrap(), content)));
        }

        let quarantine = Quarantine::open(Some(state.path()));
        let loading = Loading::new(LoadingArguments {
            source: Arc::new(Directory::new(models.path(), "here".parse().unwrap())),
            config: ServingConfig::default(),
            metrics: ServingMetrics::new(&prometheus::Registry::new()).unwrap(),
            quarantine: quarantine.clone(),
            outcomes: Arc::new(Outcomes::open(None, String::new())),
        });

        let other = loading.computing.read().await;
        let mut load = Box::pin(loading.load(&model, &version, content, None, || false));
        assert!(
            tokio::time::timeout(Duration::from_millis(200), load.as_mut())
                .await
                .is_err()
        );

        drop(other);
        assert!(matches!(load.await, Err(LoadError::Unservable(_))));
        assert!(!quarantine.is_suspect(&(model, version, content)));
    }

    #[test]
    fn the_model_file_is_found_by_name_or_by_being_alone() {
        let files = |paths: &[&str]| {
            paths
                .iter()
                .map(|path| ((*path).to_owned(), 1))
                .collect::<Vec<_>>()
        };

        assert_eq!(
            model_file(&files(&["a.onnx", "model.onnx"])).unwrap().0,
            "model.onnx"
        );

        assert_eq!(
            model_file(&files(&["a.onnx", "labels.txt"])).unwrap().0,
            "a.onnx"
        );

        assert!(model_file(&files(&["a.onnx", "b.onnx"])).is_err());
        assert!(model_file(&files(&["weights.bin"])).is_err());
    }
}
