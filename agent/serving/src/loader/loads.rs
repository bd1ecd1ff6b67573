//! Starts, finishes and retries loads and test loads.

use super::{VersionRegistry, publish::with_default};
use crate::{
    loading::LoadError,
    progress::{Finished, Progress},
    quarantine::VersionKey,
    view::ModelView,
};
use regionmesh_protocol::{
    models::{
        digest::Digest,
        manifest::{ModelName, VersionName},
    },
    status::servability::Outcome,
};
use tokio::{task::JoinError, time::Instant};

impl VersionRegistry {
    pub(super) fn load_ended(
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
            // The next iteration of the loop starts the load again.
            Err(error) => tracing::error!(%error, "a model load was aborted"),
        }
    }

    pub(super) fn test_load_ended(
        &self,
        finished: Result<Finished, JoinError>,
        progress: &mut Progress,
    ) {
        let testing = progress.testing.take();
        match finished {
            // The outcome was recorded by the load.
            Ok((key, result)) => {
                if matches!(result, Err(LoadError::Unreadable(_))) {
                    progress.backing_off.insert(key, Instant::now());
                }
            }
            Err(error) => {
                progress
                    .backing_off
                    .extend(testing.map(|key| (key, Instant::now())));
                if !error.is_cancelled() {
                    tracing::error!(%error, "a test load was aborted");
                }
            }
        }
    }

    /// When the retry of a version that can't be served was scheduled, if it is due.
    pub(super) fn due(&self, key: &VersionKey) -> Option<std::time::Instant> {
        let loading = &self.arguments.loading;
        // Retrying a computation that does not end would leave another thread behind.
        let now = (self.arguments.metrics.abandoned.get() == 0).then(std::time::Instant::now);
        let due = loading.outcomes().due(key, now, loading.budget().free());
        due.filter(|_| !loading.quarantine().holds(key))
    }

    /// Starts the due retries of default versions that can't be served.
    pub(super) fn retry_due(&self, progress: &mut Progress) {
        let waiting = progress
            .failures
            .iter()
            .filter(|(_, failure)| !failure.is_retrying);
        let due: Vec<ModelName> = waiting
            .map(|(name, failure)| (name.clone(), failure.version.clone(), failure.content))
            .filter(|key| !progress.is_backing_off(key) && self.due(key).is_some())
            .map(|(name, ..)| name)
            .collect();

        for name in due {
            if let Some(failure) = progress.failures.get_mut(&name) {
                failure.retry();
            }
        }
    }

    /// Retries versions whose files were replaced or whose retry an operator requested.
    pub(super) fn retry(&self, progress: &mut Progress) {
        for (model, version) in self.arguments.loading.quarantine().take_retries() {
            self.arguments
                .loading
                .outcomes()
                .forget_failure(&model, &version);

            self.extras
                .retain(|other, held, _| *other != model || *held != version);
            progress
                .backing_off
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

    /// The versions to load: wanted default versions that are not served, and fallbacks where the
    /// wanted one failed and nothing is served. Versions that were servable before come first.
    pub(super) fn pending(&self, progress: &Progress) -> Vec<VersionKey> {
        let view = self.view.load();
        let target = |(name, model): (&ModelName, &ModelView)| {
            let (version, content) = match &model.default {
                _ if !progress.has_given_up(name) => model.wanted.clone()?,
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

    pub(super) fn fallback(
        &self,
        name: &ModelName,
        model: &ModelView,
        progress: &Progress,
    ) -> Option<(VersionName, Digest)> {
        model.fallback(|version, content| {
            let key = (name.clone(), version.clone(), content);
            let is_bad = matches!(self.outcome(&key), Some(Outcome::Unservable { .. }));
            !is_bad && !progress.is_backing_off(&key)
        })
    }

    pub(super) fn start_loads(&self, progress: &mut Progress) {
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

    /// Test-loads the newest version without an outcome, else the one whose retry is most overdue.
    /// Loads of default versions come first.
    pub(super) fn start_test_load(&self, progress: &mut Progress) {
        if progress.testing.is_some() {
            return;
        }

        let view = self.view.load();
        let is_loading =
            |key: &VersionKey| progress.loading.values().any(|(loading, _)| loading == key);
        let is_idle = |key: &&VersionKey| !progress.is_backing_off(key) && !is_loading(key);
        let is_untested = |key: &&VersionKey| {
            self.arguments.tests_versions && self.outcome(key).is_none() && is_idle(key)
        };
        let key = match view.newest.iter().find(is_untested) {
            Some(untried) => untried.clone(),
            None if progress.may_repeat_test_load() => {
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

        progress.testing = Some(key);
        progress.test_load.spawn(async move {
            let (model, version, content) = &task;
            let loaded = loading
                .load(model, version, *content, None, || extras.drop_oldest())
                .await;
            (task, loaded)
        });
    }

    /// Serves a loaded version, or records why it can't be. A version that is not wanted any more
    /// is dropped.
    pub(super) fn finish(&self, (key, result): Finished, progress: &mut Progress) {
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
                    progress.backing_off.insert(key.clone(), Instant::now());
                }

                if is_wanted {
                    self.note_failure(&key, &error, model, progress);
                }

                self.publish(with_default(&old, None), progress);
                return;
            }
        };

        if is_wanted {
            progress.failures.remove(name);
        }
        self.publish(with_default(&old, Some(&loaded)), progress);

        let before = model.default.as_ref();
        self.arguments
            .metrics
            .loads
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
            tracing::info!(model = %name, from, to = %version, "the default version changed");
        }

        if let Some(before) =
            before.filter(|old| model.held.versions.get(&old.version) == Some(&old.content))
        {
            self.extras.put(before.clone());
        }
    }

    fn note_failure(
        &self,
        key: &VersionKey,
        error: &LoadError,
        model: &ModelView,
        progress: &mut Progress,
    ) {
        let (name, version, _) = key;
        let serving = model
            .default
            .as_ref()
            .map_or("nothing", |loaded| loaded.version.as_str());

        tracing::error!(
            model = %name,
            %version,
            serving,
            %error,
            "the default version can't be served"
        );

        // Its failure was forgotten while this attempt ran: another one was requested.
        let is_overtaken = error.outcome().is_some() && self.outcome(key).is_none();
        progress.fail(key, error, is_overtaken);
    }
}
