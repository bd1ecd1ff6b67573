//! Test loads: their inputs, outcomes, and effect on the region.

use super::{
    lifecycle::{config, first_output},
    *,
};

#[tokio::test]
async fn a_new_version_is_warmed_up_with_the_shapes_of_the_old_one() {
    let fixture = Fixture::with(&[]).await;
    let metrics = ServingMetrics::new(&regionmesh_runtime::metrics::Registry::new()).unwrap();
    let loading = loading_from(&fixture.memory, config(1), metrics);
    let model = "add".parse().unwrap();
    let content = Digest([0; 32]);

    fixture.put("add", "1", models::add(1.0));
    fixture.put("add", "2", models::add(2.0));

    let old = loading
        .load(&model, &"1".parse().unwrap(), content, None, || false)
        .await
        .unwrap();

    for batch in [5, 6, 7, 8, 9, 7] {
        let input = tract_onnx::prelude::Tensor::zero::<f32>(&[batch, 2]).unwrap();
        old.engine
            .run(vec![input], &work::Control::new(None))
            .unwrap();
    }

    let in_use = old.engine.planned_shapes();
    assert_eq!(
        in_use,
        [7, 9, 8, 6].map(|batch| vec![vec![batch, 2]]),
        "at most four, the last used first"
    );

    let new = loading
        .load(&model, &"2".parse().unwrap(), content, Some(old), || false)
        .await
        .unwrap();

    assert_eq!(new.engine.planned_shapes(), in_use);
}

#[tokio::test]
async fn every_version_is_tested_once_and_failures_are_published_with_a_reason() {
    let fixture = Fixture::start_with(config(1), true).await;
    fixture.put("add", "1", models::add(1.0));
    fixture.put("add", "0", models::unknown_operator());
    fixture.put("divide", "1", models::divide());
    fixture.publish();
    fixture
        .wait("all tried", async || {
            fixture.servability.borrow().versions.len() == 3
        })
        .await;

    // Division by zero: a model that refuses one synthetic input may accept another.
    for (model, version) in [("add", "1"), ("divide", "1")] {
        assert_eq!(
            fixture.outcome(model, version),
            Some(Outcome::Servable),
            "{model}@{version}"
        );
    }

    let Some(Outcome::Unservable {
        reason,
        is_quarantined: false,
    }) = fixture.outcome("add", "0")
    else {
        panic!()
    };

    assert!(reason.contains("Frobnicate"), "{reason}");
    assert_eq!(fixture.servability.borrow().unserved, []);
    fixture.assert_metric("regionmesh_serving_versions_unservable 1\n");
}

#[tokio::test]
async fn a_version_whose_damaged_files_were_replaced_in_place_is_loaded_again() {
    let fixture = Fixture::start_with(config(1), true).await;
    for version in ["1", "2"] {
        fixture.put("add", version, b"damaged".to_vec());
    }
    fixture.publish();
    fixture
        .wait("refused", async || {
            fixture
                .infer("add", json!({}))
                .await
                .1
                .to_string()
                .contains("can't be loaded")
        })
        .await;

    let is_bad = |version: &str| {
        matches!(
            fixture.outcome("add", version),
            Some(Outcome::Unservable { .. })
        )
    };

    fixture
        .wait("both tried", async || is_bad("1") && is_bad("2"))
        .await;

    // The catalogue stays as it is.
    for version in ["1", "2"] {
        fixture.put("add", version, models::add(version.parse().unwrap()));
        fixture
            .quarantine
            .try_again(&"add".parse().unwrap(), &version.parse().unwrap());
    }

    fixture.wait_default("add", "2").await;
    fixture
        .wait("both servable", async || {
            ["1", "2"]
                .iter()
                .all(|name| fixture.outcome("add", name) == Some(Outcome::Servable))
        })
        .await;
}

#[tokio::test]
async fn an_attempt_whose_files_were_replaced_meanwhile_is_repeated() {
    let fixture = Fixture::start_with(config(1), true).await;
    let read_permits = Arc::new(tokio::sync::Semaphore::new(0));
    *fixture.memory.read_permits.lock() = Some(read_permits.clone());
    fixture.put("add", "1", b"damaged".to_vec());
    fixture.publish();
    fixture
        .wait("held", async || {
            fixture.memory.held.load(Ordering::SeqCst) == 1
        })
        .await;

    fixture.put("add", "1", models::add(1.0));
    fixture
        .quarantine
        .try_again(&"add".parse().unwrap(), &"1".parse().unwrap());

    // The server has recorded it by the time it answers.
    fixture.get("/v2/health/ready").await;
    read_permits.add_permits(100);
    fixture.wait_default("add", "1").await;
    assert_eq!(fixture.outcome("add", "1"), Some(Outcome::Servable));
}

#[tokio::test]
async fn if_the_wanted_version_never_loads_the_newest_older_one_is_served() {
    let fixture = Fixture::start(config(1)).await;
    fixture.put("add", "1", models::add(1.0));
    fixture.put("add", "2", models::add(2.0));
    fixture.put("add", "3", models::unknown_operator());
    fixture.put("add", "4", b"not onnx".to_vec());
    fixture.publish();
    fixture.wait_default("add", "2").await;
    fixture.wait_ready().await;
    assert_eq!(
        first_output(&fixture, "/v2/models/add/infer").await,
        (200, 2.0)
    );

    let gauge = "regionmesh_serving_default_failed{model=\"add\"} 1";
    fixture.assert_metric(gauge);
    fixture.put("add", "5", models::add(5.0));
    fixture.publish();
    fixture.wait_default("add", "5").await;
}

#[tokio::test]
async fn a_region_is_not_ready_if_it_cannot_serve_what_most_others_serve() {
    let fixture = Fixture::with(&[("add", models::add(1.0))]).await;
    fixture.put("bad", "1", models::unknown_operator());
    fixture.publish();
    fixture
        .wait("unserved", async || {
            fixture.servability.borrow().unserved.len() == 1
        })
        .await;

    assert_eq!(fixture.get("/v2/health/ready").await.0, 200);
    let serving = |models: &[&str]| {
        let served = models.iter().map(|name| name.parse().unwrap()).collect();
        regionmesh_core::planning::servability::RegionModels {
            served,
            ..Default::default()
        }
    };

    let peers = |first: &[&str], second: &[&str]| {
        let regions = [("b", first), ("c", second)];
        let regions = regions.map(|(name, models)| (name.parse().unwrap(), serving(models)));
        fixture
            .peers
            .send_replace(Arc::new(regions.into_iter().collect()));
    };

    peers(&["add", "bad"], &["add", "bad"]);
    fixture
        .wait("not ready", async || {
            fixture.get("/v2/health/ready").await.0 == 503
        })
        .await;

    assert!(!fixture.status.borrow().is_ready);
    assert_eq!(
        first_output(&fixture, "/v2/models/add/infer").await,
        (200, 1.0)
    );
    peers(&["add", "bad"], &["add"]);
    fixture.wait_ready().await;
}
