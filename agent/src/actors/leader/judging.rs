//! What the core has against a plan, before our region's acceptor is asked to accept it.

use crate::{actors::messages::CoreMessage, address::Address};
use regionmesh_protocol::register::acceptor::{AcceptorAnswer, AcceptorRequest};
use std::time::Duration;

/// The core answers at once, unless it is being restarted.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The answer to a request that the core objects to; none if the store is to be asked.
pub(super) async fn objection(
    core: &Address<CoreMessage>,
    request: &AcceptorRequest,
) -> Result<Option<AcceptorAnswer>, String> {
    let AcceptorRequest::Accept(stamp, plan) = request else {
        return Ok(None);
    };

    let asked = Box::new((stamp.clone(), plan.clone()));
    let judged = core.call(|reply| CoreMessage::Accept(asked, reply), TIMEOUT);
    match judged.await {
        Ok(Ok(())) => Ok(None),
        Ok(Err(objection)) => Ok(Some(AcceptorAnswer::unjustified(
            stamp.clone(),
            objection.to_string(),
        ))),
        Err(error) => Err(error.to_string()),
    }
}
