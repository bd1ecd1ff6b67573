//! A network for one test: one namespace per region, joined by a bridge in a hub namespace.
//!
//! The test runs inside the hub (it starts itself again there), so nothing it sends leaves the
//! namespaces. A region is cut off with iptables, silently, as a broken long-distance link would
//! be: packets vanish, and neither end gets an error.

use crate::skip::skip;
use anyhow::{Context, Result, bail};
use std::{
    net::Ipv4Addr,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

const INSIDE: &str = "REGIONMESH_TEST_HUB";
/// Distinguishes the networks of one test program.
static NETWORKS: AtomicU32 = AtomicU32::new(0);

/// A hub and one namespace per region; removed with the value.
pub struct Network {
    name: String,
    regions: usize,
}

/// Address of region `index` in the network.
pub fn address(index: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, 11 + index as u8)
}

/// Runs the scenario of the test `name` in the hub of a new network of `regions` regions: this
/// program is started again inside the hub, for that test only. Skipped, with a message, where
/// namespaces can't be made.
pub fn in_network(name: &str, regions: usize, scenario: impl AsyncFnOnce(&Network)) {
    if let Ok(hub) = std::env::var(INSIDE) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        return runtime.block_on(scenario(&Network { name: hub, regions }));
    }

    if let Err(why) = try_out() {
        return skip(&format!(
            "network namespaces and iptables can't be used here: {why:#}"
        ));
    }

    let network = Network::create(regions).unwrap_or_else(|error| panic!("{error:#}"));
    let output = Command::new("ip")
        .args(["netns", "exec", &network.name])
        .arg(std::env::current_exe().expect("this program's path"))
        .args([name, "--exact", "--nocapture", "--include-ignored"])
        .env(INSIDE, &network.name)
        .output();
    let output = output.unwrap_or_else(|error| panic!("ip netns exec: {error}"));
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let has_passed = output.status.success() && said.contains("1 passed");

    assert!(
        has_passed,
        "{name} failed inside its network: {}\n{said}",
        output.status
    );
}

fn new_name() -> String {
    format!(
        "rm{}-{}",
        std::process::id(),
        NETWORKS.fetch_add(1, Ordering::Relaxed)
    )
}

/// Makes a namespace with a rule in it, and removes it again.
fn try_out() -> Result<()> {
    let name = new_name();
    run(&["ip", "netns", "add", &name]).context("they need root and iproute2")?;

    let rules = run(&[
        "ip",
        "netns",
        "exec",
        &name,
        "iptables",
        "-A",
        "INPUT",
        "-s",
        "192.0.2.1",
        "-j",
        "DROP",
    ]);

    run(&["ip", "netns", "del", &name])?;
    rules
}

impl Network {
    fn create(regions: usize) -> Result<Self> {
        let network = Self {
            name: new_name(),
            regions,
        };
        let hub = &network.name;

        run(&["ip", "netns", "add", hub])?;
        for line in [
            "link set lo up",
            "link add br0 type bridge",
            "addr add 10.77.0.1/24 dev br0",
            "link set br0 up",
        ] {
            network.ip(hub, line)?;
        }

        for index in 0..regions {
            let space = network.space(index);
            run(&["ip", "netns", "add", &space])?;
            network.ip(
                hub,
                &format!("link add v{index} type veth peer name e0 netns {space}"),
            )?;

            network.ip(hub, &format!("link set v{index} master br0 up"))?;
            network.ip(&space, "link set lo up")?;
            network.ip(&space, &format!("addr add {}/24 dev e0", address(index)))?;
            network.ip(&space, "link set e0 up")?;
        }

        Ok(network)
    }

    /// Name of a region's namespace.
    pub fn space(&self, index: usize) -> String {
        format!("{}-{index}", self.name)
    }

    /// The words to put before a command so that it runs in a region's namespace.
    pub fn launcher(&self, index: usize) -> Vec<String> {
        ["ip", "netns", "exec", &self.space(index)]
            .map(str::to_owned)
            .to_vec()
    }

    /// From now on, packets between regions `a` and `b` vanish.
    pub fn cut(&self, a: usize, b: usize) {
        self.rules("-A", a, b)
            .unwrap_or_else(|error| panic!("{error:#}"));
    }

    /// Undoes [`Network::cut`].
    pub fn heal(&self, a: usize, b: usize) {
        self.rules("-D", a, b)
            .unwrap_or_else(|error| panic!("{error:#}"));
    }

    fn rules(&self, action: &str, a: usize, b: usize) -> Result<()> {
        let space = self.space(a);
        let other = address(b).to_string();
        for (chain, side) in [("INPUT", "-s"), ("OUTPUT", "-d")] {
            run(&[
                "ip", "netns", "exec", &space, "iptables", action, chain, side, &other, "-j",
                "DROP",
            ])?;
        }

        Ok(())
    }

    fn ip(&self, space: &str, arguments: &str) -> Result<()> {
        let mut words = vec!["ip", "-n", space];
        words.extend(arguments.split(' '));
        run(&words)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // Inside, it belongs to the outer program.
        if std::env::var(INSIDE).is_ok() {
            return;
        }
        for index in 0..self.regions {
            let _ = run(&["ip", "netns", "del", &self.space(index)]);
        }

        let _ = run(&["ip", "netns", "del", &self.name]);
    }
}

fn run(words: &[&str]) -> Result<()> {
    let output = Command::new(words[0])
        .args(&words[1..])
        .stdin(Stdio::null())
        .output()
        .context(words.join(" "))?;

    if !output.status.success() {
        bail!(
            "{}: {}",
            words.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }

    Ok(())
}
