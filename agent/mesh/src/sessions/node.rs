//! ractor_cluster over the mesh's own streams.
//!
//! Its `NodeServer` always opens a clear-text TCP listener, believes a peer's claimed name, and
//! uses the oldest of two connections. This actor drives its `NodeSession` instead: it opens no
//! socket, a peer's name is that of its certificate, and the newest session of a peer wins, so that
//! a restarted agent is reachable immediately. If both agents open a session at the same time, each
//! would take the other's for the newest and end its own: then the session of the agent whose name
//! sorts first wins.

use super::{
    Sessions,
    caller::{NAMED_MAX, Named},
};
use crate::metrics::MeshMetrics;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use ractor_cluster::{
    BoxRead, BoxWrite, ClusterBidiStream, NetworkStream, NodeServerMessage, NodeSession,
    NodeSessionMessage,
    node::{NodeConnectionMode, SessionCheckReply},
};
use regionmesh_protocol::identity::AgentId;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// Largest frame of a session, bytes: a message and its envelope.
const FRAME_LIMIT: u64 = 2 << 20;
/// How long a session may take to become ready.
const READY_DEADLINE: Duration = Duration::from_secs(5);
/// Sessions opened from both sides within this time count as simultaneous: longer than the longest
/// round trip, shorter than an agent takes to crash, restart and dial.
const SIMULTANEOUS: Duration = Duration::from_secs(2);
/// Required by ractor_cluster; peers are authenticated by their certificates.
const COOKIE: &str = "regionmesh/1";

/// A QUIC stream as a session's transport; the label is the certificate's agent.
pub(crate) struct SessionStream {
    pub(crate) send: quinn::SendStream,
    pub(crate) recv: quinn::RecvStream,
    /// From the connection's certificate.
    pub(crate) peer: AgentId,
}

impl ClusterBidiStream for SessionStream {
    fn split(self: Box<Self>) -> (BoxRead, BoxWrite) {
        (
            Box::new(Named::new(self.recv, &self.peer, FRAME_LIMIT)),
            Box::new(self.send),
        )
    }

    fn peer_label(&self) -> Option<String> {
        Some(self.peer.to_string())
    }
}

#[derive(Clone)]
pub(crate) struct NodeArguments {
    pub(crate) id: AgentId,
    /// Receives the ready sessions.
    pub(crate) sessions: Sessions,
    pub(crate) metrics: MeshMetrics,
}

struct Session {
    actor: ActorRef<NodeSessionMessage>,
    node: u64,
    /// The agent in the certificate.
    peer: String,
    is_named: bool,
    origin: Origin,
}

/// Which side opened a session, and when.
#[derive(Debug, Clone, Copy)]
struct Origin {
    is_ours: bool,
    opened: Instant,
}

impl Origin {
    /// Whether a session outlives `other`, another session with the same peer; both ends decide the
    /// same. `we_come_first`: our name sorts before the peer's.
    fn outlives(&self, other: &Self, we_come_first: bool) -> bool {
        let apart = self.opened.max(other.opened) - self.opened.min(other.opened);
        if self.is_ours != other.is_ours && apart < SIMULTANEOUS {
            return self.is_ours == we_come_first;
        }
        self.opened > other.opened
    }
}

pub(crate) struct NodeState {
    id: AgentId,
    sessions: Sessions,
    metrics: MeshMetrics,
    next_node: u64,
    open: HashMap<ActorId, Session>,
}

impl NodeState {
    async fn open_session(
        &mut self,
        me: &ActorRef<NodeServerMessage>,
        stream: Box<dyn ClusterBidiStream>,
        is_server: bool,
    ) -> Result<(), ActorProcessingErr> {
        let peer = stream.peer_label().unwrap_or_default();
        let (reader, writer) = stream.split();
        let node = self.next_node;

        self.next_node += 1;
        let mut name = fifth(NodeSession::new);
        name.name = self.id.to_string();
        name.connection_string = self.id.to_string();

        let session = NodeSession::new(
            node,
            is_server,
            COOKIE.into(),
            me.clone(),
            name,
            NodeConnectionMode::Isolated,
        )
        .with_max_inbound_frame_size(FRAME_LIMIT + NAMED_MAX);

        let stream = NetworkStream::External {
            peer_label: Some(peer.clone()),
            local_label: None,
            reader,
            writer,
        };
        let (actor, _) = NodeSession::spawn_linked(None, session, stream, me.get_cell()).await?;

        tokio::spawn(stop_unless_ready(actor.clone()));
        self.open.insert(
            actor.get_id(),
            Session {
                actor,
                node,
                peer,
                is_named: false,
                origin: Origin {
                    is_ours: !is_server,
                    opened: Instant::now(),
                },
            },
        );

        Ok(())
    }

    /// Stops a session whose peer claims another name than its certificate's.
    fn check_name(&mut self, id: ActorId, claimed: &str) {
        let Some(session) = self.open.get_mut(&id) else {
            return;
        };

        session.is_named = session.peer == claimed;
        if !session.is_named {
            let what = format!(
                "{} opened a session in the name of {claimed:?}",
                session.peer
            );
            self.metrics.refuse("session-name", &what);
            session
                .actor
                .stop(Some("its name is not that of its certificate".into()));
        }
    }

