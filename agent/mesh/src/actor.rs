//! The mesh actor: owns the tasks that accept, dial and watch connections.
//!
//! If it fails, its tasks and connections end with it; the [`Mesh`] handle owns the port, so that a
//! restarted actor uses it again.

use super::{
    connection,
    dial::{Target, dial},
    endpoint::{self, HANDSHAKE_DEADLINE, HANDSHAKES_AT_ONCE, HandshakeLimiter},
    links::{Inner, Mesh},
    regions::follow_gateways,
    sessions::{NodeActor, NodeArguments},
    tls::RELOAD_EVERY,
};
use quinn::{Connection, Incoming};
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use ractor_cluster::NodeServerMessage;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
};

/// How often round-trip times are published.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);

/// To the mesh actor.
#[derive(Debug)]
pub enum MeshMessage {
    /// One of its tasks ended, which is a bug.
    TaskEnded(String),
}

impl ractor::Message for MeshMessage {}

/// Start argument: the mesh whose connections it opens.
pub struct MeshActor;

/// The actor's tasks; they end with it.
pub struct MeshState {
    _tasks: JoinSet<()>,
}

impl Actor for MeshActor {
    type Msg = MeshMessage;
    type State = MeshState;
    type Arguments = Mesh;

    async fn pre_start(
        &self,
        me: ActorRef<MeshMessage>,
        mesh: Mesh,
    ) -> Result<MeshState, ActorProcessingErr> {
        let inner = &mesh.inner;
        if inner.port.load().is_none() {
            let port = endpoint::bind(inner.settings.listen, &inner.identity, &inner.metrics)?;
            tracing::info!(address = %inner.settings.listen, "mesh is listening");
            inner.port.store(Some(Arc::new(port)));
        }

        inner.clear();
        inner.publish();
        set_certificate_metrics(inner);

        let arguments = NodeArguments {
            id: inner.id.clone(),
            sessions: inner.sessions.clone(),
            metrics: inner.metrics.clone(),
        };
        let (node, _) = NodeActor::spawn_linked(None, NodeActor, arguments, me.get_cell()).await?;

        let mut tasks = JoinSet::new();
        // Connections are tasks of one set, so that they end with the actor.
        let (serve, served) = mpsc::channel::<(Connection, bool)>(64);

        tasks.spawn(accept(mesh.clone(), serve.clone()));
        for target in Target::all(&inner.settings, &inner.id.region) {
            tasks.spawn(dial(mesh.clone(), target, serve.clone()));
        }
        tasks.spawn(watch(mesh.clone()));
        tasks.spawn(follow_gateways(mesh.clone()));
        tasks.spawn(reload(mesh.clone()));
        tasks.spawn(async move {
            serve_all(mesh, node, served).await;
            let _ = me.cast(MeshMessage::TaskEnded("the connections' task ended".into()));
        });

        Ok(MeshState { _tasks: tasks })
    }

    async fn handle(
        &self,
        _me: ActorRef<MeshMessage>,
        MeshMessage::TaskEnded(why): MeshMessage,
        _state: &mut MeshState,
    ) -> Result<(), ActorProcessingErr> {
        Err(why.into())
    }

    async fn handle_supervisor_evt(
        &self,
        _me: ActorRef<MeshMessage>,
        event: SupervisionEvent,
        _state: &mut MeshState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            // Sessions need it: restart with new connections.
            SupervisionEvent::ActorFailed(_, error) => {
                Err(format!("the node actor died: {error}").into())
            }
            SupervisionEvent::ActorTerminated(..) => Err("the node actor stopped".into()),
            _ => Ok(()),
        }
    }
}

/// Accepts connections and serves each in its own task.
async fn serve_all(
    mesh: Mesh,
    node: ActorRef<NodeServerMessage>,
    mut served: mpsc::Receiver<(Connection, bool)>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some((connection, is_dialler)) = served.recv() => {
                let mesh = mesh.clone();
                if connection::is_bulk(&connection) {
                    connections.spawn(connection::serve_bulk(mesh, connection));
                } else {
                    let node = node.clone();
                    connections.spawn(connection::serve(mesh, node, connection, is_dialler));
                }
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            else => break,
        }
    }
}

