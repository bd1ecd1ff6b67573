//! Where cost answers come from: the mesh, or files.

use super::local;
use crate::cli::{
    connect::ClientOptions,
    output::{Format as OutputFormat, OutputOptions},
    text,
};
use anyhow::Result;
use clap::Args;
use regionmesh::cost::{answers::Format, questions::Parameters};
use std::{path::PathBuf, process::ExitCode};

/// Where answers come from, and how they are shown.
#[derive(Debug, Args)]
pub(super) struct AnswerOptions {
    /// Answer from these files and folders alone, without a mesh: FOCUS exports as CSV, CSV.gz or
    /// Parquet
    #[arg(long, value_name = "PATH", num_args = 1..)]
    files: Vec<PathBuf>,
    /// With --files: currency of bills without one
    #[arg(long, value_name = "CODE", requires = "files")]
    currency: Option<regionmesh_cost::Currency>,
    /// Format [default: as --output]
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    #[command(flatten)]
    client: ClientOptions,
    #[command(flatten)]
    output: OutputOptions,
}

impl AnswerOptions {
    /// How the answer is shown: as asked for, else as the global option says.
    fn format(&self) -> Format {
        self.format.unwrap_or(match self.output.format() {
            OutputFormat::Json | OutputFormat::Yaml | OutputFormat::Name => Format::Json,
            OutputFormat::Table => Format::Table,
        })
    }

    pub(super) async fn ask(self, kind: &str, parameters: Parameters) -> Result<ExitCode> {
        let format = self.format();
        let (rendered, is_whole) = if self.files.is_empty() {
            (fetch(&self.client, kind, parameters, format).await?, true)
        } else {
            let files = self.files;
            let currency = self.currency;
            let kind = kind.to_owned();

            tokio::task::spawn_blocking(move || {
                local::answer(&files, currency, &kind, &parameters, format)
            })
            .await??
        };

        text::print(&rendered)?;
        Ok(if is_whole {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

/// Asks the mesh; the answer is text in `format`.
pub(in crate::cli) async fn fetch(
    options: &ClientOptions,
    kind: &str,
    mut parameters: Parameters,
    format: Format,
) -> Result<String> {
    parameters.insert("format".into(), format.as_str().into());
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(&parameters);
    Ok(options
        .connect()?
        .text(&format!("/v1/cost/{kind}?{}", query.finish()))
        .await?)
}
