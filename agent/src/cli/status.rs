//! `regionmesh status`: the whole mesh, from any agent.

mod render;
mod watch;

use super::{
    client::{Client, ClientOptions},
    text,
};
use crate::api::types::Status;
use anyhow::Result;
use std::process::ExitCode;

pub use render::render;
pub(in crate::cli) use render::{frozen, suspended};

/// Where the state of the mesh is.
const PATH: &str = "/v1/status";

/// Show regions, verdicts, shares of traffic, agents, models and the leader
#[derive(Debug, clap::Args)]
pub struct StatusCommand {
    #[command(flatten)]
    client: ClientOptions,
    /// The answer as JSON, as GET /v1/status gives it; with --watch one object a line
    #[arg(long)]
    json: bool,
    /// Show it again every second, until Ctrl-C; goes on while agents, or all of them, are gone
    #[arg(long)]
    watch: bool,
}

impl StatusCommand {
    /// Runs the command.
    pub async fn run(self) -> Result<ExitCode> {
        let client = Client::new(&self.client)?;
        if self.watch {
            return watch::run(&client, self.json).await;
        }
        let status: Status = client.get(PATH).await?;
        let shown = if self.json {
            serde_json::to_string_pretty(&status)? + "\n"
        } else {
            render(&status, text::Paint { is_on: text::takes_colour() })
        };
        text::print(&shown)?;
        Ok(ExitCode::SUCCESS)
    }
}
