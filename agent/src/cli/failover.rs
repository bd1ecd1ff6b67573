//! `regionmesh failover`: inspects, overrides and simulates failover.

mod kill;
mod members;
mod render;
mod requests;

use super::{
    common::{Common, operator},
    confirm::confirm,
    duration,
};
use anyhow::Result;
use clap::{ArgGroup, Args, Subcommand};
use regionmesh_client::{
    ClientError, FailoverHistory, FailoverStatus, LAST_SERVING, RegionExplanation,
};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{FOR_MAX_MS, FOR_MIN_MS},
    status::condition::Condition,
};
use requests::Signature;
use serde_json::{Value, json};
use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};

/// Inspect, override and simulate failover
#[derive(Debug, Args)]
pub(super) struct FailoverCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Drain(Drain),
    Restore(Restore),
    Promote(Promote),
    Hold(Hold),
    Status(ShowStatus),
    History(History),
    Explain(Explain),
    Simulate(Simulate),
    Members(members::MembersCommand),
}

/// What orders with a term have in common.
#[derive(Debug, Args)]
struct Term {
    /// Replace another operator's order if there is one; the answer names it
    #[arg(long)]
    force: bool,
    /// For how long: 90s, 1h30m, 2h, 3d; at most 30d
    #[arg(long = "for", value_name = "DURATION", default_value = "1h", value_parser = duration_ms)]
    for_ms: u64,
    #[command(flatten)]
    signature: Signature,
    #[command(flatten)]
    common: Common,
}

/// Drain a region: move its traffic away for a limited time
#[derive(Debug, Args)]
struct Drain {
    /// The region to drain
    region: RegionName,
    /// Drain the last region that can serve without confirmation: it keeps its traffic for now
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    term: Term,
}

/// Cancel an override; a drained region returns gradually
#[derive(Debug, Args)]
struct Restore {
    /// The region; without it, the hold of the whole mesh is cancelled
    region: Option<RegionName>,
    #[command(flatten)]
    signature: Signature,
    #[command(flatten)]
    common: Common,
}

/// Send all traffic to one region for a limited time; a failed or draining region is refused
#[derive(Debug, Args)]
struct Promote {
    /// The region to promote
    region: RegionName,
    /// Move all traffic now, without cool-down and ramp, even if the region is out
    #[arg(long)]
    immediate: bool,
    #[command(flatten)]
    term: Term,
}

/// Pause automatic failover for a region or the whole mesh
#[derive(Debug, Args)]
struct Hold {
    /// The region; without it, the whole mesh
    region: Option<RegionName>,
    #[command(flatten)]
    term: Term,
}

/// Show the plan, active orders, and what the guards hold back
#[derive(Debug, Args)]
struct ShowStatus {
    #[command(flatten)]
    common: Common,
}

/// Show the plans that an agent saw committed, and why each was made
#[derive(Debug, Args)]
struct History {
    /// Number of plans to show, the newest
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    limit: usize,
    #[command(flatten)]
    common: Common,
}

/// Explain the traffic of a region: observations, votes, orders and guards
#[derive(Debug, Args)]
struct Explain {
    /// The region to explain
    region: RegionName,
    #[command(flatten)]
    common: Common,
}

/// Simulate a failure: predict the plan, or kill a region of a mesh of `up`
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["what_if", "kill"]))]
struct Simulate {
    /// Show the plan that would be made if the verdict on REGION were failed, draining, suspect or
    /// healthy; changes nothing; may be given several times
    #[arg(long, value_name = "REGION=VERDICT", value_parser = assumption)]
    what_if: Vec<(RegionName, Condition)>,
    /// Kill (SIGKILL) every agent of REGION of the mesh in --data-dir, and measure until its users
    /// are moved
    #[arg(long, value_name = "REGION")]
    kill: Option<RegionName>,
    /// Kill without confirmation
    #[arg(long, short, requires = "kill")]
    yes: bool,
    #[command(flatten)]
    common: Common,
}