    /// Keeps one session per peer: stops either the older ones or the new one.
    fn stop_duplicates(&self, id: ActorId) {
        let Some(new) = self.open.get(&id) else {
            return;
        };
        let we_come_first = self.id.to_string() < new.peer;
        let others = self
            .open
            .values()
            .filter(|other| other.peer == new.peer && other.node != new.node);

        for other in others {
            let loser = if new.origin.outlives(&other.origin, we_come_first) {
                other
            } else {
                new
            };

            loser
                .actor
                .stop(Some("another session with the same agent".into()));
        }
    }
}

/// `NodeSession::new` takes a message type that can't be named from outside its crate; this
/// recovers it by inference.
fn fifth<A, B, C, D, E: Default, F, R>(_: fn(A, B, C, D, E, F) -> R) -> E {
    E::default()
}

pub(crate) struct NodeActor;

impl Actor for NodeActor {
    type Msg = NodeServerMessage;
    type State = NodeState;
    type Arguments = NodeArguments;

    async fn pre_start(
        &self,
        _me: ActorRef<NodeServerMessage>,
        NodeArguments {
            id,
            sessions,
            metrics,
        }: NodeArguments,
    ) -> Result<NodeState, ActorProcessingErr> {
        // Node ids from 1: 0 means "local" in an actor id.
        Ok(NodeState {
            id,
            sessions,
            metrics,
            next_node: 1,
            open: HashMap::new(),
        })
    }

    async fn handle(
        &self,
        me: ActorRef<NodeServerMessage>,
        message: NodeServerMessage,
        state: &mut NodeState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            NodeServerMessage::ConnectionOpenedExternal { stream, is_server } => {
                state.open_session(&me, stream, is_server).await?;
            }
            NodeServerMessage::UpdateSession { actor_id, name } => {
                state.check_name(actor_id, &name.name);
            }
            NodeServerMessage::CheckSession { peer_name, reply } => {
                let is_known = state
                    .open
                    .values()
                    .any(|session| session.is_named && session.peer == peer_name.name);
                let answer = if is_known {
                    SessionCheckReply::NoOtherConnection
                } else {
                    SessionCheckReply::OtherConnectionContinues
                };
                let _ = reply.send(answer);
            }
            NodeServerMessage::ConnectionAuthenticated(id) => state.stop_duplicates(id),
            NodeServerMessage::ConnectionReady(id) => {
                if let Some(session) = state.open.get(&id) {
                    state.sessions.set(&session.peer, session.node);
                    tracing::debug!(
                        peer = session.peer,
                        node = session.node,
                        "actor session ready"
                    );
                }
            }
            NodeServerMessage::GetSessions(reply) => drop(reply.send(HashMap::new())),
            _ => {}
        }

        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _me: ActorRef<NodeServerMessage>,
        event: SupervisionEvent,
        state: &mut NodeState,
    ) -> Result<(), ActorProcessingErr> {
        let (SupervisionEvent::ActorTerminated(cell, ..) | SupervisionEvent::ActorFailed(cell, _)) =
            event
        else {
            return Ok(());
        };

        if let Some(session) = state.open.remove(&cell.get_id()) {
            state.sessions.clear(&session.peer, session.node);
            tracing::debug!(
                peer = session.peer,
                node = session.node,
                "actor session ended"
            );
        }

        Ok(())
    }
}

async fn stop_unless_ready(session: ActorRef<NodeSessionMessage>) {
    tokio::time::sleep(READY_DEADLINE).await;
    let ready = session
        .call(
            NodeSessionMessage::GetReadyState,
            Some(Duration::from_secs(1)),
        )
        .await;

    if !matches!(ready, Ok(ractor::rpc::CallResult::Success(true))) {
        session.stop(Some("the handshake took too long".into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Both ends see the two sessions half a round trip apart and choose the same one.
        #[test]
        fn both_ends_agree_on_one_of_two_simultaneous_sessions(
            ours_ms in 0u64..800,
            theirs_ms in 0u64..800,
            one_way_ms in 0u64..300,
            we_come_first: bool,
        ) {
            let start = Instant::now();
            let at = |ms| start + Duration::from_millis(ms);
            let here = [
                Origin {
                    is_ours: true,
                    opened: at(ours_ms),
                },
                Origin {
                    is_ours: false,
                    opened: at(theirs_ms + one_way_ms),
                },
            ];

            let there = [
                Origin {
                    is_ours: false,
                    opened: at(ours_ms + one_way_ms),
                },
                Origin {
                    is_ours: true,
                    opened: at(theirs_ms),
                },
            ];

            prop_assert_eq!(
                here[0].outlives(&here[1], we_come_first),
                there[0].outlives(&there[1], !we_come_first)
            );

            prop_assert_ne!(
                here[0].outlives(&here[1], we_come_first),
                here[1].outlives(&here[0], we_come_first)
            );
        }

        /// A restarted agent is reached by its newest session, no matter which side opened it.
        #[test]
        fn a_later_session_replaces_an_older_one(
            ours: bool,
            later_ours: bool,
            we_come_first: bool,
        ) {
            let opened = Instant::now();
            let old = Origin {
                is_ours: ours,
                opened,
            };
            let new = Origin {
                is_ours: later_ours,
                opened: opened + SIMULTANEOUS,
            };

            prop_assert!(new.outlives(&old, we_come_first) && !old.outlives(&new, we_come_first));
        }
    }
}
