//! The front door between a client and regions that are played by the test.

use super::*;
use crate::config::fixture;
use axum::{Router, body::Body, extract::State};
use http::{Response, StatusCode};
use regionmesh_dns::{DnsArguments, DnsMetrics, DnsServer};
use regionmesh_protocol::{
    plan::{CommittedPlan, Plan, RegionPlan, TrafficState},
    register::ballot::{Ballot, Stamp},
};
use regionmesh_runtime::metrics::Registry;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::DropGuard;

const ADDRESSES: [&str; 2] = ["127.0.0.41", "127.0.0.42"];

fn plan(seq: u64, weights: [u16; 2]) -> Option<Arc<CommittedPlan>> {
    let region = |index: usize| RegionPlan {
        weight_bp: weights[index],
        traffic_state: TrafficState::Serving,
        addresses: vec![ADDRESSES[index].parse().unwrap()],
        flaps: 0,
        failed_ms: 0,
        ..RegionPlan::default()
    };

    let regions = [
        ("a".parse().unwrap(), region(0)),
        ("b".parse().unwrap(), region(1)),
    ]
    .into();
    let stamp = Stamp {
        ballot: Ballot {
            number: 1,
            agent: "a/node-0".parse().unwrap(),
            boot: 1,
        },
        seq,
    };

    Some(Arc::new(CommittedPlan {
        stamp,
        plan: Plan {
            regions,
            ..Plan::default()
        },
        certificate: Default::default(),
    }))
}

async fn dns(
    plan: watch::Receiver<Option<Arc<CommittedPlan>>>,
    stop: &CancellationToken,
) -> SocketAddr {
    let config = fixture::config(&[("a", ADDRESSES[0]), ("b", ADDRESSES[1])], "");
    let metrics = DnsMetrics::new(&Registry::new()).unwrap();
    let server = DnsServer::bind(DnsArguments {
        config: Arc::new(config.for_dns()),
        plan,
        board: watch::channel(Arc::default()).1,
        metrics,
    })
    .await
    .unwrap();

    let address = server.local_addr();
    tokio::spawn(server.serve(stop.clone()));
    address
}

/// What a region's server does with its first requests; then it answers with its letter and the
/// length of the body.
#[derive(Clone, Copy)]
enum Whim {
    Answers,
    /// Reads this many requests and closes their connections.
    Breaks(usize),
    /// Answers this many requests with 503 and `Retry-After`.
    Refuses(usize),
}

struct Scene {
    url: String,
    backends: [JoinHandle<()>; 2],
    requests: [Arc<AtomicUsize>; 2],
    plans: watch::Sender<Option<Arc<CommittedPlan>>>,
    registry: Registry,
    _stop: DropGuard,
}

async fn answer(
    State((letter, refuses, seen)): State<(char, usize, Arc<AtomicUsize>)>,
    body: Body,
) -> Response<Body> {
    let body = axum::body::to_bytes(body, 64 << 20).await.unwrap();
    if seen.fetch_add(1, Ordering::SeqCst) < refuses {
        let mut refusal = Response::new(Body::from("{\"error\":\"overloaded: as scripted\"}"));
        *refusal.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        refusal
            .headers_mut()
            .insert(http::header::RETRY_AFTER, 0.into());
        return refusal;
    }

    Response::new(Body::from(format!("{letter} {}", body.len())))
}

fn backend(
    listener: TcpListener,
    letter: char,
    whim: Whim,
    seen: Arc<AtomicUsize>,
) -> JoinHandle<()> {
    let refuses = if let Whim::Refuses(count) = whim {
        count
    } else {
        0
    };

    tokio::spawn(async move {
        if let Whim::Breaks(count) = whim {
            for _ in 0..count {
                let (mut stream, _) = listener.accept().await.unwrap();
                assert!(stream.read(&mut [0; 4_096]).await.unwrap() > 0);
                seen.fetch_add(1, Ordering::SeqCst);
            }
        }

        axum::serve(
            listener,
            Router::new()
                .fallback(answer)
                .with_state((letter, refuses, seen)),
        )
        .await
        .unwrap();
    })
}

