//! `regionmesh cost import`: bills into the mesh.

mod render;

use crate::cli::{
    common::{Common, text_within},
    error::CommandError,
};
use anyhow::{Context, Result};
use clap::Args;
use futures::TryStreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use regionmesh::cost::import::{BillFile, Found, find};
use regionmesh_cost::Currency;
use serde_json::Value;
use std::{io::IsTerminal, path::PathBuf, process::ExitCode};
use tokio_util::io::ReaderStream;

/// Bytes of a file in one read.
const BLOCK: usize = 1 << 20;

/// Import bills: FOCUS exports as CSV, CSV.gz or Parquet. They replace what a source had for a
/// month
#[derive(Debug, Args)]
pub(super) struct Import {
    /// Files, or folders with files; of an export in a folder, the newest delivery of each month
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Read everything and show what would change; changes nothing
    #[arg(long)]
    dry_run: bool,
    /// Name of the source [default: provider and billing account of each row]
    #[arg(long, value_name = "NAME", value_parser = source)]
    source: Option<String>,
    /// Currency of rows without one
    #[arg(long, value_name = "CODE")]
    currency: Option<Currency>,
    #[command(flatten)]
    common: Common,
}

fn source(text: &str) -> Result<String, String> {
    text_within(text, 128)
}

impl Import {
    pub(super) async fn run(self) -> Result<ExitCode> {
        let paths = self.paths.clone();
        let Found { files, passed_over } = tokio::task::spawn_blocking(move || find(&paths))
            .await?
            .map_err(CommandError::from)?;
        let client = self.common.client.connect()?;

        if !self.dry_run {
            client.require_token()?;
        }

        let one = client.reachable().await?;
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("dry_run", if self.dry_run { "true" } else { "false" });
        if let Some(source) = &self.source {
            query.append_pair("source", source);
        }
        if let Some(currency) = self.currency {
            query.append_pair("currency", currency.as_str());
        }

        let (form, bar) = form(&files).await?;
        let sent = one
            .send_form::<Value>(&format!("/v1/cost/import?{}", query.finish()), form)
            .await;

        bar.finish_and_clear();
        let mut summary = sent?;
        if let Some(fields) = summary.as_object_mut() {
            fields.insert("passed_over".into(), passed_over.into());
        }

        self.common.print(&summary, |_| render::summary(&summary))
    }
}

/// The files as one multipart form, and a bar that shows how much was sent.
async fn form(files: &[BillFile]) -> Result<(reqwest::multipart::Form, ProgressBar)> {
    let mut opened = Vec::new();
    for BillFile { name, path } in files {
        let failed = || format!("cannot read {}", path.display());
        let file = tokio::fs::File::open(path).await.with_context(failed)?;
        let size = file.metadata().await.with_context(failed)?.len();
        opened.push((name.clone(), file, size));
    }

    let total = opened.iter().map(|(_, _, size)| size).sum();
    let bar = if std::io::stderr().is_terminal() {
        ProgressBar::new(total)
    } else {
        ProgressBar::hidden()
    };

    if let Ok(style) = ProgressStyle::with_template(
        "[{wide_bar}] {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}",
    ) {
        bar.set_style(style);
    }

    let mut form = reqwest::multipart::Form::new();
    for (name, file, size) in opened {
        let progress = bar.clone();
        let end = total;
        let stream = ReaderStream::with_capacity(file, BLOCK).inspect_ok(move |block| {
            progress.inc(block.len().try_into().unwrap_or_default());
            if progress.position() >= end {
                progress.set_message("sent; the agent is reading it");
            }
        });
        let body = reqwest::Body::wrap_stream(stream);

        form = form.part(
            "file",
            reqwest::multipart::Part::stream_with_length(body, size).file_name(name),
        );
    }

    Ok((form, bar))
}

impl From<regionmesh::cost::import::FilesError> for CommandError {
    fn from(error: regionmesh::cost::import::FilesError) -> Self {
        Self::Usage(error.to_string())
    }
}
