//! Versions are added, replaced and deleted under load.

use super::*;
use std::sync::atomic::AtomicBool;

pub(super) fn config(extra_versions: usize) -> ServingConfig {
    ServingConfig {
        extra_versions,
        ..ServingConfig::default()
    }
}

pub(super) async fn first_output(fixture: &Fixture, path: &str) -> (u16, f64) {
    let (status, body) = fixture
        .call("POST", path, floats([0.0, 0.0]).to_string())
        .await;
    (
        status,
        body["outputs"][0]["data"][0].as_f64().unwrap_or(f64::NAN),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hot_swap_under_load_fails_no_request() {
    let fixture = Fixture::with(&[("add", models::add(1.0))]).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let mut clients = Vec::new();

    for _ in 0..4 {
        let mut connection = fixture.connect().await;
        let is_over = is_over.clone();
        clients.push(tokio::spawn(async move {
            let mut count = 0;
            while !is_over.load(Ordering::SeqCst) {
                let body = floats([0.0, 0.0]).to_string();
                let (parts, answer) =
                    send(&mut connection, "POST", "/v2/models/add/infer", body).await;

                assert_eq!(parts.status, 200, "{answer}");
                // Each answer is entirely from the version that it names.
                let version: f64 = answer["model_version"].as_str().unwrap().parse().unwrap();
                assert_eq!(answer["outputs"][0]["data"], json!([version, version]));
                count += 1;
            }

            count
        }));
    }

    for version in 2..=12u32 {
        fixture.put("add", &version.to_string(), models::add(version as f32));
        if version > 6 {
            fixture.remove("add", &(version - 5).to_string());
        }
        fixture.publish();
        fixture.wait_default("add", &version.to_string()).await;
    }

    is_over.store(true, Ordering::SeqCst);
    let mut total = 0;
    for client in clients {
        total += client.await.unwrap();
    }
    assert!(total > 50, "only {total} requests were under way");
    fixture.assert_metric("regionmesh_serving_swaps_total{model=\"add\"} 12");
}

#[tokio::test]
async fn an_alias_switches_the_default_back_and_forth_without_reloading() {
    let fixture = Fixture::with(&[("add", models::add(1.0))]).await;
    fixture.put("add", "2", models::add(2.0));
    fixture.publish_with(&[("add", "1")]);
    assert_eq!(
        first_output(&fixture, "/v2/models/add/versions/2/infer").await,
        (200, 2.0)
    );

    assert_eq!(
        first_output(&fixture, "/v2/models/add/infer").await,
        (200, 1.0)
    );
    let reads = fixture.memory.reads.load(Ordering::SeqCst);
    for version in ["2", "1", "2"] {
        fixture.publish_with(&[("add", version)]);
        fixture.wait_default("add", version).await;
    }

    assert_eq!(fixture.memory.reads.load(Ordering::SeqCst), reads);
}

#[tokio::test]
async fn a_deleted_model_disappears_and_a_deleted_default_is_replaced() {
    let fixture = Fixture::with(&[("add", models::add(1.0)), ("other", models::add(5.0))]).await;
    fixture.put("add", "2", models::add(2.0));
    fixture.publish();
    fixture.wait_default("add", "2").await;
    fixture.remove("add", "2");
    fixture.publish();
    fixture.wait_default("add", "1").await;
    fixture
        .wait("unknown version", async || {
            fixture.get("/v2/models/add/versions/2/ready").await.0 == 404
        })
        .await;

    fixture.remove("add", "1");
    fixture.publish();
    fixture
        .wait("gone", async || {
            fixture.get("/v2/models/add").await.0 == 404
        })
        .await;
    assert_eq!(
        first_output(&fixture, "/v2/models/other/infer").await,
        (200, 5.0)
    );

    fixture
        .wait("unloaded", async || {
            fixture
                .metrics()
                .contains("regionmesh_serving_models_loaded 1\n")
        })
        .await;

    assert!(
        !fixture.metrics().contains("model=\"add\""),
        "{}",
        fixture.metrics()
    );
}

#[tokio::test]
async fn a_version_republished_with_other_content_is_reloaded() {
    let fixture = Fixture::with(&[("add", models::add(1.0))]).await;
    fixture.put("add", "1", models::add(7.0));
    fixture.publish();
    fixture
        .wait("other content", async || {
            first_output(&fixture, "/v2/models/add/infer").await.1 == 7.0
        })
        .await;
}

#[tokio::test]
async fn a_broken_new_default_leaves_the_old_one_serving() {
    let fixture = Fixture::with(&[("add", models::add(1.0))]).await;
    fixture.put("add", "2", models::missing_output());
    fixture.publish();

    let gauge = "regionmesh_serving_default_failed{model=\"add\"} 1";
    fixture
        .wait("reported", async || fixture.metrics().contains(gauge))
        .await;
    assert_eq!(
        first_output(&fixture, "/v2/models/add/infer").await,
        (200, 1.0)
    );
    assert_eq!(fixture.get("/v2/health/ready").await.0, 200);

    let (status, body) = fixture.get("/v2/models/add/versions/2/ready").await;
    assert_eq!(status, 503, "{body}");
    assert!(
        body["error"].as_str().unwrap().contains("panicked"),
        "{body}"
    );
}

#[tokio::test]
async fn a_region_is_ready_once_the_catalogue_is_read_and_stays_ready() {
    let fixture = Fixture::start(config(1)).await;
    assert_eq!(
        fixture.get("/v2/health/ready").await.0,
        503,
        "nothing is known yet"
    );

    assert_eq!(fixture.get("/v2/health/live").await.0, 200);
    fixture.publish();
    fixture.wait_ready().await;
    fixture.put("add", "1", models::add(1.0));
    fixture.put("bad", "1", models::unknown_operator());
    fixture.put("junk", "1", b"not onnx".to_vec());

    let ready = async || assert_eq!(fixture.get("/v2/health/ready").await.0, 200);
    fixture.publish();
    for name in ["bad", "junk"] {
        fixture
            .wait("named", async || {
                ready().await;
                fixture
                    .infer(name, json!({}))
                    .await
                    .1
                    .to_string()
                    .contains("can't be loaded")
            })
            .await;

        assert_eq!(
            fixture.get(&format!("/v2/models/{name}/ready")).await.0,
            503
        );
    }

    fixture.wait_default("add", "1").await;
    ready().await;
    assert!(fixture.status.borrow().is_ready);
}

#[tokio::test]
async fn a_starting_region_is_ready_once_it_serves_all_servable_models() {
    let fixture = Fixture::start(config(1)).await;
    fixture.memory.is_broken.store(true, Ordering::SeqCst);
    fixture.put("add", "1", models::add(1.0));
    fixture.put("bad", "1", models::unknown_operator());
    fixture.publish();

    let reports = async |part: &str| {
        fixture
            .get("/v2/health/ready")
            .await
            .1
            .to_string()
            .contains(part)
    };

    fixture
        .wait("the store's fault is reported", async || {
            reports("model add@1 can't be loaded").await
        })
        .await;

    fixture.memory.is_broken.store(false, Ordering::SeqCst);
    fixture.wait_ready().await;
    assert_eq!(
        first_output(&fixture, "/v2/models/add/infer").await,
        (200, 1.0)
    );

    let (status, body) = fixture.infer("bad", json!({})).await;
    assert!(
        status == 503 && body.to_string().contains("Frobnicate"),
        "{body}"
    );
}

#[tokio::test]
async fn a_draining_region_is_not_ready_but_keeps_serving() {
    let fixture = Fixture::with(&[("add", models::add(1.0))]).await;
    fixture.draining.send_replace(true);

    let (parts, body) = fixture.exchange("GET", "/v2/health/ready", "").await;
    assert_eq!(
        (parts.status.as_u16(), body["error"].as_str().unwrap()),
        (503, "the region is draining")
    );

    assert_eq!(
        first_output(&fixture, "/v2/models/add/infer").await,
        (200, 1.0)
    );
    fixture.draining.send_replace(false);
    assert_eq!(fixture.get("/v2/health/ready").await.0, 200);
}

#[tokio::test]
async fn extra_versions_are_bounded_and_the_least_recently_used_is_evicted() {
    let fixture = Fixture::start(config(2)).await;
    for version in ["1", "2", "3", "4"] {
        fixture.put("add", version, models::add(version.parse().unwrap()));
    }
    fixture.publish();
    fixture.wait_ready().await;

    let path = |version: u32| format!("/v2/models/add/versions/{version}/infer");
    for version in [1, 2, 1, 3, 1] {
        assert_eq!(
            first_output(&fixture, &path(version)).await,
            (200, f64::from(version))
        );
    }

    let reads = fixture.memory.reads.load(Ordering::SeqCst);
    first_output(&fixture, &path(1)).await;
    first_output(&fixture, &path(3)).await;
    assert_eq!(
        fixture.memory.reads.load(Ordering::SeqCst),
        reads,
        "1 and 3 stay"
    );

    first_output(&fixture, &path(2)).await;
    assert_eq!(
        fixture.memory.reads.load(Ordering::SeqCst),
        reads + 1,
        "2 was dropped"
    );
}

#[tokio::test]
async fn the_status_lists_what_is_served() {
    let mut fixture = Fixture::with(&[("add", models::add(1.0))]).await;
    let wanted = [("add".parse().unwrap(), "1".parse().unwrap())];
    let listed = fixture
        .status
        .wait_for(|status| status.is_ready && status.models == wanted);

    tokio::time::timeout(Duration::from_secs(10), listed)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_stop_finishes_requests_in_progress_and_accepts_no_new_ones() {
    let fixture = Fixture::with(&[("add", models::add(1.0))]).await;
    fixture.put("add", "0", models::add(4.0));
    fixture.publish();
    fixture
        .wait("known", async || {
            fixture.get("/v2/models/add").await.1["versions"] == json!(["0", "1"])
        })
        .await;

    // The request hangs at the store, in place of a slow inference.
    let read_permits = Arc::new(tokio::sync::Semaphore::new(0));
    *fixture.memory.read_permits.lock() = Some(read_permits.clone());

    let mut connection = fixture.connect().await;
    let request = tokio::spawn(async move {
        send(
            &mut connection,
            "POST",
            "/v2/models/add/versions/0/infer",
            floats([0.0, 0.0]).to_string(),
        )
        .await
    });

    fixture
        .wait("held", async || {
            fixture.memory.held.load(Ordering::SeqCst) == 1
        })
        .await;

    let deadline = Instant::now() + Duration::from_secs(10);
    fixture.stop.cancel();
    while TcpStream::connect(fixture.address).await.is_ok() {
        assert!(Instant::now() < deadline, "still accepts connections");
        tokio::task::yield_now().await;
    }

    assert!(!fixture.server.is_finished());
    read_permits.add_permits(1);

    let (parts, body) = request.await.unwrap();
    assert_eq!(
        (parts.status.as_u16(), &body["outputs"][0]["data"]),
        (200, &json!([4.0, 4.0]))
    );

    fixture.server.await.unwrap().unwrap();
}
