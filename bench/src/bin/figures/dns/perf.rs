//! DNS queries: dnsperf for throughput, our own queries where every answer is checked.

use super::CLIENT_CORE;
use crate::report::percentile;
use anyhow::{Context, Result, bail};
use std::{
    io::{BufRead, BufReader, Read},
    net::{SocketAddr, UdpSocket},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// A client subnet, 198.51.100.0/24 (RFC 7871 §6), in dnsperf's notation of options.
const SUBNET: &str = "8:00011800c63364";
/// Padding (RFC 7830), an option that our server answers on its general path.
const PADDING: &str = "12:0000";

/// The kind of queries.
#[derive(Debug, Clone, Copy)]
pub(super) enum Load {
    /// `serving` A with a client subnet.
    Service,
    /// `serving` A with an option that our server answers after parsing with its library.
    General,
}

/// Results of dnsperf.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) answers: u64,
    pub(super) lost: u64,
    pub(super) took: Duration,
    /// Only with a given pace.
    pub(super) p50: Duration,
    pub(super) p99: Duration,
}

/// Queries for `length`, as fast as answers come or at `pace` queries per second.
pub(super) fn ask(
    server: SocketAddr,
    load: Load,
    pace: Option<u32>,
    length: Duration,
) -> Result<Outcome> {
    let questions = tempfile::NamedTempFile::new()?;
    std::fs::write(questions.path(), "serving.regionmesh.test A\n")?;

    // Written to a file: reading a pipe would take time from one of the two cores.
    let output = tempfile::NamedTempFile::new()?;
    let status = dnsperf(server, load, pace, length)
        .arg("-d")
        .arg(questions.path())
        .stdin(Stdio::null())
        .stdout(output.reopen()?)
        .stderr(Stdio::null())
        .status()
        .context("dnsperf")?;
    let outcome = read_output(server, output.reopen()?)?;

    if !status.success() || outcome.took.is_zero() {
        bail!("dnsperf failed against {server}");
    }
    Ok(outcome)
}

fn dnsperf(server: SocketAddr, load: Load, pace: Option<u32>, length: Duration) -> Command {
    let option = match load {
        Load::Service => SUBNET,
        Load::General => PADDING,
    };

    let mut command = Command::new("taskset");
    command
        .args(["-c", CLIENT_CORE, "dnsperf", "-E", option])
        .args(["-s", &server.ip().to_string()])
        .args(["-p", &server.port().to_string()])
        .args(["-l", &length.as_secs().to_string()])
        .args(["-c", "8", "-T", "1"]);

    match pace {
        // Verbose output has the time of each answer.
        Some(pace) => command.args(["-v", "-Q", &pace.to_string()]),
        None => command.args(["-q", "200"]),
    };

    command
}

fn read_output(server: SocketAddr, output: impl Read) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut times = Vec::new();

    for line in BufReader::new(output).lines() {
        let line = line?;
        let mut words = line.split_whitespace();
        if let Some(">") = words.next() {
            let seconds: f64 = words
                .last()
                .and_then(|word| word.parse().ok())
                .context("no time")?;
            times.push(Duration::from_secs_f64(seconds));
        }

        let value = || {
            line.split_once(':')
                .and_then(|(_, value)| value.split_whitespace().next())
        };
        let number = || {
            value()
                .and_then(|value| value.parse::<u64>().ok())
                .with_context(|| line.clone())
        };

        match line.trim_start() {
            text if text.starts_with("Queries completed:") => outcome.answers = number()?,
            text if text.starts_with("Queries lost:") => outcome.lost = number()?,
            text if text.starts_with("Run time (s):") => {
                let seconds = value()
                    .and_then(|value| value.parse().ok())
                    .context("no run time")?;
                outcome.took = Duration::from_secs_f64(seconds);
            }
            // Fails the run if any answer has another code.
            text if text.starts_with("Response codes:") && !text.contains("(100.00%)") => {
                bail!("{server}: {text}")
            }
            _ => {}
        }
    }

    outcome.p50 = percentile(&times, 50).unwrap_or_default();
    outcome.p99 = percentile(&times, 99).unwrap_or_default();
    Ok(outcome)
}

/// Results of [`watch`].
pub(super) struct Watched {
    pub(super) asked: u64,
    /// Queries not answered within a second, or answered without an address.
    pub(super) bad: u64,
}

/// Queries sequentially and checks every answer.
pub(super) fn watch(server: SocketAddr, service: &str, length: Duration) -> Result<Watched> {
    let socket = client("127.0.0.1")?;
    let mut seen = Watched { asked: 0, bad: 0 };
    let mut buffer = [0; 2_048];
    let begin = Instant::now();

    while begin.elapsed() < length {
        let id = (seen.asked & 0xffff) as u16;
        socket.send_to(&question(id, service, 1), server)?;
        seen.asked += 1;

        let is_good = loop {
            match socket.recv(&mut buffer) {
                Ok(received) if buffer[..2] == id.to_be_bytes() => {
                    break is_address(&buffer[..received]);
                }
                Ok(_) => {}
                Err(_) => break false,
            }
        };

        seen.bad += u64::from(!is_good);
    }

    Ok(seen)
}

/// NOERROR with a record.
fn is_address(answer: &[u8]) -> bool {
    answer.len() > 12 && answer[3] & 0x0f == 0 && answer[2] & 0x02 == 0 && answer[6..8] != [0, 0]
}

/// A socket with its own address and a read timeout of a second.
pub(super) fn client(address: &str) -> Result<UdpSocket> {
    let socket = UdpSocket::bind((address, 0))?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    Ok(socket)
}

/// A query in plain bytes (RFC 1035 §4.1), without EDNS.
pub(super) fn question(id: u16, name: &str, kind: u16) -> Vec<u8> {
    let mut packet = id.to_be_bytes().to_vec();
    packet.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.').filter(|label| !label.is_empty()) {
        packet.push(label.len() as u8);
        packet.extend_from_slice(label.as_bytes());
    }

    packet.push(0);
    packet.extend_from_slice(&kind.to_be_bytes());
    packet.extend_from_slice(&[0, 1]);
    packet
}
