//! What a mesh remembers, and what a region keeps: everything stopped or killed at once, and all
//! agents of one region.

use futures::future::join_all;
use regionmesh::cli::up::{children::ChildState, measure::Load};
use regionmesh_tests::{
    mesh::{Setup, TestMesh},
    models::{iris_one, iris_two, question},
    plans::{PlanLog, share},
    serve::{Serve, apart},
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
async fn a_mesh_stopped_or_killed_as_a_whole_goes_on_where_it_was() {
    let mesh = TestMesh::start().await;
    mesh.settled().await;
    mesh.publish_iris(0, "1", iris_one()).await;
    mesh.promote_iris(0, "1").await;
    mesh.publish_iris(1, "2", iris_two()).await;
    for (how, next) in [("stopped", "3"), ("killed", "4")] {
        mesh.held_by_all("2").await;
        production_is_one(&mesh).await;
        mesh.settled().await;

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

        // What it knew is there, what it could do it can.
        mesh.held_by_all("1").await;
        mesh.held_by_all("2").await;
        production_is_one(&mesh).await;
        mesh.answered_by_all("1").await;
        mesh.publish_iris(2, next, iris_two()).await;
        mesh.held_by_all(next).await;
    }

    mesh.settled().await;
}

/// Successful probes of the region by each survivor: one each half second, hence at least twelve
/// seconds' worth.
const MORE_PROBES: f64 = 24.0;

#[tokio::test(flavor = "multi_thread")]
async fn a_region_whose_agents_all_died_keeps_its_users_as_long_as_its_serving_lives() {
    let mesh = TestMesh::prepare(Setup {
        adjust: Some(apart),
        ..Setup::default()
    })
    .await;
    let mut servings = join_all(mesh.agents().iter().map(Serve::start)).await;

    mesh.start().await.unwrap();
    mesh.settled().await;
    mesh.publish_iris(0, "1", iris_one()).await;
    mesh.held_by_all("1").await;
    mesh.answered_by_all("1").await;

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
    for api in &survivors {
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

    let (next, next_ballot) = mesh.leader_after(&old, seconds(30)).await;
    assert!(
        next_ballot > ballot,
        "{old} under {ballot}, then {next} under {next_ballot}"
    );

    mesh.keeps_its_share(victim, MORE_PROBES).await;
    for watch in &watches {
        let begin = watch.now();
        until(&format!("{name} is answered"), seconds(20), async || {
            let (_, answered) = watch.since(begin);
            claim(answered.contains(&address), || format!("{answered:?}"))
        })
        .await;
    }

    mesh.revive(victim).await;
    mesh.settled().await;
    for plan in log.finish_as_one_history().await {
        assert!(
            (share(&plan, name) - 1.0 / 3.0).abs() < 0.001,
            "plan {}: {}",
            plan.brief.seq,
            plan.brief.reason
        );
    }

    let samples = load.finish().await;
    let failed: Vec<_> = samples
        .iter()
        .filter(|sample| sample.outcome.is_err())
        .collect();

    assert!(
        failed.is_empty() && samples.len() > 100,
        "{} of {}: {failed:?}",
        failed.len(),
        samples.len()
    );

    // It was the endpoint that counted: without it users are moved, though the agent lives.
    servings.remove(victim).kill().await;
    for api in mesh.running_apis() {
        until(
            &format!("{} plans without {name}", api.url()),
            seconds(30),
            async || {
                let share = api.region(name).await?.share;
                claim(share == 0.0, || format!("its share is {share}"))
            },
        )
        .await;
    }

    mesh.assert_all_run();
    for watch in watches {
        watch.finish_without_fault().await;
    }
}
