//! `regionmesh dns`: shows or applies the changes of a DNS provider's zone.
//!
//! The zone comes from the configuration, the plan from the mesh. Before any agent runs, both come
//! from the configuration.

mod render;

use super::{common::Common, confirm::confirm};
use crate::cli::error::CommandError;
use anyhow::Result;
use regionmesh::config::Config;
use regionmesh_client::{PlanDetail, PlannedRegion};
use regionmesh_dns::{DnsProvider, Preview, Propagation, ProviderError, Published};
use regionmesh_protocol::{
    identity::IdentityError,
    plan::{CommittedPlan, Plan, RegionPlan, TrafficState},
    register::ballot::{Ballot, Stamp},
};
use regionmesh_runtime::time::unix_ms;
use serde::Serialize;
use std::{path::PathBuf, process::ExitCode, sync::Arc};

/// Preview and apply the committed plan to a Route 53 zone
#[derive(Debug, clap::Args)]
pub(super) struct DnsCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show what `apply` would change; changes nothing
    Plan {
        #[command(flatten)]
        source: Source,
        /// Exit with 1 if anything would change
        #[arg(long)]
        check: bool,
    },
    /// Apply the committed plan to the zone and wait until its name servers serve it
    Apply {
        #[command(flatten)]
        source: Source,
        /// Do not wait for the name servers; unused health checks are deleted the next time
        #[arg(long)]
        no_wait: bool,
        /// Apply without confirmation
        #[arg(long, short)]
        yes: bool,
    },
}

/// Where plan and zone come from.
#[derive(Debug, clap::Args)]
struct Source {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    file: ConfigFile,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct ConfigFile {
    /// An agent's configuration: its [dns.route53] says which zone; the plan is the mesh's
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// An agent's configuration to take everything from, before any agent runs: each region gets
    /// its configured share
    #[arg(long, value_name = "FILE")]
    from_config: Option<PathBuf>,
}

/// The changes at one provider.
#[derive(Debug, Serialize)]
struct Done {
    #[serde(flatten)]
    published: Published,
    settled: Option<Propagation>,
}

impl DnsCommand {
    /// Runs the command.
    pub(super) async fn run(self) -> Result<ExitCode> {
        match self.action {
            Action::Plan { source, check } => preview(&source, check).await,
            Action::Apply {
                source,
                no_wait,
                yes,
            } => apply(&source, no_wait, yes).await,
        }
    }
}

async fn preview(source: &Source, check: bool) -> Result<ExitCode> {
    let (plan, providers) = source.read().await?;
    let mut previews: Vec<Preview> = Vec::new();
    for provider in &providers {
        previews.push(provider.preview(&plan).await?);
    }
    source.common.print(&previews, |paint| {
        previews
            .iter()
            .map(|preview| render::preview(preview, paint))
            .collect()
    })?;

    let differs = previews.iter().any(|preview| !preview.is_done());
    Ok(ExitCode::from(u8::from(check && differs)))
}

async fn apply(source: &Source, no_wait: bool, yes: bool) -> Result<ExitCode> {
    let (plan, providers) = source.read().await?;
    let zones: Vec<&str> = providers.iter().map(|provider| provider.name()).collect();
    confirm(
        &format!(
            "Write plan {} to the zone at {}?",
            plan.stamp,
            zones.join(", ")
        ),
        yes,
    )?;

    let mut done = Vec::new();
    let mut propagation_error = None::<ProviderError>;
    for provider in &providers {
        let report = |what: &str| eprintln!("{}: {what}", provider.name());
        let published = provider.publish(&plan, &report).await?;
        let settled = if no_wait {
            None
        } else {
            Some(provider.await_propagation(&published, &report).await)
        };

        // What was written is shown even if the name servers do not answer with it.
        let settled = settled.and_then(|settled| {
            settled
                .map_err(|error| propagation_error = Some(error))
                .ok()
        });
        done.push(Done { published, settled });
    }

    let render = |paint| {
        done.iter()
            .map(|done| render::done(&done.published, done.settled.as_ref(), paint))
            .collect()
    };

    source.common.print(&done, render)?;
    propagation_error.map_or(Ok(ExitCode::SUCCESS), |error| Err(error.into()))
}

impl Source {
    /// The plan, and the providers of the zones to change.
    async fn read(&self) -> Result<(CommittedPlan, Vec<Arc<dyn DnsProvider>>)> {
        let (path, is_first) = match (&self.file.config, &self.file.from_config) {
            (Some(path), _) => (path, false),
            (None, Some(path)) => (path, true),
            (None, None) => {
                return Err(
                    CommandError::Usage("give --config FILE or --from-config FILE".into()).into(),
                );
            }
        };

        let config = Config::load(path)?.for_dns();
        let providers =
            regionmesh_dns::configured(&config, &regionmesh_runtime::metrics::Registry::new())
                .await?;
        if providers.is_empty() {
            let missing = format!(
                "{} has no [dns.route53], so there is no zone to compare",
                path.display()
            );
            return Err(CommandError::Usage(missing).into());
        }

        let plan = if is_first {
            regionmesh_dns::first_plan(&config, unix_ms())
        } else {
            committed(&self.common.get::<PlanDetail>("/v1/plan").await?)?
        };

        Ok((plan, providers))
    }
}

/// The committed plan by an agent's answer. The boot number of its ballot is not part of the answer
/// and not needed: plan numbers grow across leaders.
fn committed(detail: &PlanDetail) -> Result<CommittedPlan, IdentityError> {
    let brief = &detail.brief;
    let ballot = Ballot {
        number: brief.ballot.number,
        agent: brief.ballot.agent.parse()?,
        boot: 0,
    };
    let region = |region: &PlannedRegion| {
        let planned = RegionPlan {
            weight_bp: region.weight_bp,
            traffic_state: traffic_state(region),
            addresses: region.addresses.clone(),
            flaps: region.flaps,
            failed_ms: region.failed_ms.unwrap_or(0),
            ..RegionPlan::default()
        };

        (region.region.clone(), planned)
    };

    let plan = Plan {
        regions: detail.regions.iter().map(region).collect(),
        reason: brief.reason.clone(),
        made_ms: brief.made_ms,
        ..Plan::default()
    };

    Ok(CommittedPlan {
        stamp: Stamp {
            ballot,
            seq: brief.seq,
        },
        plan,
        certificate: Default::default(),
    })
}

/// An unknown traffic state, of a later version, counts as the worst: it only decides which region
/// stands in first.
fn traffic_state(region: &PlannedRegion) -> TrafficState {
    let since_ms = region.since_ms.unwrap_or(0);
    match region.traffic_state.as_str() {
        "serving" => TrafficState::Serving,
        "reduced" => TrafficState::Reduced,
        "limited" => TrafficState::Limited {
            since_ms,
            healthy_ms: None,
        },
        "cooling-down" => TrafficState::CoolingDown { since_ms },
        "ramping" => TrafficState::Ramping { step: 0, since_ms },
        _ => TrafficState::Out { since_ms },
    }
}
