//! Keeps the default version of every model loaded, tries every other version once (again if it
//! can't be served), and follows the catalogue.
//!
//! One task writes the [`View`]; requests read it without a lock. A swap publishes a new view:
//! requests that hold the old version finish with it. A default that can't be loaded leaves the old
//! one serving; where there is none, after a restart, the newest older version that loads is
//! served.

use crate::{
    choose::held_models,
    extras::Extras,
    loading::{LoadError, Loaded, Loading},
    metrics::ServingMetrics,
    progress::{Failure, Finished, Progress},
    quarantine::VersionKey,
    refusal::{Refusal, quoted},
    view::{ModelView, ServingProblem, View},
};
use arc_swap::ArcSwap;
use regionmesh_core::planning::servability::{RegionModels, given_up_for};
use regionmesh_protocol::{
    identity::RegionName,
    models::{
        catalogue::Catalogue,
        digest::Digest,
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
use tokio::{sync::watch, task::JoinError, time::Instant};

/// How often the count of requests goes into the facts. Facts travel through the mesh: not with
/// every request.
const FACTS_INTERVAL: Duration = Duration::from_secs(5);

/// The other regions, as [`given_up_for`] wants them.
pub(crate) type Peers = watch::Receiver<Arc<BTreeMap<RegionName, RegionModels>>>;

/// What a shelf is made with.
pub(crate) struct VersionRegistryArguments {
    /// The region.
    pub(crate) region: RegionName,
    /// Loads versions.
    pub(crate) loading: Arc<Loading>,
    /// Versions kept beside the default ones.
    pub(crate) extra_versions: usize,
    /// Inferences that are computed at once.
    pub(crate) places: u32,
    /// Whether versions that are nobody's default are tried too.
    pub(crate) tests_versions: bool,
    /// The counters.
    pub(crate) metrics: ServingMetrics,
}

/// What was served since the start.
#[derive(Debug, Default)]
struct Counts {
    answered: AtomicU64,
    errors: AtomicU64,
    probes: AtomicU64,
    latency: [AtomicU64; LATENCY_BUCKETS],
}

/// Reads: requests. Writes: the task that [`VersionRegistry::follow`] is.
pub(crate) struct VersionRegistry {
    arguments: VersionRegistryArguments,
    view: ArcSwap<View>,
    extras: Arc<Extras>,
    facts: watch::Sender<ServingStatus>,
    servability: watch::Sender<Servability>,
    problems: watch::Sender<Vec<ServingProblem>>,
    counts: Counts,
}

impl VersionRegistry {
    /// An empty shelf.
    pub(crate) fn new(arguments: VersionRegistryArguments) -> Arc<Self> {
        let extras = Extras::new(arguments.extra_versions, arguments.loading.clone());
        Arc::new(Self {
            arguments,
            view: ArcSwap::default(),
            extras,
            facts: watch::Sender::default(),
            servability: watch::Sender::default(),
            problems: watch::Sender::default(),
            counts: Counts::default(),
        })
    }

    /// Which versions can be served.
    pub(crate) fn servability(&self) -> watch::Receiver<Servability> {
        self.servability.subscribe()
    }

    /// What can't be served, for people.
    pub(crate) fn problems(&self) -> watch::Receiver<Vec<ServingProblem>> {
        self.problems.subscribe()
    }

    /// How loading a version ended.
    pub(crate) fn outcome(&self, key: &VersionKey) -> Option<Outcome> {
        // What is remembered is older than the death of the process.
        if self.arguments.loading.quarantine().holds(key) {
            return Some(LoadError::quarantined(key));
        }
        self.arguments.loading.outcomes().of(key)
    }

    /// Tells the mesh that a computation of this version does not end, or did in the end.
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

    /// What the mesh is told.
    pub(crate) fn facts(&self) -> watch::Receiver<ServingStatus> {
        self.facts.subscribe()
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

    /// Counts a question for readiness that was answered with yes.
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

    /// Follows the catalogue for ever.
    pub(crate) async fn follow(
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

        // A first value that is not empty was put there by someone who had read the store.
        let is_read = catalogue.has_changed().unwrap_or(false)
            || **catalogue.borrow() != Catalogue::default();
        if is_read {
            self.adopt(&catalogue.borrow_and_update().clone(), &mut progress);
        }

        let mut facts_tick = tokio::time::interval(FACTS_INTERVAL);
        facts_tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.retry_due(&mut progress);
            self.start_loads(&mut progress);
            self.start_trial(&mut progress);
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
                Some(finished) = progress.loads.join_next_with_id() => self.load_ended(finished, &mut progress),
                Some(finished) = progress.trial.join_next() => self.trial_ended(finished, &mut progress),
                () = sleep_until(retry_at), if retry_at.is_some() => {
                    let now = Instant::now();
                    let due = |failure: &&mut Failure| failure.retry_at.is_some_and(|at| at <= now);
                    for failure in progress.failures.values_mut().filter(due) {
                        failure.attempts += 1;
                        failure.retry();
                    }
                }
                // Their sender may be gone: nobody tells of other regions where there is no mesh.
                changed = peers.changed(), if has_peers => has_peers = changed.is_ok(),
                Ok(()) = outcomes.changed() => self.remember(),
                Ok(()) = retries.changed() => self.retry(&mut progress),
                _ = facts_tick.tick() => {}
            }
        }
    }

    fn load_ended(
        &self,
        finished: Result<(tokio::task::Id, Finished), JoinError>,
        progress: &mut Progress,
    ) {
        let id = match &finished {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };

        progress.loading.retain(|_, (_, load)| load.id() != id);
        match finished {
            Ok((_, finished)) => self.finish(finished, progress),
            Err(error) if error.is_cancelled() => {}
            // The load is started again by the next turn of the loop.
            Err(error) => tracing::error!(%error, "loading a model version was cut off"),
        }
    }

    fn trial_ended(&self, finished: Result<Finished, JoinError>, progress: &mut Progress) {
        let trying = progress.trying.take();
        match finished {
            // What was found out stands in the outcomes.
            Ok((key, result)) => {
                if matches!(result, Err(LoadError::Unreadable(_))) {
                    progress.resting.insert(key, Instant::now());
                }
            }
            Err(error) => {
                progress
                    .resting
                    .extend(trying.map(|key| (key, Instant::now())));
                if !error.is_cancelled() {
                    tracing::error!(%error, "trying a model version was cut off");
                }
            }
        }
    }

    /// Writes what was found out to the disk, beside the runtime.
    fn remember(&self) {
        let outcomes = self.arguments.loading.outcomes().clone();
        drop(tokio::task::spawn_blocking(move || outcomes.save()));
    }

    /// When the retry of a version that can't be served was scheduled, if it is due.
    fn due(&self, key: &VersionKey) -> Option<std::time::Instant> {
        let loading = &self.arguments.loading;
        // Each repetition of a computation that does not end would leave another thread behind.
        let now = (self.arguments.metrics.abandoned.get() == 0).then(std::time::Instant::now);
        let due = loading.outcomes().due(key, now, loading.budget().free());
        due.filter(|_| !loading.quarantine().holds(key))
    }

    /// Has default versions that can't be served loaded again when that is due.
    fn retry_due(&self, progress: &mut Progress) {
        let waiting = progress
            .failures
            .iter()
            .filter(|(_, failure)| !failure.is_retrying);
        let due: Vec<ModelName> = waiting
            .map(|(name, failure)| (name.clone(), failure.version.clone(), failure.content))
            .filter(|key| !progress.is_resting(key) && self.due(key).is_some())
            .map(|(name, ..)| name)
            .collect();

        for name in due {
            if let Some(failure) = progress.failures.get_mut(&name) {
                failure.retry();
            }
        }
    }

    /// Has versions tried again whose files were replaced, or for which an operator asked.
    fn retry(&self, progress: &mut Progress) {
        for (model, version) in self.arguments.loading.quarantine().take_retries() {
            self.arguments
                .loading
                .outcomes()
                .forget_failure(&model, &version);

            self.extras
                .retain(|other, held, _| *other != model || *held != version);
            progress
                .resting
                .retain(|(other, held, _), _| *other != model || *held != version);

            if let Some(failure) = progress
                .failures
                .get_mut(&model)
                .filter(|failure| failure.version == version)
            {
                failure.retry();
            }
        }
    }

    /// Makes the view of a new catalogue; what is loaded stays as far as it is still wanted.
    fn adopt(&self, catalogue: &Catalogue, progress: &mut Progress) {
        let old = self.view.load_full();
        let mut models = BTreeMap::new();
        for (name, held) in held_models(catalogue) {
            let default = old
                .models
                .get(&name)
                .and_then(|model| model.default.clone());
            let current = default.as_ref().map(|loaded| &loaded.version);
            let wanted = held.default_version(current).cloned();
            let wanted =
                wanted.and_then(|version| Some((version.clone(), *held.versions.get(&version)?)));
            let is_held =
                |loaded: &Arc<Loaded>| held.versions.get(&loaded.version) == Some(&loaded.content);

            // Without a version to put in its place a deleted one stops at once; else it serves
            // until then.
            let has_heir = wanted.is_some() && !progress.is_failed(&name);
            let default = default.filter(|loaded| has_heir || wanted.is_some() && is_held(loaded));
            let is_awaited = old
                .models
                .get(&name)
                .map_or(!old.is_read, |model| model.is_awaited);

            models.insert(
                name,
                ModelView {
                    held,
                    default,
                    wanted,
                    failure: None,
                    is_awaited,
                },
            );
        }

        progress.failures.retain(|name, failure| {
            let wanted = models
                .get(name)
                .and_then(|model: &ModelView| model.wanted.as_ref());
            wanted.is_some_and(|(version, content)| {
                *version == failure.version && *content == failure.content
            })
        });

        let is_held = |model: &ModelName, version: &VersionName, content: Digest| {
            models
                .get(model)
                .is_some_and(|model| model.held.versions.get(version) == Some(&content))
        };

        self.extras.retain(is_held);
        self.arguments.loading.outcomes().retain(is_held);
        self.arguments.loading.quarantine().retain(is_held);
        progress
            .resting
            .retain(|(model, version, content), _| is_held(model, version, *content));
        self.forget_metrics(&old, &models);

        let mut newest: Vec<_> = catalogue.versions.iter().collect();
        newest.sort_by_key(|version| std::cmp::Reverse(version.published));

        let newest = newest
            .into_iter()
            .map(|held| (held.model.clone(), held.version.clone(), held.content));
        let newest = newest
            .filter(|(model, version, content)| is_held(model, version, *content))
            .collect();

        self.publish(
            View {
                is_read: true,
                models,
                newest,
                given_up_for: old.given_up_for.clone(),
            },
            progress,
        );

        self.stop_loads(progress);
        // A wanted version that is loaded already needs no load.
        let taken = self.pending(progress).into_iter().filter_map(|key| {
            let loaded = self.extras.take(&key.0, &key.1, key.2)?;
            Some((key, Ok(loaded)))
        });

        taken
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|finished| self.finish(finished, progress));
    }

    fn forget_metrics(&self, old: &View, models: &BTreeMap<ModelName, ModelView>) {
        let metrics = &self.arguments.metrics;
        for (name, model) in &old.models {
            match models.get(name) {
                None => {
                    model
                        .held
                        .versions
                        .keys()
                        .for_each(|version| metrics.forget_version(name, version));

                    metrics.forget_model(name);
                    tracing::info!(model = %name, "the model is gone from the catalogue");
                }
                Some(new) => {
                    let gone = model
                        .held
                        .versions
                        .keys()
                        .filter(|version| !new.held.versions.contains_key(*version));

                    gone.for_each(|version| metrics.forget_version(name, version));
                }
            }
        }
    }

    /// Ends loads and trials of versions that were deleted or are not wanted any more; their
    /// threads notice between two operators.
    fn stop_loads(&self, progress: &mut Progress) {
        let view = self.view.load();
        let holds = |(model, version, content): &VersionKey| {
            view.models
                .get(model)
                .is_some_and(|model| model.held.versions.get(version) == Some(content))
        };

        for (model, (key, load)) in &progress.loading {
            let wanted = view
                .models
                .get(model)
                .and_then(|model| model.wanted.as_ref());
            let is_wanted =
                wanted.is_some_and(|(version, content)| *version == key.1 && *content == key.2);
            let is_fallback = progress.is_failed(model) && holds(key);

            if !is_wanted && !is_fallback {
                load.abort();
            }
        }

        if progress.trying.as_ref().is_some_and(|key| !holds(key)) {
            progress.trial.abort_all();
        }
    }

    /// What should be loaded: default versions that are wanted and not served, and where one failed
    /// and nothing is served the version to fall back to. What was servable before comes first.
    fn pending(&self, progress: &Progress) -> Vec<VersionKey> {
        let view = self.view.load();
        let target = |(name, model): (&ModelName, &ModelView)| {
            let (version, content) = match &model.default {
                _ if !progress.is_settled(name) => model.wanted.clone()?,
                None if progress.is_failed(name) => self.fallback(name, model, progress)?,
                _ => return None,
            };

            Some((name.clone(), version, content))
        };

        let mut pending: Vec<_> = view
            .models
            .iter()
            .filter(|(_, model)| !model.is_current())
            .filter_map(target)
            .collect();

        let rank = |key: &VersionKey| match self.outcome(key) {
            Some(Outcome::Servable) => 0,
            None => 1,
            Some(Outcome::Unservable { .. }) => 2,
        };

        pending.sort_by_key(rank);
        pending
    }

    fn fallback(
        &self,
        name: &ModelName,
        model: &ModelView,
        progress: &Progress,
    ) -> Option<(VersionName, Digest)> {
        model.fallback(|version, content| {
            let key = (name.clone(), version.clone(), content);
            let is_bad = matches!(self.outcome(&key), Some(Outcome::Unservable { .. }));
            !is_bad && !progress.is_resting(&key)
        })
    }

    fn start_loads(&self, progress: &mut Progress) {
        for key in self.pending(progress) {
            if progress.loading.contains_key(&key.0) {
                continue;
            }

            let loading = self.arguments.loading.clone();
            let extras = self.extras.clone();
            let before = self
                .view
                .load()
                .models
                .get(&key.0)
                .and_then(|model| model.default.clone());
            let task = key.clone();

            let load = progress.loads.spawn(async move {
                let (model, version, content) = &task;
                let loaded = loading
                    .load(model, version, *content, before, || extras.drop_oldest())
                    .await;
                (task, loaded)
            });

            progress.loading.insert(key.0.clone(), (key, load));
        }
    }

    /// Tries the newest version of which nothing is known, else the one that has waited longest to
    /// be tried again; default versions were given a place before.
    fn start_trial(&self, progress: &mut Progress) {
        if progress.trying.is_some() {
            return;
        }

        let view = self.view.load();
        let is_loading =
            |key: &VersionKey| progress.loading.values().any(|(loading, _)| loading == key);
        let is_idle = |key: &&VersionKey| !progress.is_resting(key) && !is_loading(key);
        let is_untried = |key: &&VersionKey| {
            self.arguments.tests_versions && self.outcome(key).is_none() && is_idle(key)
        };
        let key = match view.newest.iter().find(is_untried) {
            Some(untried) => untried.clone(),
            None if progress.may_repeat_trial() => {
                let due = view
                    .newest
                    .iter()
                    .filter(is_idle)
                    .filter_map(|key| Some((self.due(key)?, key)));
                let Some((_, due)) = due.min() else { return };

                progress.repeated_at = Some(Instant::now());
                due.clone()
            }
            None => return,
        };

        let loading = self.arguments.loading.clone();
        let extras = self.extras.clone();
        let task = key.clone();

        progress.trying = Some(key);
        progress.trial.spawn(async move {
            let (model, version, content) = &task;
            let loaded = loading
                .load(model, version, *content, None, || extras.drop_oldest())
                .await;
            (task, loaded)
        });
    }

    /// Puts a loaded version in its place, or notes why there is none. A version that is not wanted
    /// any more is dropped.
    fn finish(&self, (key, result): Finished, progress: &mut Progress) {
        let (name, version, content) = &key;
        let old = self.view.load_full();
        let Some(model) = old.models.get(name) else {
            return;
        };
        let is_wanted = model.wanted.as_ref() == Some(&(version.clone(), *content));
        let is_fallback = !is_wanted && model.default.is_none() && progress.is_failed(name);

        if !is_wanted && !is_fallback {
            return;
        }

        let loaded = match result {
            Ok(loaded) => loaded,
            Err(error) => {
                if matches!(error, LoadError::Unreadable(_)) {
                    progress.resting.insert(key.clone(), Instant::now());
                }

                if is_wanted {
                    let serving = model
                        .default
                        .as_ref()
                        .map_or("nothing", |loaded| loaded.version.as_str());

                    tracing::error!(model = %name, %version, serving, %error, "the default version can't be served");
                    // Forgotten: another attempt was asked for while this one ran.
                    let is_overtaken = error.outcome().is_some() && self.outcome(&key).is_none();
                    progress.fail(&key, &error, is_overtaken);
                }

                self.publish(copy(&old, None), progress);
                return;
            }
        };

        if is_wanted {
            progress.failures.remove(name);
        }
        self.publish(copy(&old, Some(&loaded)), progress);

        let before = model.default.as_ref();
        self.arguments
            .metrics
            .swaps
            .with_label_values(&[name.as_str()])
            .inc();

        let from = before.map_or("nothing", |loaded| loaded.version.as_str());
        if is_fallback {
            let wanted = model
                .wanted
                .as_ref()
                .map_or("", |(wanted, _)| wanted.as_str());

            tracing::warn!(model = %name, %version, wanted, "serving an older version: the default \
                version can't be served");
        } else {
            tracing::info!(model = %name, from, to = %version, "serving another version by \
                default");
        }

        if let Some(before) =
            before.filter(|old| model.held.versions.get(&old.version) == Some(&old.content))
        {
            self.extras.put(before.clone());
        }
    }

    fn publish(&self, mut view: View, progress: &Progress) {
        for (name, model) in &mut view.models {
            let failure = progress.failures.get(name);
            model.failure = failure.map(|failure| failure.reason.clone());

            let may_come = model.default.is_none() && model.wanted.is_some();
            let is_coming = failure.is_none_or(|failure| failure.is_awaited)
                || may_come && self.fallback(name, model, progress).is_some();

            model.is_awaited &= may_come && is_coming;
            let failed = i64::from(model.failure.is_some());
            self.arguments
                .metrics
                .default_failed
                .with_label_values(&[name.as_str()])
                .set(failed);
        }

        self.view.store(Arc::new(view));
        let used = self.arguments.loading.budget().used();
        self.arguments
            .metrics
            .loaded_bytes
            .set(i64::try_from(used).unwrap_or(i64::MAX));
    }

    /// Finds out what can't be served here and whether that costs this region its share, and
    /// publishes everything.
    fn judge(&self, progress: &mut Progress, peers: &BTreeMap<RegionName, RegionModels>) {
        let view = self.view.load_full();
        let is_unserved = |(name, model): &(&ModelName, &ModelView)| {
            let is_failed = progress
                .failures
                .get(*name)
                .is_some_and(|failure| !failure.is_awaited);
            model.default.is_none() && is_failed && self.fallback(name, model, progress).is_none()
        };

        let unserved: Vec<_> = view
            .models
            .iter()
            .filter(is_unserved)
            .map(|(name, _)| name.clone())
            .collect();
        let region = &self.arguments.region;
        let mut regions = peers.clone();

        regions.insert(region.clone(), view.region_models(&unserved));
        let given_up = given_up_for(region, &regions);
        progress.unserved = unserved;
        if given_up != view.given_up_for {
            let models: Vec<_> = given_up.iter().map(ModelName::as_str).collect();
            if models.is_empty() {
                tracing::info!(
                    "the region takes traffic again: it serves what the others serve, or they \
                        don't either"
                );
            } else {
                tracing::error!(
                    ?models,
                    "the region takes no traffic: it can't serve what most other regions serve"
                );
            }

            self.view.store(Arc::new(View {
                given_up_for: given_up,
                ..copy(&view, None)
            }));
        }

        self.publish_facts(progress);
    }

    fn publish_facts(&self, progress: &Progress) {
        let view = self.view.load();
        let outcome = |key: &VersionKey| self.outcome(key);
        let facts = view.facts(ServingStatus {
            requests_total: self.counts.answered.load(Relaxed),
            errors_total: self.counts.errors.load(Relaxed),
            probes_total: self.counts.probes.load(Relaxed),
            places: self.arguments.places,
            latency: std::array::from_fn(|bucket| self.counts.latency[bucket].load(Relaxed)),
            ..ServingStatus::default()
        });

        send(&self.facts, facts);
        send(
            &self.servability,
            view.servability(outcome, progress.unserved.clone()),
        );

        let problems = view.problems(outcome);
        let quarantined = problems
            .iter()
            .filter(|problem| problem.is_quarantined)
            .count();

        self.arguments
            .metrics
            .unservable
            .set(i64::try_from(problems.len()).unwrap_or(i64::MAX));

        self.arguments
            .metrics
            .quarantined
            .set(i64::try_from(quarantined).unwrap_or(i64::MAX));

        send(&self.problems, problems);
    }
}

/// Wakes receivers only where something changed.
fn send<T: PartialEq>(sender: &watch::Sender<T>, value: T) {
    sender.send_if_modified(|old| {
        let is_changed = *old != value;
        *old = value;
        is_changed
    });
}

/// The view with another default version of one model.
fn copy(old: &View, loaded: Option<&Arc<Loaded>>) -> View {
    let models = old.models.iter().map(|(name, model)| {
        let default = loaded
            .filter(|loaded| loaded.model == *name)
            .or(model.default.as_ref())
            .cloned();
        let held = model.held.clone();
        let wanted = model.wanted.clone();
        let failure = model.failure.clone();

        (
            name.clone(),
            ModelView {
                held,
                default,
                wanted,
                failure,
                is_awaited: model.is_awaited,
            },
        )
    });

    View {
        is_read: old.is_read,
        models: models.collect(),
        newest: old.newest.clone(),
        given_up_for: old.given_up_for.clone(),
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
