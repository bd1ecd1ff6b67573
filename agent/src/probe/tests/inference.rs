//! The synthetic inference, against real sockets.

use super::*;
use crate::config::InferenceConfig;
use serde_json::json;

fn asking() -> HealthConfig {
    let inference: InferenceConfig = serde_json::from_value(json!({
        "model": "iris", "version": "2", "request": "{\"inputs\":[]}", "expect": { "p": [0.5, 1] }
    }))
    .unwrap();

    HealthConfig {
        probe: ProbeKind::Inference,
        inference: Some(inference),
        ..config()
    }
}

/// Sends the inference to a server that answers `body` with `status`; what it was asked, and the
/// result.
async fn infer(status: &str, body: Vec<u8>) -> (String, ProbeResult) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let asked = read_request(&mut stream).await;
        let _ = stream.write_all(head.as_bytes()).await;
        let _ = stream.write_all(&body).await;
        asked
    });

    let config = asking();
    let target = Target::inference(&url, &config).unwrap().unwrap();
    let result = NetworkProber::new(&config).probe(&target).await;

    (server.await.unwrap(), result)
}

#[tokio::test]
async fn the_expected_answer_is_success_and_any_other_is_named() {
    let (asked, result) = infer(
        "200 OK",
        br#"{"outputs":[{"name":"p","data":[0.50001,1.0]}]}"#.to_vec(),
    )
    .await;

    assert!(
        asked.starts_with("POST /v2/models/iris/versions/2/infer HTTP/1.1\r\n"),
        "{asked}"
    );

    assert!(
        matches!(&result, ProbeResult::Success { evidence, .. } if evidence.contains("inference")),
        "{result:?}"
    );

    let (_, result) = infer(
        "200 OK",
        br#"{"outputs":[{"name":"p","data":[0.6,1.0]}]}"#.to_vec(),
    )
    .await;

    assert_eq!(
        result,
        ProbeResult::DefiniteFailure("output p[0] is 0.6, 0.5 is expected".into())
    );

    let (_, result) = infer("400 Bad Request", b"{}".to_vec()).await;
    assert!(is_definite_failure(&result, "HTTP 400"), "{result:?}");
}

#[tokio::test]
async fn an_endless_answer_is_not_buffered() {
    let (_, result) = infer("200 OK", vec![b' '; 10 << 20]).await;
    assert!(is_definite_failure(&result, "larger than"), "{result:?}");
}
