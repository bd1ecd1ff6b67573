//! The servers to compare with, each with the same zone and settings as close to ours as possible:
//! NSD (neither weights nor client subnets), gdnsd (weights, client subnets), PowerDNS (weights by
//! Lua, client subnets).

use super::{SERVER_CORE, is_installed};
use anyhow::{Context, Result};
use regionmesh::local_mesh::measure::{resolve, wait};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

const PORT: u16 = 5_300;

/// A running server.
pub(super) struct Other {
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    /// The process that answers.
    pub(super) pid: u32,
    child: Child,
}

/// All servers; stopped on drop.
pub(super) struct Others {
    running: Vec<Other>,
    missing: Vec<&'static str>,
    _directory: TempDir,
}

impl Others {
    pub(super) fn running(&self) -> &[Other] {
        &self.running
    }

    pub(super) fn missing(&self) -> &[&'static str] {
        &self.missing
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // NSD's parent stops its children on SIGTERM, not on SIGKILL.
        let _ = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        let _ = self.child.wait();
    }
}

/// Starts the installed servers and waits until they answer.
pub(super) async fn start(zone: &str) -> Result<Others> {
    let directory = tempfile::Builder::new()
        .prefix("regionmesh-figures-dns-")
        .tempdir()?;
    let mut others = Others {
        running: Vec::new(),
        missing: Vec::new(),
        _directory: directory,
    };

    for (place, (package, program, prepare)) in (0u8..).zip(SERVERS) {
        if !is_installed(program) {
            eprintln!("SKIPPED: {program} is not installed (apt install {package})");
            others.missing.push(package);
            continue;
        }

        let at = SocketAddr::from((Ipv4Addr::new(127, 88, 0, 201 + place), PORT));
        let home = others._directory.path().join(package);
        std::fs::create_dir_all(&home)?;

        let arguments = prepare(&home, zone, at)?;
        let mut command = Command::new("taskset");
        command.args(["-c", SERVER_CORE, program]).args(arguments);
        command.env(
            "PATH",
            format!("/usr/sbin:{}", std::env::var("PATH").unwrap_or_default()),
        );

        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());

        let child = command.spawn().with_context(|| program.to_owned())?;
        // Stored before anything can fail, so that drop stops it.
        let pid = child.id();

        others.running.push(Other {
            name: NAMES[usize::from(place)],
            address: at,
            pid,
            child,
        });

        let name = format!("serving.{zone}");
        let ask = || async {
            resolve(at, &name, Duration::from_secs(1))
                .await
                .is_ok_and(|found| !found.is_empty())
        };

        wait(Duration::from_secs(20), ask, |is_up| *is_up)
            .await
            .with_context(|| format!("{program} does not answer"))?;
        if let Some(other) = others.running.last_mut() {
            other.pid = busiest(pid);
        }
    }

    Ok(others)
}

type Prepare = fn(&Path, &str, SocketAddr) -> Result<Vec<String>>;
const NAMES: [&str; 3] = [
    "DNS: NSD, one address",
    "DNS: gdnsd, by weight",
    "DNS: PowerDNS, by weight in Lua",
];
const SERVERS: [(&str, &str, Prepare); 3] = [
    ("nsd", "nsd", nsd),
    ("gdnsd", "gdnsd", gdnsd),
    ("pdns-server", "pdns_server", pdns),
];

/// The process that answers: NSD does it in a grandchild.
fn busiest(pid: u32) -> u32 {
    let children = |pid| {
        std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default()
    };
    let last = |pid| {
        children(pid)
            .split_whitespace()
            .filter_map(|word| word.parse::<u32>().ok())
            .next_back()
    };

    std::iter::successors(Some(pid), |pid| last(*pid))
        .last()
        .unwrap_or(pid)
}

fn records(zone: &str, serving: &str) -> String {
    format!(
        "$ORIGIN {zone}.\n$TTL 5\n@ IN SOA ns hostmaster 1 3600 600 604800 5\n@ IN NS ns\nns IN A \
            127.88.0.201\n{serving}\n"
    )
}

fn nsd(home: &Path, zone: &str, at: SocketAddr) -> Result<Vec<String>> {
    std::fs::write(home.join("zone"), records(zone, "serving IN A 127.88.0.11"))?;
    let home = home.display();

    // Without its rate limit, which would apply to this machine.
    let text = format!(
        "server:\n  server-count: 1\n  ip-address: {}@{}\n  username: \"\"\n  chroot: \"\"\n  \
         database: \"\"\n  zonesdir: \"{home}\"\n  zonelistfile: \"{home}/zone.list\"\n  \
         xfrdfile: \"{home}/xfrd.state\"\n  pidfile: \"{home}/nsd.pid\"\n  \
         cookie-secret-file: \"{home}/cookies\"\n  rrl-ratelimit: 0\n  \
         rrl-whitelist-ratelimit: 0\nremote-control:\n  control-enable: no\nzone:\n  \
         name: {zone}\n  zonefile: {home}/zone\n",
        at.ip(),
        at.port()
    );

    let config = format!("{home}/nsd.conf");
    std::fs::write(&config, text)?;
    Ok(vec!["-d".into(), "-c".into(), config])
}

fn gdnsd(home: &Path, zone: &str, at: SocketAddr) -> Result<Vec<String>> {
    for folder in ["zones", "run", "state"] {
        std::fs::create_dir_all(home.join(folder))?;
    }
    std::fs::write(
        home.join("zones").join(zone),
        records(zone, "serving 5 DYNA weighted!serving"),
    )?;

    let home = home.display();
    let text = format!(
        "options => {{ listen => {at}, run_dir => {home}/run, state_dir => {home}/state, \
         udp_threads => 1, tcp_threads => 1 }}\n\
         plugins => {{ weighted => {{ multi => false, serving => {{ \
         a = [127.88.0.11, 10], b = [127.88.0.12, 10], c = [127.88.0.13, 10] }} }} }}\n"
    );

    std::fs::write(format!("{home}/config"), text)?;
    Ok(vec!["-c".into(), home.to_string(), "start".into()])
}

fn pdns(home: &Path, zone: &str, at: SocketAddr) -> Result<Vec<String>> {
    let weights = "{{10,'127.88.0.11'},{10,'127.88.0.12'},{10,'127.88.0.13'}}";
    std::fs::write(
        home.join("zone"),
        records(
            zone,
            &format!("serving 5 IN LUA A \"pickwrandom({weights})\""),
        ),
    )?;

    let home = home.display();
    std::fs::write(
        format!("{home}/named.conf"),
        format!("zone \"{zone}\" {{ type master; file \"{home}/zone\"; }};\n"),
    )?;

    let text = format!(
        "launch=bind\nbind-config={home}/named.conf\nlocal-address={}\nlocal-port={}\n\
         socket-dir={home}\nreceiver-threads=1\nedns-subnet-processing=yes\n\
         enable-lua-records=yes\nsecurity-poll-suffix=\ndaemon=no\n",
        at.ip(),
        at.port()
    );

    std::fs::write(format!("{home}/pdns.conf"), text)?;
    Ok(vec![format!("--config-dir={home}")])
}
