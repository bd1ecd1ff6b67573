//! What the core has against a plan, before our region's acceptor is asked to accept it.

use crate::{actors::messages::CoreMessage, address::Address};
use regionmesh_protocol::register::acceptor::{AcceptorAnswer, AcceptorReply, AcceptorRequest};
use regionmesh_store::SlotStore;
use std::time::Duration;

/// The core answers immediately, unless it is being restarted.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The answer to a request that the core objects to; none if the store is to be asked.
pub(super) async fn objection(
    core: &Address<CoreMessage>,
    store: &SlotStore,
    request: &AcceptorRequest,
) -> Result<Option<AcceptorAnswer>, String> {
    let AcceptorRequest::Accept(stamp, plan) = request else {
        return Ok(None);
    };

    let asked = Box::new((stamp.clone(), plan.clone()));
    let judged = core.call(|reply| CoreMessage::Accept(asked, reply), TIMEOUT);
    let Err(objection) = judged.await.map_err(|error| error.to_string())? else {
        return Ok(None);
    };

    let known = store.apply(&AcceptorRequest::Read).await;
    match known.map_err(|error| error.to_string())?.reply {
        AcceptorReply::State(state) if state.has_accepted(plan) => Ok(None),
        _ => Ok(Some(AcceptorAnswer::unjustified(
            stamp.clone(),
            objection.to_string(),
            objection.is_final(),
        ))),
    }
}
