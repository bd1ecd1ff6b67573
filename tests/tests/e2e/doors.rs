//! The ports of an agent: under which names the API answers, which texts it takes, and whether idle
//! connections can shut out other clients.

mod connections;

use regionmesh_tests::{
    api::{Api, client},
    mesh::TestMesh,
    wait::{claim, seconds, until},
};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// A line that only an agent may write into an agent's log.
const FORGED: &str =
    "2026-11-29T03:00:00.000000Z ERROR regionmesh::audit: forged line, root logged in";

/// What the server answers to these bytes until it closes.
async fn exchange(port: SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(port).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();

    let mut answer = Vec::new();
    let _ = timeout(seconds(15), stream.read_to_end(&mut answer))
        .await
        .expect("the server closes");

    String::from_utf8_lossy(&answer).into_owned()
}

/// Status and body of a request with this Host header.
async fn under(client: &Client, method: &str, url: &str, host: &str, token: &str) -> (u16, Value) {
    let request = client
        .request(Method::from_bytes(method.as_bytes()).unwrap(), url)
        .header("host", host);
    let reply = request.bearer_auth(token).body("{}").send().await.unwrap();
    let status = reply.status().as_u16();
    let is_stream = reply
        .headers()
        .get("content-type")
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));

    let body = if is_stream {
        String::new()
    } else {
        reply.text().await.unwrap()
    };

    (
        status,
        serde_json::from_str(&body).unwrap_or(Value::String(body)),
    )
}

/// The operations of the served document: method and path with names in it.
async fn operations(mesh: &TestMesh) -> Vec<(String, String)> {
    let (code, document) = mesh.api(0).get("/v1/openapi.json").await.unwrap();
    assert_eq!(code, 200);

    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let mut named = path.clone();
        for (name, example) in [
            ("{region}", mesh.region(0)),
            ("{model}", "none"),
            ("{version}", "1"),
            ("{upload}", "0123456789abcdef"),
        ] {
            named = named.replace(name, example);
        }

        operations.extend(
            item.as_object()
                .unwrap()
                .keys()
                .map(|method| (method.to_uppercase(), named.clone())),
        );
    }

    assert!(operations.len() > 30, "{operations:?}");
    operations
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_refuses_a_foreign_host_and_answers_known_names() {
    let mesh = TestMesh::start().await;
    let client = client();
    let url = mesh.agent(0).api_url();
    let port = mesh.agent(0).api();

    for (method, path) in operations(&mesh).await {
        for host in ["evil.example", "127.0.0.1.evil.example:9080"] {
            let (status, body) = under(
                &client,
                &method,
                &format!("{url}{path}"),
                host,
                mesh.token(),
            )
            .await;

            assert_eq!(status, 421, "{method} {path} under {host}: {body}");
            let says = |field: &str| body[field].as_str().is_some_and(|text| !text.is_empty());
            assert!(says("error") && says("hint"), "{method} {path}: {body}");
        }
    }

    let (status, _) = under(
        &client,
        "GET",
        &format!("{url}/nothing"),
        "evil.example",
        mesh.token(),
    )
    .await;

    assert_eq!(status, 421);
    for host in [
        format!("localhost:{}", port.port()),
        port.to_string(),
        "[::1]".into(),
        "serving.regionmesh.test".into(),
    ] {
        let (status, body) = under(
            &client,
            "GET",
            &format!("{url}/v1/status"),
            &host,
            mesh.token(),
        )
        .await;

        assert_eq!(status, 200, "{host}: {body}");
    }

    assert_odd_heads_are_judged(port).await;

    let counted = mesh
        .api(0)
        .metric("regionmesh_api_requests_total", &["code=\"421\""])
        .await
        .unwrap();

    assert!(counted >= 60.0, "{counted}");

    assert_configured_hosts_are_answered(&mesh, &client).await;
}

async fn assert_odd_heads_are_judged(port: SocketAddr) {
    let answer = exchange(port, "GET /v1/status HTTP/1.1\r\nConnection: close\r\n\r\n").await;
    assert!(
        answer.starts_with("HTTP/1.1 400"),
        "without a Host: {answer}"
    );

    let twice = "GET /v1/status HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: \
        close\r\n\r\n";
    let answer = exchange(port, twice).await;

    assert!(answer.starts_with("HTTP/1.1 400"), "two Hosts: {answer}");
    let absolute = "GET http://evil.example/v1/status HTTP/1.1\r\nHost: localhost\r\nConnection: \
        close\r\n\r\n";
    let answer = exchange(port, absolute).await;

    assert!(
        answer.starts_with("HTTP/1.1 421"),
        "absolute form: {answer}"
    );

    let answer = exchange(port, "GET /healthz HTTP/1.0\r\n\r\n").await;
    assert!(answer.contains(" 200 "), "an old prober: {answer}");
}

