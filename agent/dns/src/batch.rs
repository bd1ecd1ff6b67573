//! Many UDP packets per system call (recvmmsg, sendmmsg): at 150,000 answers a second a core spends
//! its time on the calls, not on the answers. Buffers are allocated once and reused.

use super::wire::QUERY_LIMIT;
use std::{
    io,
    net::{SocketAddr, UdpSocket},
};

/// Packets per call.
pub(super) const PACKETS: usize = 64;
/// One byte more than is read, to detect longer packets.
const ROOM: usize = QUERY_LIMIT + 1;

/// The packets of one call, and their answers.
pub(super) struct Batch {
    queries: Vec<Vec<u8>>,
    /// Of each packet received: its length and sender, and whether it is answered.
    received: Vec<(usize, Peer, bool)>,
    answers: Vec<Vec<u8>>,
    #[cfg(target_os = "linux")]
    headers: (
        nix::sys::socket::MultiHeaders<Peer>,
        nix::sys::socket::MultiHeaders<Peer>,
    ),
}

#[cfg(target_os = "linux")]
type Peer = nix::sys::socket::SockaddrStorage;
#[cfg(not(target_os = "linux"))]
type Peer = SocketAddr;

impl Batch {
    pub(super) fn new() -> Self {
        Self {
            queries: vec![vec![0; ROOM]; PACKETS],
            received: Vec::with_capacity(PACKETS),
            answers: vec![Vec::new(); PACKETS],
            #[cfg(target_os = "linux")]
            headers: (
                nix::sys::socket::MultiHeaders::preallocate(PACKETS, None),
                nix::sys::socket::MultiHeaders::preallocate(PACKETS, None),
            ),
        }
    }

    /// The packets received, in order.
    pub(super) fn len(&self) -> usize {
        self.received.len()
    }

    /// A packet, its sender, and where its answer goes; None beyond the last, and for a sender
    /// without an IP address.
    pub(super) fn packet(&mut self, index: usize) -> Option<(&[u8], SocketAddr, &mut Vec<u8>)> {
        let (length, peer, _) = self.received.get(index)?;
        let address = socket_address(peer)?;
        let query = self.queries.get(index)?.get(..*length)?;
        Some((query, address, self.answers.get_mut(index)?))
    }

    /// Marks the answer to this packet as ready to send.
    pub(super) fn answer(&mut self, index: usize) {
        if let Some((_, _, is_answered)) = self.received.get_mut(index) {
            *is_answered = true;
        }
    }

    /// Waits for a packet and takes those that are queued with it. Fails with `WouldBlock` if none
    /// arrived within the socket's timeout.
    #[cfg(target_os = "linux")]
    pub(super) fn receive(&mut self, socket: &UdpSocket) -> io::Result<()> {
        use nix::sys::socket::{MsgFlags, recvmmsg};

        use std::{io::IoSliceMut, os::fd::AsRawFd};

        self.received.clear();
        let mut slices: Vec<_> = self
            .queries
            .iter_mut()
            .map(|query| [IoSliceMut::new(query)])
            .collect();

        // Blocks for the first packet only.
        let flags = MsgFlags::MSG_WAITFORONE;
        let packets = recvmmsg(
            socket.as_raw_fd(),
            &mut self.headers.0,
            slices.iter_mut(),
            flags,
            None,
        )?;

        self.received
            .extend(packets.filter_map(|packet| Some((packet.bytes, packet.address?, false))));
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn receive(&mut self, socket: &UdpSocket) -> io::Result<()> {
        self.received.clear();
        let (length, peer) = socket.recv_from(&mut self.queries[0])?;
        self.received.push((length, peer, false));
        Ok(())
    }

    /// Sends the answers. Returns how many could not be sent.
    #[cfg(target_os = "linux")]
    pub(super) fn send(&mut self, socket: &UdpSocket) -> usize {
        use nix::sys::socket::{MsgFlags, sendmmsg};

        use std::{io::IoSlice, os::fd::AsRawFd};

        let answered = || {
            self.received
                .iter()
                .zip(&self.answers)
                .filter(|((_, _, is_answered), _)| *is_answered)
        };
        let slices: Vec<_> = answered()
            .map(|(_, answer)| [IoSlice::new(answer)])
            .collect();
        let peers: Vec<_> = answered().map(|((_, peer, _), _)| Some(*peer)).collect();
        let mut begin = 0;
        let mut failed = 0;

        while begin < slices.len() {
            let slices = &slices[begin..];
            let peers = &peers[begin..];
            match sendmmsg(
                socket.as_raw_fd(),
                &mut self.headers.1,
                slices,
                peers,
                [],
                MsgFlags::empty(),
            ) {
                Ok(sent) => begin += sent.count().max(1),
                // The first of the remaining packets can't be sent.
                Err(_) => (begin, failed) = (begin + 1, failed + 1),
            }
        }

        failed
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn send(&mut self, socket: &UdpSocket) -> usize {
        let answered = self
            .received
            .iter()
            .zip(&self.answers)
            .filter(|((_, _, is_answered), _)| *is_answered);

        answered
            .filter(|((_, peer, _), answer)| socket.send_to(answer, peer).is_err())
            .count()
    }
}

#[cfg(target_os = "linux")]
fn socket_address(peer: &Peer) -> Option<SocketAddr> {
    match (peer.as_sockaddr_in(), peer.as_sockaddr_in6()) {
        (Some(v4), _) => Some(SocketAddr::from((v4.ip(), v4.port()))),
        (_, Some(v6)) => Some(SocketAddr::from((v6.ip(), v6.port()))),
        _ => None,
    }
}

#[cfg(not(target_os = "linux"))]
fn socket_address(peer: &Peer) -> Option<SocketAddr> {
    Some(*peer)
}
