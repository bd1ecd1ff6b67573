//! What of the configuration can change while the agent runs, and what needs a restart.
//!
//! On SIGHUP the file is read and checked as at a start. What is listed in [`is_reloaded`] is taken
//! up at once; everything else stays as it was at the start and is named, so that nobody takes it
//! for done. A file that is wrong changes nothing. Certificates, keys and token files need no
//! signal: they are read again when they change.

use crate::config::{Config, ConfigError};
use prometheus::{IntCounterVec, IntGauge, Opts, Registry};
use regionmesh_runtime::logging::{self, LogError};
use std::{path::Path, sync::Arc};
use tokio::sync::watch;

/// Why a configuration was not taken up.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// It is wrong, or can't be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Its filter of log lines could not be set.
    #[error(transparent)]
    Log(#[from] LogError),
    /// It can't be compared with the one in force.
    #[error("the configuration can't be compared: {0}")]
    Compare(#[from] toml::ser::Error),
    /// The task that read it broke.
    #[error("reading the configuration broke: {0}")]
    Broke(#[from] tokio::task::JoinError),
}

/// What a reload did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Changed fields that are in effect now.
    pub in_effect: Vec<String>,
    /// Fields that differ from what the agent runs with until it is restarted.
    pub needs_restart: Vec<String>,
}

/// Takes up a changed configuration.
#[derive(Debug)]
pub struct Reloader {
    /// What is in force: as at the start, but for what was reloaded.
    live: watch::Sender<Arc<Config>>,
    reloads: IntCounterVec,
    needs_restart: IntGauge,
}

impl Reloader {
    /// Registers the metrics.
    pub fn new(config: Arc<Config>, registry: &Registry) -> prometheus::Result<Self> {
        let reloads = IntCounterVec::new(
            Opts::new(
                "regionmesh_config_reloads_total",
                "Configurations read again on SIGHUP, by outcome: ok, failed.",
            ),
            &["outcome"],
        )?;

        ["ok", "failed"]
            .iter()
            .for_each(|outcome| drop(reloads.with_label_values(&[*outcome])));

        let needs_restart = IntGauge::new(
            "regionmesh_config_fields_need_restart",
            "Fields of the configuration that differ from what the agent runs with, as of the last \
                SIGHUP.",
        )?;

        registry.register(Box::new(reloads.clone()))?;
        registry.register(Box::new(needs_restart.clone()))?;
        Ok(Self {
            live: watch::channel(config).0,
            reloads,
            needs_restart,
        })
    }

    /// The configuration in force, and its changes.
    pub fn live(&self) -> watch::Receiver<Arc<Config>> {
        self.live.subscribe()
    }

    /// Reads the file again and says in the log what came of it.
    pub async fn reload(&self, path: &Path) {
        match self.take_up(path).await {
            Ok(Reloaded {
                in_effect,
                needs_restart,
            }) => {
                self.reloads.with_label_values(&["ok"]).inc();
                self.needs_restart
                    .set(i64::try_from(needs_restart.len()).unwrap_or(i64::MAX));
                tracing::info!(path = %path.display(), ?in_effect, ?needs_restart, "configuration reloaded");
            }
            Err(error) => {
                self.reloads.with_label_values(&["failed"]).inc();
                tracing::error!(path = %path.display(), %error, "configuration not reloaded, \
                    nothing changed");
            }
        }
    }

    async fn take_up(&self, path: &Path) -> Result<Reloaded, ReloadError> {
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
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::fixture;
    use std::path::PathBuf;

    #[test]
    fn every_changed_field_is_named_and_none_is_taken_for_done_that_is_not() {
        let running = fixture::config(&[("a", "127.0.0.1")], "");
        let mut read = running.clone();
        assert_eq!(compare(&running, &read).unwrap(), Reloaded::default());
        read.api.token_file = Some(PathBuf::from("/other"));
        read.dns.ttl_s += 1;
        read.regions[0].weight_bp = 7;
        read.alerts.generator_url = Some("http://dashboard".into());

        let told = compare(&running, &read).unwrap();
        assert_eq!(told.in_effect, ["alerts.generator_url", "api.token_file"]);
        assert_eq!(told.needs_restart, ["dns.ttl_s", "regions"]);
    }

    #[tokio::test]
    async fn a_file_that_is_wrong_changes_nothing() {
        let reloader = Reloader::new(
            Arc::new(fixture::config(&[("a", "127.0.0.1")], "")),
            &Registry::new(),
        )
        .unwrap();
        let live = reloader.live();

        assert!(reloader.take_up(Path::new("/nowhere")).await.is_err());
        assert!(!live.has_changed().unwrap());
    }
}
