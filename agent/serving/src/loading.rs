//! From the files of a version to a loaded model.

mod error;
mod files;

pub(crate) use error::LoadError;

use crate::{
    admission::Admission,
    budget::{Budget, Reservation},
    engine::{self, Engine, EngineError},
    metrics::ServingMetrics,
    outcomes::Outcomes,
    quarantine::{Quarantine, VersionKey},
    settings::ServingConfig,
    source::ModelSource,
    work::{self, Control},
};
use bytes::Bytes;
use files::{file_size, model_file};
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
use tract_onnx::pb::ModelProto;

/// Versions loaded in parallel: building a plan takes a core, and inferences need cores too.
const PARALLEL_LOADS: usize = 2;
/// A load that takes longer releases its place to the next one.
const SLOW_AFTER: Duration = Duration::from_secs(2);
/// Minimum time limit of the synthetic inference; otherwise serving.inference_timeout_ms, and never
/// more than serving.load_timeout_ms.
const SYNTHETIC_TIMEOUT: Duration = Duration::from_secs(10);
/// Slow loads that continue without a place.
const SLOW_LOADS_MAX: usize = 4;

/// A version that is ready to serve.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) model: ModelName,
    pub(crate) version: VersionName,
    /// Distinguishes a version that was deleted and republished.
    pub(crate) content: Digest,
    pub(crate) engine: Arc<Engine>,
    /// Why no synthetic inference succeeded after loading; none if one did.
    pub(crate) synthetic_failure: Option<String>,
    /// Places for its inferences: a slow model fills only its own.
    pub(crate) places: Admission,
    /// Computations that still run without a caller.
    pub(crate) abandoned: AtomicUsize,
    metrics: ServingMetrics,
}

impl Loaded {
    /// Identifies the version.
    pub(crate) fn key(&self) -> VersionKey {
        (self.model.clone(), self.version.clone(), self.content)
    }

    /// The outcome of the synthetic inference, whether a restart would give the same, and a word
    /// for the log.
    fn synthetic_outcome(&self) -> (Option<(Outcome, bool)>, &'static str) {
        let Some(why) = &self.synthetic_failure else {
            return (Some((Outcome::Servable, true)), "answered");
        };
        let outcome = Outcome::Unservable {
            reason: format!("it was loaded, but no synthetic inference succeeded: {why}"),
            is_quarantined: false,
        };

        (Some((outcome, true)), "failed")
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        self.metrics.loads.loaded.dec();
    }
}

/// What versions are loaded with.
pub(crate) struct LoadingArguments {
    /// Reads versions.
    pub(crate) source: Arc<dyn ModelSource>,
    pub(crate) config: ServingConfig,
    pub(crate) metrics: ServingMetrics,
    /// Blocks versions that took the process down.
    pub(crate) quarantine: Arc<Quarantine>,
    /// Stores the outcomes of loads.
    pub(crate) outcomes: Arc<Outcomes>,
}

/// The files read of a version.
struct Weights {
    proto: ModelProto,
    /// ONNX "external data", by file name.
    contents: BTreeMap<String, Bytes>,
    /// Of all these files, bytes.
    size: u64,
    resident: Reservation,
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

    /// Outcomes of earlier loads.
    pub(crate) fn outcomes(&self) -> &Arc<Outcomes> {
        &self.arguments.outcomes
    }

