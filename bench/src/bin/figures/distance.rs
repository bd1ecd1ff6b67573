//! Simulates distant regions on one machine: a network namespace for each, and a router between
//! them that delays packets.
//!
//! Every namespace, including this process's own, has a TUN device. Packets that are sent into one
//! are read here, delayed, and written to the device that has the destination address. Refused
//! connections, resets and packet loss look as they do between real regions, without support in the
//! product. Needs root, iproute2 and /dev/net/tun.

use anyhow::{Context, Result, bail, ensure};
use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};
use tokio::{process::Command, sync::mpsc, time::Instant};
use tokio_util::task::AbortOnDropHandle;
use tun_rs::{AsyncDevice, DeviceBuilder};

/// Round trips between the regions of a mesh, by their order there: us-west-2, eu-west-1,
/// ap-south-1.
pub(crate) const ROUND_TRIPS: [(usize, usize, Duration); 3] = [
    (0, 1, Duration::from_millis(125)),
    (0, 2, Duration::from_millis(220)),
    (1, 2, Duration::from_millis(135)),
];
/// Number of regions.
const REGIONS: usize = 3;
/// Largest packet of the devices, bytes.
const MTU: u16 = 1_500;
/// Largest number of packets on their way from one place to another; more are dropped.
const WAITING: usize = 4_096;
/// The number of no region.
const NO_REGION: u8 = u8::MAX;
/// The receiver's address in a packet of IPv4 (RFC 791, section 3.1).
const DESTINATION: std::ops::Range<usize> = 16..20;

/// The network of one mesh; removed on drop.
pub(crate) struct Distance {
    number: u8,
    silent: Arc<AtomicU8>,
    routing: Vec<AbortOnDropHandle<()>>,
}

/// A region or the observer: its device, and queues of arriving packets with their arrival times.
struct Place {
    device: Arc<AsyncDevice>,
    arriving: [mpsc::Sender<(Instant, Vec<u8>)>; REGIONS + 1],
}

impl Distance {
    /// Creates the network of mesh `number`.
    pub(crate) async fn create(number: u8) -> Result<Self> {
        let mut distance = Self {
            number,
            silent: Arc::new(AtomicU8::new(NO_REGION)),
            routing: Vec::new(),
        };
        let mut places = Vec::new();

        for index in 0..REGIONS {
            let device = distance.add_region(index).await?;
            places.push(distance.place(device));
        }

        let device = distance.add_observer().await?;
        places.push(distance.place(device));

        let places = Arc::new(places);
        for from in 0..=REGIONS {
            let places = places.clone();
            let silent = distance.silent.clone();
            let first = u32::from(distance.address(0));

            distance
                .routing
                .push(AbortOnDropHandle::new(tokio::spawn(read(
                    places, from, first, silent,
                ))));
        }

        Ok(distance)
    }

    /// Creates the namespace of region `index`.
    async fn add_region(&self, index: usize) -> Result<AsyncDevice> {
        let space = self.space(index);
        // Left over from a run that was killed.
        let _ = ip(&["netns", "del", &space]).await;

        ip(&["netns", "add", &space])
            .await
            .context("network namespaces need root and iproute2")?;

        let device = self.device(index)?;
        let name = device.name()?;
        let address = format!("{}/24", self.address(index));
        let mtu = MTU.to_string();

        ip(&["link", "set", &name, "netns", &space]).await?;
        ip(&["-n", &space, "link", "set", "lo", "up"]).await?;
        ip(&["-n", &space, "addr", "add", &address, "dev", &name]).await?;
        ip(&["-n", &space, "link", "set", &name, "mtu", &mtu, "up"]).await?;
        Ok(device)
    }

    async fn add_observer(&self) -> Result<AsyncDevice> {
        let device = self.device(REGIONS)?;
        let name = device.name()?;
        let address = format!("{}/24", self.address_of_observer());

        ip(&["addr", "add", &address, "dev", &name]).await?;
        ip(&["link", "set", &name, "mtu", &MTU.to_string(), "up"]).await?;
        Ok(device)
    }

    fn device(&self, index: usize) -> Result<AsyncDevice> {
        let name = format!("rmf{}-{index}", self.number);
        DeviceBuilder::new()
            .name(name)
            .build_async()
            .context("/dev/net/tun can't be used: it needs root")
    }

