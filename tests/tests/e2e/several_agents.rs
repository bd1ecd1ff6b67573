//! Regions of two agents: any of them speaks for the mesh, and one can be lost.

use prometheus::Registry;
use regionmesh::{
    cli::up::measure::{self, Load},
    front_door::{FrontDoor, FrontDoorMetrics},
};
use regionmesh_tests::{
    mesh::{SERVICE, Setup, TestMesh},
    models::{iris_one, iris_two, question},
    wait::{claim, seconds, until},
};
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// Successful probes of the region by each other agent after the loss.
const MORE_PROBES: f64 = 10.0;

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_agents_address_is_answered_no_more_and_its_region_keeps_its_traffic() {
    let mesh = TestMesh::start_with(Setup {
        agents_per_region: 2,
        ..Setup::default()
    })
    .await;

    mesh.settled().await;
    let lost = mesh.agents()[3].clone();
    let region = lost.id.region.to_string();
    let address = IpAddr::V4(lost.ip);
    let sibling = IpAddr::V4(mesh.agents()[2].ip);
    let answered = async |wanted: BTreeSet<IpAddr>| {
        until(
            &format!("DNS answers {wanted:?} for {region}"),
            seconds(30),
            async || {
                for agent in [&mesh.agents()[0], &mesh.agents()[4]] {
                    let name = format!("{region}.{SERVICE}");
                    let found =
                        measure::resolve(agent.dns(), &name, Duration::from_secs(2)).await?;
                    let found: BTreeSet<IpAddr> = found.into_iter().collect();

                    claim(found == wanted, || {
                        format!("{} answers {found:?}", agent.id)
                    })?;
                }

                Ok(())
            },
        )
        .await;
    };

    answered([address, sibling].into()).await;
    mesh.kill(&lost.id).await.unwrap();

    let begun = std::time::Instant::now();
    answered([sibling].into()).await;
    println!("answered no more after {:?}", begun.elapsed());

    let seen = mesh.api(0).region(&region).await.unwrap();
    assert_eq!(
        (seen.verdict.as_str(), seen.traffic_state.as_str()),
        ("healthy", "serving"),
        "{}",
        seen.verdict_reason
    );

    assert!(seen.share > 0.3, "{}", seen.share);
    mesh.start_agent(&lost.id).await.unwrap();
    answered([address, sibling].into()).await;

    let (code, told) = mesh
        .api(0)
        .get(&format!("/v1/failover/explain/{region}"))
        .await
        .unwrap();

    assert_eq!(code, 200, "{told}");
    assert_eq!(
        told["region"]["address_verdicts"].as_array().map(Vec::len),
        Some(2),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn six_agents_tell_one_story_and_go_on_when_any_of_them_is_lost() {
    let mesh = TestMesh::start_with(Setup {
        agents_per_region: 2,
        ..Setup::default()
    })
    .await;

    mesh.settled().await;
    let all: BTreeSet<String> = mesh
        .agents()
        .iter()
        .map(|agent| agent.id.to_string())
        .collect();

    assert_eq!(all.len(), 6);
    for api in mesh.running_apis() {
        until(
            &format!("{} sees all six", api.url()),
            seconds(30),
            async || {
                let agents = api.status().await?.agents;
                let alive: BTreeSet<_> = agents
                    .iter()
                    .filter(|agent| agent.alive)
                    .map(|agent| agent.agent.clone())
                    .collect();

                claim(alive == all, || format!("{alive:?}"))
            },
        )
        .await;
    }

    // Published through the second agent of a region: held by every region, loaded by every agent.
    let second = mesh.api_of(&mesh.agents()[1]);
    let (code, answer) = second
        .publish("iris", "1", &[("model.onnx", iris_one())])
        .await
        .unwrap();

    assert_eq!(code, 200, "{answer}");
    mesh.held_by_all("1").await;
    mesh.answered_by_all("1").await;

    // The second agent of a region dies: its endpoint serves, so nothing is moved, and a front door
    // finds the one that lives among the region's addresses.
    let listen: Vec<SocketAddr> = vec!["127.0.0.1:0".parse().unwrap()];
    let metrics = FrontDoorMetrics::new(&Registry::new()).unwrap();
    let front_door = FrontDoor::bind(mesh.front_door(listen, metrics))
        .await
        .unwrap();
    let url = format!(
        "http://{}/v2/models/iris/infer",
        front_door.local_addrs()[0]
    );

    tokio::spawn(front_door.serve(CancellationToken::new()));
    let load = Load::start(url, question(), Duration::from_millis(50)).unwrap();
    let lost = mesh.agents()[3].clone();
    let id = lost.id.to_string();

    mesh.kill(&lost.id).await.unwrap();
    for api in mesh.running_apis() {
        until(
            &format!("{} misses {id}", api.url()),
            seconds(30),
            async || {
                let agents = api.status().await?.agents;
                claim(
                    agents.iter().any(|agent| agent.agent == id && !agent.alive),
                    || format!("{agents:?}"),
                )
            },
        )
        .await;
    }

    mesh.keeps_its_share(1, MORE_PROBES).await;
    let samples = load.finish().await;
    let failed: Vec<_> = samples
        .iter()
        .filter(|sample| sample.outcome.is_err())
        .collect();

    assert!(
        failed.is_empty() && samples.len() > 50,
        "{} of {}: {failed:?}",
        failed.len(),
        samples.len()
    );

    // Whoever leads dies, and is replaced by whoever is left.
    let (old, ballot) = mesh.leader(seconds(20)).await;
    let leading = mesh
        .agents()
        .iter()
        .find(|agent| agent.id.to_string() == old)
        .unwrap();

    mesh.kill(&leading.id).await.unwrap();
    let (next, next_ballot) = mesh.leader_after(&old, seconds(30)).await;
    println!("{old} under {ballot}, then {next} under {next_ballot}");
    assert!(
        next_ballot > ballot,
        "{old} under {ballot}, then {next} under {next_ballot}"
    );

    assert_eq!(mesh.running().len(), 4);
    for dead in [&lost, leading] {
        mesh.start_agent(&dead.id).await.unwrap();
    }
    mesh.settled().await;

    let third = mesh.api_of(&mesh.agents()[3]);
    until("what was lost takes part again", seconds(30), async || {
        let (code, answer) = third
            .publish("iris", "2", &[("model.onnx", iris_two())])
            .await?;
        claim(code == 200, || answer.to_string())
    })
    .await;

    mesh.held_by_all("2").await;
    mesh.answered_by_all("2").await;
}
