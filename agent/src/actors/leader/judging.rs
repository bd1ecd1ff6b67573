//! Asks the core what there is against a plan, before our region's acceptor accepts it.

use crate::{actors::messages::CoreMessage, address::Address};
use async_trait::async_trait;
use regionmesh_core::{planning::judging::Objection, slots::Proposal};
use regionmesh_store::Judge;
use std::time::Duration;

/// The core answers immediately, unless it is being restarted.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The core as a judge of plans.
#[derive(Debug)]
pub(crate) struct CoreJudge(pub(crate) Address<CoreMessage>);

#[async_trait]
impl Judge for CoreJudge {
    async fn judge(&self, proposal: Proposal) -> Result<Result<(), Objection>, String> {
        let proposal = Box::new(proposal);
        let judged = self
            .0
            .call(|reply| CoreMessage::Judge(proposal, reply), TIMEOUT);
        judged.await.map_err(|error| error.to_string())
    }
}
