//! Calls whose answers are believed with proof alone.

use super::Operators;
use crate::refusals::{Refusals, reason};
use async_trait::async_trait;
use regionmesh_mesh::{Peer, PeerError, PeerLink};
use regionmesh_protocol::wire::{PeerReply, PeerRequest};
use std::{sync::Arc, time::Duration};

/// Asks peers with proof and believes only answers with proof. For what a region says that it
/// holds: whoever holds an agent's certificate could otherwise publish, promote and delete in all
/// regions.
///
/// An agent without a token has no means to check anything and takes a certificate for enough, as
/// its API takes no changes at all.
pub struct AttestedLink {
    /// Makes the calls.
    pub peers: Arc<dyn PeerLink>,
    /// Makes and checks proofs.
    pub operators: Operators,
    /// Where answers without proof are counted.
    pub refusals: Refusals,
}

#[async_trait]
impl PeerLink for AttestedLink {
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
            // It does not know the token either.
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
            &format!("what it holds is not taken over: {why}"),
        );

        Err(unusable(format!("its answer is not believed: {why}")))
    }
}
