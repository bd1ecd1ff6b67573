//! The Open Inference Protocol: answers and errors.

use super::*;

#[tokio::test]
async fn a_request_is_answered_with_names_types_and_shapes() {
    let fixture = Fixture::with(&[("add", models::add(1.0)), ("mixed", models::mixed())]).await;
    let request = json!({
        "id": "42", "parameters": {"any": ["thing"]},
        "inputs": [{
            "name": "x", "datatype": "FP32", "shape": [2, 2], "data": [[1, 2.5], [3, -4]],
            "parameters": {},
        }],
        "outputs": [{"name": "y", "parameters": {"binary_data": true}}],
    });
    let (parts, body) = fixture
        .exchange("POST", "/v2/models/add/infer", request.to_string())
        .await;

    assert_eq!(
        (parts.status.as_u16(), &parts.headers["x-regionmesh-region"]),
        (200, &"here".parse().unwrap())
    );

    let outputs =
        json!([{"name": "y", "datatype": "FP32", "shape": [2, 2], "data": [2.0, 3.5, 4.0, -3.0]}]);
    assert_eq!(
        body,
        json!({"model_name": "add", "model_version": "1", "id": "42", "outputs": outputs})
    );

    let inputs = json!([
        {"name": "byte", "datatype": "UINT8", "shape": [], "data": [255]},
        {"name": "flag", "datatype": "BOOL", "shape": [3], "data": [true, false, true]},
    ]);
    let (_, body) = fixture.infer("mixed", json!({"inputs": inputs})).await;
    let outputs = json!([
        {"name": "not", "datatype": "BOOL", "shape": [3], "data": [false, true, false]},
        {"name": "same", "datatype": "UINT8", "shape": [], "data": [255]},
    ]);

    assert_eq!(
        body["outputs"], outputs,
        "inputs are taken by name, in any order"
    );

    let (_, body) = fixture
        .infer(
            "mixed",
            json!({"inputs": inputs, "outputs": [{"name": "same"}]}),
        )
        .await;

    assert_eq!(body["outputs"], json!([outputs[1]]));
}

#[tokio::test]
async fn metadata_and_health_follow_the_protocol() {
    let fixture = Fixture::with(&[("add", models::add(1.0))]).await;
    fixture.put("add", "2", models::add(2.0));
    fixture.publish_with(&[("add", "1")]);
    fixture
        .wait("two versions", async || {
            fixture.get("/v2/models/add").await.1["versions"] == json!(["1", "2"])
        })
        .await;

    let (_, body) = fixture.get("/v2/models/add/versions/2").await;
    assert_eq!(body["versions"], json!(["2"]));
    assert_eq!(
        body["inputs"],
        json!([{"name": "x", "datatype": "FP32", "shape": [-1, 2]}])
    );

    assert_eq!(
        body["outputs"],
        json!([{"name": "y", "datatype": "FP32", "shape": [-1, 2]}])
    );

    for (path, field, value) in [
        ("/v2", "name", json!("regionmesh")),
        ("/v2/health/live", "live", json!(true)),
        ("/v2/health/ready", "ready", json!(true)),
        ("/v2/models/add/ready", "version", json!("1")),
        ("/v2/models/add/versions/2/ready", "version", json!("2")),
        (
            "/v2/models/add/versions/production/ready",
            "version",
            json!("1"),
        ),
    ] {
        let (status, body) = fixture.get(path).await;
        assert_eq!((status, &body[field]), (200, &value), "{path}");
    }

    for method in ["GET", "POST"] {
        let (status, body) = fixture.call(method, "/v2/repository/index", "{}").await;
        assert_eq!(
            (
                status,
                body[0]["state"].as_str().unwrap(),
                body.as_array().unwrap().len()
            ),
            (200, "READY", 2)
        );
    }
}

const ADD: &str = "/v2/models/add/infer";