    /// Starts delivery. All packets of one sender have the same delay, so a queue per sender is in
    /// order of arrival.
    fn place(&mut self, device: AsyncDevice) -> Place {
        let device = Arc::new(device);
        let arriving = std::array::from_fn(|_| {
            let (sender, mut receiver) = mpsc::channel::<(Instant, Vec<u8>)>(WAITING);
            let device = device.clone();
            self.routing
                .push(AbortOnDropHandle::new(tokio::spawn(async move {
                    while let Some((at, packet)) = receiver.recv().await {
                        tokio::time::sleep_until(at).await;
                        // Packets to a device without a reader are lost, as in a network.
                        let _ = device.send(&packet).await;
                    }
                })));

            sender
        });

        Place { device, arriving }
    }

    /// Address of the agent of region `index`.
    pub(crate) fn address(&self, index: usize) -> Ipv4Addr {
        Ipv4Addr::new(10, 88, self.number, 11 + index as u8)
    }

    fn address_of_observer(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 88, self.number, 1)
    }

    fn space(&self, index: usize) -> String {
        format!("rmf{}-{index}", self.number)
    }

    /// Prefix of a command that runs in a region.
    pub(crate) fn launcher(&self, index: usize) -> [String; 4] {
        [
            "ip".into(),
            "netns".into(),
            "exec".into(),
            self.space(index),
        ]
    }

    /// Drops all packets to and from region `index` from now on.
    pub(crate) fn silence(&self, index: usize) {
        self.silent.store(index as u8, Ordering::Relaxed);
    }

    /// Undoes [`Distance::silence`].
    pub(crate) fn heal(&self) {
        self.silent.store(NO_REGION, Ordering::Relaxed);
    }
}

impl Drop for Distance {
    fn drop(&mut self) {
        self.routing.clear();
        for index in 0..REGIONS {
            let _ = std::process::Command::new("ip")
                .args(["netns", "del", &self.space(index)])
                .status();
        }
    }
}

/// Half of the round trip between two places; zero to and from the observer.
fn delay(from: usize, to: usize) -> Duration {
    let low = from.min(to);
    let high = from.max(to);
    let found = ROUND_TRIPS.iter().find(|(a, b, _)| (*a, *b) == (low, high));
    found.map_or(Duration::ZERO, |(_, _, round_trip)| *round_trip / 2)
}

/// Routes packets from place `from` until its device is gone.
async fn read(places: Arc<Vec<Place>>, from: usize, first: u32, silent: Arc<AtomicU8>) {
    let mut buffer = vec![0; usize::from(MTU)];
    while let Ok(length) = places[from].device.recv(&mut buffer).await {
        let packet = &buffer[..length];
        let Some(to) = receiver(packet, first) else {
            continue;
        };
        let silent = usize::from(silent.load(Ordering::Relaxed));

        if to == from || silent == from || silent == to {
            continue;
        }

        let Some(place) = places.get(to) else {
            continue;
        };
        let _ = place.arriving[from].try_send((Instant::now() + delay(from, to), packet.to_vec()));
    }
}

/// The destination of a packet; `None` if it is not IPv4, or not for a place of this network.
fn receiver(packet: &[u8], first: u32) -> Option<usize> {
    if packet.first()? >> 4 != 4 {
        return None;
    }

    let address: [u8; 4] = packet.get(DESTINATION)?.try_into().ok()?;
    let address = u32::from(Ipv4Addr::from(address));
    if address == first - 10 {
        return Some(REGIONS);
    }

    let index = usize::try_from(address.checked_sub(first)?).ok()?;
    (index < REGIONS).then_some(index)
}

async fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .await
        .context("ip (Debian: iproute2)")?;

    if !output.status.success() {
        bail!(
            "ip {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }

    Ok(())
}

/// Checks the round trips between regions with ping.
pub(crate) async fn check(distance: &Distance) -> Result<()> {
    for (a, b, round_trip) in ROUND_TRIPS {
        let space = distance.space(a);
        let to = distance.address(b).to_string();
        let words = [
            "netns", "exec", &space, "ping", "-n", "-q", "-c", "3", "-i", "0.2", "-W", "2", &to,
        ];
        let output = Command::new("ip").args(words).output().await?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();

        // rtt min/avg/max/mdev = 125.2/125.3/125.4/0.1 ms
        let average = text
            .rsplit(" = ")
            .next()
            .and_then(|times| times.split('/').nth(1)?.parse::<f64>().ok());
        let average = average.with_context(|| {
            format!("region {a} can't ping {to} (Debian: iputils-ping): {text}")
        })?;
        let wanted = round_trip.as_secs_f64() * 1e3;

        ensure!(
            (wanted..wanted + 15.0).contains(&average),
            "a ping from {a} to {b} takes {average} ms, not {wanted}"
        );
    }

    Ok(())
}

#[cfg(test)]
mod tests;
