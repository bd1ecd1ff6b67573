//! Regions of two agents: each of them can act for its region, and one can be lost.

use regionmesh::local_mesh::{
    layout::LocalAgent,
    measure::{self, Load},
};
use regionmesh_tests::{
    door::serve_in_process,
    load::finish_without_failure,
    mesh::{SERVICE, Setup, TestMesh},
    models::{iris_one, iris_two, question},
    wait::{claim, seconds, until},
};
use std::{collections::BTreeSet, net::IpAddr, time::Duration};

/// Successful probes of the region by each other agent after the loss.
const MORE_PROBES: f64 = 10.0;

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_agents_address_leaves_dns_and_its_region_keeps_its_traffic() {
    let mesh = TestMesh::start_with(Setup {
        agents_per_region: 2,
        ..Setup::default()
    })
    .await;

    mesh.converged().await;
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

    let (code, explanation) = mesh
        .api(0)
        .get(&format!("/v1/failover/explain/{region}"))
        .await
        .unwrap();

    assert_eq!(code, 200, "{explanation}");
    assert_eq!(
        explanation["region"]["address_verdicts"]
            .as_array()
            .map(Vec::len),
        Some(2),
        "{explanation}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn six_agents_agree_and_survive_the_loss_of_any_of_them() {
    let mesh = TestMesh::start_with(Setup {
        agents_per_region: 2,
        ..Setup::default()
    })
    .await;

    mesh.converged().await;
    until_each_sees_all(&mesh).await;

    // Published through the second agent of a region: held by every region, loaded by every agent.
    let second = mesh.api_of(&mesh.agents()[1]);
    let (code, answer) = second
        .publish("iris", "1", &[("model.onnx", iris_one())])
        .await
        .unwrap();

    assert_eq!(code, 200, "{answer}");
    mesh.until_held_by_all("1").await;
    mesh.until_answered_by_all("1").await;

    let lost = mesh.agents()[3].clone();
    kill_one_under_load(&mesh, &lost).await;

    // The leader dies, and another agent replaces it.
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
    mesh.converged().await;

    let third = mesh.api_of(&mesh.agents()[3]);
    until("what was lost takes part again", seconds(30), async || {
        let (code, answer) = third
            .publish("iris", "2", &[("model.onnx", iris_two())])
            .await?;
        claim(code == 200, || answer.to_string())
    })
    .await;

    mesh.until_held_by_all("2").await;
    mesh.until_answered_by_all("2").await;
}

async fn until_each_sees_all(mesh: &TestMesh) {
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
}

/// The second agent of a region dies: its endpoint serves, so nothing is moved, and a front door
/// finds the live one among the region's addresses.
async fn kill_one_under_load(mesh: &TestMesh, lost: &LocalAgent) {
    let door = serve_in_process(mesh).await;
    let url = format!("http://{door}/v2/models/iris/infer");
    let load = Load::start(url, question(), Duration::from_millis(50)).unwrap();
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

    mesh.assert_share_is_stable(1, MORE_PROBES).await;
    let samples = finish_without_failure(load).await;
    assert!(samples.len() > 50, "{} requests", samples.len());
}
