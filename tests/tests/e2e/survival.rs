//! Users are not left on a dead region while another one works: whatever operators ordered, without
//! a majority, and when all failed.

mod agents;
mod all_failed;

use super::membership::no_witness;
use regionmesh::config::Config;
use regionmesh_core::planning::Strategy;
use regionmesh_protocol::status::condition::Condition;
use regionmesh_tests::{
    agents::configure_agent,
    mesh::{Setup, TestMesh},
    wait::{claim, seconds, until},
};
use serde_json::{Value, json};
use std::net::IpAddr;

const ALL: [usize; 3] = [0, 1, 2];

fn active_passive(config: &mut Config) {
    config.traffic.strategy = Strategy::ActivePassive;
}

fn address(mesh: &TestMesh, index: usize) -> IpAddr {
    IpAddr::V4(mesh.agent(index).ip)
}

async fn get(mesh: &TestMesh, asked: usize, path: &str) -> Result<Value, String> {
    let (code, body) = mesh.api(asked).get(path).await?;
    claim(code == 200, || format!("{path} answered {code}: {body}"))?;
    Ok(body)
}

/// Text without its line breaks and columns.
fn words_of(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether an alert of this name is active.
fn is_active(alerts: &Value, name: &str) -> bool {
    let alerts = alerts["alerts"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();

    alerts
        .iter()
        .any(|alert| alert["labels"]["alertname"] == name && alert["ended_ms"].is_null())
}

async fn until_alert(mesh: &TestMesh, asked: usize, name: &str, wanted: bool) {
    until(
        &format!("{name} is active: {wanted}"),
        seconds(30),
        async || {
            let alerts = get(mesh, asked, "/v1/alerts").await?;
            claim(is_active(&alerts, name) == wanted, || alerts.to_string())
        },
    )
    .await;
}

/// All serve and one leads.
async fn converged(mesh: &TestMesh) {
    for asked in ALL {
        until(
            &format!("all serve, seen from {}", mesh.region(asked)),
            seconds(60),
            async || {
                let status = mesh.api(asked).status().await?;
                claim(status.leader.is_some(), || "no leader".into())?;
                for region in &status.regions {
                    let is_well =
                        region.traffic_state == "serving" && region.verdict == Condition::Healthy;
                    claim(is_well, || {
                        format!(
                            "{} is {}, {}",
                            region.region, region.traffic_state, region.verdict
                        )
                    })?;
                }

                Ok(())
            },
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_region_serves_when_the_others_have_failed_and_is_drained_again_afterwards() {
    let setup = Setup {
        adjust: Some(active_passive),
        ..Setup::default()
    };
    let mesh = TestMesh::start_with(setup).await;

    converged(&mesh).await;
    for drained in [1, 2] {
        let old = json!({
            "region": mesh.region(drained),
            "by": "ann",
            "why": "disks",
            "for_ms": 600_000,
        });
        let mut body = old.clone();
        body["force"] = true.into();

        let (code, _) = mesh.api(0).post("/v1/failover/drain", &body).await.unwrap();

        if code != 200 {
            mesh.order(0, "drain", old).await;
        }
    }

    mesh.kill_region(0).await;
    for survivor in [1, 2] {
        until(
            &format!("{} names no dead region", mesh.region(survivor)),
            seconds(30),
            async || {
                let named = mesh.resolve(survivor).await?;
                claim(
                    !named.is_empty() && !named.contains(&address(&mesh, 0)),
                    || format!("{named:?}"),
                )
            },
        )
        .await;
    }

    assert_orders_have_no_effect(&mesh).await;

    until_one_serves_alone(&mesh).await;

    assert_yielding_is_reported(&mesh).await;

    // As soon as another region can serve, the drains take effect again.
    mesh.revive(0).await;
    until_drains_take_effect(&mesh).await;

    until_alert(&mesh, 1, "RegionMeshOrderYielded", false).await;
}

/// The orders still exist, and all views report that they have no effect.
async fn assert_orders_have_no_effect(mesh: &TestMesh) {
    let status = get(mesh, 1, "/v1/failover/status").await.unwrap();
    assert_eq!(
        status["plan"]["overrides"].as_array().map(Vec::len),
        Some(2),
        "{status}"
    );

    let yielded = status["plan"]["yielded"].to_string();
    assert!(
        yielded.contains("drain of") && yielded.contains("by ann (disks)"),
        "{status}"
    );

    // One of them is enough: the mesh is active-passive.
    assert_eq!(
        status["plan"]["yielded"].as_array().map(Vec::len),
        Some(1),
        "{status}"
    );
}

async fn until_one_serves_alone(mesh: &TestMesh) {
    for survivor in [1, 2] {
        until(
            "the first of the drained regions serves alone",
            seconds(30),
            async || {
                let share = mesh.api(survivor).region(mesh.region(1)).await?.share;
                claim(share == 1.0, || format!("{share}"))
            },
        )
        .await;
    }
}

async fn assert_yielding_is_reported(mesh: &TestMesh) {
    until_alert(mesh, 1, "RegionMeshOrderYielded", true).await;
    let metric = mesh
        .api(1)
        .metric("regionmesh_plan_yielded_orders", &[])
        .await
        .unwrap();

    assert!(metric >= 1.0, "{metric}");
    for words in [&["status"][..], &["failover", "status"]] {
        let output = mesh.cli(words).await;
        assert_eq!(output.code, Some(0), "{output:?}");

        let text = words_of(&output.stdout);
        assert!(
            text.contains("has had no effect") && text.contains("failed"),
            "{text}"
        );
    }

    let explained = mesh.cli(&["failover", "explain", mesh.region(0)]).await;
    assert_eq!(explained.code, Some(0), "{explained:?}");
    assert!(
        !words_of(&explained.stdout).contains("every region appears to be down"),
        "{}",
        explained.stdout
    );

    let events = get(mesh, 1, "/v1/events").await.unwrap().to_string();
    assert!(events.contains("order-yields:drain"), "{events}");
}

async fn until_drains_take_effect(mesh: &TestMesh) {
    until("the drains take effect again", seconds(60), async || {
        for asked in ALL {
            let status = mesh.api(asked).status().await?;
            for (index, wanted) in [(0, 1.0), (1, 0.0), (2, 0.0)] {
                let region = &status
                    .regions
                    .iter()
                    .find(|region| region.region.as_str() == mesh.region(index));
                let share = region.ok_or("a region is missing")?.share;

                claim(share == wanted, || {
                    format!("{} has {share}", mesh.region(index))
                })?;
            }
        }

        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_survivor_without_a_majority_answers_itself_and_reports_a_frozen_plan() {
    let setup = Setup {
        adjust: Some(active_passive),
        ..Setup::default()
    };
    let mesh = TestMesh::start_with(setup).await;

    converged(&mesh).await;
    mesh.kill_region(0).await;
    until("the second region serves", seconds(30), async || {
        let named = mesh.resolve(2).await?;
        claim(named == [address(&mesh, 1)], || format!("{named:?}"))
    })
    .await;

    mesh.kill_region(1).await;
    until(
        "the survivor answers itself alone",
        seconds(30),
        async || {
            let named = mesh.resolve(2).await?;
            claim(named == [address(&mesh, 2)], || format!("{named:?}"))
        },
    )
    .await;

    assert_frozen_plan_is_reported(&mesh).await;

    restart_without_the_filter(&mesh).await;

    // With a majority the plan is used again.
    mesh.revive(0).await;
    until("the plan is not frozen", seconds(60), async || {
        let status = get(&mesh, 2, "/v1/status").await?;
        claim(
            status["frozen"].is_null() && !status["leader"].is_null(),
            || status["frozen"].to_string(),
        )
    })
    .await;

    until_alert(&mesh, 2, "RegionMeshNoLeader", false).await;
}

async fn assert_frozen_plan_is_reported(mesh: &TestMesh) {
    let (code, ready) = mesh.api(2).get("/readyz").await.unwrap();
    let detail = ready["checks"]["plan"].as_str().unwrap_or_default();
    assert!(
        code == 200 && detail.contains("plan frozen since"),
        "{code}: {ready}"
    );

    let status = get(mesh, 2, "/v1/status").await.unwrap();
    assert_eq!(
        status["frozen"]["left_out"],
        json!([mesh.region(1)]),
        "{status}"
    );

    assert_eq!(
        (&status["frozen"]["reachable"], &status["frozen"]["members"]),
        (&json!(1), &json!(3)),
        "{status}"
    );

    let agent = mesh.agent(2).api_url();
    for words in [&["status"][..], &["failover", "status"]] {
        let output = mesh.cli(&[words, &["--agent", &agent]].concat()).await;
        let text = words_of(&output.stdout);
        assert!(
            text.contains("not a majority") && text.contains("failed"),
            "{text}"
        );
    }

    until_alert(mesh, 2, "RegionMeshNoLeader", true).await;
    assert_eq!(
        mesh.api(2).metric("regionmesh_plan_frozen", &[]).await,
        Ok(1.0)
    );
}

/// Without the filter, the plan is answered unchanged.
async fn restart_without_the_filter(mesh: &TestMesh) {
    let survivor = mesh.agent(2).clone();
    mesh.kill_region(2).await;

    configure_agent(&survivor, |config| config.dns.filter_when_frozen = false);
    mesh.start_agent(&survivor.id).await.unwrap();
    until(
        "the plan is frozen, and answered",
        seconds(60),
        async || {
            let status = get(mesh, 2, "/v1/status").await?;
            claim(status["frozen"]["left_out"] == json!([]), || {
                status["frozen"].to_string()
            })?;

            let seen = status["regions"].as_array().ok_or("no regions")?.iter();
            let is_refused = |region: &Value| {
                region["region"] == mesh.region(1)
                    && region["observations"]
                        .to_string()
                        .contains("connection refused")
            };

            claim(seen.clone().any(is_refused), || {
                "the dead region is not seen to refuse yet".into()
            })?;

            let named = mesh.resolve(2).await?;
            claim(named == [address(mesh, 1)], || format!("{named:?}"))
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dns_leaves_out_a_refusing_region_when_automatic_failover_is_off() {
    let regions = ["us-west-2", "eu-west-1", "ap-south-1", "sa-east-1"];
    let setup = Setup {
        adjust: Some(no_witness),
        regions: &regions,
        ..Setup::default()
    };
    let mesh = TestMesh::start_with(setup).await;

    converged(&mesh).await;
    mesh.kill_region(3).await;
    for asked in ALL {
        until("the dead region is left out", seconds(30), async || {
            let status = get(&mesh, asked, "/v1/status").await?;
            claim(
                status["frozen"]["left_out"] == json!([mesh.region(3)]),
                || status["frozen"].to_string(),
            )?;

            let detail = status["frozen"]["detail"].as_str().unwrap_or_default();
            let is_said =
                !status["leader"].is_null() && detail.contains("automatic failover is refused");

            claim(is_said, || status.to_string())
        })
        .await;

        // An answer names one region, by weight.
        for _ in 0..40 {
            let named = mesh.resolve(asked).await.unwrap();
            assert!(
                !named.is_empty() && !named.contains(&address(&mesh, 3)),
                "{named:?}"
            );
        }
    }

    mesh.revive(3).await;
    until("it is answered again", seconds(60), async || {
        let named = mesh.resolve(0).await?;
        claim(named.contains(&address(&mesh, 3)), || format!("{named:?}"))
    })
    .await;
}
