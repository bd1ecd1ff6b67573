//! `regionmesh cost`: what the platform spends, of the mesh's bills or of files alone.

mod import;
mod local;
mod prices;

use super::{
    common::Common,
    output::{Format as OutputFormat, OutputOptions},
    text,
};
use crate::{
    cli::connect::ClientOptions,
    cost::{
        answers::Format,
        questions::{Parameters, listed_value},
    },
};
use anyhow::Result;
use clap::{Args, Subcommand};
use std::{path::PathBuf, process::ExitCode};

/// Show what the platform spends, why, and what comes next
#[derive(Debug, Args)]
pub(super) struct CostCommand {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what was spent within some days
    Report(Spent),
    /// Show how spending changed from month to month
    Trends(Trends),
    /// Show what each model costs, in all and for 1,000 inferences
    Models(Spent),
    /// Show what bytes cost that left a region, by cause
    Egress(Spent),
    /// Show what this month and the days to come are heading for
    Forecast(ForecastOptions),
    /// Show spending that is not as usual
    Anomalies(Plain),
    /// Show how far budgets are used up
    Budgets(Plain),
    /// Show whose bills are there, and up to which day
    Sources(Plain),
    #[command(subcommand)]
    Prices(prices::PricesCommand),
    Import(import::Import),
}

/// Where answers come from, and how they are shown.
#[derive(Debug, Args)]
struct Plain {
    /// Answer from these files and folders alone, without a mesh: FOCUS exports as CSV, CSV.gz or
    /// Parquet
    #[arg(long, value_name = "PATH", num_args = 1..)]
    files: Vec<PathBuf>,
    /// With --files: the currency of bills that name none
    #[arg(long, value_name = "CODE", requires = "files")]
    currency: Option<regionmesh_cost::Currency>,
    /// How to show it [default: as --output says]
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    #[command(flatten)]
    client: ClientOptions,
    #[command(flatten)]
    output: OutputOptions,
}

#[derive(Debug, Args)]
struct Spent {
    /// First day, UTC [default: 30 days up to the last]
    #[arg(long, value_name = "DATE")]
    start_date: Option<String>,
    /// Last day, included [default: today; with --files the last day of the bills]
    #[arg(long, value_name = "DATE")]
    end_date: Option<String>,
    /// Keep apart by: day, week, month, provider, account, region, zone, service, category,
    /// pricing, charge, model, tag:KEY
    #[arg(long, value_name = "GROUP", value_delimiter = ',')]
    by: Vec<String>,
    /// Only charges of this group and value; may be repeated
    #[arg(long, value_name = "GROUP=VALUE")]
    filter: Vec<String>,
    /// Which cost: effective (spent), billed (invoiced) or list (without discounts)
    #[arg(long, value_name = "METRIC", default_value = "effective")]
    metric: String,
    #[command(flatten)]
    plain: Plain,
}

#[derive(Debug, Args)]
struct Trends {
    /// What is put side by side: month or week
    #[arg(long, value_name = "INTERVAL", default_value = "month")]
    interval: String,
    #[command(flatten)]
    spent: Spent,
}

#[derive(Debug, Args)]
struct ForecastOptions {
    /// How many days to look ahead
    #[arg(long, value_name = "DAYS", default_value = "30")]
    days: String,
    #[command(flatten)]
    spent: Spent,
}

impl CostCommand {
    /// Runs the command.
    pub(super) async fn run(self) -> Result<ExitCode> {
        match self.command {
            Command::Report(spent) => spent.ask("report", []).await,
            Command::Trends(trends) => {
                trends
                    .spent
                    .ask("trends", [("interval", trends.interval)])
                    .await
            }
            Command::Models(spent) => spent.ask("models", []).await,
            Command::Egress(spent) => spent.ask("egress", []).await,
            Command::Forecast(forecast) => {
                forecast
                    .spent
                    .ask("forecast", [("days", forecast.days)])
                    .await
            }
            Command::Anomalies(plain) => plain.ask("anomalies", Parameters::new()).await,
            Command::Budgets(plain) => plain.ask("budgets", Parameters::new()).await,
            Command::Sources(plain) => plain.ask("sources", Parameters::new()).await,
            Command::Prices(prices) => prices.run().await,
            Command::Import(import) => import.run().await,
        }
    }
}

impl Spent {
    async fn ask<const N: usize>(self, kind: &str, more: [(&str, String); N]) -> Result<ExitCode> {
        let mut parameters = Parameters::new();
        let given = [
            ("start", self.start_date.unwrap_or_default()),
            ("end", self.end_date.unwrap_or_default()),
            ("by", self.by.join(",")),
            (
                "filter",
                self.filter
                    .iter()
                    .map(|filter| listed_value(filter))
                    .collect::<Vec<_>>()
                    .join(","),
            ),
            ("metric", self.metric),
        ];

        for (name, value) in given
            .into_iter()
            .chain(more)
            .filter(|(_, value)| !value.is_empty())
        {
            parameters.insert(name.to_owned(), value);
        }

        self.plain.ask(kind, parameters).await
    }
}

impl Plain {
    /// How the answer is shown: as asked for, else as the global option says.
    fn format(&self) -> Format {
        self.format.unwrap_or(match self.output.format() {
            OutputFormat::Json | OutputFormat::Yaml | OutputFormat::Name => Format::Json,
            OutputFormat::Table => Format::Table,
        })
    }

    async fn ask(self, kind: &str, parameters: Parameters) -> Result<ExitCode> {
        let format = self.format();
        let (shown, is_whole) = if self.files.is_empty() {
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

        text::print(&shown)?;
        Ok(if is_whole {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

/// Asks the mesh.
pub(super) async fn fetch(
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
