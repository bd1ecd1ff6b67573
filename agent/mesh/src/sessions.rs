//! Calls between agents over ractor_cluster, and everything that works around it.
//!
//! * [`node`]: its `NodeServer` opens a clear-text port and believes a peer's name.
//! * [`caller`]: a call does not say who makes it.
//! * [`envelope`]: a message that can't be decoded gets no answer.
//! * [`peer`]: every remotable actor is advertised to every peer.
//! * [`Sessions`]: a remote reference is looked up by the session's number, calls have no
//!   back-pressure, and an oversized message ends the session.
//!
//! The rest of the agent sees [`crate::Peers`].

mod caller;
mod envelope;
mod node;
mod peer;

pub(crate) use node::{NodeActor, NodeArguments, SessionStream};
pub use peer::{PeerActor, PeerArguments};

use crate::handle::{Peer, PeerError};
use envelope::{GROUP, PeerMessage, SCOPE, Wire};
use parking_lot::Mutex;
use ractor::{ActorRef, rpc::CallResult};
use regionmesh_protocol::{
    codec,
    identity::AgentId,
    wire::{PeerReply, PeerRequest},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::sync::{Semaphore, watch};

/// Calls in flight to one peer.
const CALLS_PER_PEER: usize = 256;

/// The ready session of each peer by the agent's name, through which it is called. Written by the
/// node actor.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sessions {
    ready: Arc<Mutex<BTreeMap<String, Session>>>,
    /// Counts sessions that became ready.
    changes: watch::Sender<u64>,
}

#[derive(Debug, Clone)]
struct Session {
    /// The node id in its remote references.
    node: u64,
    places: Arc<Semaphore>,
}

impl Sessions {
    /// Whether calls to the peer can be made now.
    pub(crate) fn has(&self, peer: &AgentId) -> bool {
        self.ready.lock().contains_key(&peer.to_string())
    }

    /// Changes whenever a session becomes ready.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Sends `request` to an agent, which `to` means, and waits for the answer.
    pub(crate) async fn call(
        &self,
        agent: &AgentId,
        to: &Peer,
        request: PeerRequest,
        timeout: Duration,
    ) -> Result<PeerReply, PeerError> {
        let not_connected = || PeerError::NotConnected(to.clone());
        let session = self.ready.lock().get(&agent.to_string()).cloned();
        let session = session.ok_or_else(not_connected)?;
        let actor = session.peer_actor().ok_or_else(not_connected)?;

        codec::encode(&request)
            .map_err(|error| PeerError::Malformed(to.clone(), error.to_string()))?;
        let _place = session
            .places
            .try_acquire()
            .map_err(|_| PeerError::Busy(to.clone()))?;

        match actor
            .call(|reply| PeerMessage::new(request, reply), Some(timeout))
            .await
        {
            Ok(CallResult::Success(Wire::Ok(reply))) => Ok(reply),
            Ok(CallResult::Success(Wire::Bad(why))) => Err(PeerError::Malformed(to.clone(), why)),
            Ok(CallResult::Timeout) => Err(PeerError::TimedOut(to.clone(), timeout)),
            Ok(CallResult::SenderError) => {
                Err(PeerError::Broken(to.clone(), "the session ended".into()))
            }
            Err(error) => Err(PeerError::Broken(to.clone(), error.to_string())),
        }
    }

    fn set(&self, peer: &str, node: u64) {
        let session = Session {
            node,
            places: Arc::new(Semaphore::new(CALLS_PER_PEER)),
        };
        self.ready.lock().insert(peer.to_owned(), session);
        self.changes.send_modify(|changes| *changes += 1);
    }

    fn clear(&self, peer: &str, node: u64) {
        let mut sessions = self.ready.lock();
        if sessions
            .get(peer)
            .is_some_and(|session| session.node == node)
        {
            sessions.remove(peer);
        }
    }
}

impl Session {
    /// The remote reference of the peer's actor.
    fn peer_actor(&self) -> Option<ActorRef<PeerMessage>> {
        ractor::pg::get_scoped_members(&SCOPE.into(), &GROUP.into())
            .into_iter()
            .find(|cell| !cell.get_id().is_local() && cell.get_id().node() == self.node)
            .map(Into::into)
    }
}
