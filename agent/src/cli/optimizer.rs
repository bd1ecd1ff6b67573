//! `regionmesh optimizer`: recommendations that reduce cost, with the commands for them.

use super::{cost::options::fetch, output::Output, text};
use crate::cli::connect::ClientOptions;
use anyhow::{Context, Result};
use clap::{
    Args,
    builder::{PathBufValueParser, TypedValueParser},
};
use regionmesh::cost::{answers::Format, questions::Parameters};
use std::process::ExitCode;

/// Recommend changes that reduce cost, with baseline, risk and command
#[derive(Debug, Args)]
pub(super) struct OptimizerCommand {
    /// Write the recommendations to this file, JSON [default: show a table]
    // Has the id of the global option, which it replaces here.
    #[arg(
        long,
        short,
        value_name = "FILE",
        value_parser = PathBufValueParser::new().map(Output::File)
    )]
    output: Option<Output>,
    /// What savings are compared with: current, peak, autoscaled or standby
    #[arg(long, value_name = "NAME", default_value = "current")]
    baseline: String,
    /// Longest time from a user to an answer, milliseconds [default: as configured, 150]
    #[arg(long, value_name = "MS")]
    latency_ms: Option<f64>,
    /// How many regions may be lost with all load still served, 0 or 1 [default: as configured, 1]
    #[arg(long, value_name = "REGIONS")]
    survive: Option<u8>,
    #[command(flatten)]
    client: ClientOptions,
}

impl OptimizerCommand {
    /// Runs the command.
    pub(super) async fn run(self) -> Result<ExitCode> {
        let mut parameters = Parameters::from([("baseline".into(), self.baseline)]);
        parameters.extend(
            self.latency_ms
                .map(|ms| ("latency_ms".into(), ms.to_string())),
        );

        parameters.extend(
            self.survive
                .map(|regions| ("survive".into(), regions.to_string())),
        );

        let table = fetch(
            &self.client,
            "recommendations",
            parameters.clone(),
            Format::Table,
        )
        .await?;

        if let Some(Output::File(path)) = &self.output {
            let json = fetch(&self.client, "recommendations", parameters, Format::Json).await?;
            tokio::fs::write(path, json)
                .await
                .with_context(|| format!("cannot write {}", path.display()))?;
            eprintln!("the recommendations are in {}", path.display());
        }

        text::print(&table)?;
        Ok(ExitCode::SUCCESS)
    }
}
