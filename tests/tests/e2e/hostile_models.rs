//! Models of some hundred bytes that ask for terabytes, or for hours: they end no process, and cost
//! the other models nothing.

use regionmesh::{
    cli::up::{children::ChildState, measure::Load},
    config::Config,
};
use regionmesh_tests::{
    api::{self, Api},
    mesh::{Setup, TestMesh},
    onnx::{
        constant_of, doubled, grown, resized, scaled, scaled_question, slow_inference, slow_loading,
    },
    wait::{claim, seconds, until},
};
use serde_json::{Value, json};
use std::time::Duration;

const TIMEOUT: Duration = seconds(40);
const ONE_REGION: &[&str] = &["us-west-2"];

async fn publish(api: &Api, model: &str, onnx: Vec<u8>) {
    let (code, answer) = api
        .publish(model, "1", &[("model.onnx", onnx)])
        .await
        .expect("an answer");
    assert_eq!(code, 200, "{model}: {answer}");
}

/// The good model answers.
async fn answers(api: &Api, model: &str) -> Result<(), String> {
    let (_, numbers) = api
        .infer(&format!("/v2/models/{model}/infer"), &scaled_question())
        .await?;
    claim(numbers == [3.0, 3.0, 3.0], || format!("{numbers:?}"))
}

fn steady_load(mesh: &TestMesh) -> Load {
    let url = format!("http://{}/v2/models/steady/infer", mesh.agent(0).serving());
    Load::start(url, scaled_question(), Duration::from_millis(50)).unwrap()
}

/// No request of the load failed.
async fn assert_undisturbed(load: Load) {
    let samples = load.finish().await;
    let failed: Vec<_> = samples
        .iter()
        .filter(|sample| sample.outcome.is_err())
        .collect();

    assert!(
        failed.is_empty() && !samples.is_empty(),
        "{} of {}: {failed:?}",
        failed.len(),
        samples.len()
    );
}

