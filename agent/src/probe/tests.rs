//! Every classification, against real sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::config::ProbeKind;
use std::time::Instant;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const TIMEOUT: Duration = Duration::from_millis(600);

fn config() -> HealthConfig {
    HealthConfig {
        timeout_ms: TIMEOUT.as_millis() as u64,
        ..HealthConfig::default()
    }
}

async fn probe_url(url: &str, config: &HealthConfig) -> ProbeResult {
    NetworkProber::new(config)
        .probe(&Target::new(url, config).unwrap())
        .await
}

/// Probes a server that does `serve` with every connection, numbered from 0.
async fn probe_server<F, S>(serve: F) -> ProbeResult
where
    F: Fn(usize, TcpStream) -> S + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(number, stream));
        }
    });
    let result = probe_url(&url, &config()).await;

    server.abort();
    result
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(request).unwrap()
}

/// Probes a server that answers these bytes and closes.
async fn probe_answer(answer: Vec<u8>) -> ProbeResult {
    probe_server(move |_, mut stream| {
        let answer = answer.clone();
        async move {
            read_request(&mut stream).await;
            let _ = stream.write_all(&answer).await;
        }
    })
    .await
}

fn is_definite_failure(result: &ProbeResult, text: &str) -> bool {
    matches!(result, ProbeResult::DefiniteFailure(evidence) if evidence.contains(text))
}

#[tokio::test]
async fn a_2xx_from_the_configured_path_is_a_success() {
    let result = probe_server(|_, mut stream| async move {
        let request = read_request(&mut stream).await;
        assert!(
            request.starts_with("GET /v2/health/ready HTTP/1.1\r\n"),
            "{request}"
        );

        assert!(request.contains("host: 127.0.0.1:"), "{request}");
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            .await
            .unwrap();
    })
    .await;

    assert!(
        matches!(
            &result,
            ProbeResult::Success { evidence, round_trip_us }
                if evidence.starts_with("200 in ") && *round_trip_us > 0
        ),
        "{result:?}"
    );
}

#[tokio::test]
async fn a_refused_connection_is_a_definite_failure_immediately() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);

    let start = Instant::now();
    assert_eq!(
        probe_url(&url, &config()).await,
        ProbeResult::DefiniteFailure("connection refused".into())
    );

    assert!(
        start.elapsed() < TIMEOUT / 2,
        "a refusal must not be tried again"
    );
}

#[tokio::test]
async fn a_reset_is_a_definite_failure() {
    let result = probe_server(|_, stream| async move {
        socket2::SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    })
    .await;

    assert!(
        matches!(result, ProbeResult::DefiniteFailure(_)),
        "{result:?}"
    );
}

