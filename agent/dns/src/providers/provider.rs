//! The interface of a DNS provider, and its reports.

use super::error::ProviderError;
use async_trait::async_trait;
use regionmesh_protocol::plan::CommittedPlan;
use serde::Serialize;

/// Receives progress messages for the user.
pub type OnProgress<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// A zone that follows the plan. Dropping any of the futures is safe: the next call detects what
/// was done.
#[async_trait]
pub trait DnsProvider: Send + Sync {
    /// Its name in metrics and logs.
    fn name(&self) -> &'static str;

    /// What [`publish`](Self::publish) would do now. Changes nothing.
    async fn preview(&self, plan: &CommittedPlan) -> Result<Preview, ProviderError>;

    /// Writes the plan to the zone.
    async fn publish(
        &self,
        plan: &CommittedPlan,
        on_progress: OnProgress<'_>,
    ) -> Result<Published, ProviderError>;

    /// Waits until the zone's name servers answer what was published, then deletes obsolete health
    /// checks.
    async fn await_propagation(
        &self,
        published: &Published,
        on_progress: OnProgress<'_>,
    ) -> Result<Propagation, ProviderError>;
}

/// A record set that is not as the plan wants it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Name, type and set identifier.
    pub record: String,
    /// The wanted content; none if it should not exist.
    pub wanted: Option<String>,
    /// The content found; none if it does not exist.
    pub found: Option<String>,
}

/// The changes that a plan would make to a zone.
#[derive(Debug, Clone, Serialize)]
pub struct Preview {
    pub provider: &'static str,
    /// The zone's name.
    pub zone: String,
    /// The plan that would be written.
    pub plan: String,
    /// The plan that the zone was written from, if any.
    pub written_from: Option<String>,
    /// Whether both are the same plan: then differences come from another writer or another
    /// configuration.
    pub is_drift: bool,
    /// Record sets that are not as the plan wants them.
    pub differences: Vec<Difference>,
    /// Health checks that would be created.
    pub new_checks: Vec<String>,
    /// Health checks that would be deleted.
    pub obsolete_checks: Vec<String>,
    /// How many change batches that takes.
    pub batches: usize,
    /// What an operator should look at.
    pub notes: Vec<String>,
}

impl Preview {
    /// Whether nothing is to be changed.
    pub fn is_done(&self) -> bool {
        self.batches == 0 && self.new_checks.is_empty() && self.obsolete_checks.is_empty()
    }
}

/// The changes made to a zone.
#[derive(Debug, Clone, Serialize)]
pub struct Published {
    pub provider: &'static str,
    /// The zone's name.
    pub zone: String,
    pub plan: String,
    /// Record sets that were not as the plan wanted them.
    pub differences: Vec<Difference>,
    /// Whether they had been before, under the same plan.
    pub is_drift: bool,
    /// Health checks that were created.
    pub new_checks: Vec<String>,
    /// Change batches that were written.
    pub batches: usize,
    /// What an operator should look at.
    pub notes: Vec<String>,
    /// When the plan was made, Unix milliseconds.
    #[serde(skip)]
    pub made_ms: u64,
    /// What to wait for.
    #[serde(skip)]
    pub receipt: Receipt,
}

/// What [`DnsProvider::await_propagation`] waits for and cleans up.
#[derive(Debug, Clone, Default)]
pub struct Receipt {
    /// Changes that the provider spreads to its name servers.
    pub changes: Vec<String>,
    /// What the name servers are expected to answer.
    pub(crate) expected: Vec<Expected>,
    /// Health checks that are obsolete.
    pub(crate) obsolete_checks: Vec<String>,
    /// The nonce of the fence: identifies this write.
    pub(crate) mark: String,
}

/// What a name server is expected to answer.
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

/// The propagation of a change.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Propagation {
    /// Time until the provider reported that all its name servers have it, milliseconds; none if it
    /// was not asked.
    pub in_sync_ms: Option<u64>,
    /// Name servers confirmed to answer it.
    pub verified: Vec<String>,
    /// Obsolete health checks that were deleted.
    pub deleted_checks: Vec<String>,
    /// What an operator should look at.
    pub notes: Vec<String>,
}
