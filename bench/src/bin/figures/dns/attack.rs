//! Attacks on a DNS server: amplification to a forged address, and memory use under a flood.

use super::perf::{client, question};
use crate::{idle::resident, report::Report};
use anyhow::Result;
use std::{
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

/// The forged source address. It is ours, so that received bytes can be counted.
const VICTIM: &str = "127.99.0.1";
const ATTACK: Duration = Duration::from_secs(5);
const FLOOD: Duration = Duration::from_secs(15);
/// Queries per second with one forged address: far above the limit, but few enough to lose none.
const ATTACK_PER_S: u32 = 5_000;

/// Attacks the server with every kind of answer, then floods it from many networks.
pub(super) fn measure(
    report: &mut Report,
    server: SocketAddr,
    service: &str,
    pid: u32,
) -> Result<()> {
    let zone = service.trim_start_matches("serving.");
    // The longest answers to the shortest questions: NS has glue. All kinds together, since each
    // has its own limit.
    let kinds = [
        question(1, zone, 2),
        question(2, service, 1),
        question(3, &format!("no.{zone}"), 1),
        question(4, &format!("a.{service}"), 1),
        question(5, zone, 15),
        question(6, "test", 2),
    ];

    let (sent, received) = attack(server, &kinds)?;
    let detail = format!(
        "{received} bytes for {sent} bytes of queries, all kinds of answers, {ATTACK_PER_S}/s"
    );

    report.below(
        "DNS, amplification to one /24 beyond the limit",
        received as f64 / sent as f64,
        1.5,
        "x",
        &detail,
    );

    let before = resident(pid)?;
    let (packets, connections, most) = flood(server, service, pid)?;
    let detail = format!(
        "{before:.0} MB before; {packets} queries from 60,000 networks, garbage among them, \
            {connections} TCP connections tried"
    );

    report.below("DNS, resident under a flood", most, 100.0, "MB", &detail);
    Ok(())
}

/// Bytes sent and bytes received.
fn attack(server: SocketAddr, queries: &[Vec<u8>]) -> Result<(u64, u64)> {
    let socket = client(VICTIM)?;
    let ears = socket.try_clone()?;
    let counting = std::thread::spawn(move || {
        let mut received = 0u64;
        let mut buffer = [0; 2_048];

        // Ends a second after the last answer.
        while let Ok(length) = ears.recv(&mut buffer) {
            received += length as u64;
        }
        received
    });

    let begin = Instant::now();
    let mut sent = 0u64;
    let mut count = 0u32;

    while begin.elapsed() < ATTACK {
        for query in queries {
            sent += socket.send_to(query, server)? as u64;
            count += 1;
        }

        std::thread::sleep(
            (begin + Duration::from_secs(1) / ATTACK_PER_S * count)
                .saturating_duration_since(Instant::now()),
        );
    }

    let received = counting
        .join()
        .map_err(|_| anyhow::anyhow!("the counting thread panicked"))?;
    Ok((sent, received))
}

/// Sends queries from changing networks and garbage, and holds connections open. Returns the number
/// of packets and connections, and the maximum memory (MB).
fn flood(server: SocketAddr, service: &str, pid: u32) -> Result<(u64, u64, f64)> {
    let begin = Instant::now();
    let mut packets = 0u64;
    let mut tried = 0u64;
    let mut most = 0f64;
    let query = question(7, service, 1);
    let mut held = Vec::new();

    while begin.elapsed() < FLOOD {
        for _ in 0..200 {
            // 127.64.0.0/10 and beyond: 60,000 networks of this machine.
            let network = (packets % 60_000) as u32;
            let address = Ipv4Addr::from_bits(0x7f40_0001 + (network << 8) % 0x00bf_0000);
            let socket = UdpSocket::bind((address, 0))?;

            for _ in 0..5 {
                socket.send_to(&query, server)?;
            }

            let garbage: [u8; 64] = rand::random();
            socket.send_to(&garbage[..(packets % 64) as usize], server)?;
            packets += 6;
        }

        if let Ok(stream) = TcpStream::connect_timeout(&server, Duration::from_millis(100)) {
            held.push(stream);
        }
        tried += 1;
        most = most.max(resident(pid)?);
    }

    Ok((packets, tried, most))
}