    /// Versions that are blocked from loading.
    pub(crate) fn quarantine(&self) -> &Arc<Quarantine> {
        &self.arguments.quarantine
    }

    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Loads a version and runs one inference on it. `make_room` frees memory; it returns `false`
    /// when nothing is left to free. `before` is the version that this one will replace, if any.
    pub(crate) async fn load(
        &self,
        model: &ModelName,
        version: &VersionName,
        content: Digest,
        before: Option<Arc<Loaded>>,
        make_room: impl Fn() -> bool + Send + Sync,
    ) -> Result<Arc<Loaded>, LoadError> {
        let key = (model.clone(), version.clone(), content);
        let LoadingArguments {
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
        self.record(&key, &result, took_ms, began);
        result
    }

    /// Counts, logs and stores the outcome of a load that began after `began` resets of failures.
    fn record(
        &self,
        key: &VersionKey,
        result: &Result<Arc<Loaded>, LoadError>,
        took_ms: u64,
        began: u64,
    ) {
        let (model, version, _) = key;
        let LoadingArguments {
            metrics,
            outcomes,
            quarantine,
            ..
        } = &self.arguments;

        metrics
            .loads
            .loaded_bytes
            .set(i64::try_from(self.budget.used()).unwrap_or(i64::MAX));

        let (outcome, inference) = match result {
            Ok(loaded) => loaded.synthetic_outcome(),
            Err(error) => (error.outcome(), "not reached"),
        };

        match result {
            Ok(_) => tracing::info!(
                %model,
                %version,
                took_ms,
                inference,
                "loaded a model version"
            ),
            Err(error) => {
                metrics
                    .loads
                    .load_failures
                    .with_label_values(&[model.as_str()])
                    .inc();
                tracing::error!(%model, %version, took_ms, %error, "cannot load a model version");
            }
        }

        if let Some((outcome, is_lasting)) = outcome {
            outcomes.record(key, outcome, is_lasting, began);
            quarantine.clear_suspect(key);
        }

        if let Err(LoadError::NoRoom { needed, .. }) = result {
            outcomes.await_room(key, *needed);
        }
    }

    async fn attempt(
        &self,
        key: &VersionKey,
        before: Option<Arc<Loaded>>,
        make_room: impl Fn() -> bool + Send + Sync,
    ) -> Result<Arc<Loaded>, LoadError> {
        let (model, version, content) = key;
        let LoadingArguments {
            config, metrics, ..
        } = &self.arguments;

        let Weights {
            mut proto,
            contents,
            size,
            resident,
        } = self.read(key, &make_room).await?;

        let budget = self.budget.clone();
        let tensor_limit = config.max_tensor_bytes;
        let engine = self
            .compute(key, move |_| {
                engine::inline_external(&mut proto, &contents)?;
                Engine::build(&proto, size, resident, budget, tensor_limit).map(Arc::new)
            })
            .await?;
        let synthetic_failure = self.run_synthetic(key, &engine).await?;

        if let Some(before) = before {
            let warmed = engine.clone();
            let warm = move |control: &Control| {
                warmed.warm_like(&before.engine, control);
                Ok(())
            };

            self.compute(key, warm).await?;
        }

        metrics.loads.loaded.inc();
        metrics.begin(model, version);
        Ok(Arc::new(Loaded {
            model: model.clone(),
            version: version.clone(),
            content: *content,
            engine,
            synthetic_failure,
            places: Admission::new(config, metrics.clone()),
            abandoned: AtomicUsize::new(0),
            metrics: metrics.clone(),
        }))
    }

    /// Reads the model file, and the files next to it that hold its weights.
    async fn read(
        &self,
        key: &VersionKey,
        make_room: &(impl Fn() -> bool + Send + Sync),
    ) -> Result<Weights, LoadError> {
        let (model, version, _) = key;
        let source = &self.arguments.source;
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
        let mut resident = self.reserve(size, make_room)?;
        let bytes = read(path).await?;
        let (proto, names): (_, BTreeSet<String>) = self
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
            resident = self.reserve(size, make_room)?;
            for name in names {
                contents.insert(name.clone(), read(name).await?);
            }
        }

        Ok(Weights {
            proto,
            contents,
            size,
            resident,
        })
    }

    /// Runs one synthetic inference; returns why none succeeded. Fails if the model can't be run.
    async fn run_synthetic(
        &self,
        key: &VersionKey,
        engine: &Arc<Engine>,
    ) -> Result<Option<String>, LoadError> {
        let config = &self.arguments.config;
        let inference = Duration::from_millis(config.inference_timeout_ms).max(SYNTHETIC_TIMEOUT);
        let time = Duration::from_millis(config.load_timeout_ms).min(inference);
        let tried = engine.clone();

        match self
            .compute_within(time, key, move |control| tried.run_synthetic(control))
            .await
        {
            Ok(failure) => Ok(failure.map(|error| error.to_string())),
            // Requests may use sizes that take less time than ours.
            Err(LoadError::Overrun(_)) if engine.is_open() => Ok(Some(format!(
                "none finished within {} s",
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

    /// Runs a part of a load in a dedicated thread, with a marker in case it crashes the process. A
    /// suspect runs alone.
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

            // A model that can never fit must not evict others.
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
