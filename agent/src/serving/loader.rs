//! Keeps the default version of every model loaded, and follows the catalogue.
//!
//! One task writes the [`View`]; requests read it without a lock. A swap publishes a new view: requests that hold the
//! old version finish with it. A default that can't be loaded leaves the old one serving.

use super::{
    choose::{HeldModel, held_models},
    extras::Extras,
    loading::{LoadError, Loaded, Loading},
    metrics::ServingMetrics,
    refusal::{Refusal, quoted},
};
use arc_swap::ArcSwap;
use regionmesh_protocol::{
    conflict::Catalogue,
    facts::ServingFacts,
    manifest::{Digest, ModelName, VersionName},
    trial::{LATENCY_BUCKETS, Served},
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{sync::watch, task::JoinSet, time::Instant};

/// How long after a failure that may pass the load is tried again: first and longest.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LONGEST: Duration = Duration::from_secs(60);
/// How often the count of requests goes into the facts. Facts travel through the mesh: not with every request.
const FACTS_INTERVAL: Duration = Duration::from_secs(5);

/// All that a request needs to know of the models.
#[derive(Debug, Default)]
pub struct View {
    /// Whether the catalogue has been read once.
    pub is_read: bool,
    /// The models.
    pub models: BTreeMap<ModelName, ModelView>,
}

/// One model.
#[derive(Debug, Default)]
pub struct ModelView {
    /// Its versions and aliases.
    pub held: HeldModel,
    /// What is served by default.
    pub default: Option<Arc<Loaded>>,
    /// What should be served by default.
    pub wanted: Option<(VersionName, Digest)>,
    /// Why it is not, if loading it failed.
    pub failure: Option<String>,
    /// Whether the region is not ready without it: it was there at the start and may still be loaded.
    pub is_awaited: bool,
}

impl ModelView {
    fn is_current(&self) -> bool {
        let serving = self.default.as_ref().map(|loaded| (&loaded.version, loaded.content));
        serving == self.wanted.as_ref().map(|(version, content)| (version, *content))
    }
}

impl View {
    /// Why the region is not ready; empty if it is.
    ///
    /// A region that starts is ready when it serves what its store holds, as far as that can be served. From then on no
    /// model makes it unready: one that is still being loaded, or can't be, was published to all regions alike, and must
    /// not take from them the models that they serve.
    pub fn faults(&self) -> Vec<String> {
        if !self.is_read {
            return vec!["the catalogue of models has not been read yet".into()];
        }
        let faults = self.models.iter().filter(|(_, model)| model.is_awaited).filter_map(|(name, model)| {
            let (version, _) = model.wanted.as_ref()?;
            Some(match &model.failure {
                Some(reason) => format!("model {name}@{version} can't be loaded: {reason}"),
                None => format!("model {name}@{version} is being loaded"),
            })
        });
        faults.collect()
    }
}

/// A failed load of a default version.
struct Failure {
    version: VersionName,
    content: Digest,
    reason: String,
    /// Whether the region shall wait for it: its files can't be read now.
    is_awaited: bool,
    attempts: u32,
    /// When to try again; none if that is of no use, or is being done.
    retry_at: Option<Instant>,
    /// Whether another attempt is due or in progress.
    is_retrying: bool,
}

type Finished = (ModelName, VersionName, Digest, Result<Arc<Loaded>, LoadError>);

/// What was served since the start.
#[derive(Debug, Default)]
struct Counts {
    answered: AtomicU64,
    errors: AtomicU64,
    probes: AtomicU64,
    latency: [AtomicU64; LATENCY_BUCKETS],
}

/// Reads: requests. Writes: the task that [`Shelf::follow`] is.
pub struct Shelf {
    view: ArcSwap<View>,
    extras: Arc<Extras>,
    loading: Arc<Loading>,
    metrics: ServingMetrics,
    facts: watch::Sender<ServingFacts>,
    counts: Counts,
    /// Inferences that are computed at once.
    places: u32,
}

impl Shelf {
    /// An empty shelf; `places` inferences are computed at once.
    pub fn new(loading: Arc<Loading>, extra_versions: usize, places: u32, metrics: ServingMetrics) -> Arc<Self> {
        let extras = Extras::new(extra_versions, loading.clone());
        let (view, facts) = (ArcSwap::default(), watch::Sender::default());
        Arc::new(Self { view, extras, loading, metrics, facts, counts: Counts::default(), places })
    }

    /// The models now.
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// What the mesh is told.
    pub fn facts(&self) -> watch::Receiver<ServingFacts> {
        self.facts.subscribe()
    }

    /// Counts an inference that was answered, and how long that took.
    pub fn served(&self, took: Duration) {
        self.counts.answered.fetch_add(1, Relaxed);
        self.counts.latency[Served::bucket(took.as_secs_f64() * 1e3)].fetch_add(1, Relaxed);
    }

    /// Counts an inference that ended in an error of ours.
    pub fn failed(&self) {
        self.counts.errors.fetch_add(1, Relaxed);
    }

    /// Counts a question for readiness that was answered with yes.
    pub fn probed(&self) {
        self.counts.probes.fetch_add(1, Relaxed);
    }

    /// The version that a request means, loaded.
    pub async fn resolve(&self, model: &str, version: Option<&str>) -> Result<Arc<Loaded>, Refusal> {
        let view = self.view.load_full();
        let unknown = || Refusal::not_found(format!("model {} is not in this region", quoted(model)));
        let name: ModelName = model.parse().map_err(|_| unknown())?;
        let entry = view.models.get(&name).ok_or_else(unknown)?;
        let Some(version) = version else {
            return match (&entry.default, &entry.wanted, &entry.failure) {
                (Some(loaded), ..) => Ok(loaded.clone()),
                (None, Some((version, _)), Some(reason)) => {
                    Err(Refusal::unavailable(format!("model {name}@{version} can't be loaded: {reason}")))
                }
                (None, Some((version, _)), None) => {
                    Err(Refusal::unavailable(format!("model {name}@{version} is being loaded")))
                }
                (None, None, _) => Err(Refusal::not_found(format!(
                    "model {name} has no default version here; name one in the path, or promote one to production"
                ))),
            };
        };
        let unknown =
            || Refusal::not_found(format!("model {name} has no version or alias {} in this region", quoted(version)));
        let wanted: VersionName = version.parse().map_err(|_| unknown())?;
        let (version, content) = entry.held.resolve(&wanted).ok_or_else(unknown)?;
        if let Some(loaded) =
            entry.default.as_ref().filter(|loaded| loaded.version == *version && loaded.content == content)
        {
            return Ok(loaded.clone());
        }
        if !self.extras.is_enabled() {
            let reason = "serving.extra_versions is 0, so that only the default version is served";
            return Err(Refusal::unavailable(format!("model {name}@{version}: {reason}")));
        }
        let loaded = self.extras.get(&name, version, content).await;
        loaded.map_err(|error| Refusal::unavailable(format!("model {name}@{version} can't be loaded: {error}")))
    }

    /// Follows the catalogue for ever.
    pub async fn follow(self: Arc<Self>, mut catalogue: watch::Receiver<Arc<Catalogue>>) {
        let mut failures: BTreeMap<ModelName, Failure> = BTreeMap::new();
        let mut loads: JoinSet<Finished> = JoinSet::new();
        let mut in_progress: BTreeMap<ModelName, tokio::task::Id> = BTreeMap::new();
        let mut is_open = true;
        // A first value that is not empty was put there by someone who had read the store.
        let is_read = catalogue.has_changed().unwrap_or(false) || **catalogue.borrow() != Catalogue::default();
        if is_read {
            self.adopt(&catalogue.borrow_and_update().clone(), &mut failures);
        }
        let mut facts_tick = tokio::time::interval(FACTS_INTERVAL);
        facts_tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.start_loads(&mut loads, &mut in_progress, &failures);
            self.publish_facts();
            let retry_at = failures.values().filter_map(|failure| failure.retry_at).min();
            tokio::select! {
                changed = catalogue.changed(), if is_open => {
                    is_open = changed.is_ok();
                    if is_open {
                        let latest = catalogue.borrow_and_update().clone();
                        self.adopt(&latest, &mut failures);
                    }
                }
                Some(finished) = loads.join_next_with_id() => {
                    let id = match &finished { Ok((id, _)) => *id, Err(error) => error.id() };
                    in_progress.retain(|_, load| *load != id);
                    match finished {
                        Ok((_, finished)) => self.finish(finished, &mut failures),
                        // The load is started again by the next turn of this loop.
                        Err(error) => tracing::error!(%error, "loading a model version was cut off"),
                    }
                }
                () = sleep_until(retry_at), if retry_at.is_some() => {
                    let now = Instant::now();
                    for failure in failures.values_mut().filter(|failure| failure.retry_at.is_some_and(|at| at <= now)) {
                        failure.retry_at = None;
                        failure.attempts += 1;
                        failure.is_retrying = true;
                    }
                }
                _ = facts_tick.tick() => {}
            }
        }
    }

    /// Makes the view of a new catalogue; what is loaded stays as far as it is still wanted.
    fn adopt(&self, catalogue: &Catalogue, failures: &mut BTreeMap<ModelName, Failure>) {
        let old = self.view.load_full();
        let mut models = BTreeMap::new();
        for (name, held) in held_models(catalogue) {
            let default = old.models.get(&name).and_then(|model| model.default.clone());
            let current = default.as_ref().map(|loaded| &loaded.version);
            let wanted = held.default_version(current).cloned();
            let wanted = wanted.and_then(|version| Some((version.clone(), *held.versions.get(&version)?)));
            // Without a version to put in its place a deleted one stops at once; else it serves until then.
            let default = default.filter(|_| wanted.is_some());
            let is_awaited = old.models.get(&name).map_or(!old.is_read, |model| model.is_awaited);
            models.insert(name, ModelView { held, default, wanted, failure: None, is_awaited });
        }
        failures.retain(|name, failure| {
            let wanted = models.get(name).and_then(|model: &ModelView| model.wanted.as_ref());
            wanted.is_some_and(|(version, content)| *version == failure.version && *content == failure.content)
        });
        let is_held = |model: &ModelName, version: &VersionName, content: Digest| {
            models.get(model).is_some_and(|model| model.held.versions.get(version) == Some(&content))
        };
        self.extras.retain(is_held);
        for (name, model) in &old.models {
            match models.get(name) {
                None => {
                    model.held.versions.keys().for_each(|version| self.metrics.forget_version(name, version));
                    self.metrics.forget_model(name);
                    tracing::info!(model = %name, "the model is gone from the catalogue");
                }
                Some(new) => {
                    let gone = model.held.versions.keys().filter(|version| !new.held.versions.contains_key(*version));
                    gone.for_each(|version| self.metrics.forget_version(name, version));
                }
            }
        }
        self.publish(View { is_read: true, models }, failures);
        // A wanted version that is loaded already needs no load.
        let taken: Vec<_> = self
            .pending()
            .filter_map(|(model, version, content)| {
                let loaded = self.extras.take(&model, &version, content)?;
                Some((model, version, content, Ok(loaded)))
            })
            .collect();
        taken.into_iter().for_each(|finished| self.finish(finished, failures));
    }

    /// Default versions that are wanted and not served.
    fn pending(&self) -> impl Iterator<Item = (ModelName, VersionName, Digest)> + use<> {
        let view = self.view.load_full();
        let pending = view.models.iter().filter(|(_, model)| !model.is_current());
        let pending = pending.filter_map(|(name, model)| {
            model.wanted.clone().map(|(version, content)| (name.clone(), version, content))
        });
        pending.collect::<Vec<_>>().into_iter()
    }

    fn start_loads(
        &self,
        loads: &mut JoinSet<Finished>,
        in_progress: &mut BTreeMap<ModelName, tokio::task::Id>,
        failures: &BTreeMap<ModelName, Failure>,
    ) {
        for (model, version, content) in self.pending() {
            let is_settled = failures.get(&model).is_some_and(|failure| !failure.is_retrying);
            if in_progress.contains_key(&model) || is_settled {
                continue;
            }
            let (loading, extras) = (self.loading.clone(), self.extras.clone());
            let before = self.view.load().models.get(&model).and_then(|model| model.default.clone());
            let name = model.clone();
            let load = loads.spawn(async move {
                let loaded = loading.load(&name, &version, content, before, || extras.drop_oldest()).await;
                (name, version, content, loaded)
            });
            in_progress.insert(model, load.id());
        }
    }

    /// Puts a loaded version in its place, or notes why there is none. A version that is not wanted any more is dropped.
    fn finish(&self, (name, version, content, result): Finished, failures: &mut BTreeMap<ModelName, Failure>) {
        let old = self.view.load_full();
        let Some(model) = old.models.get(&name) else { return };
        if model.wanted.as_ref() != Some(&(version.clone(), content)) {
            return;
        }
        let mut loaded = None;
        match result {
            Ok(new) => {
                failures.remove(&name);
                loaded = Some(new);
            }
            Err(error) => {
                let attempts = failures.get(&name).map_or(0, |failure| failure.attempts);
                let delay = RETRY_FIRST.saturating_mul(1 << attempts.min(6)).min(RETRY_LONGEST);
                let retry_at = error.is_passing().then(|| Instant::now() + delay);
                let failure = Failure {
                    version: version.clone(),
                    content,
                    reason: error.to_string(),
                    is_awaited: matches!(error, LoadError::Unreadable(_)),
                    attempts,
                    retry_at,
                    is_retrying: false,
                };
                failures.insert(name.clone(), failure);
                let serving = model.default.as_ref().map_or("nothing", |loaded| loaded.version.as_str());
                tracing::error!(model = %name, %version, serving, %error, "the default version can't be served");
            }
        }
        let models = old.models.iter().map(|(other, model)| {
            let default = loaded.clone().filter(|_| *other == name).or_else(|| model.default.clone());
            let (held, wanted, is_awaited) = (model.held.clone(), model.wanted.clone(), model.is_awaited);
            (other.clone(), ModelView { held, default, wanted, failure: None, is_awaited })
        });
        let models = models.collect();
        self.publish(View { is_read: true, models }, failures);
        if loaded.is_some() {
            let before = model.default.as_ref();
            self.metrics.swaps.with_label_values(&[name.as_str()]).inc();
            let from = before.map_or("nothing", |loaded| loaded.version.as_str());
            tracing::info!(model = %name, from, to = %version, "serving another version by default");
            if let Some(before) = before.filter(|old| model.held.versions.get(&old.version) == Some(&old.content)) {
                self.extras.put(before.clone());
            }
        }
    }

    fn publish(&self, mut view: View, failures: &BTreeMap<ModelName, Failure>) {
        for (name, model) in &mut view.models {
            let failure = failures.get(name);
            model.failure = failure.map(|failure| failure.reason.clone());
            let may_come = model.default.is_none() && model.wanted.is_some();
            model.is_awaited &= may_come && failure.is_none_or(|failure| failure.is_awaited);
            let failed = i64::from(model.failure.is_some());
            self.metrics.default_failed.with_label_values(&[name.as_str()]).set(failed);
        }
        self.view.store(Arc::new(view));
        self.metrics.loaded_bytes.set(i64::try_from(self.loading.budget().used()).unwrap_or(i64::MAX));
        self.publish_facts();
    }

    fn publish_facts(&self) {
        let view = self.view.load();
        let defaults = view.models.values().filter_map(|model| model.default.as_ref());
        let facts = ServingFacts {
            is_ready: view.faults().is_empty(),
            models: defaults.map(|loaded| (loaded.model.clone(), loaded.version.clone())).collect(),
            requests_total: self.counts.answered.load(Relaxed),
            errors_total: self.counts.errors.load(Relaxed),
            probes_total: self.counts.probes.load(Relaxed),
            places: self.places,
            latency: std::array::from_fn(|bucket| self.counts.latency[bucket].load(Relaxed)),
        };
        self.facts.send_if_modified(|old| {
            let is_changed = *old != facts;
            *old = facts;
            is_changed
        });
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
