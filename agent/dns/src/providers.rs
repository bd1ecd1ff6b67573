//! DNS providers: zones that others serve and the mesh keeps, beside its own name servers.
//!
//! A provider is one folder or file here and one line in [`configured`]. It writes from committed
//! plans alone, refuses a plan that is not newer than the one that the zone was written from, and
//! never changes a record that is not the mesh's.

pub(crate) mod metrics;
pub(crate) mod route53;

use crate::config::{Config, Region};
use async_trait::async_trait;
use metrics::ProviderMetrics;
use prometheus::Registry;
use regionmesh_core::planning::Strategy;
use regionmesh_protocol::{
    plan::{CommittedPlan, Plan, RegionPlan},
    register::ballot::{Ballot, Stamp},
};
use route53::Route53;
use serde::Serialize;
use std::{sync::Arc, time::Duration};

/// Told what goes on, for people who wait.
pub type Tell<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// A zone that is kept as the plan says. Dropping any of the futures is safe: what they did stands
/// or does not, and the next call finds out.
#[async_trait]
pub trait DnsProvider: Send + Sync {
    /// Its name in metrics and logs.
    fn name(&self) -> &'static str;

    /// What [`publish`](Self::publish) would do now. Changes nothing.
    async fn preview(&self, plan: &CommittedPlan) -> Result<Outlook, ProviderError>;

    /// Makes the zone as the plan says.
    async fn publish(
        &self,
        plan: &CommittedPlan,
        tell: Tell<'_>,
    ) -> Result<Published, ProviderError>;

    /// Waits until the zone's name servers answer what was published, and tidies up.
    async fn settle(&self, published: &Published, tell: Tell<'_>)
    -> Result<Settled, ProviderError>;
}

/// A record set that is not as the plan wants it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Name, type and what tells it from others of that name and type.
    pub record: String,
    /// As it should be; none: it should not be.
    pub wanted: Option<String>,
    /// As it is; none: it is not there.
    pub found: Option<String>,
}

/// What would be done to a zone.
#[derive(Debug, Clone, Serialize)]
pub struct Outlook {
    /// The provider.
    pub provider: &'static str,
    /// The zone's name.
    pub zone: String,
    /// The plan that would be written.
    pub plan: String,
    /// The plan that the zone was written from; none: it never was.
    pub written_from: Option<String>,
    /// Whether both are the same, so that differences were made by somebody else or by another
    /// configuration.
    pub is_drift: bool,
    /// Record sets that are not as the plan wants them.
    pub differences: Vec<Difference>,
    /// Health checks that would be made.
    pub new_checks: Vec<String>,
    /// Health checks that would go.
    pub obsolete_checks: Vec<String>,
    /// How many change batches that takes.
    pub batches: usize,
    /// What somebody should look at.
    pub notes: Vec<String>,
}

impl Outlook {
    /// Whether all is as it should be.
    pub fn is_done(&self) -> bool {
        self.batches == 0 && self.new_checks.is_empty() && self.obsolete_checks.is_empty()
    }
}

/// What was done to a zone.
#[derive(Debug, Clone, Serialize)]
pub struct Published {
    /// The provider.
    pub provider: &'static str,
    /// The zone's name.
    pub zone: String,
    /// The plan.
    pub plan: String,
    /// Record sets that were not as the plan wanted them.
    pub differences: Vec<Difference>,
    /// Whether they had been before, under the same plan.
    pub is_drift: bool,
    /// Health checks that were made.
    pub new_checks: Vec<String>,
    /// Change batches that were written.
    pub batches: usize,
    /// What somebody should look at.
    pub notes: Vec<String>,
    /// When the plan was made, Unix milliseconds.
    #[serde(skip)]
    pub made_ms: u64,
    /// What to wait for.
    #[serde(skip)]
    pub receipt: Receipt,
}

/// What [`DnsProvider::settle`] waits for and tidies up.
#[derive(Debug, Clone, Default)]
pub struct Receipt {
    /// Changes that the provider spreads to its name servers.
    pub changes: Vec<String>,
    /// What the name servers shall answer.
    pub(crate) expected: Vec<Expected>,
    /// Health checks that are of no use any more.
    pub(crate) obsolete_checks: Vec<String>,
    /// Tells this writing of the zone from all others.
    pub(crate) mark: String,
}

/// What a name server shall answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expected {
    /// Name, with a dot at the end.
    pub(crate) name: String,
    /// `A`, `AAAA` or `TXT`.
    pub(crate) record_type: String,
    /// Every value that may be in the answer.
    pub(crate) values: Vec<String>,
    /// Whether the answer has all of them, not some.
    pub(crate) is_exact: bool,
}

