//! Events and alerts over HTTP: lists, streams, resumption, readers that are slow or too many.

use super::*;
use crate::events::{EVENTS_MAX, EventLog, tests::event};
use regionmesh_protocol::event::EventKind;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

impl Fixture {
    fn add_events(&self, count: u64, kind: EventKind, region: &str) {
        self.snapshots.events.send_modify(|log| {
            for _ in 0..count {
                log.add(event(log.last() + 1, kind, region));
            }
        });
    }

    fn ended(&self, reason: &str) -> u64 {
        let families = self.api.registry.gather();
        let family = families
            .iter()
            .find(|family| family.name() == "regionmesh_event_streams_ended_total");
        let metrics = family.map(|family| family.get_metric()).unwrap_or_default();
        let of_reason = metrics.iter().filter(|metric| {
            metric
                .get_label()
                .iter()
                .any(|label| label.value() == reason)
        });

        of_reason
            .map(|metric| metric.get_counter().get_value() as u64)
            .sum()
    }

    async fn until_ended(&self, reason: &str, count: u64) {
        let all = async {
            while self.ended(reason) < count {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };

        tokio::time::timeout(TIMEOUT * 2, all)
            .await
            .unwrap_or_else(|_| panic!("{reason}: {}", self.ended(reason)));
    }

    async fn stream(&self, query: &str, last: Option<&str>) -> Stream {
        let mut request = self
            .http
            .get(self.url(&format!("/v1/events/stream{query}")));
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }

        let reply = request.send().await.unwrap();
        assert_eq!(reply.status(), 200);
        assert_eq!(reply.headers()["content-type"], "text/event-stream");
        Stream {
            reply,
            text: String::new(),
        }
    }
}

struct Stream {
    reply: reqwest::Response,
    text: String,
}

impl Stream {
    /// The next event: its kind, its id, the event. None at the stream's end.
    async fn next(&mut self) -> Option<(String, String, Value)> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let block = block.to_owned();
                let rest = rest.to_owned();
                self.text = rest;

                let field = |name: &str| {
                    let line = block
                        .lines()
                        .find_map(|line| line.strip_prefix(&format!("{name}: ")));
                    line.map(ToOwned::to_owned)
                };
                let Some(data) = field("data") else { continue };

                return Some((
                    field("event").unwrap(),
                    field("id").unwrap(),
                    serde_json::from_str(&data).unwrap(),
                ));
            }

            let piece = tokio::time::timeout(TIMEOUT, self.reply.chunk())
                .await
                .expect("nothing came")
                .unwrap()?;

            self.text += std::str::from_utf8(&piece).unwrap();
        }
    }

    async fn numbers(&mut self, count: usize) -> Vec<u64> {
        let mut numbers = Vec::new();
        while numbers.len() < count {
            let (_, _, event) = self.next().await.expect("more events");
            numbers.push(event["time_ms"].as_u64().unwrap());
        }

        numbers
    }
}

