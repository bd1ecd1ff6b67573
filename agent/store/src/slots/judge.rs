//! What the agent has against a plan, before its region's acceptor accepts it.

use async_trait::async_trait;
use regionmesh_core::{planning::judging::Objection, slots::Proposal};
use std::fmt::Debug;

/// Judges plans; see [`regionmesh_core::planning::judging`].
#[async_trait]
pub trait Judge: Debug + Send + Sync {
    /// What there is against a plan; an error if it can't be judged now.
    async fn judge(&self, proposal: Proposal) -> Result<Result<(), Objection>, String>;
}
