//! Regions that say they are ready and do not serve: found by a synthetic inference, and on the
//! ramp by their users.

use regionmesh::{
    config::{Config, InferenceConfig, ProbeKind},
    local_mesh::measure::Load,
};
use regionmesh_protocol::status::condition::Condition;
use regionmesh_serving::ServingConfig;
use regionmesh_tests::{
    agents::configure_agent,
    converge::until_share,
    mesh::{Setup, TestMesh},
    models::{expected, iris_one, question},
    wait::{claim, seconds, until},
};
use serde_json::{Value, json};
use std::time::Duration;

/// The region that fails.
const WRONG: usize = 1;

fn with_inference(config: &mut Config) {
    let inference: InferenceConfig = serde_json::from_value(json!({
        "model": "iris",
        "every": 4,
        "request": question().to_string(),
        "expect": { "probabilities": expected("1") },
    }))
    .unwrap();

    config.health.probe = ProbeKind::Inference;
    config.health.inference = Some(inference);
}

/// Long enough on each step for agents to publish what they served.
fn with_slow_steps(config: &mut Config) {
    config
        .recovery
        .steps
        .iter_mut()
        .for_each(|step| step.hold_ms = 6_000);
}

/// Restarts the wrong region's agent with another configuration of its model server, in which it
/// is ready all the same.
async fn restart_with(mesh: &TestMesh, change: impl Fn(&mut ServingConfig)) {
    let agent = mesh.agent(WRONG).clone();
    mesh.kill_region(WRONG).await;

    let name = mesh.region(WRONG);
    until_share(&[mesh.api(0)], name, seconds(30), |share| share == 0.0).await;
    configure_agent(&agent, |config| change(&mut config.serving));
    mesh.revive(WRONG).await;
}

/// Flowers in one request: reading them takes longer than a millisecond.
const FLOWERS: usize = 8_000;

fn many_questions() -> Value {
    let data = vec![1.0; FLOWERS * 4];
    json!({
        "inputs": [{
            "name": "measurements",
            "datatype": "FP32",
            "shape": [FLOWERS, 4],
            "data": data,
        }],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_is_ready_but_cannot_infer_is_taken_out_until_it_can() {
    let mesh = TestMesh::start_with(Setup {
        adjust: Some(with_inference),
        ..Setup::default()
    })
    .await;

    mesh.publish_iris(0, "1", iris_one()).await;
    mesh.until_held_by_all("1").await;
    mesh.converged().await;

    // No request fits into the limit.
    restart_with(&mesh, |serving| serving.body_limit = 1).await;

    let api = mesh.api(0);
    let name = mesh.region(WRONG);
    until("the inference is seen to fail", seconds(40), async || {
        let region = api.region(name).await?;
        let says = region.verdict_reason.contains("HTTP 413");
        claim(
            region.verdict == Condition::Failed && says && region.share == 0.0,
            || format!("{region:?}"),
        )
    })
    .await;

    let region = api.region(name).await.unwrap();
    let failed = region
        .observations
        .iter()
        .flat_map(|seen| &seen.addresses)
        .any(|seen| seen.inference == Some(false));

    assert!(failed, "{region:?}");
    restart_with(&mesh, |serving| serving.body_limit = 64 << 20).await;
    mesh.converged().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_comes_back_and_serves_errors_is_rolled_back() {
    let mesh = TestMesh::start_with(Setup {
        adjust: Some(with_slow_steps),
        ..Setup::default()
    })
    .await;

    mesh.publish_iris(0, "1", iris_one()).await;
    mesh.until_held_by_all("1").await;
    mesh.until_answered_by_all("1").await;
    mesh.converged().await;

    // Every inference times out.
    restart_with(&mesh, |serving| serving.inference_timeout_ms = 1).await;

    let loads: Vec<Load> = (0..3)
        .map(|index| {
            let url = format!(
                "http://{}/v2/models/iris/infer",
                mesh.agent(index).serving()
            );
            Load::start(url, many_questions(), Duration::from_millis(100)).unwrap()
        })
        .collect();

    let api = mesh.api(0);
    until("the ramp is rolled back", seconds(90), async || {
        let (_, history) = api.get("/v1/failover/history").await?;
        let plans = history["plans"].as_array().ok_or("no plans")?;
        let reasons: Vec<String> = plans
            .iter()
            .map(|past| past["plan"]["reason"].to_string())
            .collect();
        let is_back = reasons.iter().any(|reason| {
            reason.contains(mesh.region(WRONG))
                && reason.contains("worse than the regions that serve")
        });

        claim(is_back, || format!("{:?}", reasons.last()))
    })
    .await;

    let share = api.region(mesh.region(WRONG)).await.unwrap().share;
    assert!(share < 0.1, "{share}");
    for load in loads {
        load.finish().await;
    }
}
