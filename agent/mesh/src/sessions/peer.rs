//! The peer actor: the only one that other agents can call.
//!
//! Every remotable actor is advertised to every peer, so there is only one. It runs requests of a
//! [`PeerService`] in their own tasks, at most [`PARALLEL_REQUESTS`]; beyond that it answers "busy"
//! immediately.

use super::envelope::{GROUP, PeerMessage, SCOPE, Wire};
use crate::handle::PeerService;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use regionmesh_protocol::wire::PeerReply;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Requests answered in parallel.
pub(crate) const PARALLEL_REQUESTS: usize = 512;

pub struct PeerActor;

#[derive(Clone)]
pub struct PeerArguments {
    pub service: Arc<dyn PeerService>,
}

pub struct PeerState {
    service: Arc<dyn PeerService>,
    places: Arc<Semaphore>,
}

impl Actor for PeerActor {
    type Msg = PeerMessage;
    type State = PeerState;
    type Arguments = PeerArguments;

    async fn pre_start(
        &self,
        me: ActorRef<PeerMessage>,
        PeerArguments { service }: PeerArguments,
    ) -> Result<PeerState, ActorProcessingErr> {
        ractor::pg::join_scoped(SCOPE.into(), GROUP.into(), vec![me.get_cell()]);
        Ok(PeerState {
            service,
            places: Arc::new(Semaphore::new(PARALLEL_REQUESTS)),
        })
    }

    async fn handle(
        &self,
        _me: ActorRef<PeerMessage>,
        PeerMessage {
            caller,
            request,
            reply,
        }: PeerMessage,
        state: &mut PeerState,
    ) -> Result<(), ActorProcessingErr> {
        // A closed reply port means that the caller timed out, which is not our failure.
        let service = state.service.clone();
        let (caller, request) = match (caller, request) {
            (Some(caller), Wire::Ok(request)) => (caller, request),
            (caller, Wire::Bad(why)) => {
                let refusal = service.refuse(
                    caller.as_ref(),
                    &format!("the request can't be read: {why}"),
                );
                let _ = reply.send(Wire::Ok(refusal));

                return Ok(());
            }
            (None, Wire::Ok(_)) => {
                let _ = reply.send(Wire::Ok(service.refuse(None, "the caller is not known")));
                return Ok(());
            }
        };

        match state.places.clone().try_acquire_owned() {
            Err(_) => {
                let busy = PeerReply::Failed(format!(
                    "busy: {PARALLEL_REQUESTS} requests are being answered"
                ));
                let _ = reply.send(Wire::Ok(busy));
            }
            Ok(place) => {
                tokio::spawn(async move {
                    let _ = reply.send(Wire::Ok(service.answer(&caller, request).await));
                    drop(place);
                });
            }
        }

        Ok(())
    }
}
