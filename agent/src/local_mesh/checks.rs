//! Checks before the first process starts, so that an error says what to do.

use super::{error::LocalMeshError, layout::LocalAgent, process};
use std::{
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr, TcpListener, UdpSocket},
    path::Path,
    time::Duration,
};

/// How long a leftover process may take to end after each signal.
const LEFTOVER_TIMEOUT: Duration = Duration::from_secs(5);

/// Ends agents that an earlier run of this data directory left behind; returns those ended.
///
/// The directory is locked, so the `up` that started them is gone.
pub(crate) async fn end_leftovers(data_dir: &Path) -> Result<Vec<String>, LocalMeshError> {
    let mut ended = Vec::new();
    let mut stuck = Vec::new();
    let Ok(directories) = std::fs::read_dir(data_dir.join("agents")) else {
        return Ok(ended);
    };

    for directory in directories.flatten() {
        let pid_file = directory.path().join("pid");
        let Ok(text) = std::fs::read_to_string(&pid_file) else {
            continue;
        };
        let name = directory.file_name().to_string_lossy().into_owned();

        if let Ok(pid) = text.trim().parse::<u32>()
            && is_ours(pid, &directory.path())
        {
            let line = format!("{name} (pid {pid})");
            if process::end(pid, LEFTOVER_TIMEOUT).await {
                ended.push(line)
            } else {
                stuck.push(line)
            }
        }

        let _ = std::fs::remove_file(pid_file);
    }

    if stuck.is_empty() {
        Ok(ended)
    } else {
        Err(LocalMeshError::Leftover(stuck))
    }
}

/// A pid may have been given to something else since: ours names its own configuration file.
pub fn is_ours(pid: u32, directory: &Path) -> bool {
    let config = directory.join("agent.toml");
    process::command_line(pid).is_some_and(|line| line.contains(&*config.to_string_lossy()))
}

/// Tries every address that the mesh and the front door will listen on.
pub(crate) fn addresses(
    agents: &[LocalAgent],
    front_door: &[SocketAddr],
) -> Result<(), LocalMeshError> {
    let mut findings = Findings::default();
    for agent in agents {
        let id = &agent.id;
        findings.try_udp(agent.mesh(), &format!("mesh of {id}"));
        findings.try_udp(agent.dns(), &format!("DNS of {id}"));
        findings.try_tcp(agent.dns(), &format!("DNS of {id}"));
        findings.try_tcp(agent.api(), &format!("API of {id}"));
        findings.try_tcp(agent.serving(), &format!("serving of {id}"));
    }

    for address in front_door {
        findings.try_front_door(*address);
    }

    let Findings { missing, taken } = findings;
    if !missing.is_empty() {
        return Err(no_loopback(&missing, cfg!(target_os = "linux")));
    }

    if taken.is_empty() {
        Ok(())
    } else {
        Err(LocalMeshError::PortsInUse(taken))
    }
}

/// Addresses that can't be listened on.
#[derive(Default)]
struct Findings {
    /// Addresses that no interface has.
    missing: Vec<IpAddr>,
    /// Each `address/transport (use)`.
    taken: Vec<String>,
}

impl Findings {
    fn try_udp(&mut self, address: SocketAddr, what: &str) {
        self.note(address, "udp", what, UdpSocket::bind(address).map(drop));
    }

    fn try_tcp(&mut self, address: SocketAddr, what: &str) {
        self.note(address, "tcp", what, TcpListener::bind(address).map(drop));
    }

    /// A machine without IPv6 has no ::1; the front door then listens on 127.0.0.1 only.
    fn try_front_door(&mut self, address: SocketAddr) {
        let result = TcpListener::bind(address).map(drop);
        let is_in_use = result
            .as_ref()
            .is_err_and(|error| error.kind() == ErrorKind::AddrInUse);

        if address.is_ipv4() || is_in_use {
            self.note(address, "tcp", "front door, see --front-door", result);
        }
    }

    fn note(&mut self, address: SocketAddr, transport: &str, what: &str, result: io::Result<()>) {
        match result {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {
                if !self.missing.contains(&address.ip()) {
                    self.missing.push(address.ip());
                }
            }
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                self.taken.push(format!("{address}/{transport} ({what})"));
            }
            Err(error) => {
                self.taken
                    .push(format!("{address}/{transport} ({what}): {error}"));
            }
        }
    }
}

fn no_loopback(missing: &[IpAddr], is_linux: bool) -> LocalMeshError {
    let command = |ip: &IpAddr| {
        if is_linux {
            format!("sudo ip addr add {ip}/8 dev lo")
        } else {
            format!("sudo ifconfig lo0 alias {ip} up")
        }
    };

    LocalMeshError::NoLoopback {
        addresses: missing.iter().map(ToString::to_string).collect(),
        commands: missing.iter().map(command).collect(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
