//! Models of some hundred bytes that need terabytes, or hours: they end no process and do not
//! disturb other models.

use regionmesh::{
    config::Config,
    local_mesh::{children::ChildState, measure::Load},
};
use regionmesh_tests::{
    api::{self, Api},
    load::finish_without_failure,
    mesh::{Setup, TestMesh},
    onnx::{
        constant_of, doubled, grown, resized, scaled, scaled_question, slow_inference, slow_loading,
    },
    wait::{claim, seconds, until},
};
use serde_json::json;
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
    let samples = finish_without_failure(load).await;
    assert!(!samples.is_empty(), "no request was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn models_that_need_too_much_memory_are_refused_and_crash_no_process() {
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
            let error = api.infer(&path, &json!({})).await.err().unwrap_or_default();
            claim(
                error.contains(" 503") && error.contains("serving.max_tensor_bytes"),
                || error,
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

/// A mesh of one region, in which the model `steady` answers.
async fn start_with_a_good_model(adjust: fn(&mut Config)) -> TestMesh {
    let setup = Setup {
        regions: ONE_REGION,
        adjust: Some(adjust),
        ..Setup::default()
    };
    let mesh = TestMesh::start_with(setup).await;
    let api = mesh.api(0);

    publish(&api, "steady", scaled(3.0)).await;
    until("the good model answers", TIMEOUT, async || {
        answers(&api, "steady").await
    })
    .await;
    mesh
}

/// A limit so high that it refuses nothing: the allocation itself must fail.
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
async fn a_version_that_crashed_the_process_is_quarantined_until_retried_or_deleted() {
    let mesh = start_with_a_good_model(without_bounds).await;
    let api = mesh.api(0);

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

    until_quarantine_is_reported(&api).await;

    // It stays quarantined over a restart, and is tried again on request once the cause is fixed.
    mesh.kill_region(0).await;
    mesh.configure(|config| config.serving.max_tensor_bytes = 1 << 30);
    mesh.revive(0).await;
    until("it is quarantined still", TIMEOUT, async || {
        let found = api.problems("model-quarantined").await?;
        claim(found.len() == 1, || format!("{found:?}"))
    })
    .await;

    let retried = mesh.cli(&["models", "retry", "bomb", "1"]).await;
    assert_eq!(retried.code, Some(0), "{retried:?}");
    until("it was tried again, and is refused", TIMEOUT, async || {
        let quarantined = api.problems("model-quarantined").await?;
        let unservable = api.problems("model-unservable").await?;
        claim(quarantined.is_empty() && unservable.len() == 1, || {
            format!("{quarantined:?} {unservable:?}")
        })
    })
    .await;

    let deleted = mesh.cli(&["models", "delete", "bomb", "1", "--yes"]).await;
    assert_eq!(deleted.code, Some(0), "{deleted:?}");
    until("nothing is left of it", TIMEOUT, async || {
        let found = api.problems("model-unservable").await?;
        claim(found.is_empty(), || format!("{found:?}"))
    })
    .await;

    mesh.assert_all_run();
}

async fn until_quarantine_is_reported(api: &Api) {
    until("the quarantine is reported", TIMEOUT, async || {
        let found = api.problems("model-quarantined").await?;
        claim(found.len() == 1 && found[0]["subject"] == "bomb@1", || {
            format!("{found:?}")
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
}

fn short_timeouts(config: &mut Config) {
    config.serving.load_timeout_ms = 8_000;
    config.serving.inference_timeout_ms = 5_000;
}

#[tokio::test(flavor = "multi_thread")]
async fn models_that_never_finish_do_not_delay_other_models() {
    let mesh = start_with_a_good_model(short_timeouts).await;
    let api = mesh.api(0);

    assert_slow_loading_gives_way(&mesh, &api).await;

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
    let asked = json!({
        "inputs": [{ "name": "x", "datatype": "FP32", "shape": [1, 1], "data": [0.0001] }],
    });
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
    until(
        "the abandoned computations have ended",
        seconds(90),
        async || {
            let abandoned = api
                .metric("regionmesh_serving_abandoned_computations", &[])
                .await?;
            claim(abandoned == 0.0, || format!("{abandoned} still run"))
        },
    )
    .await;

    assert_undisturbed(load).await;
    mesh.assert_all_run();
}

/// Two models that never end loading take both places, and not for long.
async fn assert_slow_loading_gives_way(mesh: &TestMesh, api: &Api) {
    for name in ["slow-a", "slow-b"] {
        publish(api, name, slow_loading(3_072)).await;
    }
    publish(api, "late", scaled(3.0)).await;
    until(
        "a good model published after two slow ones answers",
        seconds(10),
        async || answers(api, "late").await,
    )
    .await;

    for name in ["slow-a", "slow-b"] {
        until("the slow ones are given up", TIMEOUT, async || {
            let error = api
                .infer(&format!("/v2/models/{name}/infer"), &json!({}))
                .await
                .err()
                .unwrap_or_default();

            claim(
                error.contains("can't be loaded") && error.contains("took longer"),
                || error,
            )
        })
        .await;

        let deleted = mesh.cli(&["models", "delete", name, "1", "--yes"]).await;
        assert_eq!(deleted.code, Some(0), "{deleted:?}");
    }
}
