//! `failover simulate --kill`: kills every agent of a region of a mesh of `up`, as a power cut
//! would, and measures until its users are moved.
//!
//! Only processes of that mesh are killed: the pid file's, if that process runs with that agent's
//! configuration. `up` restarts dead agents, so the region's are killed until the plan excludes it.

use super::requests;
use crate::cli::{
    common::Common,
    error::CommandError,
    text::{Paint, percent, wrap},
};
use anyhow::{Context, Result};
use regionmesh::local_mesh::{checks, process};
use regionmesh_client::{ANSWER, Client, RegionStatus, Status, WhatIf};
use regionmesh_protocol::{identity::RegionName, status::condition::Condition};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

/// Time between two polls.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How long users may take to be moved: silence counts as failure within 10 s, and the leader may
/// have been in the region.
const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, Serialize)]
struct Outcome {
    region: RegionName,
    /// Processes killed.
    killed: BTreeSet<u32>,
    /// Share of the traffic before.
    share_before: f64,
    /// From the kill to the verdict, milliseconds.
    verdict_ms: u128,
    /// From the kill to the committed plan, milliseconds.
    plan_ms: u128,
    /// Share of the traffic then.
    share_after: f64,
    /// The plan's reason.
    reason: String,
    /// The plan that `--what-if` predicted before the kill.
    predicted: WhatIf,
}

pub(super) async fn run(client: &Client, region: &RegionName, common: &Common) -> Result<ExitCode> {
    let data_dir = common.client.data_dir();
    let agents = agents(data_dir, region);
    if agents.is_empty() {
        let why = format!(
            "no agent of {region} of the mesh in {} runs; only meshes of `up` are killed",
            data_dir.display()
        );
        return Err(CommandError::Usage(why).into());
    }

    let before: Status = client.get("/v1/status").await?;
    let share_before = find(&before, region)
        .context("the mesh does not have that region")?
        .share;
    let assume = BTreeMap::from([(region.clone(), Condition::Failed)]);
    let predicted = requests::what_if(client, assume).await?;
    let survivor = surviving(client, &before, region)?;

    let begin = Instant::now();
    let mut killed = BTreeSet::new();
    let mut verdict_ms = None;

    loop {
        for pid in self::agents(data_dir, region) {
            process::kill(pid);
            killed.insert(pid);
        }

        if let Ok(answer) = survivor.ask::<Status>("/v1/status", ANSWER).await {
            let status = answer.value;
            let elapsed_ms = begin.elapsed().as_millis();
            let seen = find(&status, region);
            if seen.is_some_and(|seen| seen.verdict == Condition::Failed) {
                verdict_ms.get_or_insert(elapsed_ms);
            }

            if let (Some(verdict_ms), Some(seen)) = (verdict_ms, seen.filter(|seen| is_out(seen))) {
                let outcome = Outcome {
                    region: region.clone(),
                    killed,
                    share_before,
                    verdict_ms,
                    plan_ms: elapsed_ms,
                    share_after: seen.share,
                    reason: status.plan.map(|plan| plan.reason).unwrap_or_default(),
                    predicted,
                };

                return common.print(&outcome, |paint| render(&outcome, paint));
            }
        }

        if begin.elapsed() > TIMEOUT {
            return Err(not_moved(region).into());
        }

        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

fn is_out(region: &RegionStatus) -> bool {
    matches!(region.traffic_state.as_str(), "out" | "limited")
}

fn not_moved(region: &RegionName) -> CommandError {
    CommandError::Deadline(format!(
        "{region} was killed and its users are not moved after {} s; see `failover explain`",
        TIMEOUT.as_secs()
    ))
}

fn render(outcome: &Outcome, _: Paint) -> String {
    let Outcome {
        region,
        killed,
        share_before,
        verdict_ms,
        plan_ms,
        share_after,
        reason,
        ..
    } = outcome;

    let pids: Vec<String> = killed.iter().map(u32::to_string).collect();
    let mut text = format!(
        "{region} killed (pid {}); it had {} of the traffic\n",
        pids.join(", "),
        percent(*share_before)
    );

    text += &format!(
        "{:6.2} s  the verdict is failed\n",
        *verdict_ms as f64 / 1e3
    );

    text += &wrap(
        &format!("{:6.2} s  ", *plan_ms as f64 / 1e3),
        &format!("the plan gives it {}: {reason}", percent(*share_after)),
    );

    let as_predicted = outcome
        .predicted
        .regions
        .iter()
        .any(|part| part.region == *region && (part.share - share_after).abs() < 0.001);

    text + if as_predicted {
        "as --what-if predicted\n"
    } else {
        "--what-if predicted another share\n"
    }
}

/// A client of an agent that will survive.
fn surviving(client: &Client, status: &Status, region: &RegionName) -> Result<Client> {
    let is_other = |agent: &str| agent.split('/').next() != Some(region.as_str());
    let other = status
        .agents
        .iter()
        .find(|agent| agent.alive && is_other(&agent.agent) && !agent.api_url.is_empty());
    let other = other.with_context(|| {
        format!("{region} is the only region: there is nowhere to move its users")
    })?;

    Ok(client.only(&other.api_url)?)
}

fn find<'a>(status: &'a Status, region: &RegionName) -> Option<&'a RegionStatus> {
    status.regions.iter().find(|known| known.region == *region)
}

/// The processes of the region's agents.
fn agents(data_dir: &Path, region: &RegionName) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir(data_dir.join("agents")) else {
        return Vec::new();
    };
    let of_region = |name: &str| {
        name.split_once('.')
            .is_some_and(|(of, _)| of == region.as_str())
    };
    let running = entries
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(of_region))
        .filter_map(|entry| {
            let pid: u32 = std::fs::read_to_string(entry.path().join("pid"))
                .ok()?
                .trim()
                .parse()
                .ok()?;

            // The directory may be given as a relative path; agents are started with the absolute
            // one.
            checks::is_ours(pid, &entry.path().canonicalize().ok()?).then_some(pid)
        });

    running.collect()
}
