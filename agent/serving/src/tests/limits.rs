//! Limits: requests, bodies, memory; and panics of the engine.

use super::*;
use axum::body::Body;
use http::HeaderMap;
use prost::Message;
use std::task::Poll;
use tokio::sync::Semaphore;
use tower::ServiceExt;

/// The routes, and the model's loaded version, so that tests can take its places.
async fn routes_with(config: ServingConfig) -> (axum::Router, Arc<loading::Loaded>) {
    let metrics = ServingMetrics::new(&regionmesh_runtime::metrics::Registry::new()).unwrap();
    let fixture = Fixture::with(&[("add", models::add(1.0))]).await;
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
            .run(fixture.announce.subscribe(), fixture.peers.subscribe()),
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

/// A place for a client without a timeout of its own.
async fn enter(admission: &admission::Admission) -> admission::Place {
    admission.enter(&HeaderMap::new()).await.unwrap()
}

fn request(body: Body) -> http::Request<Body> {
    http::Request::post("/v2/models/add/infer")
        .body(body)
        .unwrap()
}

#[tokio::test]
async fn a_burst_far_above_the_parallelism_is_queued_and_served() {
    let (routes, loaded) = routes_with(parallel(2)).await;
    let running = [enter(&loaded.places).await, enter(&loaded.places).await];
    let ask = || {
        routes
            .clone()
            .oneshot(request(floats([1.0, 2.0]).to_string().into()))
    };
    let mut waiting: Vec<_> = (0..150).map(|_| Box::pin(ask())).collect();

    for request in &mut waiting {
        // Polled until they wait, so that their order in the queue is fixed.
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
async fn a_request_queued_past_its_deadline_is_refused_with_retry_after() {
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
async fn a_request_is_not_queued_past_the_clients_own_timeout() {
    let (routes, loaded) = routes_with(parallel(1)).await;
    let _running = enter(&loaded.places).await;
    let mut deadline_request = request(floats([1.0, 2.0]).to_string().into());

    deadline_request
        .headers_mut()
        .insert(admission::DEADLINE_HEADER, "20".parse().unwrap());

    let asked =
        tokio::time::timeout(Duration::from_secs(4), routes.oneshot(deadline_request)).await;
    assert_eq!(asked.expect("waits like the others").unwrap().status(), 503);
}

#[tokio::test]
async fn a_request_that_would_miss_its_deadline_is_refused_immediately() {
    let config = ServingConfig {
        queue_timeout_ms: 100,
        ..parallel(1)
    };
    let (routes, loaded) = routes_with(config).await;
    let running = enter(&loaded.places).await;

    // The place was taken for longer than the queue timeout, so the next request is expected to
    // wait as long.
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
async fn a_client_that_disconnects_leaves_the_queue() {
    let (routes, loaded) = routes_with(parallel(1)).await;
    let running = enter(&loaded.places).await;

    // More than the queue holds.
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
async fn the_total_size_of_bodies_in_progress_is_bounded() {
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
    let fixture = Fixture::start(ServingConfig {
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
async fn a_panic_of_the_engine_only_fails_its_request_with_500() {
    let fixture = Fixture::with(&[("divide", models::divide())]).await;
    let ask = async |b: [i64; 2]| {
        let tensor = |name: &str, data: [i64; 2]| {
            json!({
                "name": name, "datatype": "INT64", "shape": [2], "data": data,
            })
        };
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
    fixture.assert_metric("regionmesh_inference_panics_total 20\n");
}

#[tokio::test]
async fn external_weights_are_read_from_the_versions_folder_only() {
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

    let fixture = Fixture::with(&[]).await;
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
async fn garbage_and_incomplete_requests_do_not_affect_others() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let fixture = Fixture::with(&[("add", models::add(1.0))]).await;
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