/// Method, path, body, status, and a part of the message.
type Case = (&'static str, &'static str, Value, u16, &'static str);

fn input(name: &str, datatype: &str, shape: Value, data: Value) -> Value {
    json!({"name": name, "datatype": datatype, "shape": shape, "data": data})
}

fn x() -> Value {
    input("x", "FP32", json!([1, 2]), json!([1, 2]))
}

fn wrong_paths() -> Vec<Case> {
    vec![
        (
            "POST",
            "/v2/models/none/infer",
            json!({}),
            404,
            "model \"none\" is not in this region",
        ),
        (
            "POST",
            "/v2/models/..%2f..%2fetc/infer",
            json!({}),
            404,
            "is not in this region",
        ),
        (
            "POST",
            "/v2/models/add/versions/9/infer",
            json!({}),
            404,
            "no version or alias \"9\"",
        ),
        (
            "GET",
            "/v2/models/add/versions/9",
            json!(null),
            404,
            "no version or alias \"9\"",
        ),
        ("GET", "/v2/models/none/ready", json!(null), 404, "\"none\""),
        ("GET", "/v1/models/add", json!(null), 404, "no such path"),
        ("GET", ADD, json!(null), 405, "GET is not allowed"),
        (
            "DELETE",
            "/v2/models/add",
            json!(null),
            405,
            "DELETE is not allowed",
        ),
    ]
}

fn wrong_requests() -> Vec<Case> {
    vec![
        (
            "POST",
            ADD,
            json!({"inputs": 3}),
            400,
            "not an inference request",
        ),
        ("POST", ADD, json!({}), 400, "missing field `inputs`"),
        (
            "POST",
            ADD,
            json!({"inputs": []}),
            400,
            "inputs are missing: [\"x\"]",
        ),
        (
            "POST",
            ADD,
            json!({"inputs": [input("z", "FP32", json!([1]), json!([1]))]}),
            400,
            "input \"z\" is not one of the model's: [\"x\"]",
        ),
        (
            "POST",
            ADD,
            json!({"inputs": [x(), x()]}),
            400,
            "input \"x\" is given twice",
        ),
        (
            "POST",
            ADD,
            json!({"inputs": [x(), input("z", "FP32", json!([1]), json!([1]))]}),
            400,
            "input \"z\" is not",
        ),
    ]
}

fn wrong_tensors() -> Vec<Case> {
    vec![
        (
            "POST",
            ADD,
            json!({"inputs": [input("x", "INT8", json!([1, 2]), json!([1, 2]))]}),
            400,
            "datatype \"INT8\", the model expects FP32",
        ),
        (
            "POST",
            ADD,
            json!({"inputs": [input("x", "fp32", json!([1, 2]), json!([1, 2]))]}),
            400,
            "the model expects FP32",
        ),
        (
            "POST",
            ADD,
            json!({"inputs": [input("x", "FP32", json!([2]), json!([1, 2]))]}),
            400,
            "shape has 1 dimensions",
        ),
        (
            "POST",
            ADD,
            json!({"inputs": [input("x", "FP32", json!([1, 3]), json!([1, 2, 3]))]}),
            400,
            "dimension 1 of the shape is 3, the model expects 2",
        ),
        (
            "POST",
            ADD,
            json!({"inputs": [input("x", "FP32", json!([2, 2]), json!([1, 2]))]}),
            400,
            "2 elements in data, shape [2, 2] needs 4",
        ),
        (
            "POST",
            ADD,
            json!({"inputs": [input("x", "FP32", json!([-1, 2]), json!([1, 2]))]}),
            400,
            "dimension 0 of the shape is -1",
        ),
        (
            "POST",
            ADD,
            json!({"inputs": [input("x", "FP32", json!([1e300, 2]), json!([1, 2]))]}),
            400,
            "dimension 0 of the shape",
        ),
    ]
}

fn wrong_values() -> Vec<Case> {
    vec![
        (
            "POST",
            ADD,
            json!({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2]}]}),
            400,
            "no data",
        ),
        (
            "POST",
            ADD,
            json!({"inputs": [x()], "outputs": [{"name": "z"}]}),
            400,
            "output \"z\" is not one of the model's: [\"y\"]",
        ),
        (
            "POST",
            "/v2/models/mixed/infer",
            json!({"inputs": [input("byte", "UINT8", json!([]), json!([300]))]}),
            400,
            "out of the range of UINT8",
        ),
        (
            "POST",
            "/v2/models/mixed/infer",
            json!({"inputs": [input("byte", "UINT8", json!([]), json!([1.5]))]}),
            400,
            "not a whole number",
        ),
    ]
}

#[tokio::test]
async fn wrong_requests_are_refused_with_expected_and_given_values() {
    let fixture = Fixture::with(&[("add", models::add(1.0)), ("mixed", models::mixed())]).await;
    let cases = wrong_paths()
        .into_iter()
        .chain(wrong_requests())
        .chain(wrong_tensors())
        .chain(wrong_values());

    for (method, path, body, status, part) in cases {
        let (parts, answer) = fixture.exchange(method, path, body.to_string()).await;
        let error = answer["error"]
            .as_str()
            .unwrap_or_else(|| panic!("{method} {path} {body}: {answer}"));

        assert_eq!(
            parts.status.as_u16(),
            status,
            "{method} {path} {body}: {error}"
        );

        assert!(error.contains(part), "{method} {path} {body}: {error}");
        assert_eq!(parts.headers.contains_key("allow"), status == 405);
        assert!(parts.headers.contains_key("x-regionmesh-region"));
    }

    for body in [
        "",
        "{",
        "\u{0}",
        "[[[[",
        &"[".repeat(100_000),
        "{\"inputs\":[{\"name\":\"x\"}]}",
    ] {
        assert_eq!(fixture.call("POST", ADD, body.to_owned()).await.0, 400);
    }

    assert_eq!(
        fixture.infer("add", floats([1.0, 2.0])).await.0,
        200,
        "and it still serves"
    );
}

#[tokio::test]
async fn only_models_of_the_catalogue_become_metric_labels() {
    let fixture = Fixture::with(&[("add", models::add(1.0))]).await;
    for number in 0..50 {
        fixture.infer(&format!("made-up-{number}"), json!({})).await;
        fixture
            .call(
                "POST",
                &format!("/v2/models/add/versions/{number}9/infer"),
                "{}",
            )
            .await;
    }

    fixture.infer("add", floats([1.0, 2.0])).await;
    let metrics = fixture.metrics();
    assert!(
        !metrics.contains("made-up") && !metrics.contains("version=\"19\""),
        "{metrics}"
    );

    assert!(
        metrics.contains(
            "regionmesh_inference_requests_total{code=\"404\",model=\"\",version=\"\"} 50"
        )
    );

    assert!(metrics.contains(
        "regionmesh_inference_requests_total{code=\"404\",model=\"add\",version=\"\"} 50"
    ));
    assert!(metrics.contains(
        "regionmesh_inference_requests_total{code=\"200\",model=\"add\",version=\"1\"} 1"
    ));
}
