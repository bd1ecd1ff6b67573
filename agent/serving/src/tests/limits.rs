//! Limits: requests, bodies, memory; and panics of the engine.

use super::*;
use axum::body::Body;
use http::HeaderMap;
use prost::Message;
use std::task::Poll;
use tokio::sync::Semaphore;
use tower::ServiceExt;
use tract_onnx::pb::tensor_proto::DataType;

/// The routes, and the one model's version, whose places the test holds too.
async fn routes_with(config: ServingConfig) -> (axum::Router, Arc<loading::Loaded>) {
    let metrics = ServingMetrics::new(&prometheus::Registry::new()).unwrap();
    let fixture = Rig::with(&[("add", models::add(1.0))]).await;
    let version_registry = loader::VersionRegistry::new(loader::VersionRegistryArguments {
        region: "here".parse().unwrap(),
        loading: Arc::new(loading_from(
            &fixture.memory,
            config.clone(),
            metrics.clone(),
        )),
        extra_versions: 1,
        places: 1,
        tests_versions: false,
        metrics: metrics.clone(),
    });

    tokio::spawn(
        version_registry
            .clone()
            .follow(fixture.announce.subscribe(), fixture.peers.subscribe()),
    );

    fixture
        .wait("loaded", async || {
            version_registry.resolve("add", None).await.is_ok()
        })
        .await;

    let loaded = version_registry.resolve("add", None).await.unwrap();
    let service = routes::Service {
        version_registry,
        admission: Arc::new(admission::Admission::new(&config, metrics.clone())),
        computing: Arc::new(Semaphore::new(routes::computing_max(config.parallel))),
        inference_timeout: Duration::from_secs(30),
        draining: watch::channel(false).1,
        meter: Default::default(),
        region: "here".parse().unwrap(),
        metrics,
    };

    (routes::router(service), loaded)
}

fn parallel(parallel: usize) -> ServingConfig {
    ServingConfig {
        parallel,
        ..ServingConfig::default()
    }
}

/// A place, for a client that says nothing of its patience.
async fn enter(admission: &admission::Admission) -> admission::Place {
    admission.enter(&HeaderMap::new()).await.unwrap()
}

fn request(body: Body) -> http::Request<Body> {
    http::Request::post("/v2/models/add/infer")
        .body(body)
        .unwrap()
}

