//! Publishes the view, its metrics, and the status entries.

use super::VersionRegistry;
use crate::{
    loading::Loaded,
    progress::Progress,
    quarantine::VersionKey,
    view::{ModelView, View},
};
use regionmesh_core::planning::servability::{RegionModels, given_up_for};
use regionmesh_protocol::{
    identity::RegionName, models::manifest::ModelName, status::ServingStatus,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering::Relaxed},
};
use tokio::sync::watch;

impl VersionRegistry {
    pub(super) fn publish(&self, mut view: View, progress: &Progress) {
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
                .loads
                .default_failed
                .with_label_values(&[name.as_str()])
                .set(failed);
        }

        self.view.store(Arc::new(view));
        let used = self.arguments.loading.budget().used();
        self.arguments
            .metrics
            .loads
            .loaded_bytes
            .set(i64::try_from(used).unwrap_or(i64::MAX));
    }

    /// Determines what can't be served here and whether this region gives up its share for it, and
    /// publishes the result.
    pub(super) fn judge(
        &self,
        progress: &mut Progress,
        peers: &BTreeMap<RegionName, RegionModels>,
    ) {
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
                    "the region takes traffic again: it can serve what most other regions serve"
                );
            } else {
                tracing::error!(
                    ?models,
                    "the region takes no traffic: it can't serve what most other regions serve"
                );
            }

            self.view.store(Arc::new(View {
                given_up_for: given_up,
                ..with_default(&view, None)
            }));
        }

        self.publish_status(progress);
    }

    fn publish_status(&self, progress: &Progress) {
        let view = self.view.load();
        let outcome = |key: &VersionKey| self.outcome(key);
        let status = view.status(ServingStatus {
            requests_total: self.counts.answered.load(Relaxed),
            errors_total: self.counts.errors.load(Relaxed),
            probes_total: self.counts.probes.load(Relaxed),
            places: self.arguments.places,
            latency: std::array::from_fn(|bucket| self.counts.latency[bucket].load(Relaxed)),
            ..ServingStatus::default()
        });

        send(&self.status, status);
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
            .loads
            .unservable
            .set(i64::try_from(problems.len()).unwrap_or(i64::MAX));

        self.arguments
            .metrics
            .loads
            .quarantined
            .set(i64::try_from(quarantined).unwrap_or(i64::MAX));

        send(&self.problems, problems);
    }
}

/// Wakes receivers only if the value changed.
fn send<T: PartialEq>(sender: &watch::Sender<T>, value: T) {
    sender.send_if_modified(|old| {
        let is_changed = *old != value;
        *old = value;
        is_changed
    });
}

/// The view with another default version of one model.
pub(super) fn with_default(old: &View, loaded: Option<&Arc<Loaded>>) -> View {
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
