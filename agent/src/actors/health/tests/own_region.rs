//! What the agent reports of its own region.

use super::*;

#[tokio::test]
async fn a_region_that_reports_itself_draining_is_draining() {
    let mut bench = Bench::healthy().await;
    bench.hear(
        "c/node-0",
        &[],
        Some(Condition::Draining),
        true,
        Duration::ZERO,
    );

    bench.until_verdict("c", Condition::Draining).await;
    bench.health.cast(HealthMessage::SetDraining(true)).unwrap();
    bench
        .until_published(|seen| seen.own == Some(Condition::Draining))
        .await;
    bench.until_verdict("a", Condition::Draining).await;
    bench
        .health
        .cast(HealthMessage::SetDraining(false))
        .unwrap();

    bench
        .until_published(|seen| seen.own == Some(Condition::Healthy))
        .await;
}

#[tokio::test]
async fn the_embedded_server_is_reported_failed_only_after_it_was_ready() {
    let (serving, receiver) = watch::channel(ServingStatus::default());
    let mut bench = Bench::start("", Some(receiver), Script::default()).await;
    bench.until_observed("b", Condition::Healthy).await;
    assert_eq!(bench.published.borrow().last().unwrap().own, None);
    serving.send_modify(|status| status.is_ready = true);
    bench
        .until_published(|seen| seen.own == Some(Condition::Healthy))
        .await;
    serving.send_modify(|status| status.is_ready = false);
    bench
        .until_published(|seen| seen.own == Some(Condition::Failed))
        .await;
}
