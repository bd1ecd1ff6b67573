//! Every actor of an agent killed, one after the other, in an agent that is one of three: the actor
//! restarts, and the agent stays ready.
//!
//! The agent runs in this process, since only its own supervisor can kill one actor alone; its
//! peers are processes.

use regionmesh::{agent::Agent, config::Config};
use regionmesh_tests::{
    mesh::{SERVICE, TestMesh},
    models::{iris_one, is_answer_of, question},
    wait::{claim, seconds, until},
    watch::Watch,
};
use std::collections::BTreeSet;
use tokio::time::Instant;

/// The region whose agent runs here.
const HERE: usize = 2;
/// Every child of the supervisor.
const CHILDREN: [&str; 16] = [
    "mesh",
    "gossip",
    "peer",
    "health",
    "replicator",
    "dns-leader",
    "core",
    "status-publisher",
    "dns",
    "serving",
    "events",
    "alerts",
    "api",
    "cost",
    "store-monitor",
    "uploads",
];

#[tokio::test(flavor = "multi_thread")]
async fn each_killed_actor_restarts_and_the_agent_stays_ready() {
    let mesh = TestMesh::prepare(Default::default()).await;
    let agent = Agent::start(Config::load(&mesh.agent(HERE).config_file()).unwrap())
        .await
        .unwrap();

    for region in mesh.others(HERE) {
        mesh.start_agent(&mesh.agent(region).id).await.unwrap();
    }

    let deadline = Instant::now() + seconds(60);
    for region in mesh.others(HERE) {
        mesh.wait_until_ready(&mesh.agent(region).id, deadline)
            .await
            .unwrap();
    }

    mesh.converged().await;

    let watches: Vec<Watch> = mesh
        .others(HERE)
        .into_iter()
        .map(|region| Watch::start(mesh.agent(region).dns()))
        .collect();
    let known: BTreeSet<&str> = agent.health.borrow().keys().copied().collect();

    assert_eq!(
        known,
        BTreeSet::from(CHILDREN),
        "the list of actors here is not the agent's"
    );

    for (number, actor) in CHILDREN.into_iter().enumerate() {
        let begin = Instant::now();
        kill_and_await_recovery(&mesh, &agent, actor).await;

        publish_in_turn(&mesh, number).await;

        until_others_see_it_alive(&mesh, actor).await;

        println!("{actor}: {:?}", begin.elapsed());
    }

    mesh.converged().await;
    until_it_knows_the_leader(&mesh).await;

    for watch in watches {
        watch.finish_without_fault().await;
    }
    agent.stop().await;
}

async fn kill_and_await_recovery(mesh: &TestMesh, agent: &Agent, actor: &'static str) {
    let restarts = async || agent.health.borrow()[actor].clone();
    let before = restarts().await.restarts;

    agent.kill(actor).unwrap();
    until(&format!("{actor} is back"), seconds(30), async || {
        let health = restarts().await;
        claim(health.restarts > before && health.is_running, || {
            format!("{health:?}")
        })
    })
    .await;

    until(&format!("ready after {actor}"), seconds(30), async || {
        let (code, body) = mesh.api(HERE).get("/readyz").await?;
        claim(code == 200, || body.to_string())?;
        let (code, body) = mesh.api(HERE).get("/healthz").await?;
        claim(code == 200, || body.to_string())
    })
    .await;

    until(
        &format!("DNS answers after {actor}"),
        seconds(30),
        async || {
            claim(!mesh.resolve(HERE).await?.is_empty(), || {
                format!("{SERVICE} is empty")
            })
        },
    )
    .await;
}

/// Both ways: what the others do reaches this agent, and what it does reaches them.
async fn publish_in_turn(mesh: &TestMesh, number: usize) {
    let version = (number + 1).to_string();
    let (from, to) = if number.is_multiple_of(2) {
        (HERE, 0)
    } else {
        (0, HERE)
    };

    until(
        &format!("version {version} is published in {}", mesh.region(from)),
        seconds(30),
        async || {
            let (code, answer) = mesh
                .api(from)
                .publish("iris", &version, &[("model.onnx", iris_one())])
                .await?;
            claim(code == 200, || answer.to_string())
        },
    )
    .await;

    let far = mesh.api(to);
    until(
        &format!("version {version} answers in {}", mesh.region(to)),
        seconds(30),
        async || {
            let (answering, numbers) = far.infer("/v2/models/iris/infer", &question()).await?;
            claim(answering == version && is_answer_of("1", &numbers), || {
                format!("{answering}: {numbers:?}")
            })
        },
    )
    .await;
}

async fn until_others_see_it_alive(mesh: &TestMesh, actor: &str) {
    let id = mesh.agent(HERE).id.to_string();
    for other in mesh.others(HERE) {
        let api = mesh.api(other);
        until(
            &format!("{} sees {id} alive after {actor}", api.url()),
            seconds(30),
            async || {
                let agents = api.status().await?.agents;
                let here = agents
                    .iter()
                    .find(|agent| agent.agent == id)
                    .ok_or("unknown")?;
                let is_fresh = here.alive
                    && here
                        .status_ages_ms
                        .get("observations")
                        .is_some_and(|age| *age < 5_000);

                claim(is_fresh, || format!("{here:?}"))
            },
        )
        .await;
    }
}

async fn until_it_knows_the_leader(mesh: &TestMesh) {
    until(
        "the agent knows the leader that the others know",
        seconds(30),
        async || {
            let (leader, _) = mesh.leader(seconds(30)).await;
            let seen = mesh
                .api(HERE)
                .status()
                .await?
                .leader
                .map(|leader| leader.agent);
            claim(seen.as_ref() == Some(&leader), || {
                format!("{seen:?} instead of {leader}")
            })
        },
    )
    .await;
}
