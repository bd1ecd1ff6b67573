//! The front door as clients see it while regions die, refuse and break: what is sent again, and
//! what is not.

use futures::future::join_all;
use regionmesh::{config::Config, local_mesh::measure::Load};
use regionmesh_core::planning::Strategy;
use regionmesh_tests::{
    door::Door,
    load::finish_without_failure,
    mesh::{Setup, TestMesh},
    models::{iris_one, question},
    scripted::{Behaviour, Scripted},
    serve::apart,
    wait::{claim, seconds, until},
};
use serde_json::json;
use std::time::{Duration, Instant};

const INFER: &str = "/v2/models/iris/infer";
/// Concurrent requests while no region answers: far more than a region computes at a time.
const BURST: usize = 150;

fn one_serves(config: &mut Config) {
    config.traffic.strategy = Strategy::ActivePassive;
}

/// Every running agent's plan gives all traffic to `region`.
async fn all_traffic_at(mesh: &TestMesh, region: usize) {
    for api in mesh.running_apis() {
        until(
            &format!("{} serves, seen from {}", mesh.region(region), api.url()),
            seconds(60),
            async || {
                let share = api.region(mesh.region(region)).await?.share;
                claim(share > 0.99, || format!("its share is {share}"))
            },
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_the_serving_region_dies() {
    let mesh = TestMesh::start_with(Setup {
        adjust: Some(one_serves),
        ..Setup::default()
    })
    .await;

    all_traffic_at(&mesh, 0).await;
    mesh.publish_iris(0, "1", iris_one()).await;
    mesh.until_held_by_all("1").await;
    mesh.until_answered_by_all("1").await;

    let door = Door::open(&mesh, &[]).await;

    assert_region_answers_a_burst(&mesh).await;

    // Some are under way at the kill; the burst waits in front of a dead region and comes upon the
    // next all concurrently.
    let load = Load::start(door.url(INFER), question(), Duration::from_millis(10)).unwrap();
    until("the load is answered", seconds(30), async || {
        claim(load.samples().len() > 100, || {
            load.samples().len().to_string()
        })
    })
    .await;

    mesh.kill_region(0).await;
    let burst = join_all((0..BURST).map(|_| async { door.post(INFER, &question()).await })).await;
    let failed: Vec<_> = burst
        .iter()
        .filter(|answer| !matches!(answer, Ok((200, _))))
        .collect();

    assert!(
        failed.is_empty(),
        "{} of {BURST}: {:?}\n{}",
        failed.len(),
        failed.first(),
        door.log()
    );

    let samples = finish_without_failure(load).await;

    assert!(
        samples
            .last()
            .unwrap()
            .outcome
            .as_ref()
            .is_ok_and(|region| region != mesh.region(0))
    );

    let slowest = samples.iter().map(|sample| sample.took).max().unwrap();
    println!(
        "{} requests, the slowest took {slowest:?}",
        samples.len() + BURST
    );

    until_none_is_held(&door).await;
}

/// A region alone queues as many requests as it can answer in time.
async fn assert_region_answers_a_burst(mesh: &TestMesh) {
    let api = mesh.api(1);
    let direct = join_all((0..BURST).map(|_| async { api.infer(INFER, &question()).await })).await;
    let refused: Vec<_> = direct
        .iter()
        .filter_map(|answer| answer.as_ref().err())
        .collect();

    assert!(
        refused.is_empty(),
        "{} of {BURST}: {:?}",
        refused.len(),
        refused.first()
    );
}

async fn until_none_is_held(door: &Door) {
    until("no request is waiting", seconds(10), async || {
        let held = door
            .metric("regionmesh_front_door_held_requests", &[])
            .await?;
        claim(held == 0.0, || format!("{held} held"))
    })
    .await;

    let retries = door
        .metric("regionmesh_front_door_retries_total", &["not_sent"])
        .await
        .unwrap();

    assert!(retries > 0.0, "the dead region was met: {retries}");
    assert!(
        door.log().contains("a region does not answer"),
        "{}",
        door.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_front_door_retries_safe_requests_within_a_budget() {
    // No agent serves: what listens at the regions' addresses is the test's own.
    let mesh = TestMesh::start_with(Setup {
        adjust: Some(apart),
        ..Setup::default()
    })
    .await;
    let door = Door::open(&mesh, &["--hold", "2s"]).await;

    assert_held_then_refused(&door).await;

    let mut regions = Vec::new();
    for index in 0..3 {
        let region = Scripted::start(
            mesh.agent(index).serving(),
            mesh.region(index),
            Behaviour::Answers,
        )
        .await;

        regions.push(region);
    }

    until("a region is reached", seconds(30), async || {
        let (status, answer) = door.post(INFER, &json!({})).await?;
        claim(status == 200, || format!("{status}: {answer}"))
    })
    .await;

    mesh.converged().await;

    assert_single_refusals_are_hidden(&door, &regions).await;

    assert_lasting_refusals_come_through(&door, &regions).await;

    assert_broken_requests_are_repeated_if_safe(&door, &regions).await;

    until_budget_is_used_up(&door).await;
    regions
        .iter()
        .for_each(|region| region.set(Behaviour::Answers));

    let (status, answer) = door.post(INFER, &json!({})).await.unwrap();
    assert_eq!(status, 200, "{answer}");
}

/// A dead target: held, then answered with the reason.
async fn assert_held_then_refused(door: &Door) {
    let begin = Instant::now();
    let (status, answer) = door.post(INFER, &json!({})).await.unwrap();
    let said = answer["error"].as_str().unwrap_or_default();

    assert_eq!(status, 503, "{answer}");
    assert!(
        said.contains("no region could be reached within 2 s") && said.contains("refused"),
        "{answer}"
    );

    assert!(
        begin.elapsed() >= seconds(1),
        "it was held: {:?}",
        begin.elapsed()
    );
}

/// Every region refuses once: no client sees it.
async fn assert_single_refusals_are_hidden(door: &Door, regions: &[Scripted]) {
    regions
        .iter()
        .for_each(|region| region.set(Behaviour::Refuses(1)));
    for _ in 0..10 {
        let (status, answer) = door.post(INFER, &json!({})).await.unwrap();
        assert_eq!(status, 200, "{answer}");
    }

    let refused = door
        .metric("regionmesh_front_door_retries_total", &["unavailable"])
        .await
        .unwrap();

    assert!(refused >= 1.0, "{refused}");
}

/// All refuse for good: their own answer comes through, after a bounded number of attempts.
async fn assert_lasting_refusals_come_through(door: &Door, regions: &[Scripted]) {
    regions
        .iter()
        .for_each(|region| region.set(Behaviour::Refuses(usize::MAX)));

    let before: usize = regions.iter().map(Scripted::inferences).sum();
    let (status, answer) = door.post(INFER, &json!({})).await.unwrap();
    let attempts = regions.iter().map(Scripted::inferences).sum::<usize>() - before;

    assert_eq!(
        (status, answer["error"].as_str()),
        (503, Some("overloaded: as scripted"))
    );

    assert!((2..=5).contains(&attempts), "{attempts} attempts");
}

/// All break: a POST that may have changed something is sent once, an inference twice.
async fn assert_broken_requests_are_repeated_if_safe(door: &Door, regions: &[Scripted]) {
    regions
        .iter()
        .for_each(|region| region.set(Behaviour::Breaks));
    for (path, sent, reason) in [
        ("/v2/repository/models/iris/load", 1, "not safe to repeat"),
        (INFER, 2, "broke twice"),
    ] {
        let before: usize = regions.iter().map(Scripted::inferences).sum();
        let (status, answer) = door.post(path, &json!({})).await.unwrap();
        let reached = regions.iter().map(Scripted::inferences).sum::<usize>() - before;

        assert_eq!((status, reached), (502, sent), "{path}: {answer}");
        assert!(
            answer["error"]
                .as_str()
                .unwrap_or_default()
                .contains(reason),
            "{answer}"
        );
    }
}

/// All requests together cause a bounded number of retries; then the answer says so.
async fn until_budget_is_used_up(door: &Door) {
    until("the budget is used up", seconds(120), async || {
        let answers =
            join_all((0..100).map(|_| async { door.post(INFER, &json!({})).await })).await;
        let exhausted = answers
            .iter()
            .flatten()
            .find(|(_, answer)| answer.to_string().contains("retry budget is used up"));
        let (status, answer) = exhausted.ok_or_else(|| format!("{:?}", answers.first()))?;

        claim(*status == 503, || format!("{status}: {answer}"))
    })
    .await;

    let counted = door
        .metric("regionmesh_front_door_requests_total", &["budget"])
        .await
        .unwrap();

    assert!(counted >= 1.0, "{counted}");
}
