//! Probes, and what becomes of their results.

use super::*;
use crate::{
    actors::core::tests::{
        network::Wires,
        world::{config, directory, kill},
    },
    config::Config,
};
use parking_lot::Mutex;
use regionmesh_core::health::{self, verdict::RegionVerdict};
use regionmesh_protocol::status::{
    Observations, condition::AddressObservation, entry::EntryVersion,
};
use std::{collections::BTreeMap, net::IpAddr};
use tokio::sync::watch;

const DEADLINE: Duration = Duration::from_secs(20);
const CANARY: &str = "127.0.0.99";
/// The second address of region b, where it has two.
const SECOND: &str = "127.0.0.22";
/// Quick probes.
const PACE: &str = "interval_ms = 20\ntimeout_ms = 50\nsuspect_ms = 300\nsilent_ms = 900";

/// The agent `a/node-0` of a mesh of three regions: a, b and c at 127.0.0.11, .12 and .13.
struct Bench {
    node: Node,
    script: Script,
    wires: Arc<Mutex<Wires>>,
    dir: tempfile::TempDir,
}

impl Bench {
    async fn start(script: Script, canaries: &str) -> Self {
        Self::start_with(script, canaries, None, |_| {}).await
    }

    async fn start_with(
        script: Script,
        canaries: &str,
        serving: Option<watch::Receiver<ServingStatus>>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let (dir, path) = directory();
        let wires = Arc::new(Mutex::new(Wires::default()));
        let health = format!("{PACE}\ncanaries = [{canaries}]");
        let mut config = config(&["a", "b", "c"], "a", &health, &path);
        change(&mut config);

        let node = Node::new(config, &script, serving, &wires);
        node.start().await;
        Self {
            node,
            script,
            wires,
            dir,
        }
    }

    async fn healthy() -> Self {
        let bench = Self::start(Script::default(), "").await;
        for region in ["a", "b", "c"] {
            bench.until_observed(region, Condition::Healthy).await;
        }
        bench
    }

    /// What the agent publishes, and its version.
    fn published(&self) -> (Observations, EntryVersion) {
        own_observations(&self.node.snapshots.board.borrow(), &self.node.id).unwrap()
    }

    /// Waits until the published observations are as wanted.
    async fn until_published(&self, wanted: impl Fn(&Observations) -> bool) -> Observations {
        let mut board = self.node.snapshots.board.subscribe();
        let is_so = |view: &Arc<BoardView>| {
            own_observations(view, &self.node.id).is_some_and(|(seen, _)| wanted(&seen))
        };
        let found = tokio::time::timeout(DEADLINE, board.wait_for(is_so)).await;
        let view = found.expect("published in time").unwrap().clone();
        own_observations(&view, &self.node.id).unwrap().0
    }

    async fn until_observed(&self, region: &str, condition: Condition) {
        self.until_published(|seen| observed(seen, region) == condition)
            .await;
    }