async fn scene_with(weights: [u16; 2], whims: [Whim; 2], hold: Duration) -> Scene {
    let first = TcpListener::bind((ADDRESSES[0], 0)).await.unwrap();
    let port = first.local_addr().unwrap().port();
    let second = TcpListener::bind((ADDRESSES[1], port)).await.unwrap();
    let (plans, plan_cell) = watch::channel(plan(1, weights));
    let stop = CancellationToken::new();
    let registry = Registry::new();
    let arguments = FrontDoorArguments {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        service: "serving.regionmesh.test".into(),
        // The second name server is an agent that is gone.
        name_servers: vec![dns(plan_cell, &stop).await, "127.0.0.43:9".parse().unwrap()],
        port,
        hold,
        metrics: FrontDoorMetrics::new(&registry).unwrap(),
    };

    let door = FrontDoor::bind(arguments).await.unwrap();
    let url = format!("http://{}", door.local_addrs()[0]);
    tokio::spawn(door.serve(stop.clone()));

    let requests = [Arc::<AtomicUsize>::default(), Arc::default()];
    let backends = [
        backend(first, 'a', whims[0], requests[0].clone()),
        backend(second, 'b', whims[1], requests[1].clone()),
    ];

    // As main() does, for the clients of these tests.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Scene {
        url,
        backends,
        requests,
        plans,
        registry,
        _stop: stop.drop_guard(),
    }
}

async fn scene(weights: [u16; 2]) -> Scene {
    scene_with(weights, [Whim::Answers; 2], HOLD_TIMEOUT).await
}

impl Scene {
    async fn ask(&self, path: &str, body: Vec<u8>) -> (u16, String) {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(20))
            .build()
            .unwrap();
        let answer = client
            .post(format!("{}{path}", self.url))
            .body(body)
            .send()
            .await
            .unwrap();

        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn infer(&self) -> (u16, String) {
        self.ask("/v2/models/m/infer", b"{}".to_vec()).await
    }

    fn metric(&self, line: &str) -> bool {
        regionmesh_runtime::metrics::render(&self.registry)
            .unwrap()
            .lines()
            .any(|found| found == line)
    }
}

fn answered(body: &str) -> (u16, String) {
    (200, body.into())
}

#[test]
fn counts_are_summarised_in_words_if_there_were_requests() {
    let metrics = FrontDoorMetrics::new(&Registry::new()).unwrap();
    assert_eq!(metrics.summary(), None);
    metrics.requests.with_label_values(&["answered"]).inc_by(12);
    metrics.requests.with_label_values(&["no_region"]).inc();
    metrics.retries.with_label_values(&["broken"]).inc();
    assert_eq!(
        metrics.summary().as_deref(),
        Some("12 answered, 1 failed; 1 times another attempt")
    );
}

#[tokio::test]
async fn bodies_small_and_large_reach_the_region_that_dns_names() {
    let scene = scene([0, 1]).await;
    for length in [0, 300_000, 3 << 20] {
        assert_eq!(
            scene.ask("/x", vec![b'x'; length]).await,
            answered(&format!("b {length}"))
        );
    }

    assert!(scene.metric("regionmesh_front_door_held_bytes 0"));
}

#[tokio::test]
async fn no_request_fails_while_dns_still_names_a_dead_region() {
    let scene = scene([1, 1]).await;
    scene.backends[0].abort();
    for _ in 0..40 {
        assert_eq!(scene.ask("/x", Vec::new()).await, answered("b 0"));
    }
}

#[tokio::test]
async fn requests_of_every_kind_wait_for_dns_to_change() {
    let scene = scene([1, 0]).await;
    scene.backends[0].abort();

    let asked =
        futures::future::join_all((0..60).map(|_| scene.ask("/not/idempotent", b"12".to_vec())));
    let moving = async {
        // Some search, all others wait for them: no request was released.
        while !scene.metric("regionmesh_front_door_held_requests 60") {
            sleep(Duration::from_millis(5)).await;
        }
        scene.plans.send_replace(plan(2, [0, 1]));
    };

    let (answers, ()) = tokio::join!(asked, moving);
    assert!(
        answers.iter().all(|answer| *answer == answered("b 2")),
        "{answers:?}"
    );

    assert!(scene.metric("regionmesh_front_door_held_requests 0"));
}

