//! UDP: dedicated threads, each with its own socket on the same port (SO_REUSEPORT: the kernel
//! spreads clients over them). Nothing blocks between a packet and its answer: the zone, the
//! secrets and the limits are read without locks.

use crate::{batch::Batch, error::DnsError, shared::Shared, wire::reply::Transport};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{Shutdown, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio::sync::mpsc;
use tracing::debug;

/// How long a worker waits for a packet before it checks for the stop; usually it is woken.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Pause after the system refuses to receive.
const ERROR_PAUSE: Duration = Duration::from_millis(50);
/// Receive buffer, bytes as the kernel counts them; it may grant less (net.core.rmem_max).
const RECEIVE_BUFFER: usize = 4 << 20;

/// Sockets on `address`, one for each worker.
///
/// SO_REUSEPORT lets any process of the same user share a port, so two agents on one port would
/// each get a part of the queries and neither would notice. The port is therefore first bound
/// without it, which fails if it is in use.
pub(super) fn bind(address: SocketAddr, workers: usize) -> io::Result<Vec<UdpSocket>> {
    let alone = UdpSocket::bind(address)?;
    let address = alone.local_addr()?;
    drop(alone);
    std::iter::repeat_with(|| bind_shared(address))
        .take(workers.max(1))
        .collect()
}

fn bind_shared(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;

    #[cfg(unix)]
    socket.set_reuse_port(true)?;

    // As much as the system grants, so that bursts are queued and not dropped.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    socket.set_read_timeout(Some(LONGEST_WAIT))?;

    // If the network card hangs, the send buffer stays full; the next query must not wait for it
    // forever.
    socket.set_write_timeout(Some(LONGEST_WAIT))?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// The running workers; they end with the value.
#[derive(Debug)]
pub(super) struct Workers {
    stop: Arc<AtomicBool>,
    sockets: Vec<UdpSocket>,
    threads: Vec<JoinHandle<()>>,
    ended: mpsc::Receiver<()>,
}

impl Workers {
    pub(super) fn start(sockets: Vec<UdpSocket>, shared: &Arc<Shared>) -> Result<Self, DnsError> {
        let failed = |error: io::Error| DnsError::Worker(format!("could not be started: {error}"));
        let (end, ended) = mpsc::channel(1);
        let mut workers = Self {
            stop: Arc::default(),
            sockets: Vec::new(),
            threads: Vec::new(),
            ended,
        };

        for (number, socket) in sockets.into_iter().enumerate() {
            workers.sockets.push(socket.try_clone().map_err(failed)?);
            let shared = shared.clone();
            let stop = workers.stop.clone();
            let end = end.clone();
            let run = move || {
                work(&socket, &shared, &stop);
                drop(end);
            };
            let thread = std::thread::Builder::new()
                .name(format!("dns-{number}"))
                .spawn(run)
                .map_err(failed)?;

            workers.threads.push(thread);
        }

        Ok(workers)
    }

    /// Waits until a worker ends unexpectedly, which only a bug can cause.
    pub(super) async fn ended(&mut self) -> DnsError {
        loop {
            if self.threads.iter().any(JoinHandle::is_finished) {
                return DnsError::Worker("ended".into());
            }
            // Nothing is ever sent: this is a pause, cut short when the last worker ends.
            let _ = tokio::time::timeout(LONGEST_WAIT, self.ended.recv()).await;
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for socket in &self.sockets {
            // Wakes the worker. Linux reports that a UDP socket is not connected, but shuts it
            // down.
            let _ = socket2::SockRef::from(socket).shutdown(Shutdown::Both);
        }

        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a DNS worker panicked");
            }
        }
    }
}

fn work(socket: &UdpSocket, shared: &Shared, stop: &AtomicBool) {
    let mut batch = Batch::new();
    let duration = shared.metrics.duration.local();
    while !stop.load(Ordering::Relaxed) {
        match batch.receive(socket) {
            Ok(()) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                continue;
            }
            Err(error) => {
                debug!(%error, "receiving DNS queries failed");
                shared.count_dropped(Transport::Udp, "receive_failed");
                std::thread::sleep(ERROR_PAUSE);
                continue;
            }
        }

        let snapshot = shared.snapshot();
        let mut begin = Instant::now();
        for index in 0..batch.len() {
            let Some((query, peer, out)) = batch.packet(index) else {
                continue;
            };
            if snapshot.respond(query, peer.ip(), Transport::Udp, begin, out) {
                batch.answer(index);
            }

            let end = Instant::now();
            duration.observe((end - begin).as_secs_f64());
            begin = end;
        }

        for _ in 0..batch.send(socket) {
            shared.count_dropped(Transport::Udp, "send_failed");
        }
        duration.flush();
    }
}
