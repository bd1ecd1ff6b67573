//! `regionmesh models verify`: every byte of a version, read again in each region at the same time.

use crate::cli::{
    common::Common,
    error::{CommandError, UNAVAILABLE},
    text::{Paint, Table, Tone, bytes, plain},
};
use anyhow::Result;
use clap::Args;
use futures::future::join_all;
use regionmesh_client::{Client, Status, VersionBrief};
use regionmesh_protocol::{
    identity::RegionName,
    models::manifest::{ModelName, VersionName},
};
use serde::Serialize;
use serde_json::json;
use std::process::ExitCode;

/// Read every byte of a version again and compare it with its manifest, in each region
#[derive(Debug, Args)]
pub(super) struct Verify {
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

/// The outcome in one region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Outcome {
    region: RegionName,
    /// Whether every byte is correct and the content is that of the other regions.
    verified: bool,
    /// In words.
    result: String,
    /// Digest of the content, where it was verified.
    content: Option<String>,
    /// Whether no agent of the region could be asked.
    #[serde(skip)]
    is_unknown: bool,
}

impl Verify {
    pub(super) async fn run(self) -> Result<ExitCode> {
        let client = self.common.client.connect()?;
        client.require_token()?;

        let status: Status = client.get("/v1/status").await?;
        let wanted =
            |region: &RegionName| self.region.as_ref().is_none_or(|wanted| wanted == region);
        let regions: Vec<_> = status
            .regions
            .iter()
            .map(|region| &region.region)
            .filter(|name| wanted(name))
            .collect();

        if let (true, Some(region)) = (regions.is_empty(), &self.region) {
            let known: Vec<_> = status
                .regions
                .iter()
                .map(|region| region.region.as_str())
                .collect();
            let known = known.join(", ");

            return Err(CommandError::Usage(format!(
                "--region: the mesh has no region {region}; it has {known}"
            ))
            .into());
        }

        let mut outcomes = join_all(
            regions
                .into_iter()
                .map(|region| self.ask(&client, &status, region)),
        )
        .await;

        compare(&mut outcomes);
        self.common
            .print(&outcomes, |paint| render(&outcomes, paint))?;
        Ok(code(&outcomes))
    }

    /// Asks the region's live agents in turn: any of them reads the region's store.
    async fn ask(&self, client: &Client, status: &Status, region: &RegionName) -> Outcome {
        let of_region = |agent: &str| agent.split('/').next() == Some(region.as_str());
        let agents = status
            .agents
            .iter()
            .filter(|agent| agent.alive && of_region(&agent.agent));
        let mut unknown = String::from("no live agent there can be asked");

        for agent in agents {
            let path = format!("/v1/models/{}/versions/{}/verify", self.model, self.version);
            let asked = async {
                client
                    .only(&agent.api_url)?
                    .post::<VersionBrief>(&path, &json!({}))
                    .await
            };

            match asked.await {
                Ok(brief) => {
                    let result = format!("verified ({})", bytes(brief.size));
                    let content = Some(brief.content);
                    return Outcome {
                        region: region.clone(),
                        verified: true,
                        result,
                        content,
                        is_unknown: false,
                    };
                }
                Err(error) if error.is_unavailable() => unknown = error.to_string(),
                Err(error) => {
                    let result = error.to_string();
                    return Outcome {
                        region: region.clone(),
                        verified: false,
                        result,
                        content: None,
                        is_unknown: false,
                    };
                }
            }
        }

        Outcome {
            region: region.clone(),
            verified: false,
            result: unknown,
            content: None,
            is_unknown: true,
        }
    }
}

/// Marks intact versions that differ between regions, as they may until a conflict is resolved.
fn compare(outcomes: &mut [Outcome]) {
    let Some(first) = outcomes
        .iter()
        .find_map(|outcome| Some((outcome.region.clone(), outcome.content.clone()?)))
    else {
        return;
    };

    for outcome in outcomes {
        if outcome
            .content
            .as_ref()
            .is_some_and(|content| *content != first.1)
        {
            outcome.verified = false;
            outcome.result = format!("content differs from {}", first.0);
        }
    }
}

fn code(outcomes: &[Outcome]) -> ExitCode {
    let failed = |outcome: &&Outcome| !outcome.verified;
    if outcomes
        .iter()
        .filter(failed)
        .any(|outcome| !outcome.is_unknown)
    {
        ExitCode::FAILURE
    } else if outcomes.iter().any(|outcome| outcome.is_unknown) {
        ExitCode::from(UNAVAILABLE)
    } else {
        ExitCode::SUCCESS
    }
}

fn render(outcomes: &[Outcome], paint: Paint) -> String {
    let mut table = Table::new("REGION, VERIFIED, CONTENT, RESULT").heading(paint);
    for outcome in outcomes {
        table.row(vec![
            outcome.region.to_string(),
            match (outcome.verified, outcome.is_unknown) {
                (true, _) => paint.tone(Tone::Good, "yes"),
                (false, true) => paint.tone(Tone::Uneasy, "unknown"),
                (false, false) => paint.tone(Tone::Bad, "NO"),
            },
            outcome.content.as_ref().map_or_else(
                || "-".into(),
                |content| plain(content, 64).chars().take(12).collect(),
            ),
            plain(&outcome.result.replace("\n ", ""), 300),
        ]);
    }

    table.render()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
