//! What tests of the provider share: a mesh of three regions on paper, its plans, and a provider
//! for its zone.

use super::{FakeRoute53, Options, Policy, Set, ZONE_ID, client};
use crate::wait::seconds;
use regionmesh_dns::{
    Config, DnsProvider, ProviderError, Published, Route53Config, first_plan,
    route53::{ProviderMetrics, Route53, Timeouts},
};
use regionmesh_protocol::plan::CommittedPlan;
use std::{net::SocketAddr, time::Duration};

/// The service's name.
pub const SERVICE: &str = "serving.ml.example.com.";
/// The fence's name.
pub const FENCE: &str = "_regionmesh-fence.ml.example.com.";
/// The mesh's regions.
pub const REGIONS: [&str; 3] = ["ap-south-1", "eu-west-1", "us-west-2"];

/// A provider, the fake that it talks to, and the configuration.
pub struct Bench {
    pub fake: FakeRoute53,
    pub config: Config,
}

impl Bench {
    /// With a fake of its own.
    pub async fn new(options: Options) -> Self {
        let fake = FakeRoute53::start(options).await;
        let config = config(&fake.url(), ZONE_ID, &[fake.name_server()]);
        Self { fake, config }
    }

    /// A provider, as one agent has it.
    pub async fn provider(&self) -> Route53 {
        provider(&self.config, Duration::from_millis(700)).await
    }

    /// The settings of Route 53, to change.
    pub fn settings(&mut self) -> &mut Route53Config {
        self.config.settings.route53.as_mut().unwrap()
    }

    /// `(set identifier, weight)` of the service's A sets.
    pub fn weights(&self) -> Vec<(String, u8)> {
        let weight = |set: &Set| match set.policy {
            Policy::Weighted(weight) => Some((
                set.id.clone()?.trim_start_matches("regionmesh:").to_owned(),
                weight,
            )),
            _ => None,
        };

        self.fake
            .sets_of(SERVICE)
            .iter()
            .filter_map(weight)
            .collect()
    }

    /// The fence's first value.
    pub fn fence(&self) -> String {
        let sets = self.fake.sets_of(FENCE);
        sets.iter()
            .flat_map(|set| &set.values)
            .find(|value| value.starts_with("\"v1 "))
            .cloned()
            .unwrap_or_default()
    }
}

/// An agent's configuration, as a file.
pub fn config_text(url: &str, zone_id: &str, name_servers: &[SocketAddr]) -> String {
    let servers: Vec<_> = name_servers
        .iter()
        .map(|server| format!("{server:?}"))
        .collect();
    let mut text = format!(
        r#"
        mesh = "mesh.example.com"
        region = "us-west-2"
        agent = "node-0"
        data_dir = "/nowhere"
        [tls]
        ca = "ca"
        certificate = "certificate"
        key = "key"
        [listen]
        mesh = "127.0.0.1:1"
        dns = "127.0.0.1:2"
        api = "127.0.0.1:3"
        serving = "127.0.0.1:4"
        [store]
        url = "file:///nowhere"
        [dns]
        zone = "ml.example.com"
        [dns.route53]
        zone_id = "{zone_id}"
        requests_per_second = 10
        endpoint_url = "{url}"
        name_servers = [{}]
        "#,
        servers
            .iter()
            .map(|server| format!("\"{server}\""))
            .collect::<Vec<_>>()
            .join(", ")
    );

    for (index, region) in REGIONS.iter().enumerate() {
        text += &format!(
            r#"
            [[regions]]
            name = "{region}"
            endpoint = "agents.{region}.example.com:7443"
            serving_url = "http://198.51.100.{}:8080"
            "#,
            index + 1
        );
    }

    text
}

/// The part of that configuration that DNS gets.
pub fn config(url: &str, zone_id: &str, name_servers: &[SocketAddr]) -> Config {
    let text = config_text(url, zone_id, name_servers);
    let config: regionmesh::config::Config = toml::from_str(&text).unwrap_or_else(|error| {
        panic!(
            "{error}
{text}"
        )
    });

    config.for_dns()
}

/// Its section on Route 53.
pub fn section(config: &Config) -> &Route53Config {
    config.settings.route53.as_ref().unwrap()
}

/// A provider that waits so long for one answer.
pub async fn provider(config: &Config, request: Duration) -> Route53 {
    let timeouts = Timeouts {
        request,
        operation: seconds(20),
        in_sync: seconds(20),
        poll: Duration::from_millis(100),
        visible: seconds(10),
    };
    let url = section(config).endpoint_url.as_deref().unwrap();
    let client = client(url, request).await;
    let metrics = ProviderMetrics::new(&regionmesh_runtime::metrics::Registry::new()).unwrap();

    Route53::new(config, section(config), client, timeouts, metrics)
}

/// A committed plan: `(region, basis points)` in [`REGIONS`]' order.
pub fn plan(config: &Config, seq: u64, weights_bp: [u16; 3]) -> CommittedPlan {
    let mut plan = first_plan(config, 1);
    (plan.stamp.ballot.number, plan.stamp.seq) = (4, seq);
    for (region, weight_bp) in plan.plan.regions.values_mut().zip(weights_bp) {
        region.weight_bp = weight_bp;
    }
    plan
}

/// Every region its full share.
pub const EVEN: [u16; 3] = [10_000, 10_000, 10_000];

/// Publishes nothing.
pub fn quiet(_: &str) {}

/// Makes the zone as the plan says.
pub async fn publish(provider: &Route53, plan: &CommittedPlan) -> Result<Published, ProviderError> {
    provider.publish(plan, &quiet).await
}
