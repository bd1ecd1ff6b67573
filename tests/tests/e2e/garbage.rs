//! Strangers at every port of every agent: they are refused and counted, and nobody else notices.

use prometheus::Registry;
use regionmesh::{
    cli::up::{children::ChildState, layout::LocalAgent, measure},
    config::Config,
    front_door::{FrontDoor, FrontDoorMetrics},
};
use regionmesh_tests::{
    api,
    attack::{at_dns, at_http, besiege, pelt},
    mesh::{SERVICE, Setup, TestMesh},
    models::{iris_one, question},
    wait::{claim, seconds, until},
    watch::Watch,
};
use std::{net::SocketAddr, time::Duration};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Of each kind at each port.
const STRANGERS: usize = 8;
/// Packets to each UDP port.
const PACKETS: usize = 2_000;
/// Requests that must go well at each model server during the siege.
const REQUESTS: usize = 50;
/// Pause between two requests of one user.
const PAUSE: Duration = Duration::from_millis(20);
/// Largest body that the model servers take, bytes; they hold four such at once.
const BODY_LIMIT: usize = 8 << 20;
/// More resident memory than this in any agent at any time is an explosion, bytes. At rest it is
/// some 60 MB.
const MEMORY: u64 = 300 << 20;

fn small_bodies(config: &mut Config) {
    config.serving.body_limit = BODY_LIMIT;
}

/// The most memory that a process ever had resident, bytes.
fn peak_memory(mesh: &TestMesh, agent: &LocalAgent) -> u64 {
    let Ok(ChildState::Running { pid }) = mesh.state(&agent.id) else {
        panic!("{} is gone", agent.id)
    };
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .expect("Linux tells the peak");

    line.trim()
        .trim_end_matches(" kB")
        .parse::<u64>()
        .expect("kB")
        << 10
}

/// Asks for inferences until told to stop, and for so many at least; the errors.
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
async fn strangers_at_every_port_are_shed_and_counted_and_nobody_else_notices() {
    let mesh = TestMesh::start_with(Setup {
        adjust: Some(small_bodies),
        ..Setup::default()
    })
    .await;

    mesh.settled().await;
    mesh.publish_iris(0, "1", iris_one()).await;
    mesh.held_by_all("1").await;
    mesh.answered_by_all("1").await;

    let seq = mesh.api(0).plan_seq().await.unwrap();
    let listen: Vec<SocketAddr> = vec!["127.0.0.1:0".parse().unwrap()];
    let metrics = FrontDoorMetrics::new(&Registry::new()).unwrap();
    let front_door = FrontDoor::bind(mesh.front_door(listen, metrics))
        .await
        .unwrap();
    let door = front_door.local_addrs()[0];

    tokio::spawn(front_door.serve(CancellationToken::new()));

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

    let watches: Vec<Watch> = mesh
        .agents()
        .iter()
        .map(|agent| Watch::start(agent.dns()))
        .collect();

    let mut ending = Vec::new();
    let mut patient = Vec::new();
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

    // Some send bodies for as long as the model servers have patience for: these are not waited
    // for.
    let at_serving = at_http(&["POST /v2/models/iris/infer", "GET /v2"], None);
    for agent in mesh.agents() {
        ending.push(besiege(agent.api(), &at_api, STRANGERS));
        ending.push(besiege(agent.dns(), &at_dns(), STRANGERS));
        patient.push(besiege(agent.serving(), &at_serving, STRANGERS));
    }

    patient.push(besiege(door, &at_http(&["GET /v2"], None), STRANGERS));
    let visitors = ending
        .iter()
        .chain(&patient)
        .map(JoinSet::len)
        .sum::<usize>();

    println!("{visitors} connections");
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

    drop(patient);

    mesh.assert_all_run();
    for agent in mesh.agents() {
        let api = mesh.api_of(agent);
        let memory = peak_memory(&mesh, agent);
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

            // Observers' probes and this very question.
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

    assert_eq!(
        mesh.api(0).plan_seq().await.unwrap(),
        seq,
        "traffic was moved"
    );

    mesh.settled().await;
    for watch in watches {
        watch.finish_without_fault().await;
    }
}
