//! One poisoned disk, and one forged slot in a store.

use super::{ALL, assert_led, committed_plan_of};
use futures::future::join_all;
use regionmesh_protocol::register::members::Incarnation;
use regionmesh_store::{SavedPlan, save_committed_plan};
use regionmesh_tests::{
    mesh::TestMesh,
    thief::{EVIL, poison_register},
    wait::{claim, seconds, until},
};
use serde_json::Value;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_plan_on_disk_is_not_answered_after_a_restart() {
    let mesh = TestMesh::start().await;
    mesh.converged().await;

    let genuine = committed_plan_of(&mesh, 0);
    join_all(mesh.agents().iter().map(|agent| mesh.kill(&agent.id))).await;

    let mut forged = genuine.clone();
    forged.plan.reason = "forged by one agent".into();
    forged
        .plan
        .regions
        .values_mut()
        .for_each(|region| region.addresses = vec![EVIL]);

    (forged.stamp.ballot.number, forged.stamp.seq) = (u64::MAX, genuine.stamp.seq + 1_000);
    for agent in mesh.agents() {
        let saved = SavedPlan {
            committed: forged.clone(),
            confirmation: None,
        };
        save_committed_plan(&agent.directory.join("data"), &saved).unwrap();
    }

    let watches = mesh.watch_all();

    mesh.start().await.unwrap();
    for index in ALL {
        until(
            &format!("{} has the register's plan again", mesh.region(index)),
            seconds(30),
            async || {
                let plan = mesh.api(index).plan().await?.brief;
                claim(
                    plan.reason != forged.plan.reason && plan.ballot.number < u64::MAX,
                    || format!("{plan:?}"),
                )
            },
        )
        .await;
    }

    assert_led(&mesh, 0).await;
    for index in ALL {
        until(
            &format!("{} answers", mesh.region(index)),
            seconds(30),
            async || {
                let answered = mesh.resolve(index).await?;
                claim(!answered.is_empty() && !answered.contains(&EVIL), || {
                    format!("{answered:?}")
                })
            },
        )
        .await;
    }

    for watch in watches {
        let (_, answered) = watch.since(Duration::ZERO);
        assert!(!answered.contains(&EVIL), "{answered:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_slot_disables_a_regions_vote_until_its_register_is_removed() {
    let mesh = TestMesh::start().await;
    mesh.converged().await;

    let (leader, _) = mesh.leader(seconds(20)).await;
    let led_from = mesh.region_of(&leader);

    // Not the leader's, so that its region may die below.
    let poisoned = mesh.others(led_from)[0];
    let name = mesh.region(poisoned).to_owned();
    let other = mesh.others(led_from)[1];
    let store = mesh.layout().store_directories()[poisoned].clone();
    let mut ballot = committed_plan_of(&mesh, poisoned).stamp.ballot;

    ballot.number = u64::MAX;
    let lost = poison_register(&store, ballot);

    assert_led(&mesh, other).await;
    let is_reported = async |index: usize| {
        let problems = mesh.api(index).problems("acceptor-implausible").await?;
        let names = |problem: &Value| problem["subject"] == name;

        claim(problems.iter().any(names), || format!("{problems:?}"))
    };

    until("the damage is a problem", seconds(30), async || {
        is_reported(other).await
    })
    .await;

    remove_the_register(&mesh, poisoned, other, lost).await;

    until(
        "the problem ends",
        seconds(60),
        async || match is_reported(other).await {
            Ok(()) => Err("it is still reported".to_owned()),
            Err(_) => Ok(()),
        },
    )
    .await;

    // Its vote is needed now: the leader's region dies, and two of three decide.
    mesh.kill_region(led_from).await;
    mesh.leader_after(&leader, seconds(30)).await;

    let gone = mesh.region(led_from).to_owned();
    until("traffic leaves the dead region", seconds(30), async || {
        let share = mesh.api(other).region(&gone).await?.share;
        claim(share == 0.0, || format!("its share is {share}"))
    })
    .await;
}

/// The documented repair, on the running mesh: the acceptor starts over and the leader lets it
/// join.
async fn remove_the_register(mesh: &TestMesh, poisoned: usize, other: usize, lost: Incarnation) {
    let name = mesh.region(poisoned);
    let store = &mesh.layout().store_directories()[poisoned];
    std::fs::remove_dir_all(store.join("register")).unwrap();
    until(
        "the acceptor votes again, as another",
        seconds(60),
        async || {
            let members = mesh.api(other).get("/v1/failover/members").await?.1;
            let members = members["members"].as_array().cloned().unwrap_or_default();
            let votes = |member: &Value| {
                let acceptor = member["acceptor"].as_str().unwrap_or_default();
                member["member"] == name
                    && member["vote"] == "counts"
                    && acceptor != lost.to_string()
            };

            claim(members.iter().any(votes), || format!("{members:?}"))
        },
    )
    .await;
}
