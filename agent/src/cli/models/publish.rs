//! `regionmesh models publish`: one upload to one agent, whole or not at all.

use super::{
    files::{self, FilesError, LocalFile},
    names::{author, short_text, version_or_alias},
    wait,
};
use crate::cli::{common::Common, duration, error::CommandError, text::bytes};
use anyhow::{Result, bail};
use clap::Args;
use futures::TryStreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use regionmesh_client::{Client, Done, Models, UploadBegun, VersionBrief};
use regionmesh_protocol::models::manifest::{METADATA_MAX, ModelName, VersionName};
use serde_json::{Map, Value, json};
use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

/// Bytes of a file in one read.
const BLOCK: usize = 1 << 20;

/// Publish a model version from a file or a directory
#[derive(Debug, Args)]
pub(super) struct Publish {
    /// The model's name
    #[arg(value_name = "NAME")]
    model: ModelName,
    /// The version's name; a version never changes
    #[arg(value_parser = version_or_alias)]
    version: VersionName,
    /// A file (.onnx is stored as model.onnx) or a folder
    path: PathBuf,
    /// Publisher to record [default: $REGIONMESH_BY, else the user]
    #[arg(long, value_name = "WHO", value_parser = short_text)]
    by: Option<String>,
    /// A note; may be given several times
    #[arg(long = "meta", value_name = "KEY=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// Wait until every region with a live agent has verified the version and run an inference on
    /// it
    #[arg(long)]
    wait: bool,
    /// With --wait: how long at most
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration::parse)]
    timeout: Duration,
    #[command(flatten)]
    common: Common,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    let value = if value.is_empty() {
        String::new()
    } else {
        short_text(value)?
    };

    Ok((
        short_text(key).map_err(|why| format!("the key: {why}"))?,
        value,
    ))
}

/// The notes as a JSON object.
fn notes(pairs: &[(String, String)]) -> Result<Map<String, Value>, CommandError> {
    let mut notes = Map::new();
    for (key, value) in pairs {
        if notes.insert(key.clone(), value.clone().into()).is_some() {
            return Err(CommandError::Usage(format!("--meta: {key} is given twice")));
        }
    }

    if notes.len() > METADATA_MAX {
        return Err(CommandError::Usage(format!(
            "--meta: {} notes, the limit is {METADATA_MAX}",
            notes.len()
        )));
    }

    Ok(notes)
}

impl Publish {
    pub(super) async fn run(self) -> Result<ExitCode> {
        let notes = notes(&self.metadata)?;
        let path = self.path.clone();
        let files = tokio::task::spawn_blocking(move || files::collect(&path))
            .await?
            .map_err(CommandError::from)?;
        let client = self.common.client.connect()?;

        client.require_token()?;
        // Everything goes to the agent that began the upload.
        let one = client.reachable().await?;
        let before = self.held(&one).await?;
        let start = json!({ "publisher": author(self.by.clone()), "metadata": notes });
        let model = &self.model;
        let version = &self.version;
        let begun: UploadBegun = one
            .post(
                &format!("/v1/models/{model}/versions/{version}/uploads"),
                &start,
            )
            .await?;

        let brief = match self.upload(&one, &begun.upload, &files).await {
            Ok(brief) => brief,
            Err(error) => {
                // Best effort: abandoned uploads expire.
                let _ = one
                    .post::<Done>(&format!("/v1/uploads/{}/abort", begun.upload), &json!({}))
                    .await;
                return Err(error);
            }
        };

        if self.wait {
            wait::everywhere(&client, &brief, self.timeout).await?;
        }

        let is_new = before.as_ref() != Some(&brief.content);
        self.common
            .print(&brief, |_| sentence(&brief, is_new, self.wait))
    }

    /// The content of the version, if the mesh has it already.
    async fn held(&self, client: &Client) -> Result<Option<String>> {
        let models: Models = client.get("/v1/models").await?;
        let known = models
            .models
            .into_iter()
            .filter(|known| known.model == self.model.as_str());

        Ok(known
            .flat_map(|known| known.versions)
            .find(|held| held.version == self.version.as_str())
            .map(|held| held.content))
    }

    async fn upload(
        &self,
        client: &Client,
        upload: &str,
        files: &[LocalFile],
    ) -> Result<VersionBrief> {
        let progress = Progress::new(files);
        for file in files {
            let sent = send(client, upload, file, &progress).await;
            if let Err(error) = sent {
                progress.bar.finish_and_clear();
                // A file that shrank breaks the request: report that rather than the broken
                // request.
                unchanged(&self.path, files).await?;
                return Err(error);
            }

            progress.sent(file);
        }

        progress.bar.finish_and_clear();
        unchanged(&self.path, files).await?;
        Ok(client
            .post(&format!("/v1/uploads/{upload}/commit"), &json!({}))
            .await?)
    }
}

async fn unchanged(path: &Path, files: &[LocalFile]) -> Result<()> {
    let path = path.to_owned();
    let files = files.to_vec();
    match tokio::task::spawn_blocking(move || files::check_unchanged(&path, &files)).await? {
        Ok(()) => Ok(()),
        // Also if a file vanished during the upload.
        Err(error) => bail!("{error}; nothing was published"),
    }
}

async fn send(client: &Client, upload: &str, file: &LocalFile, progress: &Progress) -> Result<()> {
    let unreadable = |error| FilesError::Unreadable {
        path: file.path.clone(),
        error,
    };
    let opened = tokio::fs::File::open(&file.path)
        .await
        .map_err(unreadable)?;
    let bar = progress.bar.clone();

    // Send exactly the announced size: a file that grew is detected at the end and must not corrupt
    // the connection.
    let stream = ReaderStream::with_capacity(opened.take(file.size), BLOCK)
        .inspect_ok(move |block| bar.inc(block.len().try_into().unwrap_or_default()));
    progress.bar.set_message(file.name.clone());

    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("path", &file.name);

    let path = format!("/v1/uploads/{upload}/files?{}", query.finish());
    Ok(client
        .send(&path, file.size, reqwest::Body::wrap_stream(stream))
        .await?)
}

/// A bar on a terminal, a line for each file elsewhere.
struct Progress {
    bar: ProgressBar,
    is_drawn: bool,
}

impl Progress {
    fn new(files: &[LocalFile]) -> Self {
        let total = files.iter().map(|file| file.size).sum();
        let is_drawn = std::io::stderr().is_terminal();
        let bar = if is_drawn {
            ProgressBar::new(total)
        } else {
            ProgressBar::hidden()
        };
        let template = "{msg:24!} [{wide_bar}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";

        // A test checks the template.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }

        Self { bar, is_drawn }
    }

    fn sent(&self, file: &LocalFile) {
        if !self.is_drawn {
            eprintln!("sent {} ({})", file.name, bytes(file.size));
        }
    }
}

fn sentence(brief: &VersionBrief, is_new: bool, is_awaited: bool) -> String {
    let VersionBrief {
        model,
        version,
        content,
        size,
        ..
    } = brief;

    let what = match (is_new, is_awaited) {
        (true, false) => "is published",
        (true, true) => "is published, verified and tested in every live region",
        (false, false) => "already existed with the same content",
        (false, true) => {
            "already existed with the same content, and is verified and tested in every live region"
        }
    };

    format!(
        "{model}@{version} {what}: {}, content {content:.12}",
        bytes(*size)
    )
}
