//! A snapshot of what a model server serves. Pure.

use crate::{
    choose::{HeldModel, compare},
    loading::Loaded,
    quarantine::VersionKey,
};
use regionmesh_core::planning::servability::RegionModels;
use regionmesh_protocol::{
    models::{
        digest::Digest,
        manifest::{ModelName, VersionName},
    },
    status::{
        ServingStatus,
        servability::{Outcome, Servability, VersionServability, content_tag},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The models, as requests see them.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// Whether the catalogue has been read once.
    pub(crate) is_read: bool,
    pub(crate) models: BTreeMap<ModelName, ModelView>,
    /// Every version held, newest first.
    pub(crate) newest: Vec<VersionKey>,
    /// Models that this region can't serve but most others do: it takes no traffic because of them.
    pub(crate) given_up_for: BTreeSet<ModelName>,
}

/// One model.
#[derive(Debug, Default)]
pub(crate) struct ModelView {
    /// Its versions and aliases.
    pub(crate) held: HeldModel,
    /// The default version that is served.
    pub(crate) default: Option<Arc<Loaded>>,
    /// The wanted default version.
    pub(crate) wanted: Option<(VersionName, Digest)>,
    /// Why the wanted version is not served, if loading it failed.
    pub(crate) failure: Option<String>,
    /// Whether the region is not ready without it: it was there at the start and may still be
    /// loaded.
    pub(crate) is_awaited: bool,
}

/// A version that can't be served, described for an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServingProblem {
    /// The version: `model@version`.
    pub subject: String,
    /// Why, and what is served instead.
    pub detail: String,
    /// Whether it crashed the process.
    pub is_quarantined: bool,
}

impl ModelView {
    /// Whether the wanted version is served.
    pub(crate) fn is_current(&self) -> bool {
        let serving = self
            .default
            .as_ref()
            .map(|loaded| (&loaded.version, loaded.content));

        serving
            == self
                .wanted
                .as_ref()
                .map(|(version, content)| (version, *content))
    }

    /// The newest version older than the wanted one that `may_load` accepts. It is served if the
    /// wanted one can't be and nothing else is.
    pub(crate) fn fallback(
        &self,
        may_load: impl Fn(&VersionName, Digest) -> bool,
    ) -> Option<(VersionName, Digest)> {
        let (wanted, _) = self.wanted.as_ref()?;
        let is_candidate = |(version, content): &(&VersionName, &Digest)| {
            let is_older = compare(version.as_str(), wanted.as_str()).is_lt();
            is_older && !version.as_str().contains("+conflict.") && may_load(version, **content)
        };
        let newest = self
            .held
            .versions
            .iter()
            .filter(is_candidate)
            .max_by(|(a, _), (b, _)| compare(a.as_str(), b.as_str()));

        newest.map(|(version, content)| (version.clone(), *content))
    }
}

impl View {
    /// Why the region is not ready; empty if it is.
    ///
    /// A region that starts is ready when it serves what its store holds, as far as that can be
    /// served. After that, publishing a model never makes it unready: a model that is loading, or
    /// can't be loaded, is the same in all regions and must not take them out of service. Only a
    /// model that this region can't serve while most other regions do makes it unready: its share
    /// is better served by them.
    pub(crate) fn faults(&self) -> Vec<String> {
        if !self.is_read {
            return vec!["the catalogue of models has not been read yet".into()];
        }

        let awaited = self
            .models
            .iter()
            .filter(|(_, model)| model.is_awaited)
            .filter_map(|(name, model)| {
                let (version, _) = model.wanted.as_ref()?;
                Some(match &model.failure {
                    Some(reason) => format!("model {name}@{version} can't be loaded: {reason}"),
                    None => format!("model {name}@{version} is being loaded"),
                })
            });

        let given_up = self.given_up_for.iter().map(|name| {
            let failure = self
                .models
                .get(name)
                .and_then(|model| model.failure.as_deref())
                .unwrap_or("unknown");

            format!(
                "model {name} can't be served here while most other regions serve it: {failure}"
            )
        });

        awaited.chain(given_up).collect()
    }

