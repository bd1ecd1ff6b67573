//! What monitors read: metrics, health checks, verdicts, logs.

use regionmesh::{config::Config, local_mesh::layout::LocalAgent};
use regionmesh_runtime::logging::LogFormat;
use regionmesh_tests::{
    api::Api,
    mesh::{Setup, TestMesh},
    models::{iris_one, question},
    skip::has_program,
    wait::{claim, seconds, until},
};
use serde_json::Value;
use std::process::Stdio;
use tokio::{io::AsyncWriteExt, net::UdpSocket, process::Command};

fn logs_json(config: &mut Config) {
    config.log.format = LogFormat::Json;
}

async fn mesh_that_logs_json() -> TestMesh {
    let mesh = TestMesh::start_with(Setup {
        adjust: Some(logs_json),
        ..Setup::default()
    })
    .await;

    mesh.converged().await;
    mesh
}

/// Some of everything, so that every metric has samples: successes and refusals.
async fn traffic(mesh: &TestMesh) {
    mesh.publish_iris(0, "1", iris_one()).await;
    mesh.until_held_by_all("1").await;
    mesh.until_answered_by_all("1").await;

    let garbage = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for region in 0..3 {
        let api = mesh.api(region);
        let agent = mesh.agent(region);
        assert!(!mesh.resolve(region).await.unwrap().is_empty());
        for port in [agent.mesh(), agent.dns()] {
            garbage.send_to(&[0x80; 40], port).await.unwrap();
        }
        assert!(
            api.infer("/v2/models/nothing/infer", &question())
                .await
                .is_err()
        );

        let refused = api
            .with_token(None)
            .promote("iris", "1", "x")
            .await
            .unwrap();

        assert_eq!(refused.0, 401, "{}", refused.1);
        assert_eq!(api.get("/nothing").await.unwrap().0, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_accepts_the_metrics_of_every_agent_after_traffic() {
    if !has_program("promtool", "prometheus") {
        return;
    }

    let mesh = mesh_that_logs_json().await;
    traffic(&mesh).await;
    for api in mesh.running_apis() {
        let (code, text) = api.get("/metrics").await.unwrap();
        let text = text.as_str().expect("text").to_owned();
        assert_eq!(code, 200, "{text}");
        for family in [
            "mesh_refused",
            "dns_queries",
            "inference_requests",
            "replication_bytes",
            "probes",
            "api_requests",
        ] {
            assert!(
                text.contains(&format!("\nregionmesh_{family}_total{{")),
                "no {family} in\n{text}"
            );
        }

        // Series that alerts use begin at 0, and the plan has series for every region.
        for series in [
            "regionmesh_leader_step_downs_total{reason=\"no-majority\"}",
            "regionmesh_register_slot_errors_total{acceptor=\"region\",reason=\"timeout\"}",
            "regionmesh_mesh_certificate_reloads_total{outcome=\"refused\"}",
            "regionmesh_replication_fetches_total{outcome=\"failed\"}",
            "regionmesh_inference_requests_total{code=\"500\",model=\"iris\",version=\"1\"}",
        ] {
            assert!(
                text.contains(&format!("\n{series} 0\n")),
                "no {series} of 0 in\n{text}"
            );
        }

        for region in (0..3).map(|region| mesh.region(region)) {
            for metric in [
                "share_ratio",
                "traffic_state_timestamp_seconds",
                "ramp_step",
            ] {
                let series = format!("regionmesh_plan_{metric}{{region=\"{region}\"}}");
                assert!(text.contains(&series), "no {series} in\n{text}");
            }
        }

        assert_promtool_accepts(&text).await;
    }
}

async fn assert_promtool_accepts(text: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();

    promtool
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .await
        .unwrap();

    let output = promtool.wait_with_output().await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success() && said.is_empty(),
        "{}\n{text}",
        String::from_utf8_lossy(&said)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn health_endpoints_are_accurate_and_every_log_line_is_one_json_object() {
    let mesh = mesh_that_logs_json().await;
    traffic(&mesh).await;

    let names: Vec<&str> = (0..3).map(|region| mesh.region(region)).collect();
    for api in mesh.running_apis() {
        assert_checks_pass(&api, &names).await;
    }

    mesh.kill_region(2).await;
    for api in mesh.running_apis() {
        until(
            &format!("{} reports the loss to load balancers", api.url()),
            seconds(30),
            async || {
                let (code, verdict) = api.get(&format!("/verdict/{}", names[2])).await?;
                claim(code == 503 && verdict["verdict"] == "failed", || {
                    verdict.to_string()
                })?;
                claim(
                    verdict["reason"]
                        .as_str()
                        .is_some_and(|reason| !reason.is_empty()),
                    || verdict.to_string(),
                )
            },
        )
        .await;

        // The loss of a region is no reason to restart this agent or to stop using it.
        assert_eq!(api.get("/healthz").await.unwrap().0, 200);
        assert_eq!(api.get("/readyz").await.unwrap().0, 200);
        assert_eq!(
            api.get(&format!("/verdict/{}", names[0])).await.unwrap().0,
            200
        );
    }

    mesh.revive(2).await;
    mesh.converged().await;
    mesh.stop().await;
    for agent in mesh.agents() {
        assert_log_is_json(agent);
    }
}

async fn assert_checks_pass(api: &Api, names: &[&str]) {
    let (code, health) = api.get("/healthz").await.unwrap();
    assert!(code == 200 && health["healthy"] == true, "{health}");
    for actor in [
        "mesh",
        "gossip",
        "health",
        "replicator",
        "dns-leader",
        "core",
        "dns",
        "serving",
        "api",
    ] {
        assert_eq!(
            health["actors"][actor]["running"], true,
            "{actor}: {health}"
        );
    }

    let (code, ready) = api.get("/readyz").await.unwrap();
    assert!(code == 200 && ready["ready"] == true, "{ready}");
    for name in names {
        let (code, verdict) = api.get(&format!("/verdict/{name}")).await.unwrap();
        assert!(code == 200 && verdict["verdict"] == "healthy", "{verdict}");
    }

    assert_eq!(api.get("/verdict/nowhere").await.unwrap().0, 404);
    assert_eq!(api.get("/verdict/No_Region").await.unwrap().0, 400);
}

fn assert_log_is_json(agent: &LocalAgent) {
    let log = std::fs::read_to_string(&agent.log_file).unwrap();
    let mut levels = std::collections::BTreeSet::new();
    for line in log.lines() {
        let Ok(Value::Object(object)) = serde_json::from_str(line) else {
            panic!("no JSON object: {line:?}")
        };
        for field in ["timestamp", "level", "target", "message"] {
            assert!(
                object.get(field).is_some_and(Value::is_string),
                "no {field}: {line}"
            );
        }

        levels.extend(object["level"].as_str().map(str::to_owned));
    }

    assert!(
        levels.contains("INFO") && levels.contains("WARN"),
        "{}: {levels:?} in\n{log}",
        agent.id
    );

    assert!(
        log.contains("\"message\":\"stopping\""),
        "{} did not end in order:\n{log}",
        agent.id
    );
}
