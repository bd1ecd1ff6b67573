//! The operator's checks: they pass on a healthy mesh, and each can fail.

use axum::{Router, http::StatusCode, routing::get};
use parking_lot::Mutex;
use regionmesh_tests::{
    agents::signal,
    command::output_of,
    mesh::TestMesh,
    pages::root,
    skip::has_program,
    wait::{claim, seconds, until},
};
use serde_json::{Value, json};
use std::{process::Stdio, sync::Arc};
use tokio::{net::TcpListener, process::Command};

/// Runs a script of scripts/: its exit code and output.
async fn script(name: &str, arguments: &[String]) -> (Option<i32>, String) {
    let mut command = Command::new(root().join("scripts").join(name));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true);

    let output = output_of(&mut command, seconds(120)).await;
    (output.code, output.text())
}

/// health_check.sh, asking the agents of these regions.
async fn health(mesh: &TestMesh, regions: &[usize], options: &[&str]) -> (Option<i32>, String) {
    let agents = regions
        .iter()
        .flat_map(|region| ["--agent".to_owned(), mesh.agent(*region).api_url()]);
    script(
        "health_check.sh",
        &agents
            .chain(options.iter().map(|&option| option.to_owned()))
            .collect::<Vec<_>>(),
    )
    .await
}

/// What an agent's status reports about each live agent: its links, and the regions that it can't
/// reach.
async fn connections(
    mesh: &TestMesh,
    region: usize,
) -> Result<Vec<(String, usize, Vec<String>)>, String> {
    let (_, status) = mesh.api(region).get("/v1/status").await?;
    let agents = status["agents"].as_array().ok_or("no agents")?;
    let strings = |value: &Value| {
        value
            .as_array()
            .into_iter()
            .flatten()
            .map(|v| v.as_str().unwrap().to_owned())
            .collect()
    };

    Ok(agents
        .iter()
        .filter(|agent| agent["alive"] == true)
        .map(|agent| {
            let links = agent["links"].as_array().map_or(0, Vec::len);
            (
                agent["agent"].as_str().unwrap().to_owned(),
                links,
                strings(&agent["unreachable"]),
            )
        })
        .collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_region_is_reported_as_unreachable_and_fails_the_check() {
    if !has_program("jq", "jq") || !has_program("curl", "curl") {
        return;
    }

    let mesh = TestMesh::start().await;
    let name = mesh.region(2).to_owned();

    until_links_are_published(&mesh).await;

    let (code, said) = health(&mesh, &[0, 1, 2], &["--wait", "60"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("ok    every region is connected to every other"),
        "{said}"
    );

    signal(mesh.pid(mesh.agent(2)), "-STOP");
    until(
        "the survivors say that it is unreachable",
        seconds(60),
        async || {
            let all = connections(&mesh, 0).await?;
            let survivors: Vec<_> = all
                .iter()
                .filter(|(agent, ..)| !agent.starts_with(&name))
                .collect();

            claim(
                survivors.len() == 2 && survivors.iter().all(|(_, _, lost)| lost.contains(&name)),
                || format!("{all:?}"),
            )
        },
    )
    .await;

    let (code, said) = health(&mesh, &[0, 1], &[]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains(&format!("has no connection to {name}")),
        "{said}"
    );

    signal(mesh.pid(mesh.agent(2)), "-CONT");
    let (code, said) = health(&mesh, &[0, 1, 2], &["--wait", "100"]).await;
    assert_eq!(code, Some(0), "{said}");

    if has_program("dig", "bind9-dnsutils") {
        assert_dns_is_verified(&mesh).await;
    }

    let (code, said) = health(&mesh, &[0], &["--certificate-days", "10000"]).await;
    assert!(
        code == Some(1) && said.contains("FAIL  certificate expires"),
        "{said}"
    );

    let unknown = ["example", "--region", "nowhere"].map(str::to_owned);
    assert_eq!(script("health_check.sh", &unknown).await.0, Some(1));
}

/// Every agent publishes its connections, and any agent reports those of all.
async fn until_links_are_published(mesh: &TestMesh) {
    until("links are published", seconds(30), async || {
        let all = connections(mesh, 0).await?;
        claim(
            all.len() == 3
                && all
                    .iter()
                    .all(|(_, links, lost)| *links >= 2 && lost.is_empty()),
            || format!("{all:?}"),
        )
    })
    .await;
}

async fn assert_dns_is_verified(mesh: &TestMesh) {
    // Its ramp makes a plan a second.
    mesh.converged().await;
    let servers = [0, 1, 2]
        .map(|region| ["--server".to_owned(), mesh.agent(region).dns().to_string()])
        .concat();
    let zone = [
        "--zone",
        "regionmesh.test",
        "--agent",
        &mesh.agent(0).api_url(),
    ]
    .map(str::to_owned);

    let (code, said) = script("verify_dns.sh", &[&zone[..], &servers].concat()).await;
    assert_eq!(code, Some(0), "{said}");

    let elsewhere = ["--zone".to_owned(), "other.test".to_owned()];
    let (code, said) = script("verify_dns.sh", &[&elsewhere[..], &servers].concat()).await;
    assert_eq!(code, Some(1), "{said}");
}

/// What a fake agent answers.
#[derive(Clone)]
struct Answers {
    healthz: u16,
    ready: bool,
    verdict: u16,
    status: Value,
    metrics: String,
}

fn good() -> Answers {
    let agent = |name: &str, peer: &str| {
        json!({
            "agent": name,
            "alive": true,
            "holdings": { "missing": 0 },
            "unreachable": [],
            "links": [{ "agent": peer, "round_trip_us": 900 }],
        })
    };
    let region = |name: &str| json!({ "region": name, "verdict": "healthy", "verdict_reason": "" });
    let now_s = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let day = 86_400;
    let expiry = now_s + 2 * 86_400;

    Answers {
        healthz: 200,
        ready: true,
        verdict: 200,
        status: json!({
            "plan": { "seq": 3, "ballot": { "number": 1 } },
            "leader": { "agent": "a/x", "ballot": 1 },
            "regions": [region("a"), region("b")],
            "agents": [agent("a/x", "b/y"), agent("b/y", "a/x")],
            "problems": [],
        }),
        // A pod's certificate: three days long, two of them left.
        metrics: format!(
            "regionmesh_certificate_expiry_timestamp_seconds \
                {expiry}\nregionmesh_certificate_lifetime_seconds {}\n",
            3 * day
        ),
    }
}

async fn fake(answers: Arc<Mutex<Answers>>) -> String {
    let of = move |answer: fn(&Answers) -> (u16, String)| {
        let answers = answers.clone();
        get(move || async move {
            let (code, body) = answer(&answers.lock());
            (StatusCode::from_u16(code).unwrap(), body)
        })
    };

    let ready = |answers: &Answers| {
        (
            200,
            json!({ "ready": answers.ready, "checks": { "plan": "none" } }).to_string(),
        )
    };

    let router = Router::new()
        .route("/healthz", of(|answers| (answers.healthz, "x".into())))
        .route("/readyz", of(ready))
        .route(
            "/v1/status",
            of(|answers| (200, answers.status.to_string())),
        )
        .route(
            "/verdict/{region}",
            of(|answers| (answers.verdict, "x".into())),
        )
        .route("/metrics", of(|answers| (200, answers.metrics.clone())));

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// A fault, and the expected message.
type Fault = (&'static str, fn(&mut Answers));

#[tokio::test(flavor = "multi_thread")]
async fn every_health_check_can_fail() {
    if !has_program("jq", "jq") || !has_program("curl", "curl") {
        return;
    }

    let answers = Arc::new(Mutex::new(good()));
    let arguments = ["--agent".to_owned(), fake(answers.clone()).await];
    let (code, said) = script("health_check.sh", &arguments).await;

    assert_eq!(code, Some(0), "{said}");
    for (expected, breaks) in faults() {
        let mut broken = good();
        breaks(&mut broken);
        *answers.lock() = broken;

        let (code, said) = script("health_check.sh", &arguments).await;
        assert_ne!(code, Some(0), "{expected:?} went unnoticed:\n{said}");
        assert!(
            said.lines()
                .any(|line| line.contains("FAIL") && line.contains(expected)),
            "{said}"
        );
    }

    *answers.lock() = good();
    assert_eq!(script("health_check.sh", &arguments).await.0, Some(0));
}

/// Every fault that the check must detect.
fn faults() -> [Fault; 14] {
    [
        ("/healthz", |answers| answers.healthz = 503),
        ("not ready: plan: none", |answers| answers.ready = false),
        ("no plan:", |answers| answers.status["plan"] = Value::Null),
        ("no leader", |answers| {
            answers.status["leader"] = Value::Null
        }),
        ("names no region", |answers| {
            answers.status["regions"] = json!([])
        }),
        ("b failed (refused)", |answers| {
            answers.status["regions"][1] =
                json!({ "region": "b", "verdict": "failed", "verdict_reason": "refused" });
        }),
        ("not in /verdict/a", |answers| answers.verdict = 503),
        ("b/y lacks 2 version(s)", |answers| {
            answers.status["agents"][1]["holdings"]["missing"] = 2.into()
        }),
        ("b/y has no connection to a", |answers| {
            answers.status["agents"][1]["unreachable"] = json!(["a"])
        }),
        ("no connections reported by a/x", |answers| {
            answers.status["agents"][0]["links"] = json!([])
        }),
        ("store-unavailable", |answers| {
            answers.status["problems"] = json!([{
                "agent": "a/x",
                "kind": "store-unavailable",
                "subject": "s",
                "detail": "disk full",
            }]);
        }),
        ("certificate expires", |answers| {
            answers.metrics = answers.metrics.replace("expiry", "other")
        }),
        // Nine tenths of its lifetime are over.
        ("certificate expires", |answers| {
            answers.metrics = answers
                .metrics
                .replace("lifetime_seconds 259200", "lifetime_seconds 1728000");
        }),
        ("does not return a mesh status", |answers| {
            answers.status = json!("nonsense")
        }),
    ]
}
