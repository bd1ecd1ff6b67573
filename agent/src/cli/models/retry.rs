//! `regionmesh models retry`: every agent loads a version again.

use crate::cli::{
    common::Common,
    error::CommandError,
    text::{Paint, Table, Tone, plain},
};
use anyhow::Result;
use clap::Args;
use futures::future::join_all;
use regionmesh_client::{Done, Status};
use regionmesh_protocol::{
    identity::RegionName,
    models::manifest::{ModelName, VersionName},
};
use serde::Serialize;
use serde_json::json;
use std::process::ExitCode;

/// Reload a version that is quarantined or failed to load
#[derive(Debug, Args)]
pub(super) struct Retry {
    /// The model's name
    #[arg(value_name = "NAME")]
    model: ModelName,
    /// The version's name
    version: VersionName,
    /// Only in this region
    #[arg(long)]
    region: Option<RegionName>,
    #[command(flatten)]
    common: Common,
}

/// The answer of one agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Outcome {
    agent: String,
    is_done: bool,
    result: String,
}

impl Retry {
    pub(super) async fn run(self) -> Result<ExitCode> {
        let client = self.common.client.connect()?;
        client.require_token()?;

        let status: Status = client.get("/v1/status").await?;
        let is_meant = |agent: &str| {
            self.region
                .as_ref()
                .is_none_or(|region| agent.split('/').next() == Some(region.as_str()))
        };
        let agents: Vec<_> = status
            .agents
            .iter()
            .filter(|agent| agent.alive && is_meant(&agent.agent))
            .collect();

        if agents.is_empty() {
            let region = self
                .region
                .as_ref()
                .map_or_else(|| "the mesh".into(), ToString::to_string);
            return Err(CommandError::Usage(format!("{region} has no live agent")).into());
        }

        let path = format!("/v1/models/{}/versions/{}/retry", self.model, self.version);
        let asked = agents.iter().map(|agent| async {
            let asked = async {
                client
                    .only(&agent.api_url)?
                    .post::<Done>(&path, &json!({}))
                    .await
            };

            let (is_done, result) = match asked.await {
                Ok(done) => (true, done.done),
                Err(error) => (false, error.to_string()),
            };

            Outcome {
                agent: agent.agent.clone(),
                is_done,
                result,
            }
        });

        let outcomes = join_all(asked).await;
        self.common
            .print(&outcomes, |paint| render(&outcomes, paint))?;

        let is_done = outcomes.iter().all(|outcome| outcome.is_done);
        Ok(if is_done {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

fn render(outcomes: &[Outcome], paint: Paint) -> String {
    let mut table = Table::new("AGENT, RETRIED, RESULT").heading(paint);
    for outcome in outcomes {
        let done = if outcome.is_done {
            paint.tone(Tone::Good, "yes")
        } else {
            paint.tone(Tone::Bad, "NO")
        };

        table.row(vec![
            plain(&outcome.agent, 160),
            done,
            plain(&outcome.result, 300),
        ]);
    }

    table.render()
}
