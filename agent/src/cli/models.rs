//! `regionmesh models`: publish, look at, verify, delete and promote versions.

use super::{
    client::{Client, ClientError, ClientOptions},
    files::{self, LocalFile},
    text::{Table, bytes},
};
use crate::api::types::{AliasStatus, Done, ModelStatus, Models, Status, UploadBegun, VersionBrief, VersionDetail};
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use futures::TryStreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use regionmesh_protocol::{
    identity::RegionName,
    manifest::{ModelName, VersionName},
};
use serde_json::json;
use std::{
    collections::BTreeSet,
    io::IsTerminal,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};
use tokio_util::io::ReaderStream;

/// Bytes read from a file at once.
const BLOCK: usize = 1 << 20;
/// How often it is looked whether all regions hold a version.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Publish models and look after them.
#[derive(Debug, Args)]
pub struct ModelsCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Publish a version: a file, or a folder with all that is in it.
    Publish(Publish),
    /// List models, versions, and which regions hold them.
    List(List),
    /// Show one model, or one version with its files.
    Show(Show),
    /// Read every byte of a version again and compare it with its manifest, in each region.
    Verify(Verify),
    /// Delete a version everywhere.
    Delete(Named),
    /// Let an alias name a version; `production` is what is served by default.
    Promote(Promote),
}