#[tokio::test]
async fn statuses_other_than_2xx_are_definite_failures() {
    for status in [
        "500 Internal Server Error",
        "503 Service Unavailable",
        "404 Not Found",
        "302 Found",
    ] {
        let result =
            probe_answer(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").into_bytes())
                .await;
        assert!(
            is_definite_failure(&result, &status[..3]),
            "{status}: {result:?}"
        );
    }
}

#[tokio::test]
async fn garbage_is_a_definite_failure() {
    for garbage in [
        b"SSH-2.0-OpenSSH_9.9\r\n\r\n".to_vec(),
        vec![0xff; 100],
        vec![b'x'; 1 << 20],
        {
            let mut head = b"HTTP/1.1 200 OK\r\n".to_vec();
            head.extend(b"a: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n".repeat(10_000));
            head
        },
    ] {
        let result = probe_answer(garbage).await;
        assert!(
            matches!(result, ProbeResult::DefiniteFailure(_)),
            "{result:?}"
        );
    }
}

#[tokio::test]
async fn a_truncated_answer_is_a_definite_failure() {
    for partial in [
        "",
        "HTTP/1.1 20",
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf",
    ] {
        let result = probe_answer(partial.into()).await;
        assert!(
            is_definite_failure(&result, "closed before"),
            "{partial:?}: {result:?}"
        );
    }
}

#[tokio::test]
async fn an_endless_body_is_read_only_to_its_limit() {
    let result = probe_server(|_, mut stream| async move {
        read_request(&mut stream).await;
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")
            .await;
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    })
    .await;

    assert!(matches!(result, ProbeResult::Success { .. }), "{result:?}");
}

#[tokio::test]
async fn a_listener_that_accepts_and_never_answers_is_silence_within_the_timeout() {
    let start = Instant::now();
    let result = probe_server(|_, stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;

    assert_eq!(result, ProbeResult::Silence("no answer in 600ms".into()));
    assert!(start.elapsed() < TIMEOUT * 3);
}

#[tokio::test]
async fn a_body_that_stalls_is_silence() {
    let result = probe_server(|_, mut stream| async move {
        read_request(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
            .await
            .unwrap();

        std::future::pending::<()>().await;
    })
    .await;

    assert!(matches!(result, ProbeResult::Silence(_)), "{result:?}");
}

#[tokio::test]
async fn a_second_attempt_makes_up_for_a_lost_first_one() {
    let result = probe_server(|number, mut stream| async move {
        if number == 0 {
            std::future::pending::<()>().await;
        }
        read_request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
    })
    .await;

    assert!(matches!(result, ProbeResult::Success { .. }), "{result:?}");
}

#[tokio::test]
async fn an_answer_after_two_thirds_of_the_time_is_a_success() {
    let result = probe_server(|_, mut stream| async move {
        read_request(&mut stream).await;
        tokio::time::sleep(TIMEOUT * 2 / 3).await;
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .await;
    })
    .await;

    assert!(matches!(result, ProbeResult::Success { .. }), "{result:?}");
}

#[tokio::test]
async fn a_tcp_probe_needs_only_a_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let tcp = HealthConfig {
        probe: ProbeKind::Tcp,
        ..config()
    };

    assert!(matches!(
        probe_url(&format!("http://{authority}"), &tcp).await,
        ProbeResult::Success { .. }
    ));

    assert!(matches!(
        probe_url(&format!("tcp://{authority}"), &config()).await,
        ProbeResult::Success { .. }
    ));
}

#[tokio::test]
async fn localhost_is_found_by_name_and_a_name_that_does_not_exist_is_silence() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("tcp://localhost:{}", listener.local_addr().unwrap().port());
    let result = probe_url(&url, &config()).await;

    assert!(matches!(result, ProbeResult::Success { .. }), "{result:?}");
    let result = probe_url("tcp://no-such-host.invalid:1", &config()).await;
    assert!(matches!(result, ProbeResult::Silence(_)), "{result:?}");
}

#[tokio::test]
async fn a_trickling_body_and_an_http_0_9_answer_are_not_a_success() {
    let drip = probe_server(|_, mut stream| async move {
        read_request(&mut stream).await;
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
            .await;
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;

    assert!(matches!(drip, ProbeResult::Silence(_)), "{drip:?}");
    let old = probe_answer(b"<html>hello</html>".to_vec()).await;
    assert!(matches!(old, ProbeResult::DefiniteFailure(_)), "{old:?}");
}

mod inference;
mod over_tls;

#[test]
fn targets_are_read_from_urls() {
    let http = |host: &str, port, path: &str| Target {
        host: host.into(),
        port,
        address: None,
        is_tls: false,
        question: Question::Get(path.into()),
    };

    let over_tls = Target {
        is_tls: true,
        ..http("h", 443, "/v2/health/ready")
    };

    assert_eq!(Target::new("https://h", &config()).unwrap(), over_tls);
    let config = config();
    assert_eq!(
        Target::new("http://10.0.0.1:8080", &config).unwrap(),
        http("10.0.0.1", 8080, "/v2/health/ready")
    );

    assert_eq!(
        Target::new("http://[::1]:8080/m/", &config).unwrap(),
        http("::1", 8080, "/m/v2/health/ready")
    );

    assert_eq!(
        Target::new("http://[::1]:8080", &config)
            .unwrap()
            .authority(),
        "[::1]:8080"
    );

    for bad in ["", "host:80", "ftp://host:80", "tcp://host", "http://"] {
        assert!(Target::new(bad, &config).is_err(), "{bad:?} was accepted");
    }
    assert_eq!(
        Target::canary("[::1]:53").unwrap(),
        Target {
            question: Question::Connect,
            ..http("::1", 53, "")
        }
    );

    assert!(Target::canary("host").is_err());
}
