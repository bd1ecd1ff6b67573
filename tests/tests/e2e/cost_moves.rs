//! What moves because of cost: traffic to the region where a request costs less, versions by the
//! cheapest route; and neither where it must not.

use regionmesh::config::{Config, NodesConfig};
use regionmesh_cost::PricingClass;
use regionmesh_tests::{
    mesh::{Setup, TestMesh},
    models::{iris_one, noise, question},
    wait::{claim, seconds, until},
};
use serde_json::Value;
use std::collections::BTreeMap;

/// Nodes at the built-in prices; those of eu-west-1 are the most expensive by half.
fn priced(config: &mut Config) {
    for region in &mut config.regions {
        let (cloud, instance) = match region.name.as_str() {
            "eu-west-1" => ("gcp", "e2-standard-4"),
            "ap-south-1" => ("azure", "D2s_v5"),
            _ => ("aws", "m5.large"),
        };

        region.cloud = cloud.into();
        region.capacity_rps = Some(10_000);

        let pricing = PricingClass::OnDemand;
        region.nodes = vec![NodesConfig {
            instance: instance.into(),
            pricing,
            count: Some(1),
        }];
    }

    config.traffic.cost = true;
}

/// The weights of the plan that an agent knows, and its reason.
async fn weights(mesh: &TestMesh, index: usize) -> Result<(BTreeMap<String, u16>, String), String> {
    let plan = mesh.api(index).plan().await?;
    let weights = plan
        .regions
        .iter()
        .map(|region| (region.region.to_string(), region.weight_bp))
        .collect();

    Ok((weights, plan.brief.reason))
}

#[tokio::test(flavor = "multi_thread")]
async fn traffic_moves_to_cheaper_regions_and_back_immediately_when_a_region_is_lost() {
    let mesh = TestMesh::start_with(Setup {
        adjust: Some(priced),
        ..Setup::default()
    })
    .await;

    mesh.converged().await;
    let (code, answer) = mesh
        .api(0)
        .publish("iris", "1", &[("model.onnx", iris_one())])
        .await
        .unwrap();

    assert_eq!(code, 200, "{answer}");
    until_traffic_leaves_the_most_expensive_region(&mesh).await;

    assert_plan_explains_itself(&mesh).await;

    for index in 0..3 {
        until("the factor is a metric", seconds(30), async || {
            let factor = mesh
                .api(index)
                .metric("regionmesh_plan_cost_factor_ratio", &["eu-west-1"])
                .await?;
            claim((0.5..1.0).contains(&factor), || factor.to_string())
        })
        .await;
    }

    let explained = mesh.cli(&["failover", "explain", "eu-west-1"]).await;
    assert!(
        explained.stdout.contains("a request costs less elsewhere"),
        "{}",
        explained.stdout
    );

    assert_recommendations(&mesh).await;

    mesh.kill_region(0).await;
    until("all of their weight again", seconds(30), async || {
        let (weights, reason) = weights(&mesh, 1).await?;
        claim(
            weights["eu-west-1"] == 10_000 && weights["us-west-2"] == 0,
            || format!("{weights:?}: {reason}"),
        )
    })
    .await;
}

/// The cost of requests is only known once there are requests.
async fn until_traffic_leaves_the_most_expensive_region(mesh: &TestMesh) {
    until(
        "traffic leaves the most expensive region",
        seconds(90),
        async || {
            for index in 0..3 {
                mesh.api(index)
                    .infer("/v2/models/iris/infer", &question())
                    .await?;
            }

            let (weights, reason) = weights(mesh, 0).await?;
            claim(weights["eu-west-1"] < 10_000, || {
                format!("{weights:?}: {reason}")
            })
        },
    )
    .await;
}

async fn assert_plan_explains_itself(mesh: &TestMesh) {
    let plan = mesh.api(0).plan().await.unwrap();
    let reason = &plan.brief.reason;
    assert!(
        reason.contains("is moved from eu-west-1") && reason.contains("USD a month"),
        "{reason}"
    );

    let share = |name: &str| {
        plan.regions
            .iter()
            .find(|region| region.region.as_str() == name)
            .unwrap()
            .share
    };

    assert!(
        (0.28..0.334).contains(&share("eu-west-1")),
        "at most 5 points in a step: {}",
        share("eu-west-1")
    );
}

/// What was counted is what recommendations rest on, at every agent some seconds later.
async fn assert_recommendations(mesh: &TestMesh) {
    let file = mesh.layout().data_dir.join("recommendations.json");
    until("recommendations", seconds(30), async || {
        let done = mesh
            .cli(&[
                "optimizer",
                "--baseline",
                "standby",
                "--output",
                file.to_str().unwrap(),
            ])
            .await;

        claim(done.code == Some(0), || done.stderr)
    })
    .await;

    let report: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(report["baseline"]["name"], "standby", "{report}");
    assert_eq!(
        report["comparisons"].as_array().map(Vec::len),
        Some(4),
        "{report}"
    );

    assert_eq!(
        report["verifications"].as_array().map(Vec::len),
        Some(0),
        "{report}"
    );
}

fn one_cloud(config: &mut Config) {
    config
        .regions
        .iter_mut()
        .for_each(|region| region.cloud = "aws".into());
}

/// Of the model below, bytes: enough to be worth a relay.
const WHOLE: usize = 70 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_large_version_leaves_the_region_with_expensive_egress_once() {
    let mesh = TestMesh::start_with(Setup {
        adjust: Some(one_cloud),
        ..Setup::default()
    })
    .await;

    mesh.converged().await;
    // Regions wait for each other by round trips that agents publish.
    for index in 0..3 {
        until("round trips are published", seconds(60), async || {
            let agents = mesh.api(index).status().await?.agents;
            let published = agents.iter().filter(|agent| agent.links.len() >= 2).count();
            claim(published == 3, || format!("{published} agents publish"))
        })
        .await;
    }

    let (code, answer) = mesh
        .api(2)
        .publish("noise", "1", &[("weights.bin", noise(1, WHOLE))])
        .await
        .unwrap();

    assert_eq!(code, 200, "{answer}");
    let received = async |index: usize, from: &str| {
        let from = format!("region=\"{from}\"");
        mesh.api(index)
            .metric(
                "regionmesh_replication_bytes_total",
                &["direction=\"received\"", &from],
            )
            .await
    };

    let mut from_mumbai = 0.0;
    for index in [0, 1] {
        until("the version is everywhere", seconds(120), async || {
            let (code, answer) = mesh.api(index).get("/v1/models/noise/versions/1").await?;
            claim(code == 200, || format!("{code}: {answer}"))
        })
        .await;

        from_mumbai += received(index, "ap-south-1").await.unwrap_or_default();
    }

    let relayed = received(0, "eu-west-1").await.unwrap_or_default()
        + received(1, "us-west-2").await.unwrap_or_default();
    println!("{from_mumbai} bytes from ap-south-1, {relayed} from the relay, of {WHOLE}");

    let whole = WHOLE as f64;
    assert!(
        from_mumbai >= whole && from_mumbai < 1.2 * whole,
        "{from_mumbai} bytes left ap-south-1"
    );

    assert!(relayed >= whole, "{relayed} bytes came from the relay");
    let mut relays = 0.0;
    for index in [0, 1] {
        relays += mesh
            .api(index)
            .metric("regionmesh_replication_relays_total", &["relayed"])
            .await
            .unwrap();
    }

    assert_eq!(relays, 1.0);
}
