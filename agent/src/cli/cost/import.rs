//! `regionmesh cost import`: bills into the mesh.

use crate::cli::common::Common;
use crate::{
    cli::{
        common::text_within,
        error::CommandError,
        text::{Table, bytes, count, plain},
    },
    cost::import::{BillFile, Found, find},
};
use anyhow::{Context, Result};
use clap::Args;
use futures::TryStreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use regionmesh_cost::Currency;
use serde_json::Value;
use std::{io::IsTerminal, path::PathBuf, process::ExitCode};
use tokio_util::io::ReaderStream;

/// Bytes read from a file at once.
const BLOCK: usize = 1 << 20;

/// Take bills into the mesh: FOCUS exports as CSV, CSV.gz or Parquet. What a source had for a month
/// is replaced
#[derive(Debug, Args)]
pub(super) struct Import {
    /// Files, or folders with files; of an export in a folder, the newest delivery of each month
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Read everything and say what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Whose bill it is [default: provider and billing account of each row]
    #[arg(long, value_name = "NAME", value_parser = source)]
    source: Option<String>,
    /// The currency of rows that name none
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

        self.common.tell(&summary, |_| render(&summary))
    }
}

/// The files as one form, and a bar that follows what is sent.
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

    // A template that is wrong would only be ugly.
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

/// What was imported, for people.
fn render(summary: &Value) -> String {
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let report = &summary["report"];
    let mut text = String::new();
    let mut table = Table::new(&[
        "SOURCE",
        "MONTH",
        "ROWS",
        "CELLS",
        "DAYS",
        "EFFECTIVE",
        "REPLACES",
    ]);

    for part in summary["parts"].as_array().into_iter().flatten() {
        let said = |field: &str| plain(part[field].as_str().unwrap_or_default(), 100);
        let totals = part["totals"]["effective"]
            .as_object()
            .into_iter()
            .flatten();
        let totals: Vec<String> = totals
            .map(|(currency, amount)| {
                format!(
                    "{} {currency}",
                    plain(amount.as_str().unwrap_or_default(), 40)
                )
            })
            .collect();

        let replaced = match &part["replaced"] {
            Value::Null => "nothing".into(),
            before => format!("{} rows", number(&before["rows"])),
        };

        table.row(vec![
            said("source"),
            said("period"),
            number(&part["rows"]).to_string(),
            number(&part["cells"]).to_string(),
            format!("{} to {}", said("first_day"), said("last_day")),
            totals.join(", "),
            replaced,
        ]);
    }

    text += &table.render();
    let rows = number(&report["rows"]);
    let imported = number(&report["imported"]);
    let files = report["files"].as_array().map_or(0, Vec::len);
    let read: u64 = report["files"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|file| number(&file["bytes"]))
        .sum();

    text += &format!(
        "\n{} of {rows} rows in {} ({}) ",
        imported,
        count(files, "file", "files"),
        bytes(read)
    );

    text += if summary["dry_run"] == true {
        "would be imported; nothing was changed\n"
    } else {
        "are imported\n"
    };

    for problem in summary["passed_over"].as_array().into_iter().flatten() {
        text += &format!(
            "warning: passed over: {}\n",
            plain(problem.as_str().unwrap_or_default(), 400)
        );
    }

    for file in report["files"].as_array().into_iter().flatten() {
        for warning in file["warnings"].as_array().into_iter().flatten() {
            let name = plain(file["name"].as_str().unwrap_or_default(), 200);
            text += &format!(
                "warning: {name}: {}\n",
                plain(warning.as_str().unwrap_or_default(), 300)
            );
        }
    }

    if number(&report["rounded"]) > 0 {
        let rounded = number(&report["rounded"]);
        text += &format!(
            "warning: {rounded} rows have amounts of more than 15 decimals; these were rounded\n"
        );
    }

    if rows > imported {
        text += &format!(
            "warning: {} rows are bad and were left out; the first:\n",
            rows - imported
        );

        for bad in report["bad_rows"].as_array().into_iter().flatten() {
            let said = |field: &str| plain(bad[field].as_str().unwrap_or_default(), 120);
            let value = format!(
                "{} \"{}\": {}",
                said("column"),
                said("value"),
                said("reason")
            );

            text += &format!(
                "  {}:{}: {}\n",
                said("file"),
                number(&bad["row"]),
                value.trim_start()
            );
        }
    }

    text
}

impl From<crate::cost::import::FilesError> for CommandError {
    fn from(error: crate::cost::import::FilesError) -> Self {
        Self::Usage(error.to_string())
    }
}

#[cfg(test)]
mod tests;
