//! What the agent reports of its own region.

use super::*;

#[test]
fn a_region_that_reports_itself_draining_is_draining() {
    let mut world = World::healthy();
    world.hear(
        "c/node-0",
        &[],
        Some(Condition::Draining),
        true,
        Duration::ZERO,
    );

    world.until_verdict("c", Condition::Draining);
    world.input(Input::SetDraining(true));
    world.until_published(|seen| seen.own == Some(Condition::Draining));
    world.until_verdict("a", Condition::Draining);
    world.input(Input::SetDraining(false));

    world.until_published(|seen| seen.own == Some(Condition::Healthy));
}

#[test]
fn the_embedded_server_is_reported_failed_only_after_it_was_ready() {
    let mut world = World::started(Settings {
        serves_at: Some("127.0.0.1".parse().unwrap()),
        ..settings()
    });
    world.until_observed("b", Condition::Healthy);
    assert_eq!(world.published.last().unwrap().own, None);

    world.is_ready = true;
    world.until_published(|seen| seen.own == Some(Condition::Healthy));
    world.is_ready = false;
    world.until_published(|seen| seen.own == Some(Condition::Failed));
    assert!(world.notices.contains(&Notice::OwnRegionFailed));
}
