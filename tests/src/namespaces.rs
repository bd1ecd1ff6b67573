//! A network of a test's own: one namespace per region, joined by a bridge in a hub namespace.
//!
//! The test runs inside the hub (it starts itself again there), so nothing it sends leaves the namespaces. A region is
//! cut off with iptables, silently, as a broken long-distance link would be: packets vanish, nobody is told.

use anyhow::{Context, Result, bail};
use std::{
    net::Ipv4Addr,
    process::{Command, Stdio},
};

const INSIDE: &str = "REGIONMESH_TEST_HUB";

/// A hub and one namespace per region; removed with the value.
pub struct Network {
    name: String,
    regions: usize,
}

/// Address of region `index` in the network.
pub fn address(index: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, 11 + index as u8)
}

/// Runs `test` in the hub of a new network of `regions` regions. The calling test must be alone in its file and be
/// named `name`: its program is started again inside the hub, for this test only.
pub fn within(name: &str, regions: usize, test: impl FnOnce(&Network) -> Result<()>) -> Result<()> {
    if let Ok(hub) = std::env::var(INSIDE) {
        return test(&Network { name: hub, regions });
    }
    let network = Network::create(regions)?;
    let status = Command::new("ip")
        .args(["netns", "exec", &network.name])
        .arg(std::env::current_exe()?)
        .args([name, "--exact", "--nocapture", "--include-ignored"])
        .env(INSIDE, &network.name)
        .status()
        .context("ip netns exec")?;
    if !status.success() {
        bail!("the test failed inside its network: {status}");
    }
    Ok(())
}

impl Network {
    fn create(regions: usize) -> Result<Self> {
        let network = Self { name: format!("rm{}", std::process::id()), regions };
        let hub = &network.name;
        run(&["ip", "netns", "add", hub]).context("a network of one's own needs root and iproute2")?;
        for line in ["link set lo up", "link add br0 type bridge", "addr add 10.77.0.1/24 dev br0", "link set br0 up"] {
            network.ip(hub, line)?;
        }
        for index in 0..regions {
            let space = network.space(index);
            run(&["ip", "netns", "add", &space])?;
            network.ip(hub, &format!("link add v{index} type veth peer name e0 netns {space}"))?;
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
        ["ip", "netns", "exec", &self.space(index)].map(str::to_owned).to_vec()
    }

    /// From now on, packets between regions `a` and `b` vanish.
    pub fn cut(&self, a: usize, b: usize) -> Result<()> {
        self.rules("-A", a, b)
    }

    /// Undoes [`Network::cut`].
    pub fn heal(&self, a: usize, b: usize) -> Result<()> {
        self.rules("-D", a, b)
    }

    fn rules(&self, action: &str, a: usize, b: usize) -> Result<()> {
        let (space, other) = (self.space(a), address(b).to_string());
        for (chain, side) in [("INPUT", "-s"), ("OUTPUT", "-d")] {
            run(&["ip", "netns", "exec", &space, "iptables", action, chain, side, &other, "-j", "DROP"])?;
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
    let output = Command::new(words[0]).args(&words[1..]).stdin(Stdio::null()).output().context(words.join(" "))?;
    if !output.status.success() {
        bail!("{}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// For tests that must say why they do nothing: namespaces need root.
pub fn is_available() -> bool {
    run(&["ip", "netns", "add", "rm-can"]).is_ok() && run(&["ip", "netns", "del", "rm-can"]).is_ok()
}
