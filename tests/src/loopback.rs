//! Loopback networks of a test's own, so that meshes don't meet: those of one program, and those of
//! programs that run at the same time.

use parking_lot::Mutex;
use std::{
    net::{Ipv4Addr, UdpSocket},
    sync::atomic::{AtomicUsize, Ordering},
};

/// Every fourth third octet: the second and third agents of regions have the networks after it.
const STRIDE: usize = 4;
/// Networks in a /16.
const PER_SECOND_OCTET: usize = 248 / STRIDE;
/// Networks that there are, from 127.100.0.0/24 on.
const NETWORKS: usize = 120 * PER_SECOND_OCTET;
/// Bound as long as the program runs; a program that can't bind it leaves the network to its
/// holder.
const HELD_PORT: u16 = 65_535;

/// A /24 of 127.0.0.0/8, and the three that follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loopback([u8; 3]);

impl Loopback {
    /// A network that no other test uses while this program runs.
    pub fn reserve() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);

        static HELD: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());

        // Programs begin far apart, so that the next one does not reuse the addresses of the last.
        let first = std::process::id() as usize * 97;
        loop {
            let index = (first + NEXT.fetch_add(1, Ordering::Relaxed)) % NETWORKS;
            let second = index / PER_SECOND_OCTET;
            let third = index % PER_SECOND_OCTET * STRIDE;
            let network = Self([127, 100 + second as u8, third as u8]);

            // An agent may still run there, of a test that was killed.
            let is_free = UdpSocket::bind((network.at(11), 7443)).is_ok();
            if let (true, Ok(held)) = (is_free, UdpSocket::bind((network.at(254), HELD_PORT))) {
                HELD.lock().push(held);
                return network;
            }
        }
    }

    /// The address that ends with `last`.
    pub fn at(self, last: u8) -> Ipv4Addr {
        let [a, b, c] = self.0;
        Ipv4Addr::new(a, b, c, last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_network_is_assigned_twice() {
        let first = Loopback::reserve();
        let second = Loopback::reserve();
        assert_ne!(first, second);
        assert!(UdpSocket::bind((first.at(254), HELD_PORT)).is_err());
    }
}
