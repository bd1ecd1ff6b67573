//! Connections that send no request shut out no other client.

use regionmesh_runtime::listener::raise_file_limit;
use regionmesh_tests::{
    attack::{Silence, connect_from},
    command::regionmesh,
    dig,
    mesh::{SERVICE, TestMesh},
    wait::{claim, seconds, until},
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

/// The beginning of a request that never ends.
const HALF_A_HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-a: ";

/// An address without attackers.
const HONEST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);

/// One of the addresses that [`Silence`] attacks from.
const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 200, 0, 1);

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
    let message = dig::address_query(SERVICE);
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

/// After what time the server closes connections that don't end their heads.
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
async fn idle_connections_shut_out_no_other_client() {
    raise_file_limit().expect("a limit that may be raised");
    let mesh = TestMesh::start().await;
    mesh.converged().await;

    let agent = mesh.agent(0);
    let verdict = format!("/verdict/{}", mesh.region(1));

    for (port, metric) in [
        (agent.api(), "regionmesh_api_refused_connections_total"),
        (
            agent.serving(),
            "regionmesh_serving_refused_connections_total",
        ),
    ] {
        assert_slow_heads_end(&mesh, port, metric).await;
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

    until("an idle connection is preempted", seconds(60), async || {
        let crowded = mesh
            .api(0)
            .metric("regionmesh_api_refused_connections_total", &["crowded"])
            .await?;
        claim(crowded > 0.0, || "no connection was preempted".into())
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

    assert_silent_dns_connections_give_way(&mesh).await;
    mesh.assert_all_run();
}

async fn assert_slow_heads_end(mesh: &TestMesh, port: SocketAddr, metric: &str) {
    let before = mesh.api(0).metric(metric, &["slow-head"]).await.unwrap();
    let took = until_cut_off(port).await;
    assert!(
        took > Duration::from_millis(1_500) && took < seconds(6),
        "{port}: slow heads ended after {took:?}"
    );

    let counted = mesh.api(0).metric(metric, &["slow-head"]).await.unwrap() - before;
    assert!(counted >= 3.0, "{metric} counted {counted} slow heads");
}

async fn assert_silent_dns_connections_give_way(mesh: &TestMesh) {
    let agent = mesh.agent(0);
    let silence = Silence::at(agent.dns(), 38, 8, b"").await;
    for turn in 0..5 {
        assert_eq!(resolves_over_tcp(agent.dns()).await, Ok(()), "try {turn}");
    }
    drop(silence);

    let preempted = mesh
        .api(0)
        .metric("regionmesh_dns_dropped_total", &["too_many\""])
        .await
        .unwrap();

    assert!(preempted > 0.0, "no DNS connection was preempted");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_front_door_answers_despite_idle_connections() {
    raise_file_limit().expect("a limit that may be raised");
    let mesh = TestMesh::start().await;
    mesh.converged().await;

    // A process of its own, so that its limits and not this program's are met.
    let listen: SocketAddr = (mesh.agent(0).api().ip(), 18_080).into();
    let mut arguments = vec![
        "front-door".to_owned(),
        "--listen".into(),
        listen.to_string(),
    ];

    arguments.extend(["--service".into(), SERVICE.into()]);
    arguments.extend(["--port".into(), mesh.agent(0).serving().port().to_string()]);
    for agent in mesh.agents() {
        arguments.extend(["--name-server".into(), agent.dns().to_string()]);
    }

    let _front_door = regionmesh(&arguments)
        .stderr(Stdio::null())
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