fn numbers(list: &Value) -> Vec<u64> {
    list["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["time_ms"].as_u64().unwrap())
        .collect()
}

#[tokio::test]
async fn a_list_is_filtered_limited_and_continues_where_it_ended() {
    let fixture = Fixture::start().await;
    fixture.add_events(3, EventKind::Plan, "us-west-2");
    fixture.add_events(2, EventKind::Verdict, "eu-west-1");

    let list = async |query: &str| fixture.read(&format!("/v1/events?{query}")).await;
    assert_eq!(numbers(&list("").await), [1, 2, 3, 4, 5]);
    assert_eq!(numbers(&list("limit=2").await), [4, 5]);
    assert_eq!(numbers(&list("kind=plan,ramp&limit=2").await), [2, 3]);
    assert_eq!(numbers(&list("region=eu-west-1").await), [4, 5]);
    assert_eq!(numbers(&list("severity=critical").await), [4, 5]);

    let first = list("since=0&limit=2").await;
    assert_eq!(
        (numbers(&first), &first["has_gap"]),
        (vec![1, 2], &json!(false))
    );

    let next = first["next"].as_str().unwrap();
    assert_eq!(numbers(&list(&format!("since={next}")).await), [3, 4, 5]);
    assert_eq!(list("").await["answered_by"], "us-west-2/node-0");
    for bad in [
        "since=x",
        "limit=0",
        "limit=1001",
        "kind=verdicts",
        "region=EU",
        "severity=loud",
        "colour=red",
    ] {
        fixture.get(&format!("/v1/events?{bad}")).await.error(400);
    }

    fixture
        .get("/v1/events/stream?kind=verdicts")
        .await
        .error(400);
}

#[tokio::test]
async fn a_stream_begins_now_resumes_where_it_ended_and_is_filtered() {
    let fixture = Fixture::start().await;
    fixture.add_events(3, EventKind::Plan, "us-west-2");

    let mut stream = fixture.stream("?kind=plan,verdict", None).await;
    fixture.add_events(1, EventKind::Ramp, "us-west-2");
    fixture.add_events(2, EventKind::Verdict, "us-west-2");

    let (kind, id, event) = stream.next().await.unwrap();
    assert_eq!(
        (kind.as_str(), event["time_ms"].as_u64()),
        ("verdict", Some(5))
    );

    assert_eq!(event["cursor"], id.as_str());
    assert_eq!(stream.numbers(1).await, [6]);
    drop(stream);
    fixture.until_ended("left", 1).await;
    fixture.add_events(1, EventKind::Plan, "us-west-2");

    let mut resumed = fixture.stream("?kind=plan,verdict", Some(&id)).await;
    assert_eq!(resumed.numbers(2).await, [6, 7]);

    // Of another agent's stream nothing is known here: all that is kept may be new.
    let mut foreign = fixture.stream("?since=0", Some("ffff.900")).await;
    assert_eq!(foreign.numbers(7).await, [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(
        fixture.stream("?since=5", None).await.numbers(2).await,
        [6, 7]
    );
}

#[tokio::test]
async fn a_reader_that_was_away_for_too_long_gets_a_gap_event_and_can_resume() {
    let fixture = Fixture::start().await;
    fixture.snapshots.events.send_replace(EventLog::new(7));
    fixture.add_events(EVENTS_MAX as u64 + 10, EventKind::Plan, "us-west-2");

    let mut stream = fixture.stream("", Some("7.3")).await;
    let (kind, id, _) = stream.next().await.unwrap();
    assert_eq!((kind.as_str(), id.as_str()), ("gap", "7.10"));
    assert!(stream.next().await.is_none());
    fixture.until_ended("lagged", 1).await;

    let mut resumed = fixture.stream("", Some(&id)).await;
    assert_eq!(resumed.numbers(3).await, [11, 12, 13]);
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_disconnected_and_counted() {
    let limits = Limits {
        stall: Duration::from_millis(300),
        ..Limits::default()
    };
    let fixture = Fixture::with(limits, |_| {}).await;
    let mut stream = TcpStream::connect(fixture.address).await.unwrap();

    stream
        .write_all(b"GET /v1/events/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        .await
        .unwrap();

    let mut head = [0; 16];
    stream.read_exact(&mut head).await.unwrap();

    // More than the buffers of both sides take; the log is never longer than it may be.
    let fill = async {
        while fixture.ended("slow") + fixture.ended("lagged") == 0 {
            fixture.add_events(500, EventKind::Plan, "us-west-2");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };

    tokio::time::timeout(TIMEOUT * 2, fill)
        .await
        .expect("the reader is still served");
}

#[tokio::test]
async fn streams_are_limited_and_end_when_the_agent_drains() {
    let fixture = Fixture::start().await;
    let mut streams = Vec::new();
    for _ in 0..32 {
        streams.push(fixture.stream("", None).await);
    }

    let refused = fixture.get("/v1/events/stream").await.error(503);
    assert!(refused.contains("32 streams"), "{refused}");

    let from = |address: [u8; 4]| {
        let client = reqwest::Client::builder()
            .no_proxy()
            .local_address(std::net::IpAddr::from(address));
        client.timeout(TIMEOUT).build().unwrap()
    };
    let other = from([127, 0, 0, 2]);

    for _ in 0..32 {
        let reply = other
            .get(fixture.url("/v1/events/stream"))
            .send()
            .await
            .unwrap();

        assert_eq!(reply.status(), 200);
        streams.push(Stream {
            reply,
            text: String::new(),
        });
    }

    let refused = fixture
        .send(from([127, 0, 0, 3]).get(fixture.url("/v1/events/stream")))
        .await
        .error(503);

    assert!(refused.contains("64 streams"), "{refused}");
    assert_eq!(fixture.ended("refused"), 2);
    drop(streams.remove(0));
    fixture.until_ended("left", 1).await;
    streams.push(fixture.stream("", None).await);

    // Requests have places of their own.
    fixture.get("/v1/status").await.ok(200);
    fixture.drain.send_replace(true);
    for stream in &mut streams {
        assert!(stream.next().await.is_none());
    }
    assert_eq!(fixture.ended("stopping"), 64);
}
