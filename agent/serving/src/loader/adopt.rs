//! Applies a new catalogue.

use super::VersionRegistry;
use crate::{
    choose::held_models,
    loading::Loaded,
    progress::Progress,
    quarantine::VersionKey,
    view::{ModelView, View},
};
use regionmesh_protocol::models::{
    catalogue::Catalogue,
    digest::Digest,
    manifest::{ModelName, VersionName},
};
use std::{collections::BTreeMap, sync::Arc};

impl VersionRegistry {
    /// Makes the view of a new catalogue. Loaded versions that are still wanted stay.
    pub(super) fn adopt(&self, catalogue: &Catalogue, progress: &mut Progress) {
        let old = self.view.load_full();
        let models = models_of(catalogue, &old, progress);
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
            .backing_off
            .retain(|(model, version, content), _| is_held(model, version, *content));
        self.forget_metrics(&old, &models);

        let newest = newest_first(catalogue, is_held);
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
                    tracing::info!(model = %name, "the model was removed from the catalogue");
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

    /// Ends loads and test loads of versions that were deleted or are no longer wanted; their
    /// threads stop between two operators.
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

        if progress.testing.as_ref().is_some_and(|key| !holds(key)) {
            progress.test_load.abort_all();
        }
    }
}

/// The models of a catalogue, with the default versions that are still served.
fn models_of(
    catalogue: &Catalogue,
    old: &View,
    progress: &Progress,
) -> BTreeMap<ModelName, ModelView> {
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

        // A deleted version serves until its successor is loaded; without one it stops immediately.
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

    models
}

/// Every held version, newest first.
fn newest_first(
    catalogue: &Catalogue,
    is_held: impl Fn(&ModelName, &VersionName, Digest) -> bool,
) -> Vec<VersionKey> {
    let mut newest: Vec<_> = catalogue.versions.iter().collect();
    newest.sort_by_key(|version| std::cmp::Reverse(version.published));

    let newest = newest
        .into_iter()
        .map(|held| (held.model.clone(), held.version.clone(), held.content));
    newest
        .filter(|(model, version, content)| is_held(model, version, *content))
        .collect()
}