    /// What this region serves and what it can't, for
    /// [`regionmesh_core::planning::servability::given_up_for`].
    pub(crate) fn region_models(&self, unserved: &[ModelName]) -> RegionModels {
        let served = self
            .models
            .iter()
            .filter(|(_, model)| model.default.is_some());

        RegionModels {
            served: served.map(|(name, _)| name.clone()).collect(),
            unserved: unserved.iter().cloned().collect(),
        }
    }

    /// The published outcomes of the versions. `unserved`: models of which no version can be
    /// served.
    pub(crate) fn servability(
        &self,
        outcome: impl Fn(&VersionKey) -> Option<Outcome>,
        unserved: Vec<ModelName>,
    ) -> Servability {
        let outcomes = self.newest.iter().filter_map(|key| {
            let (model, version, content) = key;
            let outcome = outcome(key)?;
            let content_tag = content_tag(content);

            Some(VersionServability {
                model: model.clone(),
                version: version.clone(),
                content_tag,
                outcome,
            })
        });

        Servability::bounded(outcomes, unserved)
    }

    /// The versions that can't be served, with what that means.
    pub(crate) fn problems(
        &self,
        outcome: impl Fn(&VersionKey) -> Option<Outcome>,
    ) -> Vec<ServingProblem> {
        let problem = |key: &VersionKey| {
            let Some(Outcome::Unservable {
                reason,
                is_quarantined,
            }) = outcome(key)
            else {
                return None;
            };
            let (name, version, _) = key;
            let model = self.models.get(name)?;

            let is_wanted = model
                .wanted
                .as_ref()
                .is_some_and(|(wanted, _)| wanted == version);
            let effect = match &model.default {
                _ if !is_wanted => "it is not the default version".into(),
                Some(loaded) if loaded.version == *version => "it is still served".into(),
                Some(loaded) => format!("version {} is served by default instead", loaded.version),
                None => "no version of the model is served here".into(),
            };

            let detail = format!("can't be served: {reason}; {effect}");
            Some(ServingProblem {
                subject: format!("{name}@{version}"),
                detail,
                is_quarantined,
            })
        };

        self.newest.iter().filter_map(problem).collect()
    }

    /// Loaded default versions, for [`ServingStatus`].
    pub(crate) fn defaults(&self) -> Vec<(ModelName, VersionName)> {
        let defaults = self
            .models
            .values()
            .filter_map(|model| model.default.as_ref());

        defaults
            .map(|loaded| (loaded.model.clone(), loaded.version.clone()))
            .collect()
    }

    /// The status with these counters.
    pub(crate) fn status(&self, counted: ServingStatus) -> ServingStatus {
        ServingStatus {
            is_ready: self.faults().is_empty(),
            models: self.defaults(),
            ..counted
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::{collection::btree_set, prelude::*};

    fn name(version: u8) -> VersionName {
        version.to_string().parse().unwrap()
    }

    proptest! {
        #[test]
        fn the_fallback_is_the_newest_older_version_that_may_be_loaded(
            held in btree_set(1u8..30, 1..12),
            good in btree_set(1u8..30, 0..12),
            wanted: prop::sample::Index,
        ) {
            let wanted = *wanted.get(&held.iter().copied().collect::<Vec<_>>());
            let versions = held
                .iter()
                .map(|version| (name(*version), Digest([*version; 32])))
                .collect();
            let model = ModelView {
                held: HeldModel {
                    versions,
                    ..HeldModel::default()
                },
                wanted: Some((name(wanted), Digest([wanted; 32]))),
                ..ModelView::default()
            };

            let fallback = model.fallback(|_, content| good.contains(&content.0[0]));
            let expected = held
                .intersection(&good)
                .filter(|version| **version < wanted)
                .max();

            prop_assert_eq!(
                fallback,
                expected.map(|version| (name(*version), Digest([*version; 32])))
            );
        }
    }
}
