//! What is looked at before the first process starts, so that an error says what to do and not what
//! went wrong later.

use super::{error::UpError, layout::LocalAgent, process};
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
/// The directory is locked, so the `up` that started them is gone: nobody watches over them any
/// more.
pub(crate) async fn end_leftovers(data_dir: &Path) -> Result<Vec<String>, UpError> {
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
        Err(UpError::Leftover(stuck))
    }
}

/// A pid may have been given to something else since: ours names its own configuration file.
pub(crate) fn is_ours(pid: u32, directory: &Path) -> bool {
    let config = directory.join("agent.toml");
    process::command_line(pid).is_some_and(|line| line.contains(&*config.to_string_lossy()))
}

/// Tries every address that the mesh and the front door will listen on.
pub(crate) fn addresses(agents: &[LocalAgent], front_door: &[SocketAddr]) -> Result<(), UpError> {
    let mut missing: Vec<IpAddr> = Vec::new();
    let mut taken = Vec::new();
    let mut note =
        |address: SocketAddr, transport: &str, what: &str, result: io::Result<()>| match result {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {
                if !missing.contains(&address.ip()) {
                    missing.push(address.ip());
                }
            }
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                taken.push(format!("{address}/{transport} ({what})"))
            }
            Err(error) => taken.push(format!("{address}/{transport} ({what}): {error}")),
        };

    let tcp = |address: SocketAddr| TcpListener::bind(address).map(drop);
    let udp = |address: SocketAddr| UdpSocket::bind(address).map(drop);
    for agent in agents {
        let id = &agent.id;
        note(
            agent.mesh(),
            "udp",
            &format!("mesh of {id}"),
            udp(agent.mesh()),
        );

        note(
            agent.dns(),
            "udp",
            &format!("DNS of {id}"),
            udp(agent.dns()),
        );

        note(
            agent.dns(),
            "tcp",
            &format!("DNS of {id}"),
            tcp(agent.dns()),
        );

        note(
            agent.api(),
            "tcp",
            &format!("API of {id}"),
            tcp(agent.api()),
        );

        note(
            agent.serving(),
            "tcp",
            &format!("serving of {id}"),
            tcp(agent.serving()),
        );
    }

    for address in front_door {
        let result = tcp(*address);
        // A machine without IPv6 has no ::1; the front door then does with 127.0.0.1.
        let is_in_use = result
            .as_ref()
            .is_err_and(|error| error.kind() == ErrorKind::AddrInUse);

        if address.is_ipv4() || is_in_use {
            note(*address, "tcp", "front door, see --front-door", result);
        }
    }

    if !missing.is_empty() {
        return Err(no_loopback(&missing, cfg!(target_os = "linux")));
    }

    if taken.is_empty() {
        Ok(())
    } else {
        Err(UpError::PortsInUse(taken))
    }
}

fn no_loopback(missing: &[IpAddr], is_linux: bool) -> UpError {
    let command = |ip: &IpAddr| {
        if is_linux {
            format!("sudo ip addr add {ip}/8 dev lo")
        } else {
            format!("sudo ifconfig lo0 alias {ip} up")
        }
    };

    UpError::NoLoopback {
        addresses: missing.iter().map(ToString::to_string).collect(),
        commands: missing.iter().map(command).collect(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
