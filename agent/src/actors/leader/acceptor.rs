//! The region's acceptor, as peers reach it.

use super::{metrics::LeaderMetrics, signing::Signing};
use crate::{actors::messages::CoreMessage, address::Address};
use regionmesh_core::leader::Input;
use regionmesh_protocol::register::{
    acceptor::{AcceptorAnswer, AcceptorReply, AcceptorRequest},
    ballot::Ballot,
};
use regionmesh_store::SlotStore;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Most requests to our acceptor that may wait for the store.
pub(super) const ACCEPTOR_REQUESTS: usize = 64;

/// Our region's acceptor, as peers reach it.
pub(super) struct Acceptor {
    pub(super) store: Arc<SlotStore>,
    pub(super) signing: Signing,
    pub(super) permits: Arc<Semaphore>,
    pub(super) metrics: LeaderMetrics,
    /// Learns which proposers are heard.
    pub(super) core: Address<CoreMessage>,
}

impl Acceptor {
    pub(super) fn answer(
        &self,
        request: AcceptorRequest,
        reply: ractor::RpcReplyPort<Result<AcceptorAnswer, String>>,
    ) {
        let metrics = self.metrics.clone();
        let Ok(permit) = self.permits.clone().try_acquire_owned() else {
            metrics.refused("busy");
            let _ = reply.send(Err(format!(
                "{ACCEPTOR_REQUESTS} requests wait for this region's store already"
            )));
            return;
        };
        let store = self.store.clone();
        let signing = self.signing.clone();
        let core = self.core.clone();

        tokio::spawn(async move {
            let _permit = permit;
            let answer = store.apply(&request).await;
            let reply_of = answer.as_ref().map(|answer| &answer.reply);
            match reply_of {
                Ok(AcceptorReply::Refused { promised }) => {
                    metrics.refused("fenced");
                    tracing::info!(
                        %promised,
                        asked = ?request.ballot().map(Ballot::to_string),
                        "fenced a lower ballot"
                    );
                }
                Ok(AcceptorReply::TooFar(reach)) => {
                    metrics.refused("too-far");
                    tracing::warn!(
                        asked = %request.reach(),
                        known = %reach,
                        "asked for a ballot or plan that is too far ahead"
                    );
                }
                Ok(AcceptorReply::Undecided(stamp)) => {
                    metrics.refused("undecided");
                    tracing::info!(%stamp, seq = stamp.seq, "asked to reset this acceptor; first \
                        checking that the plan is committed");
                }
                // The core has logged the reason.
                Ok(AcceptorReply::Unjustified { .. }) => metrics.refused("unjustified"),
                Ok(_) => {}
                // The store has logged the reason.
                Err(_) => metrics.refused("failed"),
            }

            if let Ok(reply) = reply_of
                && let Some(input) = Input::of_asked(&request, reply)
            {
                let _ = core.cast(CoreMessage::input(input));
            }

            let answer = answer
                .map_err(|error| error.to_string())
                .and_then(|answer| signing.sign(&request, answer));
            let _ = reply.send(answer);
        });
    }
}