#[tokio::test]
async fn a_burst_far_larger_than_the_places_is_queued_and_served() {
    let (routes, loaded) = routes_with(parallel(2)).await;
    let running = [enter(&loaded.places).await, enter(&loaded.places).await];
    let ask = || {
        routes
            .clone()
            .oneshot(request(floats([1.0, 2.0]).to_string().into()))
    };
    let mut waiting: Vec<_> = (0..150).map(|_| Box::pin(ask())).collect();

    for request in &mut waiting {
        // Polled until they wait: in an order that the queue keeps.
        for _ in 0..10 {
            assert!(matches!(futures::poll!(request.as_mut()), Poll::Pending));
        }
    }

    drop(running);
    for answer in futures::future::join_all(waiting).await {
        assert_eq!(answer.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn a_request_that_waited_until_its_deadline_is_refused_and_told_when_to_come_again() {
    let config = ServingConfig {
        queue_timeout_ms: 50,
        ..parallel(1)
    };
    let (routes, loaded) = routes_with(config).await;
    let _running = enter(&loaded.places).await;
    let ask = || {
        routes
            .clone()
            .oneshot(request(floats([1.0, 2.0]).to_string().into()))
    };

    let refused = tokio::time::timeout(Duration::from_secs(5), ask())
        .await
        .expect("hangs")
        .unwrap();

    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["retry-after"]),
        (503, &"1".parse().unwrap())
    );
}

#[tokio::test]
async fn a_client_that_says_how_long_it_waits_is_not_kept_longer() {
    let (routes, loaded) = routes_with(parallel(1)).await;
    let _running = enter(&loaded.places).await;
    let mut impatient = request(floats([1.0, 2.0]).to_string().into());

    impatient
        .headers_mut()
        .insert(admission::DEADLINE_HEADER, "20".parse().unwrap());

    let asked = tokio::time::timeout(Duration::from_secs(4), routes.oneshot(impatient)).await;
    assert_eq!(
        asked.expect("waits as long as others").unwrap().status(),
        503
    );
}

#[tokio::test]
async fn a_request_that_would_wait_longer_than_it_may_is_refused_at_once() {
    let config = ServingConfig {
        queue_timeout_ms: 100,
        ..parallel(1)
    };
    let (routes, loaded) = routes_with(config).await;
    let running = enter(&loaded.places).await;

    // The place was taken for longer than anybody may wait: so it will be by the next.
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(running);

    let _running = enter(&loaded.places).await;
    let begin = Instant::now();
    let refused = routes
        .oneshot(request(floats([1.0, 2.0]).to_string().into()))
        .await
        .unwrap();

    assert_eq!(refused.status(), 503);
    let body = refused.into_body().collect().await.unwrap().to_bytes();
    assert!(
        String::from_utf8_lossy(&body).contains("would wait 0.3 s"),
        "{body:?}"
    );

    assert!(
        begin.elapsed() < Duration::from_millis(100),
        "{:?}",
        begin.elapsed()
    );
}

#[tokio::test]
async fn a_client_that_gives_up_waiting_gives_its_place_back() {
    let (routes, loaded) = routes_with(parallel(1)).await;
    let running = enter(&loaded.places).await;

    // More than may wait at once.
    for _ in 0..1_100 {
        let mut given_up = Box::pin(
            routes
                .clone()
                .oneshot(request(floats([1.0, 2.0]).to_string().into())),
        );

        for _ in 0..10 {
            assert!(matches!(futures::poll!(given_up.as_mut()), Poll::Pending));
        }
    }

    drop(running);
    let answer = routes
        .oneshot(request(floats([1.0, 2.0]).to_string().into()))
        .await
        .unwrap();

    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn bodies_in_progress_are_bounded_together() {
    let config = ServingConfig {
        body_limit: 64 << 10,
        ..parallel(1)
    };
    let (routes, _loaded) = routes_with(config).await;

    // Each sends 32 KiB and then nothing: eight take the four full bodies that may be held.
    let stalled = || {
        let piece = futures::stream::once(async {
            Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 32 << 10]))
        });
        Body::from_stream(futures::StreamExt::chain(piece, futures::stream::pending()))
    };
    let mut held: Vec<_> = (0..8)
        .map(|_| Box::pin(routes.clone().oneshot(request(stalled()))))
        .collect();

    for request in &mut held {
        for _ in 0..10 {
            assert!(matches!(futures::poll!(request.as_mut()), Poll::Pending));
        }
    }

    let ask = || {
        routes
            .clone()
            .oneshot(request(floats([1.0, 2.0]).to_string().into()))
    };

    assert_eq!(ask().await.unwrap().status(), 503);
    drop(held);
    assert_eq!(ask().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_with_or_without_a_declared_length() {
    let fixture = Rig::start(ServingConfig {
        body_limit: 1_000,
        ..ServingConfig::default()
    })
    .await;

    fixture.put("add", "1", models::add(1.0));
    fixture.publish();
    fixture.wait_ready().await;

    let (parts, body) = fixture
        .exchange("POST", "/v2/models/add/infer", vec![b' '; 1_001])
        .await;
    assert_eq!(parts.status, 413, "{body}");
    assert!(
        body["error"]
            .as_str()
            .unwrap()
            .contains("larger than 1000 bytes"),
        "{body}"
    );

    assert_eq!(fixture.infer("add", floats([1.0, 2.0])).await.0, 200);

    let config = ServingConfig {
        body_limit: 1_000,
        ..parallel(1)
    };
    let (routes, _loaded) = routes_with(config).await;
    let pieces = futures::stream::iter(
        (0..10).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 200]))),
    );

    assert_eq!(
        routes
            .oneshot(request(Body::from_stream(pieces)))
            .await
            .unwrap()
            .status(),
        413
    );
}

#[tokio::test]
async fn a_panic_of_the_engine_is_a_500_and_nothing_else() {
    let fixture = Rig::with(&[("divide", models::divide())]).await;
    let ask = async |b: [i64; 2]| {
        let tensor = |name: &str, data: [i64; 2]| json!({"name": name, "datatype": "INT64", "shape": [2], "data": data});
        fixture
            .infer(
                "divide",
                json!({"inputs": [tensor("a", [8, 9]), tensor("b", b)]}),
            )
            .await
    };

    for _ in 0..20 {
        let (status, body) = ask([0, 1]).await;
        assert!(
            status == 500 && body["error"].as_str().unwrap().contains("panicked"),
            "{status} {body}"
        );
    }

    let (status, body) = ask([2, 3]).await;
    assert_eq!((status, &body["outputs"][0]["data"]), (200, &json!([4, 3])));
    assert!(
        fixture
            .metrics()
            .contains("regionmesh_inference_panics_total 20\n"),
        "{}",
        fixture.metrics()
    );
}

