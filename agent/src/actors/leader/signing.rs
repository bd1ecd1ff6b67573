//! This agent's signatures about plans, and the checks of others'.

use regionmesh_core::{
    gossip::{Signer, Verifier},
    leader::{
        certificate::{check_answer, confirm, is_certified, is_confirmed, sign_answer},
        confirm::Voters,
    },
};
use regionmesh_protocol::{
    identity::{AgentId, MeshName, RegionName},
    plan::CommittedPlan,
    register::{
        acceptor::{AcceptorAnswer, AcceptorRequest},
        certificate::AgentSignature,
    },
};
use regionmesh_store::SavedPlan;
use std::sync::Arc;

/// Signs with this agent's key, and checks what other agents sign.
#[derive(Clone)]
pub struct Signing {
    pub mesh: MeshName,
    /// This agent.
    pub id: AgentId,
    pub signer: Arc<dyn Signer>,
    pub verifier: Arc<dyn Verifier>,
}

impl Signing {
    /// Signs an answer of our region's acceptor if it says that a plan was accepted.
    pub(super) fn sign(
        &self,
        request: &AcceptorRequest,
        answer: AcceptorAnswer,
    ) -> Result<AcceptorAnswer, String> {
        sign_answer(&self.mesh, &self.id, &*self.signer, request, answer)
            .map_err(|why| format!("cannot sign the acceptance of a plan: {why}"))
    }

    /// Checks the signature in an answer of another region's acceptor.
    pub(super) fn check(
        &self,
        from: &RegionName,
        request: &AcceptorRequest,
        answer: AcceptorAnswer,
    ) -> Result<AcceptorAnswer, String> {
        check_answer(&self.mesh, from, &*self.verifier, request, answer)
            .map_err(|why| format!("{from}'s acceptance of a plan was rejected: {why}"))
    }

    /// Whether a plan's certificate proves that it is committed.
    pub(super) fn is_certified(&self, plan: &CommittedPlan, voters: &Voters<'_>) -> bool {
        is_certified(plan, voters, &self.mesh, &*self.verifier)
    }

    /// Signs a plan that this agent knows to be committed, for its own disk.
    pub(super) fn confirm(&self, plan: &CommittedPlan) -> Result<AgentSignature, String> {
        confirm(&self.mesh, &self.id, &*self.signer, plan)
    }

    /// Whether this agent saved the plan when it knew it to be committed.
    pub(super) fn is_own(&self, saved: &SavedPlan) -> bool {
        saved.confirmation.as_ref().is_some_and(|signed| {
            is_confirmed(
                &self.mesh,
                &self.id,
                &*self.verifier,
                &saved.committed,
                signed,
            )
        })
    }
}
