//! `regionmesh cost prices`: what things cost, by day.

use super::options::AnswerOptions;
use crate::cli::{common::Common, error::CommandError, text::plain};
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use regionmesh::cost::questions::Parameters;
use regionmesh_cost::Currency;
use serde_json::Value;
use std::{path::PathBuf, process::ExitCode};

/// Show prices, or add those of a table
#[derive(Debug, Subcommand)]
pub(super) enum PricesCommand {
    Show(Show),
    Import(Import),
}

/// Show the prices of a day
#[derive(Debug, Args)]
pub(super) struct Show {
    /// The day, UTC [default: today]
    #[arg(long, value_name = "DATE")]
    day: Option<String>,
    #[command(flatten)]
    answer: AnswerOptions,
}

/// Add prices, TOML or CSV; each applies from its day on
#[derive(Debug, Args)]
pub(super) struct Import {
    /// File of prices, TOML or CSV
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// First day of prices without one
    #[arg(long, value_name = "DATE")]
    valid_from: Option<String>,
    /// Currency of prices without one
    #[arg(long, value_name = "CODE")]
    currency: Option<Currency>,
    /// Replace prices of the same thing and day
    #[arg(long)]
    replace: bool,
    /// Show what would change; changes nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    common: Common,
}

impl PricesCommand {
    pub(super) async fn run(self) -> Result<ExitCode> {
        match self {
            Self::Show(show) => {
                let day = show.day.map(|day| ("day".to_owned(), day));
                show.answer.ask("prices", Parameters::from_iter(day)).await
            }
            Self::Import(import) => import.run().await,
        }
    }
}

impl Import {
    async fn run(self) -> Result<ExitCode> {
        let text = tokio::fs::read(&self.file)
            .await
            .with_context(|| format!("cannot read {}", self.file.display()))?;
        let text = String::from_utf8(text).map_err(|_| {
            CommandError::Usage(format!("{}: it is not UTF-8 text", self.file.display()))
        })?;
        let body = serde_json::json!({
            "name": self.file.display().to_string(),
            "text": text,
            "valid_from": self.valid_from,
            "currency": self.currency,
            "replace": self.replace,
            "dry_run": self.dry_run,
        });

        let summary: Value = self.common.post("/v1/cost/prices", &body).await?;
        self.common.print(&summary, |_| render(&summary))
    }
}

fn render(summary: &Value) -> String {
    let number = |field: &str| summary[field].as_u64().unwrap_or(0);
    let mut text = format!(
        "{} prices are new, {} were there, {} are replaced{}\n",
        number("added"),
        number("unchanged"),
        number("replaced"),
        if summary["dry_run"] == true {
            " (nothing was changed)"
        } else {
            ""
        }
    );

    for refused in summary["refused"].as_array().into_iter().flatten() {
        let price = plain(refused.as_str().unwrap_or_default(), 300);
        text += &format!(
            "warning: another price of {price} holds from the same day; --replace replaces it\n"
        );
    }

    for rejected in summary["rejected"].as_array().into_iter().flatten() {
        let reason = plain(rejected.as_str().unwrap_or_default(), 300);
        text += &format!("warning: not taken: {reason}\n");
    }

    for field in summary["ignored"].as_array().into_iter().flatten() {
        let field = plain(field.as_str().unwrap_or_default(), 100);
        text += &format!("warning: the field {field} means nothing here and was ignored\n");
    }

    text
}

#[cfg(test)]
mod tests;
