//! `regionmesh version`: of this program, and of the agents.

use super::common::Common;
use anyhow::Result;
use regionmesh_client::Status;
use serde::Serialize;
use std::process::ExitCode;

/// Print the version of this program, and of the agents where they can be reached
#[derive(Debug, clap::Args)]
pub(super) struct VersionCommand {
    /// Of this program alone
    #[arg(long)]
    client: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Serialize)]
struct Versions {
    client: &'static str,
    agents: Vec<AgentVersion>,
    /// Why the agents are not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<String>,
}

#[derive(Debug, Serialize)]
struct AgentVersion {
    agent: String,
    version: String,
}

impl VersionCommand {
    /// Runs the command.
    pub(super) async fn run(self) -> Result<ExitCode> {
        let mut versions = Versions {
            client: regionmesh::VERSION,
            agents: Vec::new(),
            unknown: None,
        };

        if !self.client {
            match self.agents().await {
                Ok(agents) => versions.agents = agents,
                // Not a failure: this program's version is known.
                Err(error) => versions.unknown = Some(error.to_string()),
            }
        }

        self.common.print(&versions, |_| render(&versions))
    }

    async fn agents(&self) -> Result<Vec<AgentVersion>> {
        let status: Status = self.common.get("/v1/status").await?;
        let alive = status.agents.into_iter().filter(|agent| agent.alive);
        Ok(alive
            .map(|agent| AgentVersion {
                agent: agent.agent,
                version: agent.version,
            })
            .collect())
    }
}

fn render(versions: &Versions) -> String {
    let mut text = format!("client  {}\n", versions.client);
    for AgentVersion { agent, version } in &versions.agents {
        text += &format!("agent   {}  {agent}\n", super::text::plain(version, 60));
    }
    if let Some(why) = &versions.unknown {
        text += &super::text::wrap("agents  ", &format!("unknown: {why}"));
    }

    text
}
