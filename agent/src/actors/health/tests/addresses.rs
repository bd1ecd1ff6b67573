//! Regions whose addresses are probed one by one.

use super::*;

/// The configuration, with a second address in region b and, in this agent's own region, one that
/// it serves at.
fn of_two_addresses() -> Arc<Config> {
    let mut config = (*config("")).clone();
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    config.regions[1].addresses = vec![ip("127.0.0.12"), ip(SECOND)];
    config.regions[0].addresses = vec![ip("127.0.0.11"), ip("127.0.0.1")];
    Arc::new(config)
}

fn of_address(verdict: &RegionVerdict, address: &str) -> Condition {
    verdict
        .addresses
        .iter()
        .find(|judged| judged.address.to_string() == address)
        .unwrap()
        .condition
}

#[tokio::test]
async fn addresses_are_judged_individually_and_only_the_last_one_fails_its_region() {
    let mut bench = Bench::start_with(of_two_addresses(), None, Script::default()).await;
    bench.until_observed("b", Condition::Healthy).await;
    bench.script.set(SECOND, Endpoint::Refuses);

    let mut verdicts = bench.snapshots.verdicts.subscribe();
    let region: RegionName = "b".parse().unwrap();
    let is_judged = verdicts.wait_for(|verdicts| {
        verdicts
            .get(&region)
            .is_some_and(|verdict| of_address(verdict, SECOND) == Condition::Failed)
    });
    let verdict = tokio::time::timeout(DEADLINE, is_judged)
        .await
        .unwrap()
        .unwrap()[&region]
        .clone();

    assert_eq!(
        (verdict.condition, of_address(&verdict, "127.0.0.12")),
        (Condition::Healthy, Condition::Healthy)
    );

    bench.script.set("127.0.0.12", Endpoint::Refuses);
    let verdict = bench.until_verdict("b", Condition::Failed).await;
    assert_eq!(of_address(&verdict, "127.0.0.12"), Condition::Failed);
    bench.script.set(SECOND, Endpoint::Answers);
    bench.until_verdict("b", Condition::Healthy).await;
}

#[tokio::test]
async fn a_draining_agent_removes_its_own_address_but_not_its_region() {
    let serving = ServingStatus {
        is_ready: true,
        ..ServingStatus::default()
    };
    let (_serving, receiver) = watch::channel(serving);
    let mut bench = Bench::start_with(of_two_addresses(), Some(receiver), Script::default()).await;
    let healthy = ["a", "b", "c"].map(|region| (region, Condition::Healthy));

    bench.hear("c/node-0", &healthy, None, true, Duration::ZERO);
    bench.until_verdict("a", Condition::Healthy).await;
    bench.health.cast(HealthMessage::SetDraining(true)).unwrap();

    let published = bench
        .until_published(|seen| seen.own == Some(Condition::Draining))
        .await;
    assert_eq!(published.own_address, Some("127.0.0.1".parse().unwrap()));

    let mut verdicts = bench.snapshots.verdicts.subscribe();
    let region: RegionName = "a".parse().unwrap();
    let is_judged = verdicts.wait_for(|verdicts| {
        verdicts
            .get(&region)
            .is_some_and(|verdict| of_address(verdict, "127.0.0.1") == Condition::Draining)
    });
    let verdict = tokio::time::timeout(DEADLINE, is_judged)
        .await
        .unwrap()
        .unwrap()[&region]
        .clone();

    assert_eq!(verdict.condition, Condition::Healthy);
}