/// How a change arrived.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Settled {
    /// Time until the provider said that all its name servers have it, milliseconds; none where it
    /// was not asked.
    pub in_sync_ms: Option<u64>,
    /// Name servers that were seen to answer it.
    pub verified: Vec<String>,
    /// Health checks that were of no use any more and are gone.
    pub deleted_checks: Vec<String>,
    /// What somebody should look at.
    pub notes: Vec<String>,
}

/// Why a zone is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// A later plan was written: ours is of the past.
    #[error("{plan} was not written: {why}")]
    Fenced {
        /// The plan.
        plan: String,
        /// What stands in the zone.
        why: String,
    },
    /// Nothing may be written: something is in the way, or there is nothing to write.
    #[error("{plan} was not written: {why}")]
    Blocked {
        /// The plan.
        plan: String,
        /// What to do about it.
        why: String,
    },
    /// The provider said no, and would again.
    #[error("{provider} refused {operation}: {code}: {message}")]
    Refused {
        /// The provider.
        provider: &'static str,
        /// The API's operation.
        operation: &'static str,
        /// Its error code.
        code: String,
        /// Its words.
        message: String,
    },
    /// The provider asks to wait, for longer than we do.
    #[error("{provider} put {operation} off for {} s ({code}); try again later", .waited.as_secs())]
    Busy {
        /// The provider.
        provider: &'static str,
        /// The API's operation.
        operation: &'static str,
        /// Its error code.
        code: String,
        /// How long.
        waited: Duration,
    },
    /// No answer: it may have been done.
    #[error("{provider} did not answer {operation}: {why}")]
    Unanswered {
        /// The provider.
        provider: &'static str,
        /// The API's operation.
        operation: &'static str,
        /// What happened instead.
        why: String,
    },
    /// Other writers were faster each time.
    #[error("the zone changed under our hands {attempts} times ({last}); try again")]
    Raced {
        /// How often it was tried.
        attempts: u32,
        /// What was said last.
        last: String,
    },
    /// Written, but not everywhere in time.
    #[error("the change was made, but after {} s {what}; it goes on by itself", .waited.as_secs())]
    NotYetVisible {
        /// What was still missing.
        what: String,
        /// How long was waited.
        waited: Duration,
    },
    /// The configuration does not fit what was found.
    #[error("{0}")]
    Misconfigured(String),
}

impl ProviderError {
    /// Whether the same may succeed a little later.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Busy { .. }
                | Self::Unanswered { .. }
                | Self::Raced { .. }
                | Self::NotYetVisible { .. }
        )
    }

    /// In one word, for metrics.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Fenced { .. } => "fenced",
            Self::Blocked { .. } | Self::Refused { .. } | Self::Misconfigured(_) => "refused",
            Self::Busy { .. } => "busy",
            Self::Unanswered { .. } => "unanswered",
            Self::Raced { .. } => "raced",
            Self::NotYetVisible { .. } => "not_visible",
        }
    }
}

/// Every provider that the configuration names.
pub async fn configured(
    config: &Config,
    registry: &Registry,
) -> prometheus::Result<Vec<Arc<dyn DnsProvider>>> {
    let mut providers: Vec<Arc<dyn DnsProvider>> = Vec::new();
    if let Some(section) = &config.settings.route53 {
        providers.push(Arc::new(
            Route53::connect(config, section, ProviderMetrics::new(registry)?).await,
        ));
    }

    Ok(providers)
}

/// The plan that stands before there is any: every region its configured share, under a stamp that
/// every committed plan outranks.
pub fn first_plan(config: &Config, now_ms: u64) -> CommittedPlan {
    let first = config
        .regions
        .iter()
        .filter(|region| region.weight_bp > 0)
        .min_by_key(|region| region.priority);
    let region = |region: &Region| {
        let is_passive = config.traffic.strategy == Strategy::ActivePassive
            && first.is_none_or(|first| first.name != region.name);
        let planned = RegionPlan {
            weight_bp: if is_passive { 0 } else { region.weight_bp },
            addresses: region.addresses.clone(),
            ..RegionPlan::default()
        };

        (region.name.clone(), planned)
    };

    let plan = Plan {
        regions: config.regions.iter().map(region).collect(),
        reason: "first set-up, from the configuration".into(),
        made_ms: now_ms,
        ..Plan::default()
    };

    CommittedPlan {
        stamp: Stamp {
            ballot: Ballot {
                number: 0,
                agent: config.own.clone(),
                boot: 0,
            },
            seq: 0,
        },
        plan,
    }
}
