//! Regions whose addresses are probed one by one.

use super::*;

/// The settings, with two addresses in region b and, in this agent's own region, one that it may
/// serve at.
fn of_two_addresses() -> Settings {
    let mut settings = settings();
    let mut set = |region: &str, addresses: [&str; 2]| {
        let endpoint = settings.endpoints.get_mut(&region.parse().unwrap());
        endpoint.unwrap().addresses = addresses.map(|ip| ip.parse().unwrap()).to_vec();
    };

    set("b", ["127.0.0.12", "127.0.0.22"]);
    set("a", ["127.0.0.11", "127.0.0.1"]);
    settings
}

fn of_address(verdict: &RegionVerdict, address: &str) -> Condition {
    verdict
        .addresses
        .iter()
        .find(|judged| judged.address.to_string() == address)
        .unwrap()
        .condition
}

#[test]
fn addresses_are_judged_individually_and_only_the_last_one_fails_its_region() {
    let mut world = World::started(of_two_addresses());
    world.until_observed("b", Condition::Healthy);
    world.set("b", 1, Answer::Refuses);

    let verdict = world.until_judged("b", |verdict| {
        of_address(verdict, "127.0.0.22") == Condition::Failed
    });
    assert_eq!(
        (verdict.condition, of_address(&verdict, "127.0.0.12")),
        (Condition::Healthy, Condition::Healthy)
    );

    world.set("b", 0, Answer::Refuses);
    let verdict = world.until_verdict("b", Condition::Failed);
    assert_eq!(of_address(&verdict, "127.0.0.12"), Condition::Failed);
    world.set("b", 1, Answer::Answers);
    world.until_verdict("b", Condition::Healthy);
}

#[test]
fn a_draining_agent_removes_its_own_address_but_not_its_region() {
    let mut world = World::started(Settings {
        serves_at: Some("127.0.0.1".parse().unwrap()),
        ..of_two_addresses()
    });
    world.is_ready = true;
    let healthy = ["a", "b", "c"].map(|region| (region, Condition::Healthy));

    world.hear("c/node-0", &healthy, None, true, Duration::ZERO);
    world.until_verdict("a", Condition::Healthy);
    world.input(Input::SetDraining(true));

    let published = world.until_published(|seen| seen.own == Some(Condition::Draining));
    assert_eq!(published.own_address, Some("127.0.0.1".parse().unwrap()));

    let verdict = world.until_judged("a", |verdict| {
        of_address(verdict, "127.0.0.1") == Condition::Draining
    });
    assert_eq!(verdict.condition, Condition::Healthy);
}
