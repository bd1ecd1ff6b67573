//! Faults of meaning: values that have the right form but fit neither each other nor their use.

use super::{Config, ListenConfig, RegionConfig, TrafficConfig};
use regionmesh_core::{planning::Strategy, recovery::ramp::RecoveryPolicy};
use regionmesh_dns::NetworkConfig;
use regionmesh_mesh::is_host_port;
use regionmesh_protocol::{identity::RegionName, register::ballot::WITNESS};
use std::{collections::BTreeSet, iter, net::SocketAddr};

impl Config {
    /// Every fault of meaning, as `place: what is wrong`. Checks of tables that are not sound are
    /// left out: they would judge values that are not in the file.
    pub(super) fn faults(&self, is_sound: impl Fn(&str) -> bool) -> Vec<String> {
        let names: BTreeSet<&RegionName> = self.regions.iter().map(|region| &region.name).collect();

        // The tables that a check reads, and what it finds.
        let checks: [(&[&str], Vec<String>); 13] = [
            (&["region", "regions"], self.region_faults(&names)),
            (&["health", "regions"], self.health.faults(&self.regions)),
            (&["local_peers", "regions"], self.mesh_settings().faults()),
            (&["health"], self.canary_faults()),
            (&["listen"], self.listen.faults()),
            (&["api"], self.host_faults()),
            (&["store", "witness"], self.store_faults()),
            (&["log"], self.log_faults()),
            (&["regions", "traffic"], self.traffic.faults(&names)),
            (&["alerts"], self.alerts.faults()),
            (&["cost", "regions"], self.cost.faults(&names)),
            (&["recovery"], recovery_faults(&self.recovery)),
            (&["dns", "regions", "traffic"], self.for_dns().faults()),
        ];

        checks
            .into_iter()
            .filter(|(tables, _)| tables.iter().all(|table| is_sound(table)))
            .flat_map(|(_, faults)| faults)
            .collect()
    }

    fn region_faults(&self, names: &BTreeSet<&RegionName>) -> Vec<String> {
        let mut faults = Vec::new();
        let mut seen = BTreeSet::new();
        for region in &self.regions {
            if !seen.insert(&region.name) {
                faults.push(format!("regions: {} is listed twice", region.name));
            }
            faults.extend(region.faults());
            faults.extend(region.node_faults());
        }

        if names.iter().any(|name| name.as_str() == WITNESS) {
            faults.push(
                "regions: `witness` names the register's further acceptor; give the region \
                    another name"
                    .into(),
            );
        }

        if !names.contains(&self.region) {
            faults.push(format!(
                "regions: this agent's own region {} is not listed",
                self.region
            ));
        }

        if self.regions.iter().all(|region| region.weight_bp == 0) {
            faults.push("regions: every weight_bp is 0, so nothing would serve".into());
        }

        faults
    }

    fn canary_faults(&self) -> Vec<String> {
        let wrong = self
            .health
            .canaries
            .iter()
            .filter(|address| !is_host_port(address));
        wrong
            .map(|address| format!("health.canaries: {address:?} is not host:port"))
            .collect()
    }

    fn host_faults(&self) -> Vec<String> {
        let wrong = self.api.hosts.iter().filter(|host| !is_host_pattern(host));
        wrong
            .map(|host| {
                format!(
                    "api.hosts: {host:?} is neither a host name nor a suffix such as \
                        .example.org; give no scheme or port"
                )
            })
            .collect()
    }

    fn store_faults(&self) -> Vec<String> {
        iter::once(("store", &self.store))
            .chain(self.witness.iter().map(|store| ("witness", store)))
            .filter_map(|(field, store)| store.fault().map(|why| format!("{field}.url: {why}")))
            .collect()
    }

    fn log_faults(&self) -> Vec<String> {
        let filter = &self.log.filter;
        let parsed = tracing_subscriber::EnvFilter::builder().parse(filter);
        let fault = |error| format!("log.filter: {filter:?} is not a tracing filter: {error}");

        parsed.err().map(fault).into_iter().collect()
    }
}

fn recovery_faults(recovery: &RecoveryPolicy) -> Vec<String> {
    let is_rising = recovery.steps.is_sorted_by_key(|step| step.percent);
    let fault = "recovery.steps: percents must rise within 1 to 100".into();

    (!is_rising).then_some(fault).into_iter().collect()
}

/// Whether it is a host name, or a dot and a name: every name below it.
fn is_host_pattern(text: &str) -> bool {
    let name = text.strip_prefix('.').unwrap_or(text);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };

    name.len() <= 253 && name.trim_end_matches('.').split('.').all(is_label)
}

impl ListenConfig {
    /// Listeners on the same address and port: the second could never bind.
    fn faults(&self) -> Vec<String> {
        let tcp = [
            ("api", self.api),
            ("dns", self.dns),
            ("serving", self.serving),
        ];
        let udp = [("mesh", self.mesh), ("dns", self.dns)];
        let clashes = |listeners: &[(&str, SocketAddr)], transport| {
            let mut faults = Vec::new();
            for (index, (name, address)) in listeners.iter().enumerate() {
                // Port 0 gives a different port to each.
                let clash = listeners[..index]
                    .iter()
                    .find(|(_, other)| other == address && address.port() != 0);
                faults.extend(clash.map(|(other, _)| {
                    format!("listen: {other} and {name} are both {address}/{transport}")
                }));
            }

            faults
        };

        [clashes(&tcp, "tcp"), clashes(&udp, "udp")].concat()
    }
}

impl TrafficConfig {
    fn faults(&self, regions: &BTreeSet<&RegionName>) -> Vec<String> {
        let mut faults = Vec::new();
        faults.extend(NetworkConfig::faults(&self.networks, regions));
        if self.cost && self.strategy == Strategy::ActivePassive {
            faults.push(
                "traffic.cost shares traffic by weights, and traffic.strategy = \"active-passive\" \
                    has none".into(),
            );
        }

        if !self.networks.is_empty() && self.strategy != Strategy::Latency {
            faults.push("traffic.networks only counts with traffic.strategy = \"latency\"".into());
        }
        faults
    }
}

impl RegionConfig {
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let uri = self.serving_url.parse::<http::Uri>();
        if !uri.is_ok_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https" | "tcp")) && uri.port_u16().is_some()
        }) {
            faults.push(format!(
                "regions.{}.serving_url: {:?} is not http(s)://host:port",
                self.name, self.serving_url
            ));
        }

        if self.dns_addresses().is_empty() {
            faults.push(format!(
                "regions.{}: give addresses, since the host of serving_url {:?} is not an address",
                self.name, self.serving_url
            ));
        }

        faults
    }
}
