//! Incoming streams and datagrams of a connection: each is checked and passed to its reader.
//!
//! A peer that violates the protocol is disconnected, and the reason is counted; other connections
//! are not affected.

use super::{
    links::{Inner, Mesh},
    regions::SENT_ON,
    sessions::SessionStream,
    tls::agent_of,
};
use quinn::{Connection, ConnectionError, RecvStream, SendStream, VarInt};
use ractor::ActorRef;
use ractor_cluster::NodeServerMessage;
use regionmesh_protocol::{
    codec,
    identity::AgentId,
    wire::{ALPN_BULK, Envelope, StreamKind},
};
use rustls::pki_types::CertificateDer;
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// Time limit for a peer to send a stream's kind, and for a whole exchange.
const STREAM_DEADLINE: Duration = Duration::from_secs(10);
/// How long gossip may take to answer an exchange.
const EXCHANGE_DEADLINE: Duration = Duration::from_secs(5);
/// Exchanges of one peer answered in parallel; each uses memory up to the document limit.
const EXCHANGES_AT_ONCE: usize = 4;
/// How often the dialler checks that its connection has an actor session.
const SESSION_CHECK: Duration = Duration::from_millis(250);
/// QUIC application error code for a protocol violation by the peer.
const PROTOCOL_VIOLATION: VarInt = VarInt::from_u32(1);

/// The agent at the other end of an established connection, from its certificate.
pub(crate) fn peer_of(connection: &Connection) -> Option<AgentId> {
    let chain = connection
        .peer_identity()?
        .downcast::<Vec<CertificateDer<'static>>>()
        .ok()?;
    agent_of(chain.first()?).ok()
}

/// Whether it is a bulk connection.
pub(crate) fn is_bulk(connection: &Connection) -> bool {
    connection
        .handshake_data()
        .and_then(|data| data.downcast::<quinn::crypto::rustls::HandshakeData>().ok())
        .and_then(|data| data.protocol)
        .is_some_and(|protocol| protocol == ALPN_BULK)
}

/// Serves a control connection until it closes.
pub(crate) async fn serve(
    mesh: Mesh,
    node: ActorRef<NodeServerMessage>,
    connection: Connection,
    is_dialler: bool,
) {
    let inner = mesh.inner;
    let Some(peer) = peer_of(&connection) else {
        inner.metrics.refuse(
            "certificate",
            &format!(
                "{} presented no agent certificate",
                connection.remote_address()
            ),
        );

        connection.close(PROTOCOL_VIOLATION, b"no identity");
        return;
    };

    inner.add(&peer, &connection);
    let sessions = async {
        if is_dialler {
            maintain_session(&inner, &node, &connection, &peer).await;
        } else {
            std::future::pending::<()>().await;
        }
    };

    let why = tokio::select! {
        why = accept_streams(&inner, &node, &connection, &peer) => why,
        why = accept_datagrams(&inner, &connection, &peer) => why,
        () = sessions => "closed".into(),
    };

    inner.remove(&peer, &connection, &why);
}

/// Opens an actor session on this connection whenever the peer has none; done by the dialler.
async fn maintain_session(
    inner: &Inner,
    node: &ActorRef<NodeServerMessage>,
    connection: &Connection,
    peer: &AgentId,
) {
    loop {
        if !inner.sessions.has(peer) {
            let Ok((mut send, recv)) = connection.open_bi().await else {
                return;
            };
            if send.write_all(&[StreamKind::Actors as u8]).await.is_err() {
                return;
            }

            let stream = Box::new(SessionStream {
                send,
                recv,
                peer: peer.clone(),
            });

            if node
                .cast(NodeServerMessage::ConnectionOpenedExternal {
                    stream,
                    is_server: false,
                })
                .is_err()
            {
                return;
            }

            // A new session needs a few round trips.
            tokio::time::sleep(Duration::from_secs(1).max(connection.rtt() * 8)).await;
        }

        tokio::time::sleep(SESSION_CHECK).await;
    }
}

