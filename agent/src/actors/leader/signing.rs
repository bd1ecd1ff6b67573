//! This agent's signatures about plans, and the check of acceptors' answers.

use regionmesh_core::{
    Keys,
    leader::certificate::{check_answer, confirm, sign_answer},
};
use regionmesh_protocol::{
    identity::{AgentId, MeshName, RegionName},
    plan::CommittedPlan,
    register::{
        acceptor::{AcceptorAnswer, AcceptorRequest},
        certificate::AgentSignature,
    },
};

/// Signs with this agent's key, and checks what acceptors sign.
#[derive(Clone)]
pub struct Signing {
    pub mesh: MeshName,
    /// This agent.
    pub id: AgentId,
    pub keys: Keys,
}

impl Signing {
    /// Signs an answer of our region's acceptor if it says that a plan was accepted.
    pub(super) fn sign(
        &self,
        request: &AcceptorRequest,
        answer: AcceptorAnswer,
    ) -> Result<AcceptorAnswer, String> {
        sign_answer(&self.mesh, &self.id, &*self.keys.signer, request, answer)
            .map_err(|why| format!("cannot sign the acceptance of a plan: {why}"))
    }

    /// Checks the signature in an answer of another region's acceptor.
    pub(super) fn check(
        &self,
        from: &RegionName,
        request: &AcceptorRequest,
        answer: AcceptorAnswer,
    ) -> Result<AcceptorAnswer, String> {
        check_answer(&self.mesh, from, &*self.keys.verifier, request, answer)
            .map_err(|why| format!("{from}'s acceptance of a plan was rejected: {why}"))
    }

    /// Signs a plan that this agent knows to be committed, for its own disk.
    pub(super) fn confirm(&self, plan: &CommittedPlan) -> Result<AgentSignature, String> {
        confirm(&self.mesh, &self.id, &*self.keys.signer, plan)
    }
}