#[derive(Debug, Args)]
struct Publish {
    /// The model's name.
    model: ModelName,
    /// The version's name.
    version: VersionName,
    /// A file (.onnx is stored as model.onnx) or a folder.
    path: PathBuf,
    /// Who publishes; the user's name if not given.
    #[arg(long)]
    by: Option<String>,
    /// A note, key=value; may be given several times.
    #[arg(long = "meta", value_name = "KEY=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// Wait until every living region holds it, verified; at most this many seconds.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "300")]
    wait: Option<u64>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Common {
    #[command(flatten)]
    client: ClientOptions,
    /// The answer as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Show {
    /// The model's name.
    model: ModelName,
    /// The version's name.
    version: Option<VersionName>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Named {
    /// The model's name.
    model: ModelName,
    /// The version's name.
    version: VersionName,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Verify {
    #[command(flatten)]
    named: Named,
    /// Only in this region.
    #[arg(long)]
    region: Option<RegionName>,
}

#[derive(Debug, Args)]
struct Promote {
    /// The model's name.
    model: ModelName,
    /// The version's name.
    version: VersionName,
    /// The alias.
    alias: VersionName,
    /// Who promotes; the user's name if not given.
    #[arg(long)]
    by: Option<String>,
    #[command(flatten)]
    common: Common,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected key=value")?;
    Ok((key.into(), value.into()))
}

fn whoever(given: Option<String>) -> String {
    given.or_else(|| std::env::var("USER").ok()).unwrap_or_else(|| "unknown".into())
}

fn tell<T: serde::Serialize>(common: &Common, value: &T, text: impl FnOnce() -> String) -> Result<ExitCode> {
    if common.json {
        println!("{}", serde_json::to_string_pretty(value)?);
    } else {
        println!("{}", text().trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

impl ModelsCommand {
    /// Runs the command.
    pub async fn run(self) -> Result<ExitCode> {
        match self.action {
            Action::Publish(action) => action.run().await,
            Action::List(action) => action.run().await,
            Action::Show(action) => action.run().await,
            Action::Verify(action) => action.run().await,
            Action::Delete(Named { model, version, common }) => {
                let client = Client::new(&common.client)?;
                let done: Done =
                    client.post(&format!("/v1/models/{model}/versions/{version}/delete"), &json!({})).await?;
                tell(&common, &done, || done.done.clone())
            }
            Action::Promote(Promote { model, version, alias, by, common }) => {
                let client = Client::new(&common.client)?;
                let path = format!("/v1/models/{model}/versions/{version}/promote");
                let set: AliasStatus = client.post(&path, &json!({ "alias": alias, "by": whoever(by) })).await?;
                tell(&common, &set, || format!("{model}: {} is version {}", set.alias, set.version))
            }
        }
    }
}

impl Publish {
    async fn run(self) -> Result<ExitCode> {
        let Self { model, version, path, by, metadata, wait, common } = self;
        let files = files::collect(&path).map_err(|error| ClientError::Usage(error.to_string()))?;
        // Everything goes to the agent that began the upload.
        let client = Client::new(&common.client)?.reachable().await?;
        let metadata: serde_json::Map<_, _> = metadata.into_iter().map(|(key, value)| (key, value.into())).collect();
        let start = json!({ "publisher": whoever(by), "metadata": metadata });
        let begun: UploadBegun = client.post(&format!("/v1/models/{model}/versions/{version}/uploads"), &start).await?;
        let sent = send_all(&client, &begun.upload, &files).await;
        if let Err(error) = sent {
            // Best effort: an abandoned upload goes away by itself.
            let _ = client.post::<Done>(&format!("/v1/uploads/{}/abort", begun.upload), &json!({})).await;
            return Err(error);
        }
        let brief: VersionBrief = client.post(&format!("/v1/uploads/{}/commit", begun.upload), &json!({})).await?;
        if let Some(seconds) = wait {
            wait_everywhere(&client, &brief, Duration::from_secs(seconds)).await?;
        }
        tell(&common, &brief, || {
            let place = if wait.is_some() { "verified in every region" } else { "published" };
            format!(
                "{}@{} is {place}: {}, content {:.12}",
                brief.model,
                brief.version,
                bytes(brief.size),
                brief.content
            )
        })
    }
}

async fn send_all(client: &Client, upload: &str, files: &[LocalFile]) -> Result<()> {
    let total = files.iter().map(|file| file.size).sum();
    let is_shown = std::io::stderr().is_terminal();
    let bar = if is_shown { ProgressBar::new(total) } else { ProgressBar::hidden() };
    bar.set_style(ProgressStyle::with_template("{msg} [{wide_bar}] {bytes}/{total_bytes} {bytes_per_sec}")?);
    for file in files {
        bar.set_message(file.name.clone());
        let opened =
            tokio::fs::File::open(&file.path).await.with_context(|| format!("cannot read {}", file.path.display()))?;
        let progress = bar.clone();
        let stream =
            ReaderStream::with_capacity(opened, BLOCK).inspect_ok(move |block| progress.inc(block.len() as u64));
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("path", &file.name);
        let path = format!("/v1/uploads/{upload}/files?{}", query.finish());
        client.send(&path, file.size, reqwest::Body::wrap_stream(stream)).await?;
        if !is_shown {
            eprintln!("sent {} ({})", file.name, bytes(file.size));
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// Waits until every region with a living agent holds the version.
async fn wait_everywhere(client: &Client, brief: &VersionBrief, patience: Duration) -> Result<()> {
    let start = Instant::now();
    loop {
        let status: Status = client.get("/v1/status").await?;
        let living: BTreeSet<_> = status
            .agents
            .iter()
            .filter(|agent| agent.alive)
            .filter_map(|agent| agent.agent.split('/').next())
            .map(str::to_owned)
            .collect();
        let holding: BTreeSet<String> = status
            .models
            .iter()
            .filter(|model| model.model == brief.model)
            .flat_map(|model| &model.versions)
            .filter(|version| version.version == brief.version && version.content == brief.content)
            .flat_map(|version| version.regions.iter().map(ToString::to_string))
            .collect();
        let missing: Vec<_> = living.difference(&holding).cloned().collect();
        if missing.is_empty() {
            return Ok(());
        }
        if start.elapsed() > patience {
            let missing = missing.join(", ");
            return Err(ClientError::Unavailable(format!(
                "published, but after {patience:?} it is not yet in {missing}; replication goes on, see `regionmesh status`"
            ))
            .into());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

impl List {
    async fn run(self) -> Result<ExitCode> {
        let client = Client::new(&self.common.client)?;
        let models: Models = client.get("/v1/models").await?;
        tell(&self.common, &models, || {
            if models.models.is_empty() {
                return "no models yet; publish one with: regionmesh models publish NAME VERSION PATH".into();
            }
            table(&models.models)
        })
    }
}

/// Models, versions, and which regions hold them.
pub(super) fn table(models: &[ModelStatus]) -> String {
    let mut table = Table::new(&["MODEL", "VERSION", "ALIASES", "SIZE", "CONTENT", "REGIONS"]);
    for model in models {
        for version in &model.versions {
            let aliases = model.aliases.iter().filter(|alias| alias.version == version.version);
            let regions: Vec<_> = version.regions.iter().map(ToString::to_string).collect();
            table.row(vec![
                model.model.clone(),
                version.version.clone(),
                aliases.map(|alias| alias.alias.as_str()).collect::<Vec<_>>().join(" "),
                version.size.map_or_else(|| "-".into(), bytes),
                version.content.chars().take(12).collect(),
                regions.join(" "),
            ]);
        }
    }
    table.render()
}

impl Show {
    async fn run(self) -> Result<ExitCode> {
        let client = Client::new(&self.common.client)?;
        let Some(version) = &self.version else {
            let model: ModelStatus = client.get(&format!("/v1/models/{}", self.model)).await?;
            return tell(&self.common, &model, || table(std::slice::from_ref(&model)));
        };
        let detail: VersionDetail = client.get(&format!("/v1/models/{}/versions/{version}", self.model)).await?;
        tell(&self.common, &detail, || {
            let brief = &detail.brief;
            let mut text = format!(
                "{}@{}\ncontent    {}\nsize       {}\npublished  in {} by {}\n",
                brief.model,
                brief.version,
                brief.content,
                bytes(brief.size),
                brief.origin,
                detail.publisher
            );
            for (key, value) in &detail.metadata {
                text += &format!("{key}: {value}\n");
            }
            let mut table = Table::new(&["FILE", "SIZE", "CHUNKS", "BLAKE3"]);
            for file in &detail.files {
                table.row(vec![file.path.clone(), bytes(file.size), file.chunks.to_string(), file.digest.clone()]);
            }
            text + "\n" + &table.render()
        })
    }
}

impl Verify {
    async fn run(self) -> Result<ExitCode> {
        let Named { model, version, common } = &self.named;
        let client = Client::new(&common.client)?;
        let status: Status = client.get("/v1/status").await?;
        let mut results = Vec::new();
        for region in &status.regions {
            if self.region.as_ref().is_some_and(|wanted| *wanted != region.region) {
                continue;
            }
            let of_region = |agent: &str| agent.split('/').next() == Some(region.region.as_str());
            let agent = status.agents.iter().find(|agent| agent.alive && of_region(&agent.agent));
            let outcome = match agent {
                Some(agent) => {
                    let path = format!("/v1/models/{model}/versions/{version}/verify");
                    let verified = client.only(&agent.api_url).post::<VersionBrief>(&path, &json!({})).await;
                    verified
                        .map(|brief| format!("every byte is right ({})", bytes(brief.size)))
                        .map_err(|e| e.to_string())
                }
                None => Err("no living agent there to ask".into()),
            };
            results.push((region.region.to_string(), outcome));
        }
        if results.is_empty() {
            return Err(
                ClientError::Usage("there is no such region in this mesh; see `regionmesh status`".into()).into()
            );
        }
        let is_right = results.iter().all(|(_, outcome)| outcome.is_ok());
        let value: Vec<_> = results
            .iter()
            .map(|(region, outcome)| {
                let said = outcome.as_ref().map_or_else(String::as_str, String::as_str);
                json!({ "region": region, "verified": outcome.is_ok(), "result": said })
            })
            .collect();
        tell(common, &value, || {
            let mut table = Table::new(&["REGION", "RESULT"]);
            for (region, outcome) in &results {
                table.row(vec![region.clone(), outcome.clone().unwrap_or_else(|why| format!("NOT VERIFIED: {why}"))]);
            }
            table.render()
        })?;
        Ok(if is_right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
