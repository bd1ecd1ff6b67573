//! Asks a DNS server: dnsperf for speed, queries of our own where each answer is looked at.

use super::CLIENT_CORE;
use anyhow::{Context, Result, bail};
use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, UdpSocket},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// A client subnet, 198.51.100.0/24 (RFC 7871 §6), as dnsperf takes options.
const SUBNET: &str = "8:00011800c63364";
/// Padding (RFC 7830): an option that our server leaves to the general way.
const PADDING: &str = "12:0000";

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub(super) enum Load {
    /// `serving` A with a client subnet.
    Service,
    /// The same question with an option that our server answers after parsing with its library.
    General,
}

/// What dnsperf saw.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) answers: u64,
    pub(super) lost: u64,
    pub(super) took: Duration,
    /// Only where a pace was given.
    pub(super) p50: Duration,
    pub(super) p99: Duration,
}

/// Asks for `length`: as fast as answers come, or `pace` queries a second.
pub(super) fn ask(
    server: SocketAddr,
    load: Load,
    pace: Option<u32>,
    length: Duration,
) -> Result<Outcome> {
    let questions = tempfile::NamedTempFile::new()?;
    std::fs::write(questions.path(), "serving.regionmesh.test A\n")?;

    let mut command = Command::new("taskset");
    command.args([
        "-c",
        CLIENT_CORE,
        "dnsperf",
        "-s",
        &server.ip().to_string(),
        "-p",
        &server.port().to_string(),
    ]);

    command.arg("-d").arg(questions.path()).args([
        "-l",
        &length.as_secs().to_string(),
        "-c",
        "8",
        "-T",
        "1",
    ]);

    command.args([
        "-E",
        match load {
            Load::Service => SUBNET,
            Load::General => PADDING,
        },
    ]);

    match pace {
        // Says the time of each answer.
        Some(pace) => command.args(["-v", "-Q", &pace.to_string()]),
        None => command.args(["-q", "200"]),
    };

    // Into a file that is read afterwards: a reader would take time from one of the two cores.
    let told = tempfile::NamedTempFile::new()?;
    let status = command
        .stdin(Stdio::null())
        .stdout(told.reopen()?)
        .stderr(Stdio::null())
        .status()
        .context("dnsperf")?;
    let mut outcome = Outcome::default();
    let mut times = Vec::new();

    for line in BufReader::new(told.reopen()?).lines() {
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

    if !status.success() || outcome.took.is_zero() {
        bail!("dnsperf failed against {server}");
    }

    let part = |percent| crate::report::percentile(&times, percent).unwrap_or_default();
    (outcome.p50, outcome.p99) = (part(50), part(99));
    Ok(outcome)
}

/// What a watcher saw.
pub(super) struct Watched {
    pub(super) asked: u64,
    /// Not answered within a second, or answered with anything but an address.
    pub(super) bad: u64,
}

/// Asks one question after the other and looks at every answer.
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

/// A socket with an address of its own that waits a second for an answer.
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
