//! What an agent signs with, and what it checks others by.

use crate::gossip::{Signer, Verifier};
use regionmesh_protocol::{identity::MeshName, plan::Order};
use std::sync::Arc;

/// Checks operators' orders.
pub trait OrderVerifier: Send + Sync {
    /// Whether an operator gave this order in `mesh`, as its proof says.
    fn check_order(&self, mesh: &MeshName, order: &Order) -> Result<(), String>;
}

/// One agent's keys and those that it trusts.
#[derive(Clone)]
pub struct Keys {
    pub signer: Arc<dyn Signer>,
    pub verifier: Arc<dyn Verifier>,
    pub orders: Arc<dyn OrderVerifier>,
}
