//! `regionmesh cost`: what the platform spends, of the mesh's bills or of files alone.

mod import;
mod local;
pub(super) mod options;
mod prices;

use anyhow::Result;
use clap::{Args, Subcommand};
use options::AnswerOptions;
use regionmesh::cost::questions::{Parameters, listed_value};
use std::process::ExitCode;

/// Show what the platform spends, why, and what comes next
#[derive(Debug, Args)]
pub(super) struct CostCommand {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show spending over a range of days
    Report(Spent),
    /// Show how spending changed from month to month
    Trends(Trends),
    /// Show what each model costs, in all and for 1,000 inferences
    Models(Spent),
    /// Show the cost of egress, by cause
    Egress(Spent),
    /// Forecast this month and the coming days
    Forecast(ForecastOptions),
    /// Show unusual spending
    Anomalies(AnswerOptions),
    /// Show how much of each budget is used
    Budgets(AnswerOptions),
    /// Show the sources of bills, and the last day of each
    Sources(AnswerOptions),
    #[command(subcommand)]
    Prices(prices::PricesCommand),
    Import(import::Import),
}

#[derive(Debug, Args)]
struct Spent {
    /// First day, UTC [default: 30 days up to the last]
    #[arg(long, value_name = "DATE")]
    start_date: Option<String>,
    /// Last day, included [default: today; with --files the last day of the bills]
    #[arg(long, value_name = "DATE")]
    end_date: Option<String>,
    /// Group by: day, week, month, provider, account, region, zone, service, category,
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
    answer: AnswerOptions,
}

#[derive(Debug, Args)]
struct Trends {
    /// What to compare: month or week
    #[arg(long, value_name = "INTERVAL", default_value = "month")]
    interval: String,
    #[command(flatten)]
    spent: Spent,
}

#[derive(Debug, Args)]
struct ForecastOptions {
    /// Days to forecast
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
            Command::Anomalies(answer) => answer.ask("anomalies", Parameters::new()).await,
            Command::Budgets(answer) => answer.ask("budgets", Parameters::new()).await,
            Command::Sources(answer) => answer.ask("sources", Parameters::new()).await,
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

        self.answer.ask(kind, parameters).await
    }
}
