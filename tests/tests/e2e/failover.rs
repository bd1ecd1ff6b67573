//! Operators' orders on a mesh of real agents: they survive leaders, are obeyed everywhere, and
//! explain themselves.

use regionmesh_client::{FailoverHistory, FailoverStatus, RegionExplanation, WhatIf};
use regionmesh_protocol::{identity::RegionName, plan::OverrideKind, status::condition::Condition};
use regionmesh_tests::{
    mesh::{TestMesh, binary},
    wait::{claim, seconds, until},
    watch::Watch,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::{net::IpAddr, process::Output};
use tokio::process::Command;

const ALL: [usize; 3] = [0, 1, 2];

/// Every agent sees all regions serve their full share under one leader; that leader's region.
async fn settled(mesh: &TestMesh) -> usize {
    let mut leaders = Vec::new();
    for asked in ALL {
        let api = mesh.api(asked);
        let what = format!("all serve, seen from {}", mesh.region(asked));
        let leader = until(&what, seconds(60), async || {
            let status = api.status().await?;
            for region in &status.regions {
                claim(region.standing == "serving", || {
                    format!("{} is {}", region.region, region.standing)
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

/// Gives an order. Right after a start the way to the leader may not be open yet: then it is
/// refused for now, and nothing has happened.
async fn order(mesh: &TestMesh, asked: usize, what: &str, body: Value) -> Value {
    let api = mesh.api(asked);
    let (code, answer) = until(
        &format!("{what} reaches the leader"),
        seconds(20),
        async || {
            let (code, answer) = api.post(&format!("/v1/failover/{what}"), &body).await?;
            claim(code != 503, || answer.to_string())?;
            Ok((code, answer))
        },
    )
    .await;

    assert_eq!(code, 200, "{what}: {answer}");
    answer
}

/// Each of `asked` plans `share` for the region.
async fn planned(mesh: &TestMesh, asked: &[usize], region: usize, is_wanted: impl Fn(f64) -> bool) {
    for asked in asked {
        let api = mesh.api(*asked);
        let name = mesh.region(region);
        until(
            &format!("the share of {name} as {} sees it", mesh.region(*asked)),
            seconds(20),
            async || {
                let share = api.region(name).await?.share;
                claim(is_wanted(share), || format!("{share}"))
            },
        )
        .await;
    }
}

/// The command line, against agent `asked`.
async fn cli(mesh: &TestMesh, asked: usize, arguments: &[&str]) -> Output {
    let agent = mesh.agent(asked).api_url();
    let token = mesh.layout().token_file();
    let mut command = Command::new(binary());

    command
        .arg("failover")
        .args(arguments)
        .args(["--agent", &agent, "--token-file"])
        .arg(token);

    command.env("REGIONMESH_BY", "tests");
    command
        .kill_on_drop(true)
        .output()
        .await
        .expect("the command line runs")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_survives_the_leader_that_took_it_and_is_answered_nowhere() {
    let mesh = TestMesh::start().await;
    let leader = settled(&mesh).await;
    let [drained, asked] = mesh.others(leader)[..] else {
        panic!("three regions")
    };

    // Asked of an agent that does not lead: it is passed on.
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

    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );

    planned(&mesh, &ALL, drained, |share| share == 0.0).await;

    mesh.kill_region(leader).await;
    let survivors = mesh.others(leader);

    // Whoever leads next takes the dead region out, and leaves the drained one out.
    planned(&mesh, &[asked], leader, |share| share == 0.0).await;
    for survivor in &survivors {
        let status: FailoverStatus = get(&mesh, *survivor, "/v1/failover/status").await;
        let plan = status.plan.expect("a plan");
        let [standing] = &plan.overrides[..] else {
            panic!("{:?}", plan.overrides)
        };

        assert_eq!(
            (standing.kind, &*standing.by, &*standing.why),
            (OverrideKind::Drain, "ann", "disks")
        );

        assert_eq!(
            standing.region.as_ref().map(RegionName::as_str),
            Some(mesh.region(drained))
        );
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

    // Restored, it comes back by its gate and the ramp.
    order(
        &mesh,
        asked,
        "restore",
        json!({ "region": mesh.region(drained), "by": "ann", "why": "done" }),
    )
    .await;

    planned(&mesh, &[asked], drained, |share| share > 0.4).await;
    let history: FailoverHistory = get(&mesh, asked, "/v1/failover/history").await;
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
async fn a_hold_freezes_the_way_back_and_yields_to_a_death_as_what_if_says() {
    let mesh = TestMesh::start().await;
    let leader = settled(&mesh).await;
    let [victim, asked] = mesh.others(leader)[..] else {
        panic!("three regions")
    };

    // What would be, first: nothing changes by asking.
    let before = mesh.api(asked).plan_seq().await.unwrap();
    let told = order(
        &mesh,
        asked,
        "what-if",
        json!({ "assume": { mesh.region(victim): "failed" } }),
    )
    .await;

    let told: WhatIf = serde_json::from_value(told).unwrap();
    let share = told
        .regions
        .iter()
        .find(|part| part.region.as_str() == mesh.region(victim))
        .unwrap()
        .share;

    assert!(told.would_change && share == 0.0, "{told:?}");
    let output = cli(
        &mesh,
        asked,
        &[
            "simulate",
            "--json",
            "--what-if",
            &format!("{}=failed", mesh.region(victim)),
        ],
    )
    .await;

    let by_cli: WhatIf = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(by_cli.reason, told.reason);
    assert_eq!(
        mesh.api(asked).plan_seq().await.unwrap(),
        before,
        "asking changed the plan"
    );

    order(
        &mesh,
        asked,
        "hold",
        json!({ "by": "bob", "why": "storm", "for_ms": 600_000 }),
    )
    .await;

    mesh.kill_region(victim).await;
    // A hold outranks automation and not survival: it yields for the region that died, and says so.
    planned(&mesh, &[asked, leader], victim, |share| share == 0.0).await;

    let status: Value = get(&mesh, asked, "/v1/failover/status").await;
    assert!(
        status["plan"]["yielded"]
            .to_string()
            .contains("hold of the whole mesh by bob (storm)"),
        "{status}"
    );

    let path = format!("/v1/failover/explain/{}", mesh.region(victim));
    let told: RegionExplanation = get(&mesh, asked, &path).await;
    assert!(
        told.overrides
            .iter()
            .any(|line| line.contains("hold of the whole mesh by bob (storm)")),
        "{told:?}"
    );

    assert!(
        told.overrides.iter().any(|line| line.contains("it yields")),
        "{told:?}"
    );

    // Back among the living it waits, since the hold is in effect again.
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
    assert_eq!(api.plan_seq().await.unwrap(), held, "held, and moved");

    // Taken back, automation does what it was kept from.
    order(
        &mesh,
        asked,
        "restore",
        json!({ "by": "bob", "why": "over" }),
    )
    .await;

    planned(&mesh, &[asked, leader], victim, |share| share > 0.3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_moves_all_until_it_ends_and_an_explanation_names_votes_and_evidence() {
    let mesh = TestMesh::start().await;
    let leader = settled(&mesh).await;
    let [promoted, other] = mesh.others(leader)[..] else {
        panic!("three regions")
    };

    order(
        &mesh,
        other,
        "promote",
        json!({ "region": mesh.region(promoted), "by": "ann", "for_ms": 5_000 }),
    )
    .await;

    planned(&mesh, &ALL, promoted, |share| share == 1.0).await;
    // It ends by itself.
    planned(&mesh, &ALL, promoted, |share| share < 0.5).await;

    mesh.kill_region(other).await;
    planned(&mesh, &[leader, promoted], other, |share| share == 0.0).await;

    let path = format!("/v1/failover/explain/{}", mesh.region(other));
    // The history is written behind the plan.
    let told = until(
        "the explanation quotes the plan that took it out",
        seconds(20),
        async || {
            let told: RegionExplanation = get(&mesh, leader, &path).await;
            let is_quoted = told
                .reasons
                .iter()
                .any(|past| past.reason.contains("observing regions say failed"));

            claim(is_quoted, || format!("{:?}", told.reasons))?;
            Ok(told)
        },
    )
    .await;

    let votes: Vec<(&str, Condition)> = told
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
        let seen = told
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
        told.standing
            .contains("automation took it out since it failed"),
        "{}",
        told.standing
    );

    let body = json!({ "region": mesh.region(other), "by": "ann" });
    let refused = mesh
        .api(leader)
        .post("/v1/failover/promote", &body)
        .await
        .unwrap();

    assert_eq!(refused.0, 409, "{}", refused.1);

    // With the second region gone nobody has a majority: an order is refused for now.
    mesh.kill_region(promoted).await;

    let api = mesh.api(leader);
    until(
        "the leader knows that it has no majority",
        seconds(30),
        async || {
            let output = cli(&mesh, leader, &["hold", "--for", "1m"]).await;
            let code = output.status.code();
            claim(code == Some(3), || {
                format!("{code:?}: {}", String::from_utf8_lossy(&output.stdout))
            })?;
            claim(api.status().await?.leader.is_none(), || {
                "a leader is named".into()
            })
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simulated_kill_measures_until_users_are_moved_and_kills_nothing_else() {
    let mesh = TestMesh::start().await;
    let leader = settled(&mesh).await;
    let victim = mesh.region(leader);
    let data_dir = mesh.layout().data_dir.display().to_string();
    let simulate = async |region: &str| {
        let mut command = Command::new(binary());
        command.args([
            "failover",
            "simulate",
            "--json",
            "--yes",
            "--kill",
            region,
            "--data-dir",
            &data_dir,
        ]);

        command
            .kill_on_drop(true)
            .output()
            .await
            .expect("the command line runs")
    };

    let output = simulate("nowhere").await;
    assert_eq!(
        output.status.code(),
        Some(2),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );

    // The leader's region: an election is part of what is measured.
    let output = simulate(victim).await;
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );

    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    println!("{victim} killed: {told}");
    assert_eq!(
        (told["share_after"].as_f64(), told["region"].as_str()),
        (Some(0.0), Some(victim))
    );

    assert!(told["plan_ms"].as_u64().unwrap() >= told["verdict_ms"].as_u64().unwrap());
    assert!(
        told["foretold"]["reason"]
            .as_str()
            .unwrap()
            .contains("as assumed"),
        "{told}"
    );

    let survivors = mesh.others(leader);
    for survivor in &survivors {
        planned(&mesh, &survivors, *survivor, |share| share == 0.5).await;
    }
}
