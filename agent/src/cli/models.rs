//! `regionmesh models`: publish, inspect, verify, delete and promote versions; list uploads.

mod files;
mod names;
mod publish;
mod retry;
pub(super) mod table;
mod uploads;
mod verify;
mod wait;

use super::{common::Common, confirm::confirm, duration, text};
use anyhow::Result;
use clap::{Args, Subcommand};
use names::{author, short_text, version_or_alias};
use regionmesh_client::{Done, ModelStatus, Models, Promoted, VersionDetail};
use regionmesh_protocol::models::manifest::{ModelName, VersionName};
use serde_json::json;
use std::{process::ExitCode, time::Duration};

/// Publish and manage models
#[derive(Debug, Args)]
pub(super) struct ModelsCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Publish(publish::Publish),
    #[command(visible_alias = "ls")]
    List(List),
    #[command(visible_alias = "describe")]
    Show(Show),
    Verify(verify::Verify),
    #[command(visible_alias = "rm")]
    Delete(Delete),
    Promote(Promote),
    Retry(retry::Retry),
    Uploads(uploads::Uploads),
}

/// List models, versions, and which regions hold them
#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    common: Common,
}

/// Show one model, or one version with its files
#[derive(Debug, Args)]
struct Show {
    /// The model's name
    #[arg(value_name = "NAME")]
    model: ModelName,
    /// The version's name
    version: Option<VersionName>,
    #[command(flatten)]
    common: Common,
}

/// Delete a version in every region, permanently; unreachable regions delete it when they return
#[derive(Debug, Args)]
struct Delete {
    /// The model's name
    #[arg(value_name = "NAME")]
    model: ModelName,
    /// The version's name
    version: VersionName,
    /// Delete without confirmation
    #[arg(long, short)]
    yes: bool,
    /// Delete it even if an alias names it; requests for that alias then get 404
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    common: Common,
}

/// Point an alias at a version; `production` is served by default
///
/// A version can be promoted once a majority of regions hold it and have run an inference on it.
#[derive(Debug, Args)]
struct Promote {
    /// The model's name
    #[arg(value_name = "NAME")]
    model: ModelName,
    /// The version's name
    version: VersionName,
    /// The alias to set
    #[arg(value_parser = version_or_alias)]
    alias: VersionName,
    /// Promote although no majority of regions can serve the version
    #[arg(long)]
    force: bool,
    /// How long to wait until a majority of regions have tested it; at most 1m
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration::parse)]
    timeout: Duration,
    /// Author to record [default: $REGIONMESH_BY, else the user]
    #[arg(long, value_name = "WHO", value_parser = short_text)]
    by: Option<String>,
    #[command(flatten)]
    common: Common,
}

impl ModelsCommand {
    /// Runs the command.
    pub(super) async fn run(self) -> Result<ExitCode> {
        match self.action {
            Action::Publish(action) => action.run().await,
            Action::List(action) => action.run().await,
            Action::Show(action) => action.run().await,
            Action::Verify(action) => action.run().await,
            Action::Delete(action) => action.run().await,
            Action::Promote(action) => action.run().await,
            Action::Retry(action) => action.run().await,
            Action::Uploads(action) => action.run().await,
        }
    }
}

impl List {
    async fn run(self) -> Result<ExitCode> {
        let models: Models = self.common.get("/v1/models").await?;
        self.common.print(&models, |paint| {
            if models.models.is_empty() {
                return "no models yet; publish one with: regionmesh models publish NAME VERSION \
                    PATH"
                    .into();
            }

            table::versions(&models.models, None, paint)
        })
    }
}

impl Show {
    async fn run(self) -> Result<ExitCode> {
        let Self {
            model,
            version,
            common,
        } = self;
        let client = common.client.connect()?;
        let Some(version) = version else {
            let model: ModelStatus = client.get(&format!("/v1/models/{model}")).await?;
            return common.print(&model, |paint| table::model(&model, paint));
        };
        let detail: VersionDetail = client
            .get(&format!("/v1/models/{model}/versions/{version}"))
            .await?;

        common.print(&detail, |paint| table::detail(&detail, paint))
    }
}

impl Delete {
    async fn run(self) -> Result<ExitCode> {
        let Self {
            model,
            version,
            yes,
            force,
            common,
        } = self;

        confirm(
            &format!("Delete {model}@{version} in every region? This can't be undone."),
            yes,
        )?;

        let query = if force { "?force=true" } else { "" };
        let path = format!("/v1/models/{model}/versions/{version}/delete{query}");
        let done: Done = common.post(&path, &json!({})).await?;

        common.print(&done, |_| done.done.clone())
    }
}

impl Promote {
    async fn run(self) -> Result<ExitCode> {
        let Self {
            model,
            version,
            alias,
            force,
            timeout,
            by,
            common,
        } = self;

        let path = format!("/v1/models/{model}/versions/{version}/promote");
        let body = json!({
            "alias": alias,
            "by": author(by),
            "force": force,
            "wait_ms": timeout.as_millis() as u64,
        });
        let set: Promoted = common.post(&path, &body).await?;

        for warning in &set.warnings {
            eprintln!("warning: {}", text::plain(warning, 500));
        }
        common.print(&set, |_| {
            format!(
                "{model}: {} is version {}",
                set.alias.alias, set.alias.version
            )
        })
    }
}
