//! The health actor with scripted probes, scripted boards and a gossip actor that only collects.
//! What it decides is tested in the core.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use async_trait::async_trait;
use parking_lot::Mutex;
use regionmesh_core::{
    gossip::{AgentView, SeenStatus},
    health::{probe::ProbeResult, verdict::RegionVerdict},
};
use regionmesh_protocol::status::{
    Observations, StatusKind,
    condition::{AddressObservation, Condition, Observation},
    entry::EntryVersion,
};
use std::{collections::HashMap, net::IpAddr, time::Duration};

const DEADLINE: Duration = Duration::from_secs(20);
const CANARY: &str = "127.0.0.99";
/// The second address of region b, where it has two.
const SECOND: &str = "127.0.0.22";

/// What an endpoint does, by host.
#[derive(Clone, Copy, PartialEq)]
enum Endpoint {
    Answers,
    Refuses,
    Hangs,
}

#[derive(Clone, Default)]
struct Script(Arc<Mutex<HashMap<String, Endpoint>>>);

impl Script {
    fn set(&self, host: &str, endpoint: Endpoint) {
        self.0.lock().insert(host.into(), endpoint);
    }
}

#[async_trait]
impl Prober for Script {
    async fn probe(&self, target: &Target) -> ProbeResult {
        let host = target
            .address
            .map_or_else(|| target.host.clone(), |address| address.to_string());
        let endpoint = self.0.lock().get(&host).copied();

        match endpoint.unwrap_or(Endpoint::Answers) {
            Endpoint::Answers => ProbeResult::Success {
                round_trip_us: 700,
                evidence: "200 in 0.7 ms".into(),
            },
            Endpoint::Refuses => ProbeResult::DefiniteFailure("connection refused".into()),
            Endpoint::Hangs => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                ProbeResult::Silence("no answer in 50 ms".into())
            }
        }
    }
}

struct Collector;

impl Actor for Collector {
    type Msg = GossipMessage;
    type State = watch::Sender<Vec<Observations>>;
    type Arguments = watch::Sender<Vec<Observations>>;

    async fn pre_start(
        &self,
        _: ActorRef<GossipMessage>,
        seen: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(seen)
    }

    async fn handle(
        &self,
        _: ActorRef<GossipMessage>,
        message: GossipMessage,
        seen: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        if let GossipMessage::Publish(status_entry) = message
            && let StatusEntry::Observations(observations) = *status_entry
        {
            seen.send_modify(|seen| seen.push(observations));
        }

        Ok(())
    }
}

/// The agent `a/node-0` of a mesh of three regions: a, b and c at 127.0.0.11, .12 and .13.
struct Bench {
    script: Script,
    snapshots: Snapshots,
    published: watch::Receiver<Vec<Observations>>,
    health: ActorRef<HealthMessage>,
    arguments: HealthArguments,
    registry: regionmesh_runtime::metrics::Registry,
}

fn config(canaries: &str) -> Arc<Config> {
    let regions: String = ["a", "b", "c"]
        .iter()
        .enumerate()
        .map(|(index, region)| {
            let host = 11 + index;
            format!(
                "[[regions]]\nname = \"{region}\"\nendpoint = \
                \"127.0.0.{host}:1\"\nserving_url = \"http://127.0.0.{host}:2\"\n"
            )
        })
        .collect();

    let text = format!(
        "mesh = \"test\"\nregion = \"a\"\nagent = \"node-0\"\ndata_dir = \"/nowhere\"\n\
         [tls]\nca = \"a\"\ncertificate = \"b\"\nkey = \"c\"\n\
         [listen]\nmesh = \"127.0.0.1:1\"\ndns = \"127.0.0.1:1\"\napi = \"127.0.0.1:1\"\nserving = \
         \"127.0.0.1:1\"\n\
         [store]\nurl = \"file:///nowhere\"\n\
         [health]\ninterval_ms = 20\ntimeout_ms = 50\nsuspect_ms = 300\nsilent_ms = 900\ncanaries \
         = [{canaries}]\n{regions}"
    );

    Arc::new(toml::from_str(&text).unwrap())
}

impl Bench {
    async fn start(
        canaries: &str,
        own_serving: Option<watch::Receiver<ServingStatus>>,
        script: Script,
    ) -> Self {
        Self::start_with(config(canaries), own_serving, script).await
    }

