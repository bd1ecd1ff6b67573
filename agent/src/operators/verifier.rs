//! Checks what other agents sign, and the orders in plans.

use super::Operators;
use regionmesh_core::gossip::Verifier;
use regionmesh_protocol::{
    identity::{AgentId, MeshName},
    plan::Order,
};
use std::sync::Arc;

/// Checks signatures by the mesh's authorities, and orders by the operators' token.
pub(crate) struct PlanVerifier {
    pub(crate) signatures: Arc<dyn Verifier>,
    pub(crate) operators: Operators,
}

impl Verifier for PlanVerifier {
    fn check_chain(&self, owner: &AgentId, chain: &[Vec<u8>]) -> Result<(), String> {
        self.signatures.check_chain(owner, chain)
    }

    fn check_signature(
        &self,
        chain: &[Vec<u8>],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), String> {
        self.signatures.check_signature(chain, message, signature)
    }

    fn validity_ms(&self, chain: &[Vec<u8>]) -> Option<(u64, u64)> {
        self.signatures.validity_ms(chain)
    }

    // The MAC covers the mesh, which is this agent's own.
    fn check_order(&self, _mesh: &MeshName, order: &Order) -> Result<(), String> {
        self.operators.check_order(order)
    }
}
