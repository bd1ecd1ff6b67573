//! What agents sign about a plan.

use crate::{
    codec::{self, CodecError},
    identity::{AgentId, MeshName},
    models::digest::Digest,
    plan::Plan,
    register::{ballot::Stamp, members::Incarnation},
};

/// Separates these signatures from others by the same key.
const ACCEPTANCE_DOMAIN: &str = "regionmesh plan acceptance 1";
const CONFIRMATION_DOMAIN: &str = "regionmesh plan confirmation 1";

/// Which plan a signature is about.
#[derive(Debug, Clone, Copy)]
pub struct PlanSubject<'a> {
    mesh: &'a MeshName,
    stamp: &'a Stamp,
    register: u64,
    /// Of the plan's encoding.
    digest: Digest,
}

impl<'a> PlanSubject<'a> {
    pub fn new(mesh: &'a MeshName, stamp: &'a Stamp, plan: &Plan) -> Result<Self, CodecError> {
        Ok(Self {
            mesh,
            stamp,
            register: plan.members.register,
            digest: Digest::of(&codec::encode(plan)?),
        })
    }

    /// What `agent` signs once the acceptor of its region has accepted the plan.
    pub fn acceptance(
        &self,
        agent: &AgentId,
        incarnation: Incarnation,
    ) -> Result<Vec<u8>, CodecError> {
        codec::encode(&(
            ACCEPTANCE_DOMAIN,
            self.mesh,
            self.register,
            agent,
            incarnation,
            self.stamp,
            self.digest,
        ))
    }

    /// What `agent` signs, for itself alone, once it knows that the plan is committed.
    pub fn confirmation(&self, agent: &AgentId) -> Result<Vec<u8>, CodecError> {
        codec::encode(&(
            CONFIRMATION_DOMAIN,
            self.mesh,
            self.register,
            agent,
            self.stamp,
            self.digest,
        ))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
