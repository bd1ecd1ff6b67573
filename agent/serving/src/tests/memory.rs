//! Limits of memory: loaded models, and the tensors that a model makes.

use super::*;
use prost::Message;
use tract_onnx::pb::tensor_proto::DataType;

/// `y = x` expanded to `shape`: its size is known before it is computed.
fn grown(shape: &[i64]) -> Vec<u8> {
    grown_of(DataType::Float, shape)
}

fn grown_of(element: DataType, shape: &[i64]) -> Vec<u8> {
    let x = models::value("x", element, &[1]);
    let y = models::value("y", element, shape);
    let sizes = tract_onnx::pb::TensorProto {
        name: "shape".into(),
        dims: vec![shape.len() as i64],
        data_type: DataType::Int64 as i32,
        int64_data: shape.to_vec(),
        ..tract_onnx::pb::TensorProto::default()
    };

    models::proto(
        vec![x],
        vec![y],
        vec![models::node("Expand", &["x", "shape"], "y")],
        vec![sizes],
    )
    .encode_to_vec()
}

#[tokio::test]
async fn a_model_with_too_large_a_tensor_is_refused_before_allocation() {
    let fixture = Fixture::with(&[("add", models::add(1.0)), ("small", grown(&[1_000]))]).await;
    let asked = json!({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1.0]}]});
    for (name, shape) in [
        ("large", vec![1 << 20, 1 << 20]),
        ("absurd", vec![1 << 30, 1 << 30]),
    ] {
        fixture.put(name, "1", grown(&shape));
        fixture.publish();
        fixture
            .wait("refused", async || {
                let answer = fixture.infer(name, asked.clone()).await.1.to_string();
                answer.contains("can't be loaded") && answer.contains("serving.max_tensor_bytes")
            })
            .await;
    }

    assert_eq!(fixture.infer("small", asked).await.0, 200);
    assert_eq!(fixture.infer("add", floats([1.0, 2.0])).await.0, 200);
}

#[tokio::test]
async fn an_input_text_that_grows_too_large_is_refused_and_a_short_one_answered() {
    let fixture = Fixture::with(&[("repeat", grown_of(DataType::String, &[100_000]))]).await;
    let asked = |text: &str| {
        json!({
            "inputs": [{"name": "x", "datatype": "BYTES", "shape": [1], "data": [text]}],
        })
    };
    assert_eq!(fixture.infer("repeat", asked("short")).await.0, 200);

    let (code, answer) = fixture
        .infer("repeat", asked(&"long ".repeat(10_000)))
        .await;
    assert!(
        code != 200 && answer.to_string().contains("serving.max_tensor_bytes"),
        "{code}: {answer}"
    );
}

#[tokio::test]
async fn memory_for_models_is_bounded_and_defaults_come_first() {
    let model = models::add(1.0);
    let resident = engine::Engine::resident_bytes(model.len() as u64);
    let fixture = Fixture::start(ServingConfig {
        memory_limit: 2 * resident,
        ..ServingConfig::default()
    })
    .await;

    for version in ["1", "2", "3"] {
        fixture.put("add", version, models::add(version.parse().unwrap()));
    }
    fixture.publish();
    fixture.wait_ready().await;
    for version in ["1", "2", "1"] {
        let (status, body) = fixture
            .get(&format!("/v2/models/add/versions/{version}/ready"))
            .await;
        assert_eq!(status, 200, "one extra version evicts the other: {body}");
    }

    fixture.put("second", "1", models::add(5.0));
    fixture.publish();
    fixture.wait_default("second", "1").await;

    let (status, body) = fixture.get("/v2/models/add/versions/1/ready").await;
    assert!(
        status == 503
            && body["error"]
                .as_str()
                .unwrap()
                .contains("serving.memory_limit"),
        "{body}"
    );

    // A version that can never fit evicts nothing.
    fixture.put_files(
        "third",
        "1",
        [("model.onnx".to_owned(), vec![0u8; 10_000].into())].into(),
    );

    fixture.publish();
    fixture
        .wait("named", async || {
            fixture
                .infer("third", json!({}))
                .await
                .1
                .to_string()
                .contains("third@1 can't")
        })
        .await;

    assert_eq!(fixture.get("/v2/health/ready").await.0, 200);
    assert_eq!(fixture.infer("second", floats([1.0, 2.0])).await.0, 200);
}

#[tokio::test]
async fn a_version_without_room_is_loaded_once_memory_is_freed() {
    let resident = engine::Engine::resident_bytes(models::add(1.0).len() as u64);
    let config = ServingConfig {
        memory_limit: 2 * resident,
        ..ServingConfig::default()
    };
    let fixture = Fixture::start_with(config, true).await;

    fixture.put("add", "1", models::add(1.0));
    fixture.put("second", "1", models::add(5.0));
    fixture.publish();
    fixture.wait_default("add", "1").await;
    fixture.wait_default("second", "1").await;
    fixture.put("add", "2", models::add(2.0));
    fixture.publish_with(&[("add", "1")]);
    fixture
        .wait("refused for lack of memory", async || {
            match fixture.outcome("add", "2") {
                Some(Outcome::Unservable { reason, .. }) => reason.contains("serving.memory_limit"),
                _ => false,
            }
        })
        .await;

    fixture.remove("second", "1");
    fixture.publish_with(&[("add", "1")]);
    fixture
        .wait("servable", async || {
            fixture.outcome("add", "2") == Some(Outcome::Servable)
        })
        .await;
}
