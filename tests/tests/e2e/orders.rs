//! Operators' orders beside each other: nobody ends another's unawares, everybody sees who ordered
//! what, and a mesh of one region leads again once its store is back.

use regionmesh_tests::{
    mesh::{CommandOutput, Setup, TestMesh, binary},
    wait::{claim, seconds, until},
};
use serde_json::{Value, json};
use std::{path::PathBuf, process::Stdio};
use tokio::process::Command;

/// A command that gets an answer: right after a start the way to the leader may not be open yet.
async fn answered(mesh: &TestMesh, arguments: &[&str]) -> CommandOutput {
    until(
        &format!("{arguments:?} is answered"),
        seconds(20),
        async || {
            let output = mesh.cli(arguments).await;
            claim(output.code != Some(3), || output.stderr.clone())?;
            Ok(output)
        },
    )
    .await
}

async fn done(mesh: &TestMesh, arguments: &[&str]) -> String {
    let output = answered(mesh, arguments).await;
    assert_eq!(output.code, Some(0), "{arguments:?}: {}", output.stderr);
    unwrapped(&output.stdout)
}

/// Lines are wrapped for people.
fn unwrapped(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Refused with exit code 1; what it says.
async fn refused(mesh: &TestMesh, arguments: &[&str]) -> String {
    let output = answered(mesh, arguments).await;
    assert_eq!(
        output.code,
        Some(1),
        "{arguments:?}: {}{}",
        output.stdout,
        output.stderr
    );

    unwrapped(&output.stderr)
}

async fn get(mesh: &TestMesh, asked: usize, path: &str) -> Value {
    let (code, body) = mesh.api(asked).get(path).await.unwrap();
    assert_eq!(code, 200, "{path}: {body}");
    body
}

/// A region's share as a plan of the API tells it.
fn share_of(plan: &Value, region: &str) -> f64 {
    let regions = plan["regions"].as_array().expect("regions");
    regions
        .iter()
        .find(|part| part["region"] == region)
        .expect("the region")["share"]
        .as_f64()
        .expect("a share")
}

/// Each agent sees the share.
async fn shared(mesh: &TestMesh, region: &str, is_wanted: impl Fn(f64) -> bool) {
    for api in mesh.running_apis() {
        until(
            &format!("the share of {region}, seen from {}", api.url()),
            seconds(40),
            async || {
                let share = api.region(region).await?.share;
                claim(is_wanted(share), || format!("{share}"))
            },
        )
        .await;
    }
}

/// Who ordered what of a region, as `GET /v1/status` tells it.
async fn order_of(mesh: &TestMesh, region: &str) -> Option<(String, String)> {
    let status = get(mesh, 0, "/v1/status").await;
    let orders = status["orders"].as_array().cloned().unwrap_or_default();
    let order = orders.into_iter().find(|order| order["region"] == region)?;
    let text = |name: &str| order[name].as_str().unwrap_or_default().to_owned();
    Some((text("kind"), text("by")))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_never_replaces_anothers_unawares_and_a_promotion_goes_by_the_ramp() {
    let mesh = TestMesh::start().await;
    mesh.settled().await;

    let (region, third) = (mesh.region(1).to_owned(), mesh.region(2).to_owned());
    let anns = [
        "failover",
        "drain",
        &region,
        "--by",
        "ann",
        "--why",
        "disks are out",
        "--for",
        "2h",
    ];

    done(&mesh, &anns).await;
    shared(&mesh, &region, |share| share == 0.0).await;

    for order in ["promote", "hold"] {
        let why = refused(
            &mesh,
            &[
                "failover",
                order,
                &region,
                "--by",
                "bob",
                "--why",
                "load test",
                "--for",
                "10m",
            ],
        )
        .await;

        for said in [
            &format!("the drain of {region} by ann (disks are out)")[..],
            "left",
            "--force",
        ] {
            assert!(why.contains(said), "{said:?} is missing in: {why}");
        }
    }

    let body = json!({ "region": region, "by": "bob", "why": "look", "for_ms": 2_000 });
    let (code, answer) = mesh.api(0).post("/v1/failover/hold", &body).await.unwrap();
    assert_eq!(
        (code, &answer["code"]),
        (409, &json!("would-replace")),
        "{answer}"
    );

    assert_eq!(
        order_of(&mesh, &region).await,
        Some(("drain".into(), "ann".into()))
    );

    shared(&mesh, &region, |share| share == 0.0).await;

    // Other plans follow; who ordered what still stands in the status.
    done(
        &mesh,
        &["failover", "hold", &third, "--by", "bob", "--why", "look"],
    )
    .await;

    done(
        &mesh,
        &[
            "failover", "restore", &third, "--by", "bob", "--why", "over",
        ],
    )
    .await;

    let text = done(&mesh, &["status"]).await;
    assert!(
        text.contains(&format!("drain of {region} by ann (disks are out), ")),
        "{text}"
    );

    // Under a hold of the mesh a restored region stays out, and the answer says so.
    done(
        &mesh,
        &["failover", "hold", "--by", "bob", "--why", "storm"],
    )
    .await;

    let text = done(
        &mesh,
        &[
            "failover",
            "restore",
            &region,
            "--by",
            "ann",
            "--why",
            "disks are in",
        ],
    )
    .await;

    assert!(
        text.contains(&format!(
            "{region} stays at 0 % while the hold of the whole mesh by bob (storm)"
        )),
        "{text}"
    );

    done(
        &mesh,
        &["failover", "restore", "--by", "bob", "--why", "over"],
    )
    .await;

    done(&mesh, &anns).await;

    // Forced it is done, says what it replaced, and the region comes back by cool-down and ramp,
    // not at once.
    let forced = [
        "failover",
        "promote",
        &region,
        "--by",
        "bob",
        "--why",
        "load test",
        "--force",
        "--json",
    ];

    let answer: Value = serde_json::from_str(&done(&mesh, &forced).await).unwrap();
    let said = answer["done"].as_str().unwrap();
    assert!(
        said.contains(&format!(
            "which replaces the drain of {region} by ann (disks are out)"
        )),
        "{said}"
    );

    assert_eq!(share_of(&answer["plan"], &region), 0.0, "{answer}");
    shared(&mesh, &region, |share| share == 1.0).await;

    let history = get(&mesh, 0, "/v1/failover/history").await;
    let shares = history["plans"]
        .as_array()
        .unwrap()
        .iter()
        .map(|past| share_of(&past["plan"], &region));

    assert!(
        shares.clone().any(|share| share > 0.0 && share < 0.9),
        "{:?}",
        shares.collect::<Vec<_>>()
    );

    // One's own order may be replaced, which is said; an immediate promotion skips the way back.
    let text = done(
        &mesh,
        &[
            "failover", "drain", &region, "--by", "bob", "--why", "again",
        ],
    )
    .await;

    assert!(text.contains("which replaces"), "{text}");
    let immediate = [
        "failover",
        "promote",
        &region,
        "--by",
        "bob",
        "--why",
        "now",
        "--immediate",
        "--json",
    ];

    let answer: Value = serde_json::from_str(&done(&mesh, &immediate).await).unwrap();
    assert_eq!(share_of(&answer["plan"], &region), 1.0, "{answer}");
}

/// Runs `failover hold` of a region outside any terminal, in this environment.
async fn hold(mesh: &TestMesh, region: &str, environment: &[(&str, &str)]) -> CommandOutput {
    let mut command = Command::new(binary());
    command.args([
        "failover",
        "hold",
        region,
        "--json",
        "--agent",
        &mesh.agent(0).api_url(),
        "--token-file",
    ]);

    command
        .arg(mesh.layout().token_file())
        .stdin(Stdio::null())
        .kill_on_drop(true);

    command
        .env_remove("USER")
        .env_remove("LOGNAME")
        .env_remove("REGIONMESH_BY")
        .envs(environment.iter().copied());

    let output = command.output().await.expect("the command runs");
    CommandOutput {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_have_an_author_the_last_region_is_kept_and_lists_are_in_order() {
    let mesh = TestMesh::start().await;
    mesh.settled().await;

    let regions: Vec<String> = (0..3).map(|index| mesh.region(index).to_owned()).collect();

    // In a container or a pipe nobody is "unknown": the order says who, or is bad usage.
    until(
        "an order without author is bad usage",
        seconds(20),
        async || {
            let output = hold(&mesh, &regions[1], &[]).await;
            claim(output.code == Some(2), || format!("{output:?}"))?;
            claim(
                output.stderr.contains("--by") && output.stderr.contains("REGIONMESH_BY"),
                || output.stderr.clone(),
            )
        },
    )
    .await;

    let (code, answer) = mesh
        .api(0)
        .post("/v1/failover/hold", &json!({ "region": regions[1] }))
        .await
        .unwrap();

    assert_eq!(
        (code, &answer["code"]),
        (400, &json!("by-required")),
        "{answer}"
    );

    until(
        "an order by the environment's name is carried out",
        seconds(20),
        async || {
            let output = hold(&mesh, &regions[1], &[("REGIONMESH_BY", "deploy-bot")]).await;
            claim(output.code == Some(0), || format!("{output:?}"))
        },
    )
    .await;

    assert_eq!(
        order_of(&mesh, &regions[1]).await,
        Some(("hold".into(), "deploy-bot".into()))
    );

    // A token with a name says who, whatever the client says.
    let file = mesh.layout().token_file();
    let tokens = std::fs::read_to_string(&file).unwrap();

    std::fs::write(
        &file,
        format!("{}\n# on call\ncarol carols-secret\n", tokens.trim()),
    )
    .unwrap();

    let body = json!({ "region": regions[2], "by": "root", "why": "look" });
    let carol = mesh.api(0).with_token(Some("carols-secret"));
    let (code, answer) = carol.post("/v1/failover/hold", &body).await.unwrap();

    assert_eq!(code, 200, "{answer}");
    assert_eq!(
        order_of(&mesh, &regions[2]).await,
        Some(("hold".into(), "carol".into()))
    );

    for region in &regions[1..] {
        done(
            &mesh,
            &[
                "failover", "restore", region, "--by", "ann", "--why", "over",
            ],
        )
        .await;
    }

    // The last region that serves is not drained unless that is confirmed, and then in name only.
    for region in &regions[1..] {
        done(
            &mesh,
            &[
                "failover",
                "drain",
                region,
                "--by",
                "ann",
                "--why",
                "all of them",
            ],
        )
        .await;
    }

    let last = [
        "failover",
        "drain",
        &regions[0],
        "--by",
        "ann",
        "--why",
        "all of them",
    ];

    let why = refused(&mesh, &last).await;
    assert!(
        why.contains("in name only") && why.contains("--force"),
        "{why}"
    );

    let (code, answer) = mesh
        .api(1)
        .post(
            "/v1/failover/drain",
            &json!({ "region": regions[0], "by": "ann" }),
        )
        .await
        .unwrap();

    assert_eq!(
        (code, &answer["code"]),
        (409, &json!("last-serving-region")),
        "{answer}"
    );

    assert_eq!(order_of(&mesh, &regions[0]).await, None);
    let text = done(&mesh, &[&last[..], &["--yes"]].concat()).await;
    assert!(text.contains("keeps its traffic"), "{text}");

    // Of the drains that yield there is but this one: the others are not let in beside it.
    let status = get(&mesh, 0, "/v1/failover/status").await;
    assert_eq!(
        status["plan"]["yielded"].as_array().map(Vec::len),
        Some(1),
        "{status}"
    );

    shared(&mesh, &regions[0], |share| share == 1.0).await;
    assert!(
        !mesh.resolve(1).await.unwrap().is_empty(),
        "somebody is answered"
    );

    for region in &regions {
        done(
            &mesh,
            &[
                "failover", "restore", region, "--by", "ann", "--why", "over",
            ],
        )
        .await;
    }

    mesh.settled().await;

    // A failure and a return later: events are told in the order in which things happened, and what
    // ended is not active.
    mesh.kill_region(2).await;
    for api in [mesh.api(0), mesh.api(1)] {
        until("the dead region is out", seconds(30), async || {
            let share = api.region(&regions[2]).await?.share;
            claim(share == 0.0, || format!("{share}"))
        })
        .await;
    }

    let firing = get(&mesh, 0, "/v1/alerts").await;
    assert!(
        firing.to_string().contains("RegionMeshRegionFailed"),
        "{firing}"
    );

    mesh.revive(2).await;
    mesh.settled().await;
    for asked in 0..2 {
        until("the alert has ended", seconds(30), async || {
            let firing = get(&mesh, asked, "/v1/alerts").await;
            let ended = get(&mesh, asked, "/v1/alerts?state=ended").await;
            claim(
                !firing.to_string().contains("RegionMeshRegionFailed"),
                || firing.to_string(),
            )?;

            let is_shown = ended["alerts"].as_array().is_some_and(|alerts| {
                alerts.iter().any(|alert| {
                    alert["labels"]["region"] == regions[2].as_str() && alert["state"] == "ended"
                })
            });

            claim(is_shown, || ended.to_string())
        })
        .await;

        let (code, _) = mesh.api(asked).get("/v1/alerts?state=over").await.unwrap();
        assert_eq!(code, 400);

        let list = get(&mesh, asked, "/v1/events").await;
        let times: Vec<u64> = list["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| e["time_ms"].as_u64().unwrap())
            .collect();

        assert!(
            times.len() > 10 && times.is_sorted(),
            "out of order: {times:?}"
        );
    }

    let text = done(&mesh, &["alerts", "--state", "all"]).await;
    assert!(
        text.contains("ended") && text.contains("RegionMeshRegionFailed"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mesh_of_one_region_leads_again_within_ten_seconds_of_its_stores_return() {
    let mesh = TestMesh::start_with(Setup {
        regions: &["solo"],
        ..Setup::default()
    })
    .await;
    let api = mesh.api(0);
    let leads = async |wanted: bool| {
        let leader = api.status().await?.leader;
        claim(leader.is_some() == wanted, || format!("{leader:?}"))
    };

    until("it leads", seconds(20), async || leads(true).await).await;
    let before = api.plan_seq().await.unwrap();

    // Not a directory any more: no permission keeps root out.
    let [store] = &mesh.layout().store_directories()[..] else {
        panic!("one store")
    };
    let aside: PathBuf = store.with_extension("aside");

    std::fs::rename(store, &aside).unwrap();
    std::fs::write(store, "").unwrap();
    until("it leads no longer", seconds(40), async || {
        leads(false).await
    })
    .await;

    let attempts = || {
        let log = std::fs::read_to_string(&mesh.agent(0).log_file).unwrap();
        log.lines()
            .filter(|line| line.contains("standing for leader"))
            .count()
    };
    let so_far = attempts();

    until("it stood in vain, twice", seconds(40), async || {
        claim(attempts() >= so_far + 2, || {
            format!("{} attempts", attempts())
        })
    })
    .await;

    std::fs::remove_file(store).unwrap();
    std::fs::rename(&aside, store).unwrap();
    until("it leads again", seconds(10), async || leads(true).await).await;

    // It does not only say so: an order is carried out.
    done(
        &mesh,
        &[
            "failover",
            "hold",
            "--by",
            "ann",
            "--why",
            "after the outage",
        ],
    )
    .await;

    assert!(api.plan_seq().await.unwrap() > before);
    let log = std::fs::read_to_string(&mesh.agent(0).log_file).unwrap();
    assert!(
        !log.contains("cannot stand for leader"),
        "a ballot was used twice"
    );
}