async fn accept(mesh: Mesh, serve: mpsc::Sender<(Connection, bool)>) {
    let inner = &mesh.inner;
    let Some(port) = inner.port.load_full() else {
        return;
    };
    let mut limiter = HandshakeLimiter::default();
    let places = Arc::new(Semaphore::new(HANDSHAKES_AT_ONCE));
    let count = |outcome: &str| inner.metrics.handshakes.with_label_values(&[outcome]).inc();

    while let Some(incoming) = port.0.accept().await {
        let source = incoming.remote_address();
        // A Retry is cheap and proves the address: required when busy, before the budget is used.
        if !incoming.remote_address_validated()
            && places.available_permits() < HANDSHAKES_AT_ONCE / 2
        {
            count("retried");
            let _ = incoming.retry();
            continue;
        }

        if !limiter.admit(source.ip(), Instant::now()) {
            count("shed");
            inner.metrics.refuse(
                "handshake-rate",
                &format!("too many handshakes from {}", source.ip()),
            );

            incoming.ignore();
            continue;
        }

        let Ok(place) = places.clone().try_acquire_owned() else {
            count("shed");
            inner.metrics.refuse(
                "handshakes-in-flight",
                &format!("{HANDSHAKES_AT_ONCE} handshakes are in flight"),
            );

            incoming.refuse();
            continue;
        };

        let mesh = mesh.clone();
        let serve = serve.clone();
        tokio::spawn(async move {
            handshake(&mesh, incoming, serve).await;
            drop(place);
        });
    }
}

async fn handshake(mesh: &Mesh, incoming: Incoming, serve: mpsc::Sender<(Connection, bool)>) {
    let source = incoming.remote_address();
    let metrics = &mesh.inner.metrics;
    let outcome = match incoming.accept() {
        Ok(connecting) => match tokio::time::timeout(HANDSHAKE_DEADLINE, connecting).await {
            Ok(Ok(connection)) => {
                let peer = connection::peer_of(&connection);
                let is_control = !connection::is_bulk(&connection);
                let is_kept = |peer| mesh.inner.keeps(peer, &connection);
                // The agent reached itself through its region's address.
                if peer.as_ref() == Some(&mesh.inner.id) {
                    "own"
                } else if is_control && !peer.as_ref().is_none_or(is_kept) {
                    "sent-on"
                } else {
                    let _ = serve.send((connection, false)).await;
                    "accepted"
                }
            }
            Ok(Err(error)) => {
                metrics.refuse(
                    "handshake",
                    &format!("the handshake with {source} failed: {error}"),
                );
                "failed"
            }
            Err(_) => {
                metrics.refuse(
                    "handshake-deadline",
                    &format!("{source} did not finish its handshake"),
                );
                "timed-out"
            }
        },
        Err(_) => "failed",
    };

    metrics.handshakes.with_label_values(&[outcome]).inc();
}

async fn watch(mesh: Mesh) {
    let mut ticks = tokio::time::interval(PUBLISH_EVERY);
    loop {
        ticks.tick().await;
        mesh.inner.publish();
    }
}

fn set_certificate_metrics(inner: &Inner) {
    let identity = &inner.identity;
    inner
        .metrics
        .set_certificate(identity.expires_s(), identity.lifetime_s());
}

async fn reload(mesh: Mesh) {
    let inner = &mesh.inner;
    let mut last_error = String::new();
    loop {
        tokio::time::sleep(RELOAD_EVERY).await;
        let identity = inner.identity.clone();
        let Ok(outcome) = tokio::task::spawn_blocking(move || identity.reload()).await else {
            continue;
        };

        match outcome {
            Ok(false) => last_error.clear(),
            Ok(true) => {
                inner
                    .metrics
                    .certificate
                    .reloads
                    .with_label_values(&["loaded"])
                    .inc();
                set_certificate_metrics(inner);
                tracing::info!(
                    expires_s = inner.identity.expires_s(),
                    "a new certificate is in use"
                );

                inner.gossip.certificate_reloaded();
                last_error.clear();
            }
            // Logged once per fault, although the files are checked every two seconds.
            Err(error) if error.to_string() != last_error => {
                last_error = error.to_string();
                inner
                    .metrics
                    .certificate
                    .reloads
                    .with_label_values(&["refused"])
                    .inc();
                tracing::error!(
                    %error,
                    "the new certificate is not usable; the earlier one stays in use"
                );
            }
            Err(_) => {}
        }
    }
}
