//! Regions of two agents, and agents that were suspended.

use super::{ALL, active_passive, address, converged, get};
use regionmesh_protocol::status::condition::Condition;
use regionmesh_tests::{
    agents::signal,
    mesh::{Setup, TestMesh},
    wait::{claim, seconds, until},
};

#[tokio::test(flavor = "multi_thread")]
async fn the_loss_of_a_region_with_two_agents_makes_no_plan_for_its_addresses() {
    let mesh = TestMesh::start_with(Setup {
        agents_per_region: 2,
        ..Setup::default()
    })
    .await;

    converged(&mesh).await;
    let leader = mesh.leader(seconds(30)).await.0;
    let victim = ALL
        .into_iter()
        .find(|index| *index != mesh.region_of(&leader))
        .unwrap();
    let asked = mesh.others(victim)[0];
    let before = mesh.api(asked).plan_seq().await.unwrap();
    let dying = mesh
        .agents()
        .iter()
        .filter(|agent| agent.id.region.as_str() == mesh.region(victim));

    for agent in dying {
        mesh.kill(&agent.id).await.unwrap();
    }
    until("its users are moved", seconds(30), async || {
        let share = mesh.api(asked).region(mesh.region(victim)).await?.share;
        claim(share == 0.0, || format!("{share}"))
    })
    .await;

    // The verdicts on both addresses come within a probe; any plan that they cause is made by
    // then.
    until("both addresses are judged down", seconds(30), async || {
        let region = mesh.api(asked).region(mesh.region(victim)).await?;
        let is_down = region
            .address_verdicts
            .iter()
            .all(|judged| judged.verdict == Condition::Failed);

        claim(is_down, || format!("{:?}", region.address_verdicts))
    })
    .await;

    assert_plans_since(&mesh, asked, before).await;
}

async fn assert_plans_since(mesh: &TestMesh, asked: usize, before: u64) {
    // The history is written after the plan.
    let made: Vec<String> = until(
        "the history has the plan that took it out",
        seconds(20),
        async || {
            let history = get(mesh, asked, "/v1/failover/history").await?;
            let plans = history["plans"]
                .as_array()
                .ok_or("no plans")?
                .iter()
                .map(|past| &past["plan"]);
            let since = plans.filter(|plan| plan["seq"].as_u64().is_some_and(|seq| seq > before));
            let made: Vec<String> = since.map(|plan| plan["reason"].to_string()).collect();

            claim(
                made.iter()
                    .any(|reason| reason.contains("observing regions say failed")),
                || format!("{made:?}"),
            )?;

            Ok(made)
        },
    )
    .await;

    // At most one before the verdict on the region, where its addresses die far apart; none after
    // it.
    assert!((1..=2).contains(&made.len()), "{made:?}");

    let is_put_back = |reason: &String| {
        reason
            .replace("is answered no more", "")
            .contains("is answered")
    };

    assert!(!made.iter().any(is_put_back), "{made:?}");
    assert!(
        made.last()
            .unwrap()
            .contains("observing regions say failed"),
        "{made:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_was_suspended_does_not_answer_from_a_stale_plan() {
    let setup = Setup {
        adjust: Some(active_passive),
        ..Setup::default()
    };
    let mesh = TestMesh::start_with(setup).await;

    converged(&mesh).await;
    signal(mesh.pid(mesh.agent(0)), "-STOP");
    until("its users are moved", seconds(40), async || {
        let share = mesh.api(1).region(mesh.region(0)).await?.share;
        claim(share == 0.0, || format!("{share}"))
    })
    .await;

    // It resumes; while the mesh gives it no share it does not answer its own address.
    signal(mesh.pid(mesh.agent(0)), "-CONT");

    let woke = std::time::Instant::now();
    let mut answers = 0;
    until("it answers the mesh's plan", seconds(30), async || {
        let named = mesh.resolve(0).await?;
        let share = mesh.api(1).region(mesh.region(0)).await?.share;
        let is_stale = named.contains(&address(&mesh, 0)) && share == 0.0;

        assert!(
            !is_stale,
            "answered {named:?} {:?} after it woke",
            woke.elapsed()
        );

        answers += 1;
        claim(answers >= 5, || format!("{answers} answers"))
    })
    .await;

    let stalls = mesh
        .api(0)
        .metric("regionmesh_dns_stalls_total", &[])
        .await
        .unwrap();

    assert!(stalls >= 1.0, "{stalls}");
}