#[tokio::test]
async fn with_no_region_left_a_request_is_answered_with_503_and_the_reason() {
    let scene = scene_with([1, 1], [Whim::Answers; 2], Duration::from_millis(700)).await;
    scene.backends.iter().for_each(JoinHandle::abort);

    let begin = Instant::now();
    let (status, text) = scene.infer().await;
    assert_eq!(status, 503);
    assert!(
        text.contains("no region could be reached") && text.contains("refused"),
        "{text}"
    );

    assert!(
        begin.elapsed() < Duration::from_secs(4),
        "{:?}",
        begin.elapsed()
    );

    assert!(scene.metric("regionmesh_front_door_requests_total{result=\"no_region\"} 1"));
}

#[tokio::test]
async fn an_inference_whose_connection_broke_is_retried() {
    let scene = scene_with([1, 0], [Whim::Breaks(1), Whim::Answers], HOLD_TIMEOUT).await;
    assert_eq!(scene.infer().await, answered("a 2"));
    assert_eq!(scene.requests[0].load(Ordering::SeqCst), 2);
    assert!(scene.metric("regionmesh_front_door_retries_total{reason=\"broken\"} 1"));
}

#[tokio::test]
async fn a_request_that_may_have_taken_effect_is_not_repeated() {
    let scene = scene_with([1, 0], [Whim::Breaks(1), Whim::Answers], HOLD_TIMEOUT).await;
    let (status, text) = scene
        .ask("/v2/repository/models/m/load", b"{}".to_vec())
        .await;

    assert_eq!(status, 502);
    assert!(text.contains("not safe to repeat"), "{text}");
    assert_eq!(scene.requests[0].load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_request_that_breaks_every_connection_reaches_at_most_two_regions() {
    let scene = scene_with([1, 1], [Whim::Breaks(9), Whim::Breaks(9)], HOLD_TIMEOUT).await;
    let (status, text) = scene.infer().await;
    assert_eq!(status, 502);
    assert!(text.contains("broke twice"), "{text}");

    let sent: usize = scene
        .requests
        .iter()
        .map(|requests| requests.load(Ordering::SeqCst))
        .sum();

    assert_eq!(sent, 2);
}

#[tokio::test]
async fn a_503_with_retry_after_is_retried_and_the_last_one_is_passed_on() {
    let scene = scene_with([1, 0], [Whim::Refuses(2), Whim::Answers], HOLD_TIMEOUT).await;
    assert_eq!(scene.infer().await, answered("a 2"));
    assert!(scene.metric("regionmesh_front_door_retries_total{reason=\"unavailable\"} 2"));

    let scene = scene_with([1, 0], [Whim::Refuses(99), Whim::Answers], HOLD_TIMEOUT).await;
    let (status, text) = scene.infer().await;
    assert_eq!(
        (status, text.as_str()),
        (503, "{\"error\":\"overloaded: as scripted\"}")
    );

    assert!(
        scene.requests[0].load(Ordering::SeqCst) <= 5,
        "attempts are bounded"
    );

    // Too large to be kept: sent once.
    let (status, _) = scene.ask("/v2/models/m/infer", vec![b' '; 2 << 20]).await;
    assert_eq!(status, 503);
}

#[tokio::test]
async fn a_connection_serves_one_request_after_the_other() {
    let scene = scene([1, 0]).await;
    let mut stream = TcpStream::connect(scene.url.trim_start_matches("http://"))
        .await
        .unwrap();

    for _ in 0..3 {
        stream
            .write_all(b"GET /x HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();

        let mut said = String::new();
        while !said.ends_with("a 0") {
            let mut piece = [0; 1_024];
            let length = timeout(Duration::from_secs(10), stream.read(&mut piece))
                .await
                .expect("not stuck")
                .unwrap();

            assert!(length > 0, "closed after {said}");
            said += &String::from_utf8_lossy(&piece[..length]);
        }
    }

    assert_eq!(scene.requests[0].load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn an_address_in_use_is_an_error_that_names_it() {
    let scene = scene([1, 1]).await;
    let address: SocketAddr = scene.url.trim_start_matches("http://").parse().unwrap();
    let arguments = FrontDoorArguments {
        listen: vec![address],
        service: "serving.regionmesh.test".into(),
        name_servers: Vec::new(),
        port: 1,
        hold: HOLD_TIMEOUT,
        metrics: FrontDoorMetrics::new(&Registry::new()).unwrap(),
    };

    let error = FrontDoor::bind(arguments).await.unwrap_err().to_string();
    assert!(error.contains(&address.to_string()), "{error}");
}
