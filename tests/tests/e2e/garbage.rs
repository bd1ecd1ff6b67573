//! Hostile clients at every port of every agent: they are refused and counted, and users notice
//! nothing.

use regionmesh::{
    config::Config,
    local_mesh::{layout::LocalAgent, measure},
};
use regionmesh_tests::{
    api::{self, Api},
    attack::{at_dns, at_http, besiege, pelt},
    door::serve_in_process,
    mesh::{SERVICE, Setup, TestMesh},
    models::{iris_one, question},
    wait::{claim, seconds, until},
};
use std::{net::SocketAddr, time::Duration};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Hostile clients of each kind at each port.
const CLIENTS: usize = 8;
/// Packets to each UDP port.
const PACKETS: usize = 2_000;
/// Requests that must succeed at each model server during the attack.
const REQUESTS: usize = 50;
/// Pause between two requests of one user.
const PAUSE: Duration = Duration::from_millis(20);
/// Largest body that the model servers take, bytes; they hold four of these at a time.
const BODY_LIMIT: usize = 8 << 20;
/// More resident memory than this in any agent at any time is a failure, bytes. At rest it is about
/// 60 MB.
const MEMORY: u64 = 300 << 20;

fn small_bodies(config: &mut Config) {
    config.serving.body_limit = BODY_LIMIT;
}

/// The peak of a process's resident memory, bytes.
fn peak_memory(mesh: &TestMesh, agent: &LocalAgent) -> u64 {
    let pid = mesh.pid(agent);
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .expect("Linux reports the peak");

    line.trim()
        .trim_end_matches(" kB")
        .parse::<u64>()
        .expect("kB")
        << 10
}

/// Sends inferences until `stop` is cancelled, and [`REQUESTS`] at least; the errors.
fn ask_on(url: String, stop: CancellationToken) -> tokio::task::JoinHandle<Vec<String>> {
    tokio::spawn(async move {
        let client = api::client();
        let mut errors = Vec::new();
        let mut asked = 0;

        while asked < REQUESTS || !stop.is_cancelled() {
            if let Err(error) = measure::infer(&client, &url, &question()).await {
                errors.push(error);
            }
            asked += 1;
            tokio::time::sleep(PAUSE).await;
        }

        errors
    })
}

