//! No client keeps the API from the others; and what Prometheus' own checker says of `/metrics`.

use super::*;
use std::process::{Command, Stdio};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// What a connection answers to these bytes until the server closes it.
async fn raw(fixture: &Fixture, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(fixture.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    until_closed(&mut stream).await
}

async fn until_closed(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset is a close as well.
    let _ = tokio::time::timeout(TIMEOUT, stream.read_to_end(&mut answer))
        .await
        .expect("the server did not close");

    String::from_utf8_lossy(&answer).into_owned()
}

fn begin(rest: &str) -> String {
    format!(
        "POST /v1/models/resnet/versions/1/uploads HTTP/1.1\r\nhost: localhost\r\nauthorization: \
            Bearer {TOKEN}\r\nconnection: close\r\n{rest}"
    )
}

#[tokio::test]
async fn an_oversized_body_is_refused_whether_its_length_is_declared_or_not() {
    let limits = Limits {
        json_bytes: 100,
        ..Limits::default()
    };
    let fixture = Fixture::with(limits, |_| {}).await;
    let path = "/v1/models/resnet/versions/1/uploads";

    assert!(
        fixture
            .post(path, vec![b' '; 101])
            .await
            .error(413)
            .contains("longer than 100 bytes")
    );

    let pieces = futures::stream::iter((0..101).map(|_| Ok::<_, std::io::Error>(" ")));
    fixture
        .post(path, reqwest::Body::wrap_stream(pieces))
        .await
        .error(413);
    fixture
        .post(path, format!("{{}}{}", " ".repeat(98)))
        .await
        .ok(201);
}

#[tokio::test]
async fn a_body_that_never_arrives_times_out() {
    let limits = Limits {
        json_body: Duration::from_millis(200),
        ..Limits::default()
    };
    let fixture = Fixture::with(limits, |_| {}).await;
    let answer = raw(&fixture, begin("content-length: 10\r\n\r\n{").as_bytes()).await;

    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn a_client_that_never_ends_its_head_is_cut_off() {
    let limits = Limits {
        head: Duration::from_millis(200),
        ..Limits::default()
    };
    let fixture = Fixture::with(limits, |_| {}).await;
    let answer = raw(&fixture, b"GET /v1/status HTTP/1.1\r\nhost: ").await;

    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    fixture.get("/v1/status").await.ok(200);
}

#[tokio::test]
async fn an_oversized_head_and_malformed_http_are_refused() {
    let fixture = Fixture::start().await;
    let long = format!(
        "GET /v1/status HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n",
        "y".repeat(64 << 10)
    );
    let answer = raw(&fixture, long.as_bytes()).await;

    assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    let answer = raw(&fixture, b"\x16\x03\x01\x00\xff\r\n\r\n").await;
    assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");

    let start = Instant::now();
    for reason in ["head-too-large", "not-http"] {
        while fixture.refused_connections(reason) == 0 {
            assert!(start.elapsed() < TIMEOUT, "{reason} is not counted");
            tokio::task::yield_now().await;
        }
    }

    fixture.get("/v1/status").await.ok(200);
}

#[tokio::test]
async fn excess_connections_are_refused_and_health_routes_still_answer() {
    let limits = Limits {
        connections: 1,
        ..Limits::default()
    };
    let fixture = Fixture::with(limits, |_| {}).await;
    let upload = fixture.begin("resnet", "1").await;

    // Holds the only place: the server is busy with it until the rest of the file comes.
    let mut holder = TcpStream::connect(fixture.address).await.unwrap();
    let head = format!(
        "POST /v1/uploads/{upload}/files?path=a HTTP/1.1\r\nhost: localhost\r\nauthorization: \
            Bearer {TOKEN}\r\ncontent-length: 9\r\nexpect: 100-continue\r\n\r\n"
    );

    holder.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    tokio::time::timeout(TIMEOUT, holder.read_exact(&mut answer))
        .await
        .unwrap()
        .unwrap();

    assert_eq!(&answer, b"HTTP/1.1 100");
    let crowded = fixture.get("/v1/status").await;
    crowded.refused(503, "has reached its connection limit");
    assert_eq!(crowded.header("connection"), "close");
    fixture.get("/healthz").await.ok(200);
    fixture.get("/verdict/us-west-2").await.ok(200);
    assert_eq!(fixture.get("/readyz").await.json()["ready"], false);

    let counted = fixture.refused_connections("crowded");
    assert!(counted >= 2, "{counted}");

    drop(holder);
    let start = Instant::now();
    while fixture
        .send(
            fixture
                .http
                .get(fixture.url("/v1/status"))
                .header("connection", "close"),
        )
        .await
        .status
        != 200
    {
        assert!(start.elapsed() < TIMEOUT, "the place was not given back");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn idle_connections_are_preempted_and_slow_heads_cut_off_and_counted() {
    let limits = Limits {
        connections: 8,
        connections_per_client: 4,
        head: Duration::from_secs(1),
        idle: Duration::from_secs(60),
        ..Limits::default()
    };
    let fixture = Fixture::with(limits, |_| {}).await;
    let mut silent = Vec::new();

    for _ in 0..20 {
        let mut stream = TcpStream::connect(fixture.address).await.unwrap();
        stream
            .write_all(b"GET /v1/status HTTP/1.1\r\nhost: ")
            .await
            .unwrap();

        silent.push(stream);
        fixture.get("/v1/status").await.ok(200);
    }

    let counted = |reason| fixture.refused_connections(reason);
    assert!(counted("one-client") >= 16, "{}", counted("one-client"));
    for mut stream in silent {
        until_closed(&mut stream).await;
    }

    let start = Instant::now();
    while counted("slow-head") == 0 {
        assert!(start.elapsed() < TIMEOUT, "slow heads are not counted");
        tokio::task::yield_now().await;
    }

    // A connection that was answered may wait longer for its next request than a head may take.
    let mut kept = TcpStream::connect(fixture.address).await.unwrap();
    for _ in 0..2 {
        kept.write_all(b"HEAD /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .await
            .unwrap();

        let mut answer = Vec::new();
        let mut piece = [0; 4_096];
        while !answer.ends_with(b"\r\n\r\n") {
            let length = tokio::time::timeout(TIMEOUT, kept.read(&mut piece))
                .await
                .unwrap()
                .unwrap();

            assert!(length > 0, "the connection was closed");
            answer.extend_from_slice(&piece[..length]);
        }

        assert!(answer.starts_with(b"HTTP/1.1 200"));
        let silence =
            tokio::time::timeout(Duration::from_millis(1_500), kept.read(&mut piece)).await;
        assert!(
            silence.is_err(),
            "an idle connection was closed: {silence:?}"
        );
    }
}

#[tokio::test]
async fn a_foreign_host_is_misdirected_on_every_route() {
    let fixture = Fixture::with(Limits::default(), |config| {
        config.api.hosts.push(".example.org".into())
    })
    .await;

    for route in ROUTES {
        let method = Method::from_bytes(route.method.to_uppercase().as_bytes()).unwrap();
        let request = fixture
            .http
            .request(method, fixture.url(&example(route.path)))
            .bearer_auth(TOKEN);

        fixture
            .send(request.header("host", "evil.example"))
            .await
            .error(421);
    }

    fixture
        .ask_as(Method::GET, "/nothing", "evil.example")
        .await
        .error(421);

    // Without a token the answer is only that one is needed.
    fixture
        .ask_as(Method::POST, "/v1/failover/drain", "evil.example")
        .await
        .error(401);

    fixture
        .ask_as(Method::POST, "/v1/status", "evil.example")
        .await
        .error(421);

    fixture
        .ask_as(Method::GET, "/v1/status", "api.example.org")
        .await
        .ok(200);

    let answer = raw(
        &fixture,
        b"GET /v1/status HTTP/1.1\r\nconnection: close\r\n\r\n",
    )
    .await;

    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let answer = raw(&fixture, b"GET /healthz HTTP/1.0\r\n\r\n").await;
    assert!(answer.contains(" 200 "), "{answer}");
}

#[tokio::test]
async fn a_stopping_server_does_not_wait_for_an_idle_client() {
    let mut fixture = Fixture::start().await;
    let mut idle = TcpStream::connect(fixture.address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n")
        .await
        .unwrap();
    fixture.get("/healthz").await.ok(200);
    fixture.stop.cancel();

    let ended = tokio::time::timeout(TIMEOUT, &mut fixture.server)
        .await
        .expect("the server did not end");
    assert_eq!(ended.unwrap(), Ok(()));
    until_closed(&mut idle).await;
}

#[tokio::test]
async fn promtool_accepts_the_metrics_of_the_api() {
    if Command::new("promtool")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_err()
    {
        eprintln!(
            "SKIPPED: promtool is not installed (Debian: apt-get install prometheus), /metrics was \
                NOT checked"
        );
        return;
    }

    let fixture = Fixture::start().await;
    fixture.get("/verdict/mars-1").await.error(404);
    fixture
        .api
        .metrics
        .refused_connections
        .with_label_values(&["crowded"])
        .inc();

    let text = fixture.get("/metrics").await.ok(200).text;
    assert!(text.contains("regionmesh_api_requests_total{"), "{text}");

    let file = fixture.dir.path().join("metrics");
    std::fs::write(&file, text).unwrap();

    let output = tokio::process::Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(std::fs::File::open(file).unwrap())
        .output()
        .await
        .unwrap();

    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );

    assert!(output.status.success() && said.is_empty(), "{said}");
}
