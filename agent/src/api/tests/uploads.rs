//! Publishing: what is taken in, and what is not.

use super::*;
use bytes::Bytes;
use futures::StreamExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

#[tokio::test]
async fn a_version_is_published_with_its_files_publisher_and_metadata() {
    let fixture = Fixture::start().await;
    let body = json!({ "publisher": "ada", "metadata": { "framework": "onnx", "commit": "3f2a" } })
        .to_string();
    let begun = fixture
        .post("/v1/models/resnet/versions/1/uploads", body)
        .await
        .ok(201)
        .json();
    let upload = begun["upload"].as_str().unwrap();

    let added = fixture
        .add(upload, "model.onnx", "weights")
        .await
        .ok(201)
        .json();

    assert_eq!(
        (&added["path"], &added["size"], &added["chunks"]),
        (&json!("model.onnx"), &json!(7), &json!(1))
    );

    assert_eq!(added["digest"], blake3::hash(b"weights").to_hex().as_str());
    fixture.add(upload, "labels/en us.txt", "cat").await.ok(201);

    // Nothing is visible before the commit.
    fixture.get("/v1/models/resnet/versions/1").await.error(404);

    let committed = fixture.commit(upload).await.ok(200).json();
    assert_eq!(
        (&committed["model"], &committed["version"]),
        (&json!("resnet"), &json!("1"))
    );

    assert_eq!(
        (&committed["size"], &committed["origin"]),
        (&json!(10), &json!("us-west-2"))
    );

    assert_eq!(committed["content"].as_str().unwrap().len(), 64);

    assert_version(&fixture, &committed).await;

    // The upload is over.
    fixture.commit(upload).await.error(404);
    fixture.add(upload, "late", "x").await.error(404);
}

async fn assert_version(fixture: &Fixture, committed: &Value) {
    let version = fixture.read("/v1/models/resnet/versions/1").await;
    assert_eq!(
        (&version["publisher"], &version["content"]),
        (&json!("ada"), &committed["content"])
    );

    assert_eq!(
        version["metadata"],
        json!({ "commit": "3f2a", "framework": "onnx" })
    );

    let paths: Vec<_> = version["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["path"].clone())
        .collect();

    assert_eq!(paths, ["labels/en us.txt", "model.onnx"]);
    let stored = fixture.dir.path().join("store/models/resnet/1/model.onnx");
    assert_eq!(std::fs::read_to_string(stored).unwrap(), "weights");
}

#[tokio::test]
async fn a_file_may_be_large_and_empty_bodies_are_files_too() {
    let fixture = Fixture::start().await;
    let upload = fixture.begin("resnet", "1").await;
    let large = vec![7u8; 24 << 20];
    let digest = blake3::hash(&large).to_hex().to_string();
    let added = fixture.add(&upload, "large", large).await.ok(201).json();

    assert_eq!(
        (&added["size"], &added["digest"]),
        (&json!(24 << 20), &json!(digest))
    );

    // Without a declared length it would be a file of unknown length.
    fixture.add_empty(&upload).await;
    fixture.commit(&upload).await.ok(200);
}

#[tokio::test]
async fn identical_content_is_accepted_again_and_other_content_is_refused() {
    let fixture = Fixture::start().await;
    let first = fixture.publish("resnet", "1", "weights").await;
    let again = fixture.publish("resnet", "1", "weights").await;

    assert_eq!(first["content"], again["content"]);
    let upload = fixture.begin("resnet", "1").await;
    fixture
        .add(&upload, "model.onnx", "other weights")
        .await
        .ok(201);
    fixture
        .commit(&upload)
        .await
        .refused(409, "publish it as a new version");

    let version = fixture.read("/v1/models/resnet/versions/1").await;
    assert_eq!(version["content"], first["content"]);
}

#[tokio::test]
async fn an_invalid_request_opens_no_upload() {
    let fixture = Fixture::start().await;
    let begin = "/v1/models/resnet/versions/1/uploads";
    for body in [
        "{",
        "[]",
        "\"x\"",
        "{\"publisher\": 1}",
        "{\"publisherr\": \"x\"}",
        "{\"metadata\": {\"k\": 1}}",
        "{} {}",
    ] {
        fixture.post(begin, body).await.refused(400, "JSON");
    }

    let long = "x".repeat(1_025);
    fixture
        .post(begin, json!({ "publisher": long }).to_string())
        .await
        .error(400);
    fixture
        .post(begin, json!({ "metadata": { &long: "" } }).to_string())
        .await
        .error(400);
    fixture
        .post(begin, json!({ "metadata": { "key": &long } }).to_string())
        .await
        .error(400);

    let many: BTreeMap<String, &str> = (0..65).map(|number| (number.to_string(), "")).collect();
    fixture
        .post(begin, json!({ "metadata": many }).to_string())
        .await
        .error(400);
    fixture
        .post(begin, vec![b' '; (1 << 20) + 1])
        .await
        .error(413);
    for path in [
        "/v1/models/..%2Fx/versions/1/uploads",
        "/v1/models/-x/versions/1/uploads",
        "/v1/models/resnet/versions/a%20b/uploads",
        "/v1/models/resnet/versions/1+conflict.eu-west-1/uploads",
    ] {
        fixture.post(path, "").await.error(400);
    }

    assert!(
        std::fs::read_dir(fixture.dir.path().join("store"))
            .unwrap()
            .next()
            .is_none()
    );
}

#[tokio::test]
async fn an_invalid_file_is_refused_and_the_upload_stays_open() {
    let fixture = Fixture::start().await;
    let upload = fixture.begin("resnet", "1").await;
    for path in [
        "",
        "..",
        "../x",
        "/etc/passwd",
        "a//b",
        "a/./b",
        "a%00b",
        "a%0Ab",
        "caf%C3%A9",
        &"x".repeat(513),
    ] {
        let error = fixture.add(&upload, path, "x").await.error(400);
        assert!(error.contains("path"), "{path}: {error}");
    }

    fixture
        .post(&format!("/v1/uploads/{upload}/files"), "x")
        .await
        .error(400);
    fixture.add(&upload, "model.onnx", "weights").await.ok(201);
    fixture
        .add(&upload, "model.onnx", "weights")
        .await
        .refused(409, "added before");

    fixture
        .add("0123456789abcdef", "model.onnx", "weights")
        .await
        .error(404);
    fixture
        .add("..%2F..", "model.onnx", "weights")
        .await
        .error(400);
    fixture.commit(&upload).await.ok(200);
}

#[tokio::test]
async fn a_file_of_unknown_length_is_refused() {
    let fixture = Fixture::start().await;
    let upload = fixture.begin("resnet", "1").await;
    let pieces =
        futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"weights"))]).boxed();
    let reply = fixture
        .add(&upload, "model.onnx", reqwest::Body::wrap_stream(pieces))
        .await;

    reply.refused(411, "Content-Length");
    fixture.add(&upload, "model.onnx", "weights").await.ok(201);
}