    async fn until_verdict(&self, region: &str, condition: Condition) -> RegionVerdict {
        let region: RegionName = region.parse().unwrap();
        let mut verdicts = self.node.snapshots.verdicts.subscribe();
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
}

fn own_observations(view: &BoardView, own: &AgentId) -> Option<(Observations, EntryVersion)> {
    let entries = &view.agents.get(own)?.status_entries;
    let seen = entries.get(&StatusKind::Observations)?;
    match &*seen.status_entry {
        StatusEntry::Observations(observations) => Some((observations.clone(), seen.version)),
        _ => None,
    }
}

fn observed(observations: &Observations, region: &str) -> Condition {
    let is_of = |observation: &&Observation| observation.region.as_str() == region;
    let observation = observations.regions.iter().find(is_of);
    observation.map_or(Condition::Unknown, |observation| observation.condition)
}

#[tokio::test]
async fn a_refusing_endpoint_is_observed_as_failed_and_recovers() {
    let bench = Bench::healthy().await;
    bench.script.set("127.0.0.12", Endpoint::Refuses);
    bench.until_observed("b", Condition::Failed).await;
    bench.script.set("127.0.0.12", Endpoint::Answers);
    bench.until_observed("b", Condition::Healthy).await;
}

#[tokio::test]
async fn a_silent_endpoint_is_suspect_first_and_delays_no_other_probe() {
    let bench = Bench::healthy().await;
    bench.script.set("127.0.0.12", Endpoint::Hangs);
    bench.until_observed("b", Condition::Suspect).await;
    bench.until_observed("b", Condition::Failed).await;

    let (seen, _) = bench.published();
    assert_eq!(
        [observed(&seen, "a"), observed(&seen, "c")],
        [Condition::Healthy; 2]
    );
}

#[tokio::test]
async fn each_address_is_probed_and_the_board_has_a_vote() {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let two_addresses =
        |config: &mut Config| config.regions[1].addresses = vec![ip("127.0.0.12"), ip(SECOND)];
    let bench = Bench::start_with(Script::default(), "", None, two_addresses).await;

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

    // Another region sees it healthy.
    let config = config(&["a", "b", "c"], "c", PACE, bench.dir.path());
    let other = Node::new(config, &Script::default(), None, &bench.wires);
    other.start().await;
    bench.node.connect(&other, &bench.wires);
    bench.until_verdict("b", Condition::Healthy).await;
}

#[tokio::test]
async fn an_observer_without_canaries_abstains_until_one_answers() {
    let script = Script::default();
    script.set(CANARY, Endpoint::Refuses);

    let bench = Bench::start(script, "\"127.0.0.99:53\"").await;
    bench
        .until_published(|seen| seen.regions[1].evidence.contains("abstains"))
        .await;
    bench.script.set(CANARY, Endpoint::Answers);
    bench.until_observed("c", Condition::Healthy).await;
    bench.script.set(CANARY, Endpoint::Refuses);
    bench.until_observed("c", Condition::Unknown).await;
}

#[tokio::test]
async fn a_restarted_core_abstains_first_and_keeps_draining() {
    let bench = Bench::healthy().await;
    bench.until_verdict("b", Condition::Healthy).await;
    let drain = health::Input::SetDraining(true);
    let core = &bench.node.home.core;
    core.cast(CoreMessage::input(drain)).unwrap();
    bench
        .until_published(|seen| seen.own == Some(Condition::Draining))
        .await;

    kill(core).await;
    let (_, before) = bench.published();
    bench.node.start_core().await;
    let (first, version) = bench.published();

    assert!(version > before);
    assert_eq!(first.own, Some(Condition::Draining));
    assert!(
        first
            .regions
            .iter()
            .all(|observation| observation.condition == Condition::Unknown),
        "{first:?}"
    );
    bench.until_observed("b", Condition::Healthy).await;
}

#[tokio::test]
async fn probing_continues_after_a_crash_of_the_health_actor_without_a_change_of_opinion() {
    let bench = Bench::healthy().await;
    bench.until_verdict("b", Condition::Healthy).await;

    kill(&bench.node.core.actors.health).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (seen, _) = bench.published();
    assert_eq!(observed(&seen, "b"), Condition::Healthy);

    bench.node.start_health().await;
    bench.script.set("127.0.0.12", Endpoint::Refuses);
    bench.until_observed("b", Condition::Failed).await;
    bench.until_observed("c", Condition::Healthy).await;
}

#[tokio::test]
async fn the_embedded_servers_readiness_and_a_drain_are_reported() {
    let (serving, receiver) = watch::channel(ServingStatus::default());
    let script = Script::default();
    let bench = Bench::start_with(script, "", Some(receiver), |_| {}).await;
    bench.until_observed("b", Condition::Healthy).await;
    assert_eq!(bench.published().0.own, None);

    serving.send_modify(|status| status.is_ready = true);
    bench
        .until_published(|seen| seen.own == Some(Condition::Healthy))
        .await;
    let drain = health::Input::SetDraining(true);
    let core = &bench.node.home.core;
    core.cast(CoreMessage::input(drain)).unwrap();
    bench
        .until_published(|seen| seen.own == Some(Condition::Draining))
        .await;
}

#[tokio::test]
async fn probes_and_verdicts_are_counted() {
    let bench = Bench::healthy().await;
    bench.until_verdict("b", Condition::Healthy).await;

    let text = regionmesh_runtime::metrics::render(&bench.node.registry).unwrap();
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
