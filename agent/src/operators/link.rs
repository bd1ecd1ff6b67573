//! Calls whose answers are only accepted with proof.

use super::Operators;
use crate::refusals::{Refusals, reason};
use async_trait::async_trait;
use regionmesh_mesh::{Peer, PeerError, Peers};
use regionmesh_protocol::wire::{PeerReply, PeerRequest};
use std::{sync::Arc, time::Duration};

/// Sends requests with proof and accepts only answers with proof. Used for reports of what a region
/// holds: otherwise an agent's certificate would be enough to publish, promote and delete in all
/// regions.
///
/// An agent without a token can't check proofs and accepts a certificate alone; its API refuses all
/// changes.
pub(crate) struct AttestedLink {
    /// Sends the calls.
    pub peers: Arc<dyn Peers>,
    /// Creates and checks proofs.
    pub operators: Operators,
    /// Counts answers without proof.
    pub refusals: Refusals,
}

#[async_trait]
impl Peers for AttestedLink {
    async fn call(
        &self,
        to: &Peer,
        request: PeerRequest,
        timeout: Duration,
    ) -> Result<PeerReply, PeerError> {
        if !self.operators.has_token() {
            return self.peers.call(to, request, timeout).await;
        }

        let unusable = |why: String| PeerError::Malformed(to.clone(), why);
        let (attested, key) = self
            .operators
            .attest(&request, None)
            .await
            .map_err(unusable)?;
        let asked = PeerRequest::Attested(Box::new(attested.clone()));
        let reply = self.peers.call(to, asked, timeout).await?;
        let why = match self.operators.check_reply(&key, &attested, reply) {
            // The peer does not know the token either.
            Ok(PeerReply::Refused(why)) => why.to_string(),
            Ok(reply) => return Ok(reply),
            Err(why) => why,
        };

        let peer = match to {
            Peer::Agent(agent) => agent.to_string(),
            Peer::Region(region) => region.to_string(),
        };

        self.refusals.refuse(
            &peer,
            reason::ANSWER_NOT_PROVEN,
            &format!("its report of what it holds was rejected: {why}"),
        );

        Err(unusable(format!("its answer was rejected: {why}")))
    }
}
