//! ractor_cluster over the mesh's own streams.
//!
//! Its `NodeServer` always opens a clear-text TCP listener, believes a peer's claimed name, and keeps the oldest of two
//! connections. This actor drives its `NodeSession` instead: no socket, a peer's name is that of its certificate, and
//! the newest session of a peer wins, so that a restarted agent is reached at once.

use super::metrics::MeshMetrics;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use ractor_cluster::{
    BoxRead, BoxWrite, ClusterBidiStream, NetworkStream, NodeServerMessage, NodeSession, NodeSessionMessage,
    node::{NodeConnectionMode, SessionCheckReply},
};
use regionmesh_protocol::identity::AgentId;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Largest frame of a session, bytes: a message and its envelope.
const FRAME_LIMIT: u64 = 2 << 20;
/// How long a session may take to become ready.
const READY_DEADLINE: Duration = Duration::from_secs(5);
/// ractor_cluster wants one; the certificates are what authenticates.
const COOKIE: &str = "regionmesh/1";

/// A QUIC stream as a session's transport; the label is the certificate's agent.
pub struct SessionStream {
    /// To the peer.
    pub send: quinn::SendStream,
    /// From the peer.
    pub recv: quinn::RecvStream,
    /// Whom the connection's certificate names.
    pub peer: AgentId,
}

impl ClusterBidiStream for SessionStream {
    fn split(self: Box<Self>) -> (BoxRead, BoxWrite) {
        (Box::new(self.recv), Box::new(self.send))
    }

    fn peer_label(&self) -> Option<String> {
        Some(self.peer.to_string())
    }
}

/// The ready session of each peer, as the node id in its remote references. Written by the node actor.
#[derive(Debug, Clone, Default)]
pub struct Sessions(Arc<Mutex<BTreeMap<String, u64>>>);

impl Sessions {
    /// Node id of the peer's ready session.
    pub fn node_of(&self, peer: &AgentId) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&peer.to_string()).copied()
    }

    fn set(&self, peer: &str, node: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(peer.to_owned(), node);
    }

    fn clear(&self, peer: &str, node: u64) {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.get(peer) == Some(&node) {
            sessions.remove(peer);
        }
    }
}

/// What the actor is started with, each time.
#[derive(Clone)]
pub struct NodeArguments {
    /// Who we are.
    pub id: AgentId,
    /// Where ready sessions are told.
    pub sessions: Sessions,
    /// Metrics.
    pub metrics: MeshMetrics,
}

struct Session {
    actor: ActorRef<NodeSessionMessage>,
    node: u64,
    /// The agent in the certificate.
    peer: String,
    is_named: bool,
}

/// State of the actor.
pub struct NodeState {
    id: AgentId,
    sessions: Sessions,
    metrics: MeshMetrics,
    next_node: u64,
    open: HashMap<ActorId, Session>,
}

/// `NodeSession::new` takes a message type that can't be named from outside its crate; this recovers it by inference.
fn fifth<A, B, C, D, E: Default, F, R>(_: fn(A, B, C, D, E, F) -> R) -> E {
    E::default()
}

/// The actor.
pub struct NodeActor;

impl Actor for NodeActor {
    type Msg = NodeServerMessage;
    type State = NodeState;
    type Arguments = NodeArguments;

    async fn pre_start(
        &self,
        _me: ActorRef<NodeServerMessage>,
        NodeArguments { id, sessions, metrics }: NodeArguments,
    ) -> Result<NodeState, ActorProcessingErr> {
        // Node ids from 1: 0 means "local" in an actor id.
        Ok(NodeState { id, sessions, metrics, next_node: 1, open: HashMap::new() })
    }

    async fn handle(
        &self,
        me: ActorRef<NodeServerMessage>,
        message: NodeServerMessage,
        state: &mut NodeState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            NodeServerMessage::ConnectionOpenedExternal { stream, is_server } => {
                let peer = stream.peer_label().unwrap_or_default();
                let (reader, writer) = stream.split();
                let node = state.next_node;
                state.next_node += 1;
                let mut name = fifth(NodeSession::new);
                name.name = state.id.to_string();
                name.connection_string = state.id.to_string();
                let session =
                    NodeSession::new(node, is_server, COOKIE.into(), me.clone(), name, NodeConnectionMode::Isolated)
                        .with_max_inbound_frame_size(FRAME_LIMIT);
                let stream =
                    NetworkStream::External { peer_label: Some(peer.clone()), local_label: None, reader, writer };
                let (actor, _) = NodeSession::spawn_linked(None, session, stream, me.get_cell()).await?;
                tokio::spawn(stop_unless_ready(actor.clone()));
                state.open.insert(actor.get_id(), Session { actor, node, peer, is_named: false });
            }
            NodeServerMessage::UpdateSession { actor_id, name } => {
                if let Some(session) = state.open.get_mut(&actor_id) {
                    session.is_named = session.peer == name.name;
                    if !session.is_named {
                        let what = format!("{} opened a session in the name of {:?}", session.peer, name.name);
                        state.metrics.refuse("session-name", &what);
                        session.actor.stop(Some("its name is not that of its certificate".into()));
                    }
                }
            }
            NodeServerMessage::CheckSession { peer_name, reply } => {
                let is_known = state.open.values().any(|session| session.is_named && session.peer == peer_name.name);
                let verdict = if is_known {
                    SessionCheckReply::NoOtherConnection
                } else {
                    SessionCheckReply::OtherConnectionContinues
                };
                let _ = reply.send(verdict);
            }
            NodeServerMessage::ConnectionAuthenticated(id) => {
                let Some((peer, node)) = state.open.get(&id).map(|new| (new.peer.clone(), new.node)) else {
                    return Ok(());
                };
                for older in state.open.values().filter(|other| other.peer == peer && other.node < node) {
                    older.actor.stop(Some("a newer session of the same agent".into()));
                }
            }
            NodeServerMessage::ConnectionReady(id) => {
                if let Some(session) = state.open.get(&id) {
                    state.sessions.set(&session.peer, session.node);
                    tracing::debug!(peer = session.peer, node = session.node, "actor session ready");
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
        let (SupervisionEvent::ActorTerminated(cell, ..) | SupervisionEvent::ActorFailed(cell, _)) = event else {
            return Ok(());
        };
        if let Some(session) = state.open.remove(&cell.get_id()) {
            state.sessions.clear(&session.peer, session.node);
            tracing::debug!(peer = session.peer, node = session.node, "actor session ended");
        }
        Ok(())
    }
}

async fn stop_unless_ready(session: ActorRef<NodeSessionMessage>) {
    tokio::time::sleep(READY_DEADLINE).await;
    let ready = session.call(NodeSessionMessage::GetReadyState, Some(Duration::from_secs(1))).await;
    if !matches!(ready, Ok(ractor::rpc::CallResult::Success(true))) {
        session.stop(Some("the handshake took too long".into()));
    }
}