async fn problems(api: &Api, kind: &str) -> Result<Vec<Value>, String> {
    let (_, status) = api.get("/v1/status").await?;
    let all = status["problems"].as_array().cloned().unwrap_or_default();
    Ok(all
        .into_iter()
        .filter(|problem| problem["kind"] == kind)
        .collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn models_that_ask_for_too_much_memory_are_refused_with_the_reason_and_end_no_process() {
    let mesh = TestMesh::start_with(Setup {
        regions: ONE_REGION,
        ..Setup::default()
    })
    .await;
    let api = mesh.api(0);

    publish(&api, "steady", scaled(3.0)).await;
    until("the good model answers", TIMEOUT, async || {
        answers(&api, "steady").await
    })
    .await;

    let load = steady_load(&mesh);
    let bombs = [
        ("resize-huge", resized(60_000)),
        ("resize-absurd", resized(1_000_000)),
        ("constant", constant_of(&[1 << 31])),
        ("constant-in-two", constant_of(&[1 << 15, 1 << 16])),
        ("expand", grown("Expand", &[100_000, 100_000])),
        ("tile", grown("Tile", &[10_000_000_000])),
        ("doubling", doubled(32)),
    ];

    for (name, onnx) in bombs {
        publish(&api, name, onnx).await;
        let path = format!("/v2/models/{name}/infer");
        until(&format!("{name} is refused"), TIMEOUT, async || {
            mesh.assert_all_run();
            let told = api.infer(&path, &json!({})).await.err().unwrap_or_default();
            claim(
                told.contains(" 503") && told.contains("serving.max_tensor_bytes"),
                || told,
            )
        })
        .await;
    }

    assert_undisturbed(load).await;
    mesh.assert_all_run();

    let peak = api
        .metric("process_resident_memory_bytes", &[])
        .await
        .unwrap();

    assert!(peak < f64::from(1 << 30), "{peak} bytes");
}

/// So much that the bound refuses nothing: the allocation itself must fail.
fn without_bounds(config: &mut Config) {
    config.serving.max_tensor_bytes = 1 << 62;
}

fn has_died(mesh: &TestMesh) -> Result<(), String> {
    let state = mesh
        .state(&mesh.agent(0).id)
        .expect("an agent of this mesh");
    claim(!matches!(state, ChildState::Running { .. }), || {
        format!("{state:?}")
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_took_the_process_down_is_quarantined_at_the_next_start_until_it_is_retried_or_deleted()
 {
    let setup = Setup {
        regions: ONE_REGION,
        adjust: Some(without_bounds),
        ..Setup::default()
    };
    let mesh = TestMesh::start_with(setup).await;
    let api = mesh.api(0);

    publish(&api, "steady", scaled(3.0)).await;
    until("the good model answers", TIMEOUT, async || {
        answers(&api, "steady").await
    })
    .await;

    // The agent may be gone before it answers.
    let _ = api
        .publish("bomb", "1", &[("model.onnx", resized(1_000_000))])
        .await;
    until("the agent is dead", TIMEOUT, async || has_died(&mesh)).await;

    mesh.revive(0).await;
    until("the good model answers again", TIMEOUT, async || {
        answers(&api, "steady").await
    })
    .await;

    until("the quarantine is told", TIMEOUT, async || {
        let told = problems(&api, "model-quarantined").await?;
        claim(told.len() == 1 && told[0]["subject"] == "bomb@1", || {
            format!("{told:?}")
        })?;
        for path in ["/v1/events", "/v1/alerts"] {
            let text = api.get(path).await?.1.to_string();
            claim(text.contains("bomb@1"), || format!("{path}: {text}"))?;
        }

        let gauge = api
            .metric("regionmesh_serving_versions_quarantined", &[])
            .await?;
        claim(gauge == 1.0, || format!("{gauge} quarantined"))
    })
    .await;

    let refused = api
        .infer("/v2/models/bomb/infer", &json!({}))
        .await
        .unwrap_err();

    assert!(refused.contains("quarantined"), "{refused}");

    // It stays over a restart, and whoever mended the cause has it tried again.
    mesh.kill_region(0).await;
    mesh.configure(|config| config.serving.max_tensor_bytes = 1 << 30);
    mesh.revive(0).await;
    until("it is quarantined still", TIMEOUT, async || {
        let told = problems(&api, "model-quarantined").await?;
        claim(told.len() == 1, || format!("{told:?}"))
    })
    .await;

    let retried = mesh.cli(&["models", "retry", "bomb", "1"]).await;
    assert_eq!(retried.code, Some(0), "{retried:?}");
    until("it was tried again, and is refused", TIMEOUT, async || {
        let quarantined = problems(&api, "model-quarantined").await?;
        let unservable = problems(&api, "model-unservable").await?;
        claim(quarantined.is_empty() && unservable.len() == 1, || {
            format!("{quarantined:?} {unservable:?}")
        })
    })
    .await;

    let deleted = mesh.cli(&["models", "delete", "bomb", "1", "--yes"]).await;
    assert_eq!(deleted.code, Some(0), "{deleted:?}");
    until("nothing is left of it", TIMEOUT, async || {
        let told = problems(&api, "model-unservable").await?;
        claim(told.is_empty(), || format!("{told:?}"))
    })
    .await;

    mesh.assert_all_run();
}

fn impatient(config: &mut Config) {
    config.serving.load_timeout_ms = 8_000;
    config.serving.inference_timeout_ms = 5_000;
}

#[tokio::test(flavor = "multi_thread")]
async fn models_that_compute_for_ever_delay_neither_loading_nor_inference_of_others() {
    let setup = Setup {
        regions: ONE_REGION,
        adjust: Some(impatient),
        ..Setup::default()
    };
    let mesh = TestMesh::start_with(setup).await;
    let api = mesh.api(0);

    publish(&api, "steady", scaled(3.0)).await;
    until("the good model answers", TIMEOUT, async || {
        answers(&api, "steady").await
    })
    .await;

    // Loading: two that never end take both places, and not for long.
    for name in ["slow-a", "slow-b"] {
        publish(&api, name, slow_loading(3_072)).await;
    }
    publish(&api, "late", scaled(3.0)).await;
    until(
        "a good model published after two slow ones answers",
        seconds(10),
        async || answers(&api, "late").await,
    )
    .await;

    for name in ["slow-a", "slow-b"] {
        until("the slow ones are given up", TIMEOUT, async || {
            let told = api
                .infer(&format!("/v2/models/{name}/infer"), &json!({}))
                .await
                .err()
                .unwrap_or_default();

            claim(
                told.contains("can't be loaded") && told.contains("took longer"),
                || told,
            )
        })
        .await;

        let deleted = mesh.cli(&["models", "delete", name, "1", "--yes"]).await;
        assert_eq!(deleted.code, Some(0), "{deleted:?}");
    }

    // Inference: one that takes longer than it may is answered in time, and whose clients go away
    // leave nothing behind.
    publish(&api, "long", slow_inference(3_072)).await;

    let ready = format!("http://{}/v2/models/long/ready", mesh.agent(0).serving());
    until("the slow model is loaded", TIMEOUT, async || {
        let answer = api::client()
            .get(&ready)
            .send()
            .await
            .map_err(|error| error.to_string())?;

        claim(answer.status().is_success(), || answer.status().to_string())
    })
    .await;

    let load = steady_load(&mesh);
    let asked = json!({ "inputs": [{ "name": "x", "datatype": "FP32", "shape": [1, 1], "data": [0.0001] }] });
    let url = format!("http://{}/v2/models/long/infer", mesh.agent(0).serving());
    let leaving = (0..6).map(|_| {
        api::client()
            .post(&url)
            .timeout(seconds(1))
            .json(&asked)
            .send()
    });

    let left = futures::future::join_all(leaving).await;
    assert!(left.iter().all(Result::is_err), "{left:?}");

    let late = api
        .infer("/v2/models/long/infer", &asked)
        .await
        .unwrap_err();

    assert!(late.contains(" 503") || late.contains(" 504"), "{late}");
    until("what nobody waits for has ended", seconds(90), async || {
        let abandoned = api
            .metric("regionmesh_serving_abandoned_computations", &[])
            .await?;
        claim(abandoned == 0.0, || format!("{abandoned} go on"))
    })
    .await;

    assert_undisturbed(load).await;
    mesh.assert_all_run();
}
