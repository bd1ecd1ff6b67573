//! Reloading the configuration: what can change while the agent runs, and what needs a restart.
//!
//! On SIGHUP the file is read and checked as at a start. The fields of [`is_reloaded`] take effect
//! immediately; all other changed fields keep their values and are logged. A faulty file changes
//! nothing. Certificates, keys and token files need no signal: they are read again when they
//! change.

use crate::config::{Config, ConfigError};
use prometheus::{
    IntCounterVec, IntGauge, register_int_counter_vec_with_registry,
    register_int_gauge_with_registry,
};
use regionmesh_runtime::{
    logging::{self, LogError},
    metrics::Registry,
};
use std::{path::Path, sync::Arc};
use tokio::sync::watch;

/// Why a configuration was not reloaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReloadError {
    /// It is faulty, or can't be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Its log filter could not be set.
    #[error(transparent)]
    Log(#[from] LogError),
    /// It can't be compared with the one in force.
    #[error("the configuration can't be compared: {0}")]
    Compare(#[from] toml::ser::Error),
    /// The task that read it panicked.
    #[error("reading the configuration failed: {0}")]
    Broke(#[from] tokio::task::JoinError),
}

/// The result of a reload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reloaded {
    /// Changed fields that are in effect now.
    pub in_effect: Vec<String>,
    /// Changed fields that need a restart.
    pub needs_restart: Vec<String>,
}

/// Reloads the configuration.
#[derive(Debug)]
pub(crate) struct Reloader {
    /// The configuration in force: that of the start, with all reloaded fields.
    live: watch::Sender<Arc<Config>>,
    metrics: ReloadMetrics,
}

/// Metrics of reloads.
#[derive(Debug, Clone)]
pub(crate) struct ReloadMetrics {
    reloads: IntCounterVec,
    needs_restart: IntGauge,
}

impl ReloadMetrics {
    /// Registers the metrics.
    pub(crate) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            reloads: register_int_counter_vec_with_registry!(
                "regionmesh_config_reloads_total",
                "Configuration reloads, by outcome: ok, failed.",
                &["outcome"],
                registry
            )?,
            needs_restart: register_int_gauge_with_registry!(
                "regionmesh_config_fields_need_restart",
                "Changed settings that need a restart.",
                registry
            )?,
        };

        // From 0, so that an alert sees the first of each.
        for outcome in ["ok", "failed"] {
            let _ = metrics.reloads.with_label_values(&[outcome]);
        }

        Ok(metrics)
    }
}

impl Reloader {
    /// Nothing has been reloaded yet.
    pub(crate) fn new(config: Arc<Config>, metrics: ReloadMetrics) -> Self {
        Self {
            live: watch::channel(config).0,
            metrics,
        }
    }

    /// The configuration in force, and its changes.
    pub(crate) fn live(&self) -> watch::Receiver<Arc<Config>> {
        self.live.subscribe()
    }

    /// Reads the file again and logs the result.
    pub(crate) async fn reload(&self, path: &Path) {
        match self.apply(path).await {
            Ok(Reloaded {
                in_effect,
                needs_restart,
            }) => {
                self.metrics.reloads.with_label_values(&["ok"]).inc();
                self.metrics
                    .needs_restart
                    .set(i64::try_from(needs_restart.len()).unwrap_or(i64::MAX));
                tracing::info!(
                    path = %path.display(),
                    ?in_effect,
                    ?needs_restart,
                    "configuration reloaded"
                );
            }
            Err(error) => {
                self.metrics.reloads.with_label_values(&["failed"]).inc();
                tracing::error!(path = %path.display(), %error, "configuration not reloaded, \
                    nothing changed");
            }
        }
    }

    async fn apply(&self, path: &Path) -> Result<Reloaded, ReloadError> {
        let path = path.to_owned();
        let read = tokio::task::spawn_blocking(move || Config::load(&path)).await??;
        let running = self.live.borrow().clone();
        let reloaded = compare(&running, &read)?;

        if !reloaded.in_effect.is_empty() {
            logging::set_filter(&read.log)?;
            let mut next = (*running).clone();
            next.alerts = read.alerts;
            next.cost = read.cost;
            next.api.token_file = read.api.token_file;
            next.log.filter = read.log.filter;
            self.live.send_replace(Arc::new(next));
        }

        Ok(reloaded)
    }
}

/// Whether a field takes effect without a restart.
fn is_reloaded(field: &str) -> bool {
    match field {
        "log.filter" => !logging::is_filter_of_environment(),
        "api.token_file" => true,
        _ => field.starts_with("alerts.") || field.starts_with("cost."),
    }
}

/// The fields in which two configurations differ.
fn compare(running: &Config, read: &Config) -> Result<Reloaded, toml::ser::Error> {
    let running = toml::Table::try_from(running)?;
    let read = toml::Table::try_from(read)?;
    let mut changed = Vec::new();

    differences("", &running, &read, &mut changed);
    let (in_effect, needs_restart) = changed.into_iter().partition(|field| is_reloaded(field));
    Ok(Reloaded {
        in_effect,
        needs_restart,
    })
}

fn differences(above: &str, one: &toml::Table, other: &toml::Table, changed: &mut Vec<String>) {
    let added = other.keys().filter(|name| !one.contains_key(*name));
    for name in one.keys().chain(added) {
        let field = if above.is_empty() {
            name.clone()
        } else {
            format!("{above}.{name}")
        };

        match (one.get(name), other.get(name)) {
            (Some(toml::Value::Table(one)), Some(toml::Value::Table(other))) => {
                differences(&field, one, other, changed);
            }
            (one, other) if one != other => changed.push(field),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
