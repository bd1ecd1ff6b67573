//! What can be wrong with a configuration whose form is right: every fault, each with its place and
//! what is meant.

use super::{Config, ListenConfig, RegionConfig, TrafficConfig};
use regionmesh_core::planning::Strategy;
use regionmesh_dns::NetworkConfig;
use regionmesh_mesh::is_host_port;
use regionmesh_protocol::{identity::RegionName, plan::FULL_WEIGHT_BP};
use std::{collections::BTreeSet, net::SocketAddr};

impl Config {
    /// Every fault, as `place: what is wrong`; none where the configuration can be used.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut names = BTreeSet::new();
        for region in &self.regions {
            if !names.insert(&region.name) {
                faults.push(format!("regions: {} is listed twice", region.name));
            }
            faults.extend(region.faults());
            faults.extend(region.node_faults());
        }

        if names
            .iter()
            .any(|name| name.as_str() == regionmesh_protocol::register::ballot::WITNESS)
        {
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

        let health = &self.health;
        faults.extend(health.faults(&self.regions));

        faults.extend(self.mesh_settings().faults());
        for address in &health.canaries {
            if !is_host_port(address) {
                faults.push(format!("health.canaries: {address:?} is not host:port"));
            }
        }

        faults.extend(self.listen.faults());
        let bad_hosts = self.api.hosts.iter().filter(|host| !is_host_pattern(host));
        faults.extend(bad_hosts.map(|host| {
            format!(
                "api.hosts: {host:?} is neither a host name nor a suffix such as .example.org; \
                    give no scheme or port"
            )
        }));

        let stores = std::iter::once(("store", &self.store))
            .chain(self.witness.iter().map(|store| ("witness", store)));
        faults.extend(
            stores.filter_map(|(field, store)| {
                store.fault().map(|why| format!("{field}.url: {why}"))
            }),
        );

        if let Err(error) = tracing_subscriber::EnvFilter::builder().parse(&self.log.filter) {
            faults.push(format!(
                "log.filter: {:?} is not a tracing filter: {error}",
                self.log.filter
            ));
        }

        if self.traffic.suspect_percent > 100 {
            faults.push("traffic.suspect_percent must be at most 100".into());
        }
        faults.extend(self.traffic.faults(&names));
        faults.extend(self.alerts.faults());
        faults.extend(self.cost.faults(&names));
        if self.recovery.errors_floor_bp > 10_000 {
            faults.push("recovery.errors_floor_bp must be at most 10000".into());
        }

        if self
            .recovery
            .steps
            .iter()
            .any(|step| step.percent == 0 || step.percent > 100)
            || !self.recovery.steps.is_sorted_by_key(|step| step.percent)
        {
            faults.push("recovery.steps: percents must rise within 1 to 100".into());
        }

        faults.extend(self.for_dns().faults());

        faults.extend(self.replication.faults());
        faults.extend(self.serving.faults());
        faults
    }
}

/// A host name, or one after a dot: every name below it.
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
    /// Two listeners on one port of one address: the second would fail at every start.
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
                // Port 0 is another one each time.
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
        let mut faults = NetworkConfig::faults(&self.networks, regions);
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

        if self.weight_bp > FULL_WEIGHT_BP {
            faults.push(format!(
                "regions.{}.weight_bp: {} is above {FULL_WEIGHT_BP}",
                self.name, self.weight_bp
            ));
        }

        faults
    }
}
