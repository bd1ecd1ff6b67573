//! Who may change something, and what is written down of it.

use super::*;
use parking_lot::Mutex;
use std::io::Write;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tracing::subscriber::NoSubscriber;

fn changes() -> impl Iterator<Item = String> {
    ROUTES
        .iter()
        .filter(|route| route.method == "post")
        .map(|route| example(route.path) + "?path=a")
}

#[tokio::test]
async fn every_change_needs_the_token() {
    let fixture = Fixture::start().await;
    assert!(
        ROUTES
            .iter()
            .all(|route| route.needs_token == (route.method == "post"))
    );

    assert_eq!(changes().count(), 18);
    for path in changes() {
        let post = || fixture.http.post(fixture.url(&path));
        let without = fixture.send(post()).await;
        without.refused(401, "Authorization: Bearer");

        assert_eq!(without.header("www-authenticate"), "Bearer");
        for useless in [
            "",
            "Bearer",
            "Bearer ",
            "Basic dXNlcjpwYXNz",
            "the-right-token",
        ] {
            fixture
                .send(post().header("authorization", useless))
                .await
                .error(401);
        }

        for wrong in [
            "x",
            "the-right-toke",
            "the-right-tokem",
            "the-right-token2",
            &"t".repeat(5_000),
        ] {
            let answer = fixture.send(post().bearer_auth(wrong)).await.error(403);
            assert!(!answer.contains("the-right"), "{answer}");
        }

        let right = fixture
            .send(post().header("authorization", format!("bearer  {TOKEN} ")))
            .await;
        assert!(
            !matches!(right.status.as_u16(), 401 | 403),
            "{path}: {}",
            right.text
        );
    }
}

#[tokio::test]
async fn a_new_token_is_valid_without_a_restart() {
    let fixture = Fixture::start().await;
    let abort = "/v1/uploads/0000000000000000/abort";
    fixture.post(abort, "").await.error(404);
    std::fs::write(fixture.token_file(), "  another\n").unwrap();
    fixture.post(abort, "").await.error(403);
    fixture
        .send(fixture.http.post(fixture.url(abort)).bearer_auth("another"))
        .await
        .error(404);
}

#[tokio::test]
async fn without_a_usable_token_all_changes_are_off() {
    let fixture = Fixture::start().await;
    for (name, content) in [("empty", " \n".to_owned()), ("large", "x".repeat(5_000))] {
        std::fs::write(fixture.token_file(), content).unwrap();
        // Also the empty token must not open an empty file's door.
        for token in ["", TOKEN] {
            let reply = fixture
                .send(
                    fixture
                        .http
                        .post(fixture.url("/v1/uploads/none/abort"))
                        .bearer_auth(token),
                )
                .await;

            assert!(reply.error(503).contains(name), "{}", reply.text);
        }
    }

    std::fs::remove_file(fixture.token_file()).unwrap();
    fixture
        .post("/v1/uploads/none/abort", "")
        .await
        .refused(503, "can't be read");

    let fixture = Fixture::with(Limits::default(), |config| config.api.token_file = None).await;
    for path in changes() {
        let reply = fixture.post(&path, "").await;
        reply.refused(503, "give api.token_file in the agent's configuration");

        assert_eq!(reply.header("retry-after"), "1");
    }
}

#[tokio::test]
async fn a_request_without_a_token_is_refused_before_its_body_is_read() {
    let fixture = Fixture::start().await;
    let mut stream = TcpStream::connect(fixture.address).await.unwrap();
    let head = "POST /v1/uploads/1/files?path=a HTTP/1.1\r\nhost: localhost\r\ncontent-length: \
        1000000000000\r\n\r\n";

    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    tokio::time::timeout(TIMEOUT, stream.read_exact(&mut answer))
        .await
        .unwrap()
        .unwrap();

    assert_eq!(&answer, b"HTTP/1.1 401");
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).unwrap()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Write::write(&mut *self.0.lock(), bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn every_change_leaves_one_audit_line_with_its_author_and_never_the_token() {
    let lines = Lines::default();
    let fixture = Fixture::start().await;
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();

    // While only one subscriber exists, tracing decides for good whether a line is of interest by
    // the subscriber of the first thread that logs it, which may be another test's: none.
    let _another = tracing::Dispatch::new(NoSubscriber::new());
    // Of this thread, which the server's tasks share.
    let _guard = tracing::subscriber::set_default(subscriber);

    let body = json!({ "publisher": "eve" }).to_string();
    let upload = fixture
        .post("/v1/models/resnet/versions/1/uploads", body)
        .await
        .ok(201)
        .json();
    let upload = upload["upload"].as_str().unwrap();

    fixture.add(upload, "model.onnx", "weights").await.ok(201);
    fixture
        .post("/v1/uploads/none/abort?x=a%0Ab", "")
        .await
        .error(400);

    let audit = || {
        let text = lines.text();
        text.lines()
            .filter(|line| line.contains("regionmesh::audit"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let start = Instant::now();

    while audit().len() < 3 {
        assert!(start.elapsed() < TIMEOUT, "{}", lines.text());
        tokio::task::yield_now().await;
    }

    let [begin, add, abort] = &audit()[..] else {
        panic!("{:?}", audit())
    };
    assert!(
        begin.contains("POST /v1/models/resnet/versions/1/uploads") && begin.contains("status=201"),
        "{begin}"
    );

    assert!(
        begin.contains("from=127.0.0.1:") && begin.contains("eve"),
        "{begin}"
    );

    assert!(
        add.contains("files?path=model.onnx") && add.contains("status=201"),
        "{add}"
    );

    assert!(abort.contains("status=400"), "{abort}");
    assert!(!lines.text().contains(TOKEN), "{}", lines.text());
}
