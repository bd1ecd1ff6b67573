//! Operators' orders on a mesh of real agents: they survive leaders, are obeyed everywhere, and
//! explain themselves.

use regionmesh_client::{FailoverHistory, FailoverStatus, RegionExplanation, WhatIf};
use regionmesh_protocol::{identity::RegionName, plan::OverrideKind, status::condition::Condition};
use regionmesh_tests::{
    command::{COMMAND_TIMEOUT, CommandOutput, output_of, regionmesh},
    converge::until_share,
    mesh::TestMesh,
    wait::{claim, seconds, until},
    watch::Watch,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::net::IpAddr;

const ALL: [usize; 3] = [0, 1, 2];

/// Every agent sees all regions serve their full share under one leader; that leader's region.
async fn converged(mesh: &TestMesh) -> usize {
    let mut leaders = Vec::new();
    for asked in ALL {
        let api = mesh.api(asked);
        let what = format!("all serve, seen from {}", mesh.region(asked));
        let leader = until(&what, seconds(60), async || {
            let status = api.status().await?;
            for region in &status.regions {
                claim(region.traffic_state == "serving", || {
                    format!("{} is {}", region.region, region.traffic_state)
                })?;
            }

            status
                .leader
                .map(|leader| leader.agent)
                .ok_or_else(|| "no leader".to_owned())
        })
        .await;

        leaders.push(leader);
    }

    let leads = |index: &usize| {
        leaders
            .iter()
            .all(|leader| leader.starts_with(&format!("{}/", mesh.region(*index))))
    };

    ALL.into_iter()
        .find(leads)
        .expect("one leader that all name")
}

async fn get<T: DeserializeOwned>(mesh: &TestMesh, asked: usize, path: &str) -> T {
    let (code, body) = mesh.api(asked).get(path).await.unwrap();
    assert_eq!(code, 200, "{path}: {body}");
    serde_json::from_value(body).unwrap()
}

/// Each of `asked` plans a share that is wanted for the region.
async fn planned(mesh: &TestMesh, asked: &[usize], region: usize, is_wanted: impl Fn(f64) -> bool) {
    let asked: Vec<_> = asked.iter().map(|index| mesh.api(*index)).collect();
    until_share(&asked, mesh.region(region), seconds(20), is_wanted).await;
}

/// `regionmesh failover`, against agent `asked`.
async fn cli(mesh: &TestMesh, asked: usize, arguments: &[&str]) -> CommandOutput {
    mesh.cli_at(asked, &[&["failover"], arguments].concat())
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_survives_the_leader_that_took_it_and_dns_never_answers_the_region() {
    let mesh = TestMesh::start().await;
    let leader = converged(&mesh).await;
    let [drained, asked] = mesh.others(leader)[..] else {
        panic!("three regions")
    };

    // Sent to an agent that does not lead: it is forwarded.
    let output = cli(
        &mesh,
        asked,
        &[
            "drain",
            mesh.region(drained),
            "--for",
            "10m",
            "--by",
            "ann",
            "--why",
            "disks",
        ],
    )
    .await;

    assert!(output.code == Some(0), "{}", output.stderr);

    planned(&mesh, &ALL, drained, |share| share == 0.0).await;

    mesh.kill_region(leader).await;
    let survivors = mesh.others(leader);

    // The next leader takes the dead region out, and leaves the drained one out.
    planned(&mesh, &[asked], leader, |share| share == 0.0).await;
    for survivor in &survivors {
        assert_drain_is_known(&mesh, *survivor, drained).await;
    }

    let next = get::<FailoverStatus>(&mesh, asked, "/v1/failover/status")
        .await
        .leader
        .expect("a leader")
        .agent;

    assert!(!next.starts_with(mesh.region(leader)), "{next} is dead");
    let watch = Watch::start(mesh.agent(asked).dns());
    watch.more(50).await;
    assert_eq!(
        watch.last_with(IpAddr::V4(mesh.agent(drained).ip)),
        None,
        "a drained region is answered"
    );

    watch.finish_without_fault().await;

    restore_and_await_return(&mesh, asked, drained).await;
}

async fn assert_drain_is_known(mesh: &TestMesh, survivor: usize, drained: usize) {
    let status: FailoverStatus = get(mesh, survivor, "/v1/failover/status").await;
    let plan = status.plan.expect("a plan");
    let [order] = &plan.overrides[..] else {
        panic!("{:?}", plan.overrides)
    };

    assert_eq!(
        (order.kind, &*order.by, &*order.why),
        (OverrideKind::Drain, "ann", "disks")
    );

    assert_eq!(
        order.region.as_ref().map(RegionName::as_str),
        Some(mesh.region(drained))
    );
}

/// Restored, the region comes back by its cool-down and the ramp.
async fn restore_and_await_return(mesh: &TestMesh, asked: usize, drained: usize) {
    mesh.order(
        asked,
        "restore",
        json!({ "region": mesh.region(drained), "by": "ann", "why": "done" }),
    )
    .await;

    planned(mesh, &[asked], drained, |share| share > 0.4).await;
    let history: FailoverHistory = get(mesh, asked, "/v1/failover/history").await;
    let reasons: Vec<&str> = history
        .plans
        .iter()
        .map(|past| past.plan.brief.reason.as_str())
        .collect();

    for said in ["drain of", "restored by ann (done)", "ramps up from"] {
        assert!(
            reasons.iter().any(|reason| reason.contains(said)),
            "{said:?} is missing in {reasons:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_freezes_recovery_and_yields_to_a_failure_as_what_if_predicts() {
    let mesh = TestMesh::start().await;
    let leader = converged(&mesh).await;
    let [victim, asked] = mesh.others(leader)[..] else {
        panic!("three regions")
    };

    assert_what_if_changes_nothing(&mesh, asked, victim).await;

    mesh.order(
        asked,
        "hold",
        json!({ "by": "bob", "why": "storm", "for_ms": 600_000 }),
    )
    .await;

    mesh.kill_region(victim).await;
    // A hold outranks automation and not survival: it yields for the region that died, and says so.
    planned(&mesh, &[asked, leader], victim, |share| share == 0.0).await;

    assert_hold_yielded(&mesh, asked, victim).await;

    // Once it is back it waits, since the hold is in effect again.
    mesh.revive(victim).await;

    let api = mesh.api(asked);
    until(
        "the verdict is healthy, and the hold in effect",
        seconds(30),
        async || {
            let verdict = api.region(mesh.region(victim)).await?.verdict;
            claim(verdict == Condition::Healthy, || format!("{verdict}"))?;

            let status: Value = get(&mesh, asked, "/v1/failover/status").await;
            claim(status["plan"]["yielded"] == json!([]), || {
                status["plan"]["yielded"].to_string()
            })
        },
    )
    .await;

    let held = api.plan_seq().await.unwrap();
    let watch = Watch::start(mesh.agent(asked).dns());
    watch.more(300).await;
    watch.finish_without_fault().await;
    assert_eq!(
        api.plan_seq().await.unwrap(),
        held,
        "the plan changed under the hold"
    );

    // Once the hold is lifted, automation acts again.
    mesh.order(asked, "restore", json!({ "by": "bob", "why": "over" }))
        .await;

    planned(&mesh, &[asked, leader], victim, |share| share > 0.3).await;
}

/// A what-if changes nothing.
async fn assert_what_if_changes_nothing(mesh: &TestMesh, asked: usize, victim: usize) {
    let before = mesh.api(asked).plan_seq().await.unwrap();
    let forecast = mesh
        .order(
            asked,
            "what-if",
            json!({ "assume": { mesh.region(victim): "failed" } }),
        )
        .await;

    let forecast: WhatIf = serde_json::from_value(forecast).unwrap();
    let share = forecast
        .regions
        .iter()
        .find(|part| part.region.as_str() == mesh.region(victim))
        .unwrap()
        .share;

    assert!(forecast.would_change && share == 0.0, "{forecast:?}");
    let output = cli(
        mesh,
        asked,
        &[
            "simulate",
            "--json",
            "--what-if",
            &format!("{}=failed", mesh.region(victim)),
        ],
    )
    .await;

    let by_cli: WhatIf = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(by_cli.reason, forecast.reason);
    assert_eq!(
        mesh.api(asked).plan_seq().await.unwrap(),
        before,
        "asking changed the plan"
    );
}

async fn assert_hold_yielded(mesh: &TestMesh, asked: usize, victim: usize) {
    let status: Value = get(mesh, asked, "/v1/failover/status").await;
    assert!(
        status["plan"]["yielded"]
            .to_string()
            .contains("hold of the whole mesh by bob (storm)"),
        "{status}"
    );

    let path = format!("/v1/failover/explain/{}", mesh.region(victim));
    let explanation: RegionExplanation = get(mesh, asked, &path).await;
    assert!(
        explanation
            .overrides
            .iter()
            .any(|line| line.contains("hold of the whole mesh by bob (storm)")),
        "{explanation:?}"
    );

    assert!(
        explanation
            .overrides
            .iter()
            .any(|line| line.contains("it yields")),
        "{explanation:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_takes_all_traffic_until_it_ends_and_explain_names_the_votes() {
    let mesh = TestMesh::start().await;
    let leader = converged(&mesh).await;
    let [promoted, other] = mesh.others(leader)[..] else {
        panic!("three regions")
    };

    mesh.order(
        other,
        "promote",
        json!({ "region": mesh.region(promoted), "by": "ann", "for_ms": 5_000 }),
    )
    .await;

    planned(&mesh, &ALL, promoted, |share| share == 1.0).await;
    // It expires.
    planned(&mesh, &ALL, promoted, |share| share < 0.5).await;

    mesh.kill_region(other).await;
    planned(&mesh, &[leader, promoted], other, |share| share == 0.0).await;

    assert_explained(&mesh, leader, promoted, other).await;

    let body = json!({ "region": mesh.region(other), "by": "ann" });
    let refused = mesh
        .api(leader)
        .post("/v1/failover/promote", &body)
        .await
        .unwrap();

    assert_eq!(refused.0, 409, "{}", refused.1);

    // With the second region gone there is no majority: an order is refused for now.
    mesh.kill_region(promoted).await;

    let api = mesh.api(leader);
    until(
        "the leader knows that it has no majority",
        seconds(30),
        async || {
            let output = cli(&mesh, leader, &["hold", "--for", "1m"]).await;
            let code = output.code;
            claim(code == Some(3), || format!("{code:?}: {}", output.stdout))?;
            claim(api.status().await?.leader.is_none(), || {
                "a leader is named".into()
            })
        },
    )
    .await;
}

async fn assert_explained(mesh: &TestMesh, leader: usize, promoted: usize, other: usize) {
    let path = format!("/v1/failover/explain/{}", mesh.region(other));
    // The history is written after the plan.
    let explanation = until(
        "the explanation quotes the plan that took it out",
        seconds(20),
        async || {
            let explanation: RegionExplanation = get(mesh, leader, &path).await;
            let is_quoted = explanation
                .reasons
                .iter()
                .any(|past| past.reason.contains("observing regions say failed"));

            claim(is_quoted, || format!("{:?}", explanation.reasons))?;
            Ok(explanation)
        },
    )
    .await;

    let votes: Vec<(&str, Condition)> = explanation
        .region
        .votes
        .iter()
        .map(|vote| (vote.region.as_str(), vote.condition))
        .collect();

    for voter in [leader, promoted] {
        assert!(
            votes.contains(&(mesh.region(voter), Condition::Failed)),
            "{votes:?}"
        );

        let observer = mesh.agent(voter).id.to_string();
        let seen = explanation
            .region
            .observations
            .iter()
            .find(|seen| seen.observer == observer)
            .expect("an observation");

        assert!(
            seen.evidence.contains("refused") && seen.condition == Condition::Failed,
            "{seen:?}"
        );
    }

    assert!(
        explanation
            .traffic_state
            .contains("automation took it out since it failed"),
        "{}",
        explanation.traffic_state
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simulated_kill_measures_the_failover_and_kills_nothing_else() {
    let mesh = TestMesh::start().await;
    let leader = converged(&mesh).await;
    let victim = mesh.region(leader);
    let data_dir = mesh.layout().data_dir.display().to_string();
    let simulate = async |region: &str| {
        let mut command = regionmesh(&[
            "failover",
            "simulate",
            "--json",
            "--yes",
            "--kill",
            region,
            "--data-dir",
            &data_dir,
        ]);

        output_of(&mut command, COMMAND_TIMEOUT).await
    };

    let output = simulate("nowhere").await;
    assert_eq!(output.code, Some(2), "{}", output.stderr);

    // The leader's region: an election is part of what is measured.
    let output = simulate(victim).await;
    assert!(output.code == Some(0), "{}", output.stderr);

    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    println!("{victim} killed: {report}");
    assert_eq!(
        (report["share_after"].as_f64(), report["region"].as_str()),
        (Some(0.0), Some(victim))
    );

    assert!(report["plan_ms"].as_u64().unwrap() >= report["verdict_ms"].as_u64().unwrap());
    assert!(
        report["predicted"]["reason"]
            .as_str()
            .unwrap()
            .contains("as assumed"),
        "{report}"
    );

    let survivors = mesh.others(leader);
    for survivor in &survivors {
        planned(&mesh, &survivors, *survivor, |share| share == 0.5).await;
    }
}
