//! Why a version can't be loaded.

use crate::{engine::EngineError, quarantine::VersionKey, work::WorkError};
use regionmesh_protocol::{
    models::manifest::{ModelName, VersionName},
    status::servability::Outcome,
};
use std::time::Duration;

/// Why a version can't be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LoadError {
    /// Its files can't be read now.
    #[error("its files can't be read: {0}")]
    Unreadable(String),
    /// Not enough memory at present.
    #[error("needs {needed} bytes of memory, serving.memory_limit is {limit} and {used} are taken")]
    NoRoom {
        /// Bytes to be set aside.
        needed: u64,
        limit: u64,
        /// Taken by other versions.
        used: u64,
    },
    /// It is not a model that can be served; a retry is useless.
    #[error("{0}")]
    Unservable(String),
    /// Loading it took too long; its thread may still run.
    #[error("loading it and running one inference took longer than {} s", .0.as_secs_f32())]
    Overrun(Duration),
    /// The process crashed while loading it.
    #[error(
        "it is quarantined: the process crashed while loading it; delete it, or run `regionmesh \
            models retry {0} {1}`"
    )]
    Quarantined(ModelName, VersionName),
}

impl LoadError {
    /// Whether a later attempt may succeed.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            LoadError::Unreadable(_) => true,
            LoadError::NoRoom { needed, limit, .. } => needed <= limit,
            LoadError::Unservable(_) | LoadError::Overrun(_) | LoadError::Quarantined(..) => false,
        }
    }

    /// The published outcome of a version in quarantine.
    pub(crate) fn quarantined((model, version, _): &VersionKey) -> Outcome {
        let reason = LoadError::Quarantined(model.clone(), version.clone()).to_string();
        Outcome::Unservable {
            reason,
            is_quarantined: true,
        }
    }

    /// The published outcome, and whether a restart would give the same; none where the version
    /// itself was not tried.
    pub(crate) fn outcome(&self) -> Option<(Outcome, bool)> {
        let unservable = Outcome::Unservable {
            reason: self.to_string(),
            is_quarantined: false,
        };

        match self {
            // A quarantined version is reported by the quarantine.
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