    async fn start_with(
        config: Arc<Config>,
        own_serving: Option<watch::Receiver<ServingStatus>>,
        script: Script,
    ) -> Self {
        let (seen, published) = watch::channel(Vec::new());
        let gossip = Address::vacant("gossip");
        gossip.occupy(Actor::spawn(None, Collector, seen).await.unwrap().0);

        let registry = regionmesh_runtime::metrics::Registry::new();
        let snapshots = Snapshots::default();
        let mut arguments = HealthArguments::new(
            config,
            snapshots.clone(),
            gossip,
            HealthMetrics::new(&registry).unwrap(),
            own_serving,
        );

        arguments.prober = Arc::new(script.clone());
        let (health, _) = Actor::spawn(None, HealthActor, arguments.clone())
            .await
            .unwrap();
        Self {
            script,
            snapshots,
            published,
            health,
            arguments,
            registry,
        }
    }

    async fn healthy() -> Self {
        let mut bench = Self::start("", None, Script::default()).await;
        for region in ["a", "b", "c"] {
            bench.until_observed(region, Condition::Healthy).await;
        }
        bench
    }

    /// Waits until the last published observations are as wanted.
    async fn until_published(&mut self, wanted: impl Fn(&Observations) -> bool) -> Observations {
        let found = self
            .published
            .wait_for(|seen| seen.last().is_some_and(&wanted));
        tokio::time::timeout(DEADLINE, found)
            .await
            .expect("published in time")
            .unwrap()
            .last()
            .unwrap()
            .clone()
    }

    async fn until_observed(&mut self, region: &str, condition: Condition) {
        self.until_published(|seen| observed(seen, region) == condition)
            .await;
    }

    async fn until_verdict(&self, region: &str, condition: Condition) -> RegionVerdict {
        let region: RegionName = region.parse().unwrap();
        let mut verdicts = self.snapshots.verdicts.subscribe();
        let is_so = |verdicts: &Arc<BTreeMap<RegionName, RegionVerdict>>| {
            verdicts
                .get(&region)
                .is_some_and(|verdict| verdict.condition == condition)
        };
        let found = tokio::time::timeout(DEADLINE, verdicts.wait_for(is_so))
            .await
            .expect("a verdict in time");

        found.unwrap()[&region].clone()
    }

    /// Puts what `agent`, a living one, observes and reports on the board.
    fn hear(&self, agent: &str, says: &[(&str, Condition)], own: Option<Condition>) {
        let regions = says.iter().map(|(region, condition)| Observation {
            region: region.parse().unwrap(),
            condition: *condition,
            is_definite: false,
            evidence: "as scripted".into(),
            since_ms: 1,
            round_trip_us: None,
            addresses: Vec::new(),
        });

        let observations = Observations {
            regions: regions.collect(),
            own,
            own_address: None,
        };
        let status_entry = Arc::new(StatusEntry::Observations(observations));
        let seen_at = std::time::Instant::now();

        self.snapshots.board.send_modify(|board| {
            let mut next = (**board).clone();
            let view = AgentView {
                is_alive: true,
                status_entries: [(
                    StatusKind::Observations,
                    SeenStatus {
                        status_entry,
                        version: EntryVersion::default(),
                        seen_at,
                    },
                )]
                .into(),
            };

            next.agents.insert(agent.parse().unwrap(), view);
            *board = Arc::new(next);
        });
    }
}

fn observed(observations: &Observations, region: &str) -> Condition {
    observations
        .regions
        .iter()
        .find(|observation| observation.region.as_str() == region)
        .unwrap()
        .condition
}

#[tokio::test]
async fn a_refusing_endpoint_is_observed_as_failed_and_recovers() {
    let mut bench = Bench::healthy().await;
    bench.script.set("127.0.0.12", Endpoint::Refuses);
    bench.until_observed("b", Condition::Failed).await;
    bench.script.set("127.0.0.12", Endpoint::Answers);
    bench.until_observed("b", Condition::Healthy).await;
}

#[tokio::test]
async fn a_silent_endpoint_is_suspect_first_and_delays_no_other_probe() {
    let mut bench = Bench::healthy().await;
    bench.script.set("127.0.0.12", Endpoint::Hangs);
    bench.until_observed("b", Condition::Suspect).await;
    bench.until_observed("b", Condition::Failed).await;

    let seen = bench.published.borrow().last().unwrap().clone();
    assert_eq!(
        [observed(&seen, "a"), observed(&seen, "c")],
        [Condition::Healthy; 2]
    );
}

