//! From the files of a version to a loaded model.

use super::{
    budget::Budget,
    engine::{self, Engine, EngineError},
    metrics::ServingMetrics,
    source::ModelSource,
};
use bytes::Bytes;
use regionmesh_protocol::manifest::{Digest, ModelName, VersionName};
use std::{collections::BTreeMap, sync::Arc, time::Instant};
use tokio::sync::Semaphore;

/// Versions loaded at once: building plans takes a core each, and inferences need cores too.
const PARALLEL_LOADS: usize = 2;

/// A version that is ready to serve.
#[derive(Debug)]
pub struct Loaded {
    /// The model.
    pub model: ModelName,
    /// The version.
    pub version: VersionName,
    /// Its content: a version that was deleted and published anew is another one.
    pub content: Digest,
    /// The engine.
    pub engine: Engine,
    metrics: ServingMetrics,
}

impl Drop for Loaded {
    fn drop(&mut self) {
        self.metrics.loaded.dec();
    }
}

/// Why a version can't be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
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
}

impl LoadError {
    /// Whether a later attempt may succeed.
    pub fn is_passing(&self) -> bool {
        match self {
            LoadError::Unreadable(_) => true,
            LoadError::NoRoom { needed, limit, .. } => needed <= limit,
            LoadError::Unservable(_) => false,
        }
    }
}

impl From<EngineError> for LoadError {
    fn from(error: EngineError) -> Self {
        LoadError::Unservable(error.to_string())
    }
}

/// Loads versions, a few at a time.
pub struct Loading {
    source: Arc<dyn ModelSource>,
    budget: Arc<Budget>,
    slots: Semaphore,
    metrics: ServingMetrics,
}

impl Loading {
    /// From `source`, within `budget`.
    pub fn new(source: Arc<dyn ModelSource>, budget: Arc<Budget>, metrics: ServingMetrics) -> Self {
        Self { source, budget, slots: Semaphore::new(PARALLEL_LOADS), metrics }
    }

    /// The budget.
    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Loads and warms a version. `make_room` is asked to free memory while there is not enough; it answers `false`
    /// when it has nothing left to give up. `before` is the version that this one shall replace, if any.
    pub async fn load(
        &self,
        model: &ModelName,
        version: &VersionName,
        content: Digest,
        before: Option<Arc<Loaded>>,
        make_room: impl Fn() -> bool + Send,
    ) -> Result<Arc<Loaded>, LoadError> {
        let _slot = self.slots.acquire().await.map_err(|error| LoadError::Unreadable(error.to_string()))?;
        let started = Instant::now();
        let result = self.attempt(model, version, content, before, make_room).await;
        let took_ms = started.elapsed().as_millis() as u64;
        self.metrics.loaded_bytes.set(i64::try_from(self.budget.used()).unwrap_or(i64::MAX));
        match &result {
            Ok(_) => tracing::info!(%model, %version, took_ms, "loaded a model version"),
            Err(error) => {
                self.metrics.load_failures.with_label_values(&[model.as_str()]).inc();
                tracing::error!(%model, %version, took_ms, %error, "cannot load a model version");
            }
        }
        result
    }

    async fn attempt(
        &self,
        model: &ModelName,
        version: &VersionName,
        content: Digest,
        before: Option<Arc<Loaded>>,
        make_room: impl Fn() -> bool + Send,
    ) -> Result<Arc<Loaded>, LoadError> {
        let files = self.source.files(model, version).await.map_err(LoadError::Unreadable)?;
        let (path, mut size) = model_file(&files)?;
        let read =
            |path: String| async move { self.source.read(model, version, &path).await.map_err(LoadError::Unreadable) };
        // Before reading: a file beyond the limit must not be in memory even once.
        let mut resident = self.reserve(size, &make_room)?;
        let bytes = read(path).await?;
        let mut proto = blocking(move || engine::decode(&bytes)).await?;
        let names = engine::external_files(&mut proto);
        if !names.is_empty() {
            for name in &names {
                size += file_size(&files, name)?;
            }
            drop(resident);
            resident = self.reserve(size, &make_room)?;
            let mut contents: BTreeMap<String, Bytes> = BTreeMap::new();
            for name in names {
                contents.insert(name.clone(), read(name).await?);
            }
            proto = blocking(move || {
                engine::inline_external(&mut proto, &contents)?;
                Ok(proto)
            })
            .await?;
        }
        let budget = self.budget.clone();
        let engine = blocking(move || {
            let engine = Engine::build(&proto, size, resident, budget)?;
            if let Some(before) = before {
                engine.warm_like(&before.engine);
            }
            Ok(engine)
        })
        .await?;
        self.metrics.loaded.inc();
        self.metrics.begin(model, version);
        let (model, version, metrics) = (model.clone(), version.clone(), self.metrics.clone());
        Ok(Arc::new(Loaded { model, version, content, engine, metrics }))
    }

    fn reserve(&self, size: u64, make_room: &impl Fn() -> bool) -> Result<super::budget::Reservation, LoadError> {
        let needed = Engine::resident_bytes(size);
        loop {
            if let Some(reservation) = self.budget.reserve(needed) {
                return Ok(reservation);
            }
            // What can never fit shall not push anything out.
            if needed > self.budget.limit() || !make_room() {
                return Err(LoadError::NoRoom { needed, limit: self.budget.limit(), used: self.budget.used() });
            }
        }
    }
}

/// `model.onnx`, else the only file that ends so.
fn model_file(files: &[(String, u64)]) -> Result<(String, u64), LoadError> {
    let found: Vec<_> = files.iter().filter(|(path, _)| path.ends_with(".onnx")).collect();
    let named = found.iter().find(|(path, _)| path == "model.onnx");
    match (named, &found[..]) {
        (Some(file), _) => Ok((**file).clone()),
        (None, [file]) => Ok((*file).clone()),
        (None, []) => Err(LoadError::Unservable("it has no .onnx file, the only format that is served here".into())),
        (None, _) => {
            let paths: Vec<_> = found.iter().map(|(path, _)| path.as_str()).collect();
            Err(LoadError::Unservable(format!("it has several .onnx files and none is model.onnx: {paths:?}")))
        }
    }
}

fn file_size(files: &[(String, u64)], name: &str) -> Result<u64, LoadError> {
    files.iter().find(|(path, _)| path == name).map(|(_, size)| *size).ok_or_else(|| {
        LoadError::Unservable(format!("its weights are in a file that the version does not have: {name:?}"))
    })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EngineError> + Send + 'static,
) -> Result<T, LoadError> {
    let done = tokio::task::spawn_blocking(move || engine::guarded(work)).await;
    done.map_err(|error| LoadError::Unreadable(error.to_string()))?.map_err(LoadError::from)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_model_file_is_found_by_name_or_by_being_alone() {
        let files = |paths: &[&str]| paths.iter().map(|path| ((*path).to_owned(), 1)).collect::<Vec<_>>();
        assert_eq!(model_file(&files(&["a.onnx", "model.onnx"])).unwrap().0, "model.onnx");
        assert_eq!(model_file(&files(&["a.onnx", "labels.txt"])).unwrap().0, "a.onnx");
        assert!(model_file(&files(&["a.onnx", "b.onnx"])).is_err());
        assert!(model_file(&files(&["weights.bin"])).is_err());
    }
}