#[tokio::test]
async fn memory_for_models_is_bounded_and_defaults_come_first() {
    let model = models::add(1.0);
    let resident = engine::Engine::resident_bytes(model.len() as u64);
    let fixture = Rig::start(ServingConfig {
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
        assert_eq!(
            status, 200,
            "one extra version pushes the other out: {body}"
        );
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

    // Something that can never fit pushes nothing out.
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
async fn a_version_that_found_no_room_is_tried_again_once_memory_was_freed() {
    let resident = engine::Engine::resident_bytes(models::add(1.0).len() as u64);
    let config = ServingConfig {
        memory_limit: 2 * resident,
        ..ServingConfig::default()
    };
    let fixture = Rig::start_with(config, true).await;

    fixture.put("add", "1", models::add(1.0));
    fixture.put("second", "1", models::add(5.0));
    fixture.publish();
    fixture.wait_default("add", "1").await;
    fixture.wait_default("second", "1").await;
    fixture.put("add", "2", models::add(2.0));
    fixture.publish_with(&[("add", "1")]);
    fixture
        .wait("refused for want of memory", async || {
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

#[tokio::test]
async fn weights_in_files_beside_the_model_are_read_from_the_version_only() {
    let external = |location: &str, length: &str| {
        let mut proto = models::add_proto(0.0);
        let weight = &mut proto.graph.as_mut().unwrap().initializer[0];
        weight.float_data.clear();
        weight.data_location = Some(tract_onnx::pb::tensor_proto::DataLocation::External as i32);

        let entry = |key: &str, value: &str| tract_onnx::pb::StringStringEntryProto {
            key: key.into(),
            value: value.into(),
        };

        weight.external_data = vec![
            entry("location", location),
            entry("offset", "4"),
            entry("length", length),
        ];

        proto.encode_to_vec()
    };

    let fixture = Rig::with(&[]).await;
    let weights = Bytes::from([1.0f32.to_le_bytes(), 6.0f32.to_le_bytes()].concat());
    let files = |model: Vec<u8>| {
        [
            ("model.onnx".to_owned(), model.into()),
            ("w.bin".to_owned(), weights.clone()),
        ]
    };

    fixture.put_files("add", "1", files(external("w.bin", "4")).into());
    fixture.publish();
    fixture.wait_default("add", "1").await;
    assert_eq!(
        fixture.infer("add", floats([0.0, 1.0])).await.1["outputs"][0]["data"],
        json!([6.0, 7.0])
    );

    for (name, location, length) in [
        ("long", "w.bin", "400"),
        ("away", "/etc/passwd", "4"),
        ("max", "w.bin", "18446744073709551615"),
    ] {
        fixture.put_files(name, "1", files(external(location, length)).into());
        fixture.publish();

        let fault = format!("model {name}@1 can't be loaded: ");
        fixture
            .wait("refused", async || {
                fixture
                    .infer(name, json!({}))
                    .await
                    .1
                    .to_string()
                    .contains(&fault)
            })
            .await;
    }
}

#[tokio::test]
async fn garbage_and_half_requests_disturb_nothing() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let fixture = Rig::with(&[("add", models::add(1.0))]).await;
    let mut half_open = Vec::new();
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        &[0xff; 100_000],
        b"POST /v2/models/add/infer HTTP/1.1\r\n",
    ] {
        let mut stream = TcpStream::connect(fixture.address).await.unwrap();
        let _ = stream.write_all(bytes).await;
        half_open.push(stream);
    }

    let mut answer = Vec::new();
    let _ = half_open[1].read_to_end(&mut answer).await;
    assert_eq!(fixture.infer("add", floats([1.0, 2.0])).await.0, 200);
}

/// `y = x` grown to `shape`: what it makes is known before it is made.
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
async fn a_model_that_would_make_too_large_a_tensor_is_refused_before_anything_is_allocated() {
    let fixture = Rig::with(&[("add", models::add(1.0)), ("small", grown(&[1_000]))]).await;
    let asked = json!({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1.0]}]});
    for (name, shape) in [
        ("large", vec![1 << 20, 1 << 20]),
        ("absurd", vec![1 << 30, 1 << 30]),
    ] {
        fixture.put(name, "1", grown(&shape));
        fixture.publish();
        fixture
            .wait("refused", async || {
                let told = fixture.infer(name, asked.clone()).await.1.to_string();
                told.contains("can't be loaded") && told.contains("serving.max_tensor_bytes")
            })
            .await;
    }

    assert_eq!(fixture.infer("small", asked).await.0, 200);
    assert_eq!(fixture.infer("add", floats([1.0, 2.0])).await.0, 200);
}

#[tokio::test]
async fn a_text_that_a_model_repeats_too_often_is_refused_and_a_short_one_is_answered() {
    let fixture = Rig::with(&[("repeat", grown_of(DataType::String, &[100_000]))]).await;
    let asked = |text: &str| json!({"inputs": [{"name": "x", "datatype": "BYTES", "shape": [1], "data": [text]}]});
    assert_eq!(fixture.infer("repeat", asked("short")).await.0, 200);

    let (code, told) = fixture
        .infer("repeat", asked(&"long ".repeat(10_000)))
        .await;
    assert!(
        code != 200 && told.to_string().contains("serving.max_tensor_bytes"),
        "{code}: {told}"
    );
}