#[tokio::test]
async fn each_address_is_probed_and_the_board_has_a_vote() {
    let mut config = (*config("")).clone();
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    config.regions[1].addresses = vec![ip("127.0.0.12"), ip(SECOND)];

    let mut bench = Bench::start_with(Arc::new(config), None, Script::default()).await;
    bench.until_observed("b", Condition::Healthy).await;
    bench.script.set(SECOND, Endpoint::Refuses);
    let is_failed = |seen: &AddressObservation| {
        seen.address == Some(ip(SECOND)) && seen.condition == Condition::Failed
    };
    bench
        .until_published(|seen| seen.regions[1].addresses.iter().any(is_failed))
        .await;

    bench.script.set("127.0.0.12", Endpoint::Refuses);
    bench.until_verdict("b", Condition::Failed).await;
    bench.hear("c/node-0", &[("b", Condition::Healthy)], None);
    bench.until_verdict("b", Condition::Healthy).await;
}

#[tokio::test]
async fn an_observer_without_canaries_abstains_until_one_answers() {
    let script = Script::default();
    script.set(CANARY, Endpoint::Refuses);

    let mut bench = Bench::start("\"127.0.0.99:53\"", None, script).await;
    bench
        .until_published(|seen| seen.regions[1].evidence.contains("abstains"))
        .await;
    bench.script.set(CANARY, Endpoint::Answers);
    bench.until_observed("c", Condition::Healthy).await;
    bench.script.set(CANARY, Endpoint::Refuses);
    bench.until_observed("c", Condition::Unknown).await;
}

#[tokio::test]
async fn a_restarted_actor_abstains_first_and_keeps_draining() {
    let bench = Bench::healthy().await;
    bench.until_verdict("b", Condition::Healthy).await;
    bench.hear("a/node-0", &[], Some(Condition::Draining));

    bench.health.stop_and_wait(None, None).await.unwrap();
    let already = bench.published.borrow().len();
    let (health, _) = Actor::spawn(None, HealthActor, bench.arguments.clone())
        .await
        .unwrap();
    let mut published = bench.published.clone();
    let first = tokio::time::timeout(DEADLINE, published.wait_for(|seen| seen.len() > already))
        .await
        .unwrap()
        .unwrap()[already]
        .clone();

    assert_eq!(first.own, Some(Condition::Draining));
    assert!(
        first
            .regions
            .iter()
            .all(|observation| observation.condition == Condition::Unknown),
        "{first:?}"
    );

    health.stop(None);
}

#[tokio::test]
async fn the_embedded_servers_readiness_and_a_drain_are_reported() {
    let (serving, receiver) = watch::channel(ServingStatus::default());
    let mut bench = Bench::start("", Some(receiver), Script::default()).await;
    bench.until_observed("b", Condition::Healthy).await;
    assert_eq!(bench.published.borrow().last().unwrap().own, None);

    serving.send_modify(|status| status.is_ready = true);
    bench
        .until_published(|seen| seen.own == Some(Condition::Healthy))
        .await;
    bench.health.cast(HealthMessage::SetDraining(true)).unwrap();
    bench
        .until_published(|seen| seen.own == Some(Condition::Draining))
        .await;
}

#[tokio::test]
async fn probes_and_verdicts_are_counted() {
    let bench = Bench::healthy().await;
    bench.until_verdict("b", Condition::Healthy).await;

    let text = regionmesh_runtime::metrics::render(&bench.registry).unwrap();
    for line in [
        "regionmesh_probes_total{outcome=\"success\",region=\"b\"}",
        "regionmesh_verdict{condition=\"healthy\",region=\"b\"} 1",
        "regionmesh_verdict{condition=\"failed\",region=\"b\"} 0",
        "regionmesh_verdict_changes_total{region=\"b\"} 1",
        "regionmesh_observer_abstaining 0",
        "regionmesh_observer_active 1",
        "regionmesh_probe_duration_seconds_count{region=\"b\"}",
    ] {
        assert!(text.contains(line), "{line} is missing from\n{text}");
    }
}