async fn accept_streams(
    inner: &Arc<Inner>,
    node: &ActorRef<NodeServerMessage>,
    connection: &Connection,
    peer: &AgentId,
) -> String {
    let exchanges = Arc::new(Semaphore::new(EXCHANGES_AT_ONCE));
    loop {
        let (send, recv) = match connection.accept_bi().await {
            Ok(stream) => stream,
            Err(error) => return explain(&error),
        };
        let inner = inner.clone();
        let node = node.clone();
        let connection = connection.clone();
        let peer = peer.clone();
        let exchanges = exchanges.clone();

        tokio::spawn(async move {
            if let Err((reason, what)) =
                serve_stream(&inner, &node, &peer, send, recv, &exchanges).await
            {
                inner.metrics.refuse(reason, &format!("{peer}: {what}"));
                connection.close(PROTOCOL_VIOLATION, reason.as_bytes());
            }
        });
    }
}

type Violation = (&'static str, String);

async fn serve_stream(
    inner: &Inner,
    node: &ActorRef<NodeServerMessage>,
    peer: &AgentId,
    send: SendStream,
    mut recv: RecvStream,
    exchanges: &Semaphore,
) -> Result<(), Violation> {
    let mut kind = [0];
    match tokio::time::timeout(STREAM_DEADLINE, recv.read_exact(&mut kind)).await {
        Ok(Ok(())) => {}
        // Opened and dropped without a request.
        Ok(Err(_)) => return Ok(()),
        Err(_) => return Err(("silent-stream", "opened a stream and sent nothing".into())),
    }

    match StreamKind::from_byte(kind[0]) {
        Some(StreamKind::Actors) => {
            let stream = Box::new(SessionStream {
                send,
                recv,
                peer: peer.clone(),
            });
            let _ = node.cast(NodeServerMessage::ConnectionOpenedExternal {
                stream,
                is_server: true,
            });

            Ok(())
        }
        Some(StreamKind::Exchange) => {
            let Ok(_place) = exchanges.acquire().await else {
                return Ok(());
            };
            serve_exchange(inner, peer, send, recv).await
        }
        None => Err((
            "unknown-stream",
            format!(
                "a stream of kind {}, which this version does not know",
                kind[0]
            ),
        )),
    }
}

async fn serve_exchange(
    inner: &Inner,
    peer: &AgentId,
    mut send: SendStream,
    mut recv: RecvStream,
) -> Result<(), Violation> {
    let read = recv.read_to_end(codec::DOCUMENT_LIMIT);
    let request = match tokio::time::timeout(STREAM_DEADLINE, read).await {
        Ok(Ok(request)) => request,
        Ok(Err(quinn::ReadToEndError::TooLong)) => {
            return Err((
                "oversize",
                format!("an exchange of more than {} bytes", codec::DOCUMENT_LIMIT),
            ));
        }
        Ok(Err(_)) => return Ok(()),
        Err(_) => {
            return Err((
                "slow-stream",
                format!("an exchange took longer than {STREAM_DEADLINE:?}"),
            ));
        }
    };

    let answer = inner
        .gossip
        .exchange(peer, request, EXCHANGE_DEADLINE)
        .await;

    // Without an answer (gossip is restarting) the stream is reset, and the peer retries later.
    if let Some(answer) = answer {
        let sent = async { send.write_all(&answer).await.map(|()| send.finish()) };
        let _ = tokio::time::timeout(STREAM_DEADLINE, sent).await;
    }

    Ok(())
}

async fn accept_datagrams(inner: &Inner, connection: &Connection, peer: &AgentId) -> String {
    loop {
        let bytes = match connection.read_datagram().await {
            Ok(bytes) => bytes,
            Err(error) => return explain(&error),
        };

        inner
            .metrics
            .datagrams
            .with_label_values(&["received"])
            .inc();

        let envelope = match codec::decode::<Envelope>(&bytes) {
            Ok(envelope) => envelope,
            Err(error) => {
                inner
                    .metrics
                    .refuse("datagram", &format!("{peer}: malformed datagram: {error}"));

                connection.close(PROTOCOL_VIOLATION, b"datagram");
                return "it sent a malformed datagram".into();
            }
        };

        match route(&inner.id, peer, &envelope) {
            Route::Ours => {
                let Envelope { from, payload, .. } = envelope;
                inner.gossip.datagram(from, payload);
            }
            Route::Relay => inner.relay(&envelope),
            Route::Forged => {
                let what = format!(
                    "{peer} sent a datagram from {} to {}",
                    envelope.from, envelope.to
                );
                inner.metrics.refuse("datagram-route", &what);
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Route {
    /// For us, from the sender that it names.
    Ours,
    /// For another agent of our region, or of another that we are linked with.
    Relay,
    /// The peer may not send for that agent, or we are not on the route.
    Forged,
}

/// Where a datagram from `peer` goes. There are at most two relays: one in the sender's region, and
/// one in the receiver's. A peer sends for itself, for its region's agents, or relays to us what
/// reached our own region.
fn route(us: &AgentId, peer: &AgentId, envelope: &Envelope) -> Route {
    let Envelope { from, to, .. } = envelope;
    let is_own = |agent: &AgentId| agent.region == us.region;
    let is_of_its_region = from.region == peer.region;

    if to == us && (is_of_its_region || is_own(peer)) {
        return Route::Ours;
    }
    let is_on_its_way = match is_own(peer) {
        true => from == peer,
        false => is_of_its_region && is_own(to),
    };
    match is_on_its_way && to != us {
        true => Route::Relay,
        false => Route::Forged,
    }
}

/// Serves a bulk connection until it ends.
pub(crate) async fn serve_bulk(mesh: Mesh, connection: Connection) {
    let inner = mesh.inner;
    let Some(peer) = peer_of(&connection) else {
        connection.close(PROTOCOL_VIOLATION, b"no identity");
        return;
    };
    let gauge = inner
        .metrics
        .connections
        .with_label_values(&[peer.region.as_str(), "bulk"]);

    gauge.inc();
    while let Ok((send, recv)) = connection.accept_bi().await {
        let inner = inner.clone();
        let peer = peer.clone();
        tokio::spawn(async move {
            if let Err(why) = inner.bulk.serve(peer.clone(), send, recv).await {
                inner.metrics.refuse("bulk", &format!("{peer}: {why}"));
            }
        });
    }

    gauge.dec();
}

/// Why a connection ended or failed, as text.
pub(crate) fn explain(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ApplicationClosed(close) if close.error_code == SENT_ON => {
            format!("sent on to {}", String::from_utf8_lossy(&close.reason))
        }
        ConnectionError::ApplicationClosed(close) => {
            format!(
                "closed by the peer: {}",
                String::from_utf8_lossy(&close.reason)
            )
        }
        ConnectionError::TimedOut => "nothing heard for too long".into(),
        other => super::tls::readable(&other.to_string()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn routed(us: &str, peer: &str, from: &str, to: &str) -> Route {
        let id = |text: &str| text.parse::<AgentId>().unwrap();
        route(
            &id(us),
            &id(peer),
            &Envelope {
                from: id(from),
                to: id(to),
                payload: vec![],
            },
        )
    }

    #[test]
    fn a_datagram_is_accepted_from_its_sender_or_through_one_relay() {
        assert_eq!(routed("b/0", "a/0", "a/0", "b/0"), Route::Ours);
        assert_eq!(
            routed("b/0", "a/0", "a/1", "b/0"),
            Route::Ours,
            "its region's agents send through it"
        );

        assert_eq!(routed("b/0", "a/0", "a/0", "b/1"), Route::Relay);
        assert_eq!(
            routed("b/1", "b/0", "a/0", "b/1"),
            Route::Ours,
            "relayed by our own region"
        );
    }

    #[test]
    fn a_datagram_passes_a_relay_in_the_senders_region_and_one_in_the_receivers() {
        assert_eq!(routed("a/1", "a/0", "a/0", "b/1"), Route::Relay);
        assert_eq!(routed("b/0", "a/1", "a/0", "b/1"), Route::Relay);
        assert_eq!(routed("b/1", "b/0", "a/0", "b/1"), Route::Ours);
    }

    #[test]
    fn a_peer_cannot_send_for_another_region_and_no_relay_sends_back() {
        assert_eq!(routed("b/0", "a/0", "c/0", "b/0"), Route::Forged);
        assert_eq!(routed("b/0", "a/0", "c/0", "b/1"), Route::Forged);
        assert_eq!(
            routed("a/2", "a/1", "a/0", "b/1"),
            Route::Forged,
            "a second relay in one region"
        );
        assert_eq!(
            routed("b/0", "a/0", "a/0", "c/0"),
            Route::Forged,
            "we are not of that region"
        );
    }
}