#[tokio::test]
async fn an_upload_without_files_or_with_overlapping_paths_is_refused() {
    let fixture = Fixture::start().await;
    let upload = fixture.begin("resnet", "1").await;
    fixture
        .commit(&upload)
        .await
        .refused(409, "at least one file");

    let upload = fixture.begin("resnet", "1").await;
    fixture.add_empty(&upload).await;
    fixture.commit(&upload).await.refused(409, "not empty");

    let upload = fixture.begin("resnet", "1").await;
    fixture.add(&upload, "a", "x").await.ok(201);
    fixture.add(&upload, "a/b", "x").await.ok(201);
    fixture.commit(&upload).await.error(409);
    fixture.get("/v1/models/resnet/versions/1").await.error(404);
}

#[tokio::test]
async fn an_aborted_upload_leaves_nothing_behind() {
    let fixture = Fixture::start().await;
    let upload = fixture.begin("resnet", "1").await;
    fixture.add(&upload, "model.onnx", "weights").await.ok(201);
    fixture
        .post(&format!("/v1/uploads/{upload}/abort"), "")
        .await
        .ok(200);
    fixture
        .post(&format!("/v1/uploads/{upload}/abort"), "")
        .await
        .error(404);
    fixture.commit(&upload).await.error(404);

    let staged = fixture.dir.path().join("store/.staging/uploads/node-0");
    assert!(std::fs::read_dir(staged).unwrap().next().is_none());
}

#[tokio::test]
async fn uploads_beyond_the_limit_wait_their_turn() {
    let fixture = Fixture::start().await;
    let mut open = Vec::new();
    for _ in 0..32 {
        open.push(fixture.begin("resnet", "1").await);
    }

    let reply = fixture
        .post("/v1/models/resnet/versions/1/uploads", "")
        .await;
    reply.refused(503, "open already");
    assert_eq!(reply.header("retry-after"), "1");

    let listed = fixture.read("/v1/uploads").await;
    assert_eq!(
        (
            listed["uploads"].as_array().unwrap().len(),
            &listed["agent"]
        ),
        (32, &json!("us-west-2/node-0"))
    );

    fixture
        .post(&format!("/v1/uploads/{}/abort", open[0]), "")
        .await
        .ok(200);
    fixture.begin("resnet", "1").await;
}

/// Sends a file's head and half of its bytes.
async fn half_a_file(fixture: &Fixture, upload: &str) -> TcpStream {
    let mut stream = TcpStream::connect(fixture.address).await.unwrap();
    let head = format!(
        "POST /v1/uploads/{upload}/files?path=model.onnx HTTP/1.1\r\nhost: \
            localhost\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: 14\r\n\r\nweights"
    );

    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn a_client_that_disconnects_may_send_the_file_again() {
    let fixture = Fixture::start().await;
    let upload = fixture.begin("resnet", "1").await;
    drop(half_a_file(&fixture, &upload).await);

    let start = Instant::now();
    // Until the server has noticed, the path is taken.
    loop {
        let reply = fixture.add(&upload, "model.onnx", "weightsweights").await;
        if reply.status == 201 {
            break;
        }
        reply.error(409);
        assert!(start.elapsed() < TIMEOUT, "the path stayed taken");
        tokio::task::yield_now().await;
    }

    assert_eq!(fixture.commit(&upload).await.ok(200).json()["size"], 14);
}

#[tokio::test]
async fn a_client_that_stops_sending_times_out() {
    let limits = Limits {
        file_pause: Duration::from_millis(200),
        ..Limits::default()
    };
    let fixture = Fixture::with(limits, |_| {}).await;
    let upload = fixture.begin("resnet", "1").await;
    let mut stream = half_a_file(&fixture, &upload).await;
    let mut answer = Vec::new();

    tokio::time::timeout(TIMEOUT, stream.read_to_end(&mut answer))
        .await
        .unwrap()
        .unwrap();

    let answer = String::from_utf8(answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 408") && answer.contains("model.onnx"),
        "{answer}"
    );

    fixture.add(&upload, "model.onnx", "weights").await.ok(201);
}