impl FailoverCommand {
    /// Runs the command.
    pub(super) async fn run(self) -> Result<ExitCode> {
        match self.action {
            Action::Drain(Drain { region, yes, term }) => {
                let (body, common) = term.sign(Some(region), json!({}));
                drain(body, yes, &common).await
            }
            Action::Promote(Promote {
                region,
                immediate,
                term,
            }) => {
                let (body, common) = term.sign(Some(region), json!({ "immediate": immediate }));
                order("promote", &body, &common).await
            }
            Action::Hold(Hold { region, term }) => {
                let (body, common) = term.sign(region, json!({}));
                order("hold", &body, &common).await
            }
            Action::Restore(Restore {
                region,
                signature,
                common,
            }) => order("restore", &signed(region, signature, json!({})), &common).await,
            Action::Status(action) => action.run().await,
            Action::History(action) => action.run().await,
            Action::Explain(action) => action.run().await,
            Action::Simulate(simulate) => simulate.run().await,
            Action::Members(command) => command.run().await,
        }
    }
}

impl ShowStatus {
    async fn run(self) -> Result<ExitCode> {
        let status: FailoverStatus = self.common.get("/v1/failover/status").await?;
        self.common
            .print(&status, |paint| render::status(&status, paint))
    }
}

impl History {
    async fn run(self) -> Result<ExitCode> {
        let mut history: FailoverHistory = self.common.get("/v1/failover/history").await?;
        let surplus = history.plans.len().saturating_sub(self.limit);

        history.plans.drain(..surplus);
        self.common
            .print(&history, |paint| render::history(&history, surplus, paint))
    }
}

impl Explain {
    async fn run(self) -> Result<ExitCode> {
        let path = format!("/v1/failover/explain/{}", self.region);
        let explanation: RegionExplanation = self.common.get(&path).await?;
        self.common.print(&explanation, |paint| {
            render::explanation(&explanation, paint)
        })
    }
}

impl Term {
    fn sign(self, region: Option<RegionName>, mut how: Value) -> (Value, Common) {
        how["for_ms"] = self.for_ms.into();
        how["force"] = self.force.into();
        (signed(region, self.signature, how), self.common)
    }
}

/// The body of an order: operator, reason, region, and `how`.
fn signed(region: Option<RegionName>, signature: Signature, mut how: Value) -> Value {
    how["region"] = json!(region);
    how["by"] = operator(signature.by).unwrap_or_default().into();
    how["why"] = signature.why.unwrap_or_default().into();
    how
}

async fn order(what: &str, body: &Value, common: &Common) -> Result<ExitCode> {
    let done = requests::post(&common.client.connect()?, what, body).await?;
    common.print(&done, |paint| render::done(&done, paint))
}

/// Drains a region; asks before it drains the last that can serve.
async fn drain(mut body: Value, is_confirmed: bool, common: &Common) -> Result<ExitCode> {
    let refusal = match order("drain", &body, common).await {
        Err(error) if is_refused_as(&error, LAST_SERVING) => error,
        answered => return answered,
    };

    // Without a terminal, return the refusal; it says what to do.
    let may_ask = io::stdin().is_terminal() && io::stderr().is_terminal();
    if !may_ask && !is_confirmed {
        return Err(refusal);
    }
    confirm(&format!("{refusal}. Drain it anyway?"), is_confirmed)?;

    body["force"] = true.into();
    order("drain", &body, common).await
}

fn is_refused_as(error: &anyhow::Error, wanted: &str) -> bool {
    matches!(error.downcast_ref(), Some(ClientError::Refused { code, .. }) if code == wanted)
}

impl Simulate {
    async fn run(self) -> Result<ExitCode> {
        let Self {
            what_if,
            kill,
            yes,
            common,
        } = self;
        let client = common.client.connect()?;

        if let Some(region) = kill {
            let place = common.client.data_dir().display();
            confirm(
                &format!("Kill every agent of {region} in the mesh of {place}?"),
                yes,
            )?;

            return kill::run(&client, &region, &common).await;
        }

        let answer = requests::what_if(&client, what_if.into_iter().collect()).await?;
        common.print(&answer, |paint| render::what_if(&answer, paint))
    }
}

/// How long an order may last, in milliseconds.
fn duration_ms(text: &str) -> Result<u64, String> {
    let ms = u64::try_from(duration::parse(text)?.as_millis()).unwrap_or(u64::MAX);
    if (FOR_MIN_MS..=FOR_MAX_MS).contains(&ms) {
        Ok(ms)
    } else {
        Err(format!("{text} is not within 1s to 30d"))
    }
}

fn assumption(text: &str) -> Result<(RegionName, Condition), String> {
    let (region, condition) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} is not REGION=VERDICT"))?;
    let region = region.parse().map_err(|error| format!("{error}"))?;
    let condition = condition.parse().map_err(|_| {
        format!("{condition:?} is not a verdict; use failed, draining, suspect, healthy or unknown")
    })?;

    Ok((region, condition))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
