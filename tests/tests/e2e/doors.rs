//! The doors of an agent: under which names the API answers, what texts it takes, and whom
//! connections that never ask for anything can keep out.

use regionmesh::cli::raise_file_limit;
use regionmesh_tests::{
    api::client,
    attack::{Silence, connect_from},
    mesh::{TestMesh, binary},
    wait::{claim, seconds, until},
};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use std::{
    net::{Ipv4Addr, SocketAddr},
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// The beginning of a request that never ends.
const HALF_A_HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-a: ";
/// Where nobody attacks from.
const HONEST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
/// One of the addresses that [`Silence`] attacks from.
const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 200, 0, 1);
/// A line that nobody but an agent may write into an agent's log.
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
async fn a_foreign_host_is_refused_on_every_route_and_known_names_are_answered() {
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

    let counted = mesh
        .api(0)
        .metric("regionmesh_api_requests_total", &["code=\"421\""])
        .await
        .unwrap();

    assert!(counted >= 60.0, "{counted}");

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
            under(&client, "GET", &url, host, mesh.token()).await.0,
            expected,
            "{host}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_that_would_forge_log_lines_are_refused_by_every_route_that_takes_texts() {
    let mesh = TestMesh::start().await;
    mesh.settled().await;

    let api = mesh.api(0);
    let region = mesh.region(1);
    let order = json!({ "region": region, "by": "ann", "why": "a test", "for_ms": 60_000 });
    let bodies = [
        ("/v1/failover/hold", order.clone(), ["by", "why"].as_slice()),
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
    ];

    let texts = [
        format!("ann\n{FORGED}"),
        format!("ann\r\n{FORGED}"),
        "a\0b".into(),
        "\u{1b}]0;owned\u{7}\u{1b}[31mred".into(),
        "\u{9b}31m".into(),
        "\u{202e}nna".into(),
        "a\u{2028}b".into(),
    ];

    for (path, body, fields) in &bodies {
        for field in *fields {
            for text in &texts {
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

    for text in &texts {
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

    // An order that is taken is in every log, and nothing that was refused.
    let (status, answer) = api.post("/v1/failover/hold", &order).await.unwrap();
    assert_eq!(status, 200, "{answer}");
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

    for arguments in [
        &["status"][..],
        &["failover", "status"],
        &["failover", "history"],
        &["events"],
    ] {
        let shown = mesh.cli(arguments).await;
        assert!(
            !shown.stdout.contains('\u{1b}') && !shown.stdout.contains("forged line"),
            "{arguments:?}"
        );
    }
}

/// Asks over a connection of its own; the status.
async fn get(source: Ipv4Addr, port: SocketAddr, path: &str) -> Result<u16, String> {
    let asked = async {
        let mut stream = connect_from(source, port)
            .await
            .map_err(|error| error.to_string())?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {port}\r\nConnection: close\r\n\r\n");

        stream
            .write_all(request.as_bytes())
            .await
            .map_err(|error| error.to_string())?;

        let mut answer = Vec::new();
        stream
            .read_to_end(&mut answer)
            .await
            .map_err(|error| error.to_string())?;

        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
        status.ok_or_else(|| format!("answered {answer:?}"))
    };

    timeout(seconds(5), asked)
        .await
        .map_err(|_| "no answer within 5 s".to_owned())?
}

/// Asks several times while connections stay silent.
async fn assert_answers(port: SocketAddr, path: &str) {
    for turn in 0..5 {
        let status = get(HONEST, port, path).await;
        assert_eq!(status, Ok(200), "{port}{path}, try {turn}");
    }
}

/// A question for the service's address, framed for TCP (RFC 1035 §4.2.2).
fn dns_question() -> Vec<u8> {
    let mut message = b"\x12\x34\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00".to_vec();
    for label in ["serving", "regionmesh", "test"] {
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }

    message.extend(b"\x00\x00\x01\x00\x01");
    [&(message.len() as u16).to_be_bytes()[..], &message].concat()
}

/// Whether DNS over TCP answers without an error.
async fn resolves_over_tcp(port: SocketAddr) -> Result<(), String> {
    let asked = async {
        let mut stream = connect_from(HONEST, port).await?;
        stream.write_all(&dns_question()).await?;
        let mut answer = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = timeout(seconds(3), asked)
        .await
        .map_err(|_| "no answer within 3 s".to_owned())?;
    let answer = answer.map_err(|error| error.to_string())?;

    // QR is set, the code is NOERROR, and there is an answer.
    claim(
        answer[2] & 0x80 != 0 && answer[3] & 0x0f == 0 && answer[7] > 0,
        || format!("{answer:?}"),
    )
}

/// How long the server keeps connections open that don't end their heads.
async fn until_cut_off(port: SocketAddr) -> Duration {
    let begin = Instant::now();
    let mut slow = Vec::new();
    for _ in 0..3 {
        let mut stream = connect_from(ATTACKER, port).await.unwrap();
        stream.write_all(HALF_A_HEAD).await.unwrap();
        slow.push(stream);
    }

    for mut stream in slow {
        // A reset is a close as well.
        let _ = timeout(seconds(30), stream.read_to_end(&mut Vec::new()))
            .await
            .expect("it is closed");
    }

    begin.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_ask_for_nothing_keep_nobody_out() {
    raise_file_limit().expect("a limit that may be raised");
    let mesh = TestMesh::start().await;
    mesh.settled().await;

    let agent = mesh.agent(0);
    let verdict = format!("/verdict/{}", mesh.region(1));

    for (port, metric) in [
        (agent.api(), "regionmesh_api_refused_connections_total"),
        (
            agent.serving(),
            "regionmesh_serving_refused_connections_total",
        ),
    ] {
        let before = mesh.api(0).metric(metric, &["slow-head"]).await.unwrap();
        let took = until_cut_off(port).await;
        assert!(
            took > Duration::from_millis(1_500) && took < seconds(6),
            "{port}: slow heads ended after {took:?}"
        );

        let counted = mesh.api(0).metric(metric, &["slow-head"]).await.unwrap() - before;
        assert!(counted >= 3.0, "{metric} counted {counted} slow heads");
    }

    let silence = Silence::at(agent.api(), 40, 16, HALF_A_HEAD).await;
    for path in [
        "/readyz",
        "/healthz",
        verdict.as_str(),
        "/v1/status",
        "/metrics",
    ] {
        assert_answers(agent.api(), path).await;
    }

    until("an idle connection gives way", seconds(60), async || {
        let crowded = mesh
            .api(0)
            .metric("regionmesh_api_refused_connections_total", &["crowded"])
            .await?;
        claim(crowded > 0.0, || "nothing gave way".into())
    })
    .await;

    drop(silence);
    // All from one address, more than it may have.
    let silence = Silence::at(agent.api(), 1, 640, HALF_A_HEAD).await;
    for path in ["/readyz", "/healthz", verdict.as_str(), "/v1/status"] {
        assert_answers(agent.api(), path).await;
    }
    until(
        "the silent address itself is answered",
        seconds(20),
        async || {
            get(ATTACKER, agent.api(), "/readyz")
                .await
                .and_then(|status| claim(status == 200, || status.to_string()))
        },
    )
    .await;

    drop(silence);
    let own = mesh
        .api(0)
        .metric("regionmesh_api_refused_connections_total", &["one-client"])
        .await
        .unwrap();

    assert!(own > 0.0, "one address took as many as it liked");

    let silence = Silence::at(agent.dns(), 38, 8, b"").await;
    for turn in 0..5 {
        assert_eq!(resolves_over_tcp(agent.dns()).await, Ok(()), "try {turn}");
    }
    drop(silence);

    let gave_way = mesh
        .api(0)
        .metric("regionmesh_dns_dropped_total", &["too_many\""])
        .await
        .unwrap();

    assert!(gave_way > 0.0, "no DNS connection gave way");
    mesh.assert_all_run();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_front_door_answers_while_connections_ask_for_nothing() {
    raise_file_limit().expect("a limit that may be raised");
    let mesh = TestMesh::start().await;
    mesh.settled().await;

    // A process of its own, so that its limits and not this program's are met.
    let listen: SocketAddr = (mesh.agent(0).api().ip(), 18_080).into();
    let mut arguments = vec![
        "front-door".to_owned(),
        "--listen".into(),
        listen.to_string(),
    ];

    arguments.extend(["--service".into(), regionmesh_tests::mesh::SERVICE.into()]);
    arguments.extend(["--port".into(), mesh.agent(0).serving().port().to_string()]);
    for agent in mesh.agents() {
        arguments.extend(["--name-server".into(), agent.dns().to_string()]);
    }

    let mut command = tokio::process::Command::new(binary());
    let _front_door = command
        .args(arguments)
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();

    until("the front door is open", seconds(20), async || {
        get(HONEST, listen, "/v2/health/live")
            .await
            .and_then(|status| claim(status == 200, || status.to_string()))
    })
    .await;

    let _silence = Silence::at(listen, 40, 30, HALF_A_HEAD).await;
    assert_answers(listen, "/v2/health/live").await;
    mesh.assert_all_run();
}
