//! The agent's UDP port: QUIC endpoint, transport settings, and admission of handshakes.
//!
//! A handshake costs a signature and memory before the peer is authenticated. So handshakes are
//! limited: by a budget per source address, and by a bound on those in flight; beyond half of the
//! bound, only from sources that proved their address (QUIC Retry, RFC 9000 §8.1.2). The rest is
//! refused or dropped, and counted.

use super::{metrics::MeshMetrics, tls::Identity};
use quinn::{
    AsyncUdpSocket, ClientConfig, Endpoint, EndpointConfig, MtuDiscoveryConfig, Runtime,
    ServerConfig, TokioRuntime, TransportConfig, UdpPoller, VarInt,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
    udp::{RecvMeta, Transmit},
};
use regionmesh_protocol::wire::{ALPN_BULK, ALPN_CONTROL};
use regionmesh_runtime::describe;
use std::{
    collections::HashMap,
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

/// Keep-alive of control connections; with [`CONTROL_IDLE`] a dead peer is noticed within 5 s
/// (QUIC's default is off).
const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// A control connection without a packet for this long is dead.
const CONTROL_IDLE: Duration = Duration::from_secs(4);
/// Idle time-out of bulk connections: they carry no heartbeat, and redialling loses requests in
/// flight.
const BULK_IDLE: Duration = Duration::from_secs(15);
/// UDP socket buffers, bytes: what 500 Mbit/s over 100 ms needs; the system may grant less
/// (net.core.rmem_max).
const SOCKET_BUFFER: usize = 8 << 20;
/// Flow control of a bulk stream, bytes.
const STREAM_WINDOW: u32 = 16 << 20;
/// Flow control of a whole connection, bytes.
const CONNECTION_WINDOW: u32 = 64 << 20;
/// Largest path MTU probed for: jumbo frames inside a cloud's network double throughput; elsewhere
/// probing stops at 1,452.
const MTU_LIMIT: u16 = 8_952;
/// Limit of a peer's open bidirectional streams.
const STREAMS: u32 = 64;
/// How long a handshake may take.
pub(crate) const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);
/// Limit of handshakes in flight.
pub(crate) const HANDSHAKES_AT_ONCE: usize = 64;
/// Handshakes per second and source address.
const RATE_PER_S: f64 = 10.0;
/// Burst of handshakes of one source address.
const BURST: f64 = 30.0;
/// Source addresses remembered.
const SOURCES: usize = 4_096;

/// Client settings for both kinds of connection.
#[derive(Debug, Clone)]
pub(crate) struct Dialling {
    /// For control connections.
    pub(crate) control: ClientConfig,
    /// For bulk connections.
    pub(crate) bulk: ClientConfig,
}

/// Why the endpoint could not be created.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndpointError {
    /// The address can't be listened on.
    #[error("the mesh can't listen on {address}/udp: {}; free the port or change \
        listen.mesh", describe::io_error(.error))]
    Bind {
        /// `listen.mesh` of the configuration.
        address: SocketAddr,
        /// The system's reason.
        error: io::Error,
    },
    /// The TLS library refused our settings.
    #[error("TLS: {0}")]
    Tls(String),
}

/// Transport settings of control connections, or of bulk ones. Public so that a benchmark measures
/// a raw connection with the same settings.
pub fn transport_config(is_bulk: bool) -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(STREAMS.into())
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(STREAM_WINDOW.into())
        .receive_window(CONNECTION_WINDOW.into())
        .send_window(u64::from(CONNECTION_WINDOW))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .datagram_receive_buffer_size(Some(1 << 20))
        .enable_segmentation_offload(true);

    let idle = if is_bulk { BULK_IDLE } else { CONTROL_IDLE };
    transport.max_idle_timeout(idle.try_into().ok());

    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(MTU_LIMIT);
    transport.mtu_discovery_config(Some(discovery));
    transport
}