async fn the_end_of(mut siege: JoinSet<()>) {
    while siege.join_next().await.is_some() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_clients_are_rejected_and_counted_and_users_notice_nothing() {
    let mesh = TestMesh::start_with(Setup {
        adjust: Some(small_bodies),
        ..Setup::default()
    })
    .await;

    mesh.converged().await;
    mesh.publish_iris(0, "1", iris_one()).await;
    mesh.until_held_by_all("1").await;
    mesh.until_answered_by_all("1").await;

    let seq = mesh.api(0).plan_seq().await.unwrap();
    let door = serve_in_process(&mesh).await;

    let stop = CancellationToken::new();
    let servers = mesh.agents().iter().map(LocalAgent::serving).chain([door]);
    let users: Vec<_> = servers
        .map(|server| {
            ask_on(
                format!("http://{server}/v2/models/iris/infer"),
                stop.clone(),
            )
        })
        .collect();

    let watches = mesh.watch_all();

    let (ending, unawaited) = besiege_all(&mesh, door);
    pelt_all(&mesh).await;

    for siege in ending {
        tokio::time::timeout(seconds(120), the_end_of(siege))
            .await
            .expect("every connection is ended by the agent");
    }

    stop.cancel();
    for user in users {
        let errors = user.await.unwrap();
        assert!(errors.is_empty(), "{} errors: {errors:?}", errors.len());
    }

    drop(unawaited);

    mesh.assert_all_run();
    for agent in mesh.agents() {
        assert_refusals_are_counted(&mesh, agent).await;

        assert_unharmed(&mesh.api_of(agent), agent).await;
    }

    assert_eq!(
        mesh.api(0).plan_seq().await.unwrap(),
        seq,
        "traffic was moved"
    );

    mesh.converged().await;
    for watch in watches {
        watch.finish_without_fault().await;
    }
}

/// Sends hostile clients to every TCP port: those that the agents end, and those that are not
/// waited for.
fn besiege_all(mesh: &TestMesh, door: SocketAddr) -> (Vec<JoinSet<()>>, Vec<JoinSet<()>>) {
    let mut ending = Vec::new();
    let mut unawaited = Vec::new();
    let at_api = [
        at_http(
            &["POST /v1/models/iris/versions/2/uploads", "GET /v1/status"],
            None,
        ),
        at_http(
            &["POST /v1/models/iris/versions/2/uploads"],
            Some(mesh.token()),
        ),
    ]
    .concat();

    // Some send bodies for as long as the model servers allow: these are not waited for.
    let at_serving = at_http(&["POST /v2/models/iris/infer", "GET /v2"], None);
    for agent in mesh.agents() {
        ending.push(besiege(agent.api(), &at_api, CLIENTS));
        ending.push(besiege(agent.dns(), &at_dns(), CLIENTS));
        unawaited.push(besiege(agent.serving(), &at_serving, CLIENTS));
    }

    unawaited.push(besiege(door, &at_http(&["GET /v2"], None), CLIENTS));
    let visitors = ending
        .iter()
        .chain(&unawaited)
        .map(JoinSet::len)
        .sum::<usize>();

    println!("{visitors} connections");

    (ending, unawaited)
}

async fn pelt_all(mesh: &TestMesh) {
    for agent in mesh.agents() {
        let answer = async || {
            measure::resolve(agent.dns(), SERVICE, seconds(10))
                .await
                .unwrap();
        };

        tokio::join!(
            pelt(agent.mesh(), PACKETS, async || tokio::task::yield_now()
                .await),
            pelt(agent.dns(), PACKETS, answer)
        );
    }
}

async fn assert_refusals_are_counted(mesh: &TestMesh, agent: &LocalAgent) {
    let api = mesh.api_of(agent);
    let memory = peak_memory(mesh, agent);
    println!("{}: at most {} MB", agent.id, memory >> 20);
    assert!(memory < MEMORY, "{} had {} MB", agent.id, memory >> 20);
    for (metric, labels) in [
        ("regionmesh_mesh_refused_total", "reason=\"not-quic\""),
        ("regionmesh_dns_dropped_total", "reason=\"not_a_query\""),
        ("regionmesh_dns_dropped_total", "reason=\"too_long\""),
        ("regionmesh_dns_dropped_total", "reason=\"idle\""),
        (
            "regionmesh_dns_dropped_total",
            "reason=\"too_many_of_one_client\"",
        ),
        ("regionmesh_dns_queries_total", "rcode=\"FORMERR\""),
        ("regionmesh_api_requests_total", "code=\"401\""),
        ("regionmesh_api_requests_total", "code=\"413\""),
        (
            "regionmesh_api_refused_connections_total",
            "reason=\"not-http\"",
        ),
        (
            "regionmesh_api_refused_connections_total",
            "reason=\"head-too-large\"",
        ),
        ("regionmesh_inference_requests_total", "code=\"413\""),
        (
            "regionmesh_serving_refused_connections_total",
            "reason=\"not-http\"",
        ),
        (
            "regionmesh_serving_refused_connections_total",
            "reason=\"head-too-large\"",
        ),
    ] {
        let counted = api.metric(metric, &[labels]).await.unwrap();
        assert!(counted > 0.0, "{}: no {metric} {labels}", agent.id);
    }
}

async fn assert_unharmed(api: &Api, agent: &LocalAgent) {
    assert_eq!(
        api.metric("regionmesh_actor_restarts_total", &[])
            .await
            .unwrap(),
        0.0,
        "{}",
        agent.id
    );

    let (code, health) = api.get("/healthz").await.unwrap();
    assert_eq!(code, 200, "{health}");
    until("the connections are given back", seconds(60), async || {
        let mut open = 0.0;
        for metric in [
            "regionmesh_dns_tcp_connections",
            "regionmesh_api_connections",
            "regionmesh_serving_connections",
        ] {
            open += api.metric(metric, &[]).await?;
        }

        // Observers' probes and this request.
        claim(open <= 8.0, || format!("{open} are open"))
    })
    .await;

    let log = std::fs::read_to_string(&agent.log_file).unwrap();
    for reason in ["not-quic", "handshake"] {
        let lines = log
            .lines()
            .filter(|line| line.contains(&format!("reason=\"{reason}\"")))
            .count();
        assert!(lines <= 5, "{}: {lines} lines of {reason}", agent.id);
    }

    assert!(
        log.len() < 1 << 20,
        "{} wrote {} bytes of log",
        agent.id,
        log.len()
    );
}
