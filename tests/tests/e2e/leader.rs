//! Leaders killed while no traffic depends on them: the next leader continues from what the last
//! one decided.

use regionmesh_tests::{
    mesh::TestMesh,
    plans::{PlanLog, share},
    serve::{Serve, mesh_apart},
    wait::{claim, seconds, until},
};

/// All running agents have a plan under `ballot`; its highest number.
async fn planned_under(mesh: &TestMesh, ballot: u64) -> u64 {
    let mut seqs = Vec::new();
    for api in mesh.running_apis() {
        let what = format!("{} has a plan under ballot {ballot}", api.url());
        let planned = until(&what, seconds(30), async || {
            let plan = api.plan().await?.brief;
            claim(plan.ballot.number >= ballot, || {
                format!("plan {} under {}", plan.seq, plan.ballot.number)
            })?;
            Ok(plan.seq)
        });

        seqs.push(planned.await);
    }

    seqs.into_iter().max().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_leader_keeps_a_region_out_until_it_is_healthy() {
    let (mesh, mut servings) = mesh_apart(|_| {}).await;
    let (old, ballot) = mesh.leader(seconds(20)).await;
    let led_from = mesh.region_of(&old);
    let out = mesh.others(led_from)[0];
    let name = mesh.region(out);
    let serving = servings.remove(out);

    serving.kill().await;
    until_taken_out(&mesh, name).await;

    let seq = mesh.api(out).plan_seq().await.unwrap();
    let survivors: Vec<_> = mesh
        .others(led_from)
        .into_iter()
        .map(|region| mesh.api(region))
        .collect();
    let log = PlanLog::start(survivors);

    mesh.kill_region(led_from).await;
    let (next, next_ballot) = mesh.leader_after(&old, seconds(30)).await;
    assert!(
        next_ballot > ballot,
        "{old} under {ballot}, then {next} under {next_ballot}"
    );

    let next_seq = planned_under(&mesh, next_ballot).await;
    println!("{old}: plan {seq} under {ballot}; {next}: plan {next_seq} under {next_ballot}");
    assert!(
        next_seq > seq,
        "plan {seq} under the first leader, {next_seq} under the next"
    );

    for plan in log.finish_as_one_history().await {
        let brief = &plan.brief;
        assert_eq!(
            share(&plan, name),
            0.0,
            "plan {} of {}: {}",
            brief.seq,
            brief.ballot.agent,
            brief.reason
        );

        assert!(
            share(&plan, mesh.region(led_from)) > 0.0,
            "the dead leader's server still runs: {}",
            brief.reason
        );
    }

    // The next leader begins its return.
    let _serving = Serve::start(mesh.agent(out)).await;
    until_returning(&mesh, name).await;
}

async fn until_taken_out(mesh: &TestMesh, name: &str) {
    for api in mesh.running_apis() {
        until(
            &format!("{} plans without {name}", api.url()),
            seconds(30),
            async || {
                let region = api.region(name).await?;
                claim(region.traffic_state == "out" && region.share == 0.0, || {
                    format!("{} at {}", region.traffic_state, region.share)
                })
            },
        )
        .await;
    }
}

async fn until_returning(mesh: &TestMesh, name: &str) {
    for api in mesh.running_apis() {
        until(
            &format!("{name} returns, seen from {}", api.url()),
            seconds(30),
            async || {
                let region = api.region(name).await?;
                claim(
                    region.ramp_percent.is_some() || region.traffic_state == "serving",
                    || region.traffic_state.clone(),
                )
            },
        )
        .await;
    }
}

/// Leaders killed one after the other.
const LEADERS: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn each_new_leader_has_a_higher_ballot_and_continues_the_plan_numbers() {
    let (mesh, _servings) = mesh_apart(|_| {}).await;
    let (mut leader, mut ballot) = mesh.leader(seconds(20)).await;
    let mut seq = planned_under(&mesh, ballot).await;

    for _ in 0..LEADERS {
        let dead = mesh.region_of(&leader);
        mesh.kill_region(dead).await;

        let (next, next_ballot) = mesh.leader_after(&leader, seconds(30)).await;
        assert!(
            next_ballot > ballot,
            "{leader} under {ballot}, then {next} under {next_ballot}"
        );

        let next_seq = planned_under(&mesh, next_ballot).await;
        println!(
            "{leader}: plan {seq} under {ballot}; {next}: plan {next_seq} under {next_ballot}"
        );
        assert!(
            next_seq > seq,
            "plan {seq} under {leader}, then {next_seq} under {next}"
        );

        // The restarted one does not lead.
        mesh.revive(dead).await;

        let (now, now_ballot) = mesh.leader(seconds(30)).await;
        assert_eq!(
            (&now, now_ballot),
            (&next, next_ballot),
            "a leader that did its work was replaced"
        );

        (leader, ballot, seq) = (next, next_ballot, next_seq);
    }

    mesh.converged().await;
}