async fn assert_configured_hosts_are_answered(mesh: &TestMesh, client: &Client) {
    mesh.kill_region(1).await;
    mesh.configure(|config| {
        config.api.hosts = vec!["api.example.org".into(), ".svc.cluster.local".into()]
    });
    mesh.revive(1).await;

    let url = format!("{}/v1/status", mesh.agent(1).api_url());
    for (host, expected) in [
        ("API.example.org:443", 200),
        ("regionmesh-api.regionmesh.svc.cluster.local", 200),
        ("svc.cluster.local", 421),
        ("example.org", 421),
    ] {
        assert_eq!(
            under(client, "GET", &url, host, mesh.token()).await.0,
            expected,
            "{host}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_refuses_texts_that_would_forge_log_lines() {
    let mesh = TestMesh::start().await;
    mesh.converged().await;

    let api = mesh.api(0);
    let region = mesh.region(1);
    let order = json!({ "region": region, "by": "ann", "why": "a test", "for_ms": 60_000 });
    let bodies = text_routes(region, &order);

    let texts = forging_texts();

    assert_refused(&api, &bodies, &texts).await;

    // An order that is taken is in every log, and nothing that was refused.
    let (status, answer) = api.post("/v1/failover/hold", &order).await.unwrap();
    assert_eq!(status, 200, "{answer}");
    until_logged_unforged(&mesh).await;

    for arguments in [
        &["status"][..],
        &["failover", "status"],
        &["failover", "history"],
        &["events"],
    ] {
        let output = mesh.cli(arguments).await;
        assert!(
            !output.stdout.contains('\u{1b}') && !output.stdout.contains("forged line"),
            "{arguments:?}"
        );
    }
}

/// A route that takes texts: path, a body that is accepted, and the fields that hold text.
type TextRoute = (&'static str, Value, &'static [&'static str]);

/// Every route that takes texts.
fn text_routes(region: &str, order: &Value) -> Vec<TextRoute> {
    vec![
        ("/v1/failover/hold", order.clone(), &["by", "why"]),
        (
            "/v1/failover/drain",
            order.clone(),
            &["by", "why", "region"],
        ),
        (
            "/v1/failover/promote",
            order.clone(),
            &["by", "why", "region"],
        ),
        (
            "/v1/failover/restore",
            json!({ "region": region, "by": "ann", "why": "a test" }),
            &["by", "why", "region"],
        ),
        (
            "/v1/failover/members/add",
            json!({ "region": region, "by": "ann", "why": "w" }),
            &["by", "why", "region"],
        ),
        (
            "/v1/failover/members/remove",
            json!({ "region": region, "by": "ann", "why": "w" }),
            &["by", "why", "region"],
        ),
        (
            "/v1/failover/members/rename",
            json!({ "region": region, "to": "new", "by": "ann", "why": "w" }),
            &["by", "why", "region", "to"],
        ),
        (
            "/v1/models/m/versions/1/uploads",
            json!({ "publisher": "ann" }),
            &["publisher"],
        ),
        (
            "/v1/models/m/versions/1/promote",
            json!({ "alias": "a", "by": "ann" }),
            &["alias", "by"],
        ),
    ]
}

fn forging_texts() -> [String; 7] {
    [
        format!("ann\n{FORGED}"),
        format!("ann\r\n{FORGED}"),
        "a\0b".into(),
        "\u{1b}]0;owned\u{7}\u{1b}[31mred".into(),
        "\u{9b}31m".into(),
        "\u{202e}nna".into(),
        "a\u{2028}b".into(),
    ]
}

async fn assert_refused(api: &Api, bodies: &[TextRoute], texts: &[String]) {
    for (path, body, fields) in bodies {
        for field in *fields {
            for text in texts {
                let mut body = body.clone();
                body[*field] = text.as_str().into();

                let (status, answer) = api.post(path, &body).await.unwrap();
                assert_eq!(status, 400, "{path} with {field} {text:?}: {answer}");

                let error = answer["error"].as_str().unwrap();
                assert!(
                    error.contains(field),
                    "{path} with {field} {text:?} says: {error}"
                );

                assert!(
                    answer["hint"].as_str().is_some_and(|hint| !hint.is_empty()),
                    "{answer}"
                );
            }
        }
    }

    for text in texts {
        let metadata = json!({ "metadata": { "note": text } });
        let (status, answer) = api
            .post("/v1/models/m/versions/1/uploads", &metadata)
            .await
            .unwrap();

        assert_eq!(
            (
                status,
                answer["error"].as_str().unwrap().contains("metadata")
            ),
            (400, true),
            "{answer}"
        );
    }
}

async fn until_logged_unforged(mesh: &TestMesh) {
    for agent in mesh.agents() {
        let read = || std::fs::read_to_string(&agent.log_file).unwrap();
        until("the order is in the log", seconds(10), async || {
            claim(read().contains("hold of"), || {
                format!("{} has not logged it", agent.id)
            })
        })
        .await;

        let log = read();
        assert!(
            !log.lines().any(|line| line.starts_with(FORGED)),
            "{} has a forged line",
            agent.id
        );

        assert!(
            !log.contains('\u{1b}') && !log.contains('\u{202e}'),
            "{} has an escape sequence",
            agent.id
        );
    }
}
