//! What survives when all agents are stopped or killed together, and when all agents of one region
//! die.

use futures::future::join_all;
use regionmesh::local_mesh::{children::ChildState, measure::Load};
use regionmesh_tests::{
    api::Api,
    converge::until_share,
    load::finish_without_failure,
    mesh::TestMesh,
    models::{iris_one, iris_two, question},
    plans::{PlanLog, share},
    serve::mesh_apart,
    wait::{claim, seconds, until},
    watch::Watch,
};
use std::{net::IpAddr, time::Duration};

/// Every agent says that `production` names version 1.
async fn production_is_one(mesh: &TestMesh) {
    for api in mesh.running_apis() {
        until(
            &format!("the alias, seen from {}", api.url()),
            seconds(30),
            async || {
                let models = api.status().await?.models;
                let aliases = models.into_iter().flat_map(|model| model.aliases);
                let named: Vec<_> = aliases.map(|alias| (alias.alias, alias.version)).collect();

                claim(named == [("production".to_owned(), "1".to_owned())], || {
                    format!("{named:?}")
                })
            },
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mesh_stopped_or_killed_as_a_whole_resumes_with_its_state() {
    let mesh = TestMesh::start().await;
    mesh.converged().await;
    mesh.publish_iris(0, "1", iris_one()).await;
    mesh.promote_iris(0, "1").await;
    mesh.publish_iris(1, "2", iris_two()).await;
    for (how, next) in [("stopped", "3"), ("killed", "4")] {
        mesh.until_held_by_all("2").await;
        production_is_one(&mesh).await;
        mesh.converged().await;

        let (_, ballot) = mesh.leader(seconds(20)).await;
        let mut seq = 0;
        for api in mesh.running_apis() {
            seq = seq.max(api.plan_seq().await.unwrap());
        }

        if how == "stopped" {
            mesh.stop().await;
        } else {
            join_all(mesh.agents().iter().map(|agent| mesh.kill(&agent.id))).await;
        }

        for agent in mesh.agents() {
            assert_eq!(mesh.state(&agent.id).unwrap(), ChildState::Stopped);
        }
        mesh.start().await.unwrap();
        for api in mesh.running_apis() {
            let found = api.plan_seq().await.unwrap();
            assert!(
                found >= seq,
                "{how}: {} had plan {seq} and came back with {found}",
                api.url()
            );
        }

        let (leader, next_ballot) = mesh.leader(seconds(30)).await;
        println!("{how}: ballot {ballot}, then {next_ballot} of {leader}");
        assert!(
            next_ballot > ballot,
            "{how}: ballot {ballot}, then {next_ballot}"
        );

        // Its state is there, and it works.
        mesh.until_held_by_all("1").await;
        mesh.until_held_by_all("2").await;
        production_is_one(&mesh).await;
        mesh.until_answered_by_all("1").await;
        mesh.publish_iris(2, next, iris_two()).await;
        mesh.until_held_by_all(next).await;
    }

    mesh.converged().await;
}

/// Successful probes of the region by each survivor: one each half second, hence at least twelve
/// seconds' worth.
const MORE_PROBES: f64 = 24.0;

#[tokio::test(flavor = "multi_thread")]
async fn a_region_without_agents_keeps_its_traffic_while_its_model_server_lives() {
    let (mesh, mut servings) = mesh_apart(|_| {}).await;
    mesh.publish_iris(0, "1", iris_one()).await;
    mesh.until_held_by_all("1").await;
    mesh.until_answered_by_all("1").await;

    // The leader's region: losing the leader must not move traffic either.
    let (old, ballot) = mesh.leader(seconds(20)).await;
    let victim = mesh.region_of(&old);
    let name = mesh.region(victim);
    let address = IpAddr::from(mesh.agent(victim).ip);
    let survivors = mesh
        .others(victim)
        .into_iter()
        .map(|region| mesh.api(region))
        .collect::<Vec<_>>();
    let log = PlanLog::start(survivors.clone());

    let watches: Vec<Watch> = mesh
        .others(victim)
        .iter()
        .map(|region| Watch::start(mesh.agent(*region).dns()))
        .collect();
    let url = format!(
        "http://{}/v2/models/iris/infer",
        mesh.agent(victim).serving()
    );
    let load = Load::start(url, question(), Duration::from_millis(100)).unwrap();

    mesh.kill_region(victim).await;
    until_missed(&survivors, &old).await;

    let (next, next_ballot) = mesh.leader_after(&old, seconds(30)).await;
    assert!(
        next_ballot > ballot,
        "{old} under {ballot}, then {next} under {next_ballot}"
    );

    mesh.assert_share_is_stable(victim, MORE_PROBES).await;
    until_still_answered(&watches, name, address).await;

    mesh.revive(victim).await;
    mesh.converged().await;
    for plan in log.finish_as_one_history().await {
        assert!(
            (share(&plan, name) - 1.0 / 3.0).abs() < 0.001,
            "plan {}: {}",
            plan.brief.seq,
            plan.brief.reason
        );
    }

    let samples = finish_without_failure(load).await;
    assert!(samples.len() > 100, "{} requests", samples.len());

    // The endpoint decided: without it users are moved, although the agent is alive.
    servings.remove(victim).kill().await;
    until_share(&mesh.running_apis(), name, seconds(30), |share| {
        share == 0.0
    })
    .await;

    mesh.assert_all_run();
    for watch in watches {
        watch.finish_without_fault().await;
    }
}

async fn until_missed(survivors: &[Api], old: &str) {
    for api in survivors {
        until(
            &format!("{} misses {old}", api.url()),
            seconds(30),
            async || {
                let agents = api.status().await?.agents;
                claim(
                    agents
                        .iter()
                        .any(|agent| agent.agent == old && !agent.alive),
                    || format!("{agents:?}"),
                )
            },
        )
        .await;
    }
}

async fn until_still_answered(watches: &[Watch], name: &str, address: IpAddr) {
    for watch in watches {
        let begin = watch.now();
        until(&format!("{name} is answered"), seconds(20), async || {
            let (_, answered) = watch.since(begin);
            claim(answered.contains(&address), || format!("{answered:?}"))
        })
        .await;
    }
}