/// Binds the port and makes the settings for dialling from it.
pub(crate) fn bind(
    address: SocketAddr,
    identity: &Arc<Identity>,
    metrics: &MeshMetrics,
) -> Result<(Endpoint, Dialling), EndpointError> {
    let tls = |error: &dyn std::fmt::Display| EndpointError::Tls(error.to_string());
    let server = identity
        .server_config(metrics.clone())
        .map_err(|error| tls(&error))?;
    let server = QuicServerConfig::try_from(server).map_err(|error| tls(&error))?;
    let mut server = ServerConfig::with_crypto(Arc::new(server));

    // Both kinds arrive here; the dialler's idle time-out is the smaller one and applies (RFC 9000
    // §10.1).
    server.transport_config(Arc::new(transport_config(true)));
    server.max_incoming(HANDSHAKES_AT_ONCE * 4);
    server
        .incoming_buffer_size(64 << 10)
        .incoming_buffer_size_total(8 << 20);

    let client = |alpn: &[u8], is_bulk| {
        let client = identity.client_config(alpn).map_err(|error| tls(&error))?;
        let client = QuicClientConfig::try_from(client).map_err(|error| tls(&error))?;
        let mut client = ClientConfig::new(Arc::new(client));
        client.transport_config(Arc::new(transport_config(is_bulk)));
        Ok::<_, EndpointError>(client)
    };

    let dialling = Dialling {
        control: client(ALPN_CONTROL, false)?,
        bulk: client(ALPN_BULK, true)?,
    };

    let bind = |error| EndpointError::Bind { address, error };
    let socket = udp_socket(address).map_err(bind)?;
    let inner = TokioRuntime.wrap_udp_socket(socket).map_err(bind)?;
    let socket = Arc::new(CountingSocket {
        inner,
        metrics: metrics.clone(),
    });
    let mut config = EndpointConfig::default();

    config
        .max_udp_payload_size(65_527)
        .map_err(|error| tls(&error))?;

    // Agents don't grease the fixed bit (RFC 9287): a packet without it is not from an agent and is
    // counted.
    config.grease_quic_bit(false);

    let endpoint =
        Endpoint::new_with_abstract_socket(config, Some(server), socket, Arc::new(TokioRuntime))
            .map_err(bind)?;
    Ok((endpoint, dialling))
}

fn udp_socket(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::DGRAM,
        None,
    )?;

    // Best effort: the system caps them, and the mesh works more slowly with smaller buffers.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER);

    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// The limits of new handshakes.
#[derive(Debug, Default)]
pub(crate) struct HandshakeLimiter {
    sources: HashMap<IpAddr, (f64, Instant)>,
}

impl HandshakeLimiter {
    /// Takes one handshake from the budget of `source`; false if the budget is empty.
    pub(crate) fn admit(&mut self, source: IpAddr, now: Instant) -> bool {
        if self.sources.len() >= SOURCES && !self.sources.contains_key(&source) {
            // A new source starts with a full budget, so sources with a full budget can be removed.
            self.sources
                .retain(|_, (tokens, at)| refilled(*tokens, *at, now) < BURST);
            if self.sources.len() >= SOURCES {
                return false;
            }
        }

        let (tokens, at) = self.sources.entry(source).or_insert((BURST, now));
        *tokens = refilled(*tokens, *at, now);
        *at = now;

        let is_admitted = *tokens >= 1.0;
        if is_admitted {
            *tokens -= 1.0;
        }

        is_admitted
    }
}

fn refilled(tokens: f64, at: Instant, now: Instant) -> f64 {
    (tokens + now.duration_since(at).as_secs_f64() * RATE_PER_S).min(BURST)
}

/// The UDP socket; counts packets that can't be QUIC. quinn drops them silently, but operators
/// should see that something else uses the port.
#[derive(Debug)]
struct CountingSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    metrics: MeshMetrics,
}

impl AsyncUdpSocket for CountingSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.inner.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.inner.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let received = std::task::ready!(self.inner.poll_recv(cx, buffers, meta))?;
        for (buffer, meta) in buffers.iter().zip(meta.iter()).take(received) {
            // RFC 9000 §17: the second highest bit of every packet is 1; `bind` ensures it for
            // agents.
            if meta.len > 0 && buffer[0] & 0x40 == 0 {
                self.metrics.refuse(
                    "not-quic",
                    &format!(
                        "a packet of {} bytes from {} is not QUIC",
                        meta.len, meta.addr
                    ),
                );
            }
        }

        Poll::Ready(Ok(received))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_from_one_source_does_not_spend_the_budget_of_another() {
        let mut limiter = HandshakeLimiter::default();
        let now = Instant::now();
        let flood: IpAddr = [192, 0, 2, 1].into();
        let peer: IpAddr = [192, 0, 2, 2].into();
        let admitted = (0..10_000).filter(|_| limiter.admit(flood, now)).count();

        assert_eq!(admitted, BURST as usize);
        assert!(limiter.admit(peer, now));
        assert!(limiter.admit(flood, now + Duration::from_secs(1)));
    }

    #[test]
    fn the_table_of_sources_is_bounded_and_recovers() {
        let mut limiter = HandshakeLimiter::default();
        let now = Instant::now();
        for source in 0..10_000u32 {
            limiter.admit(IpAddr::from(source.to_be_bytes()), now);
        }
        assert!(limiter.sources.len() <= SOURCES);
        assert!(limiter.admit([255, 0, 0, 1].into(), now + Duration::from_secs(10)));
    }
}
