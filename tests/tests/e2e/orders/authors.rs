//! Who gave an order, the last region that serves, and lists of orders, events and alerts.

use super::{done, get, order_of, refused, shared};
use regionmesh_tests::{
    command::{COMMAND_TIMEOUT, CommandOutput, output_of, regionmesh},
    mesh::TestMesh,
    wait::{claim, seconds, until},
};
use serde_json::json;

/// Runs `failover hold` of a region outside any terminal, in this environment.
async fn hold(mesh: &TestMesh, region: &str, environment: &[(&str, &str)]) -> CommandOutput {
    let mut command = regionmesh(&["failover", "hold", region, "--json"]);
    command
        .args(["--agent", &mesh.agent(0).api_url(), "--token-file"])
        .arg(mesh.layout().token_file())
        .env_remove("USER")
        .env_remove("LOGNAME")
        .env_remove("REGIONMESH_BY")
        .envs(environment.iter().copied());

    output_of(&mut command, COMMAND_TIMEOUT).await
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_have_authors_the_last_region_keeps_traffic_and_lists_are_ordered() {
    let mesh = TestMesh::start().await;
    mesh.converged().await;

    let regions: Vec<String> = (0..3).map(|index| mesh.region(index).to_owned()).collect();

    assert_orders_need_an_author(&mesh, &regions[1]).await;

    assert_named_token_is_the_author(&mesh, &regions[2]).await;

    for region in &regions[1..] {
        done(
            &mesh,
            &[
                "failover", "restore", region, "--by", "ann", "--why", "over",
            ],
        )
        .await;
    }

    drain_all(&mesh, &regions).await;

    assert_last_drain_yields(&mesh, &regions[0]).await;

    for region in &regions {
        done(
            &mesh,
            &[
                "failover", "restore", region, "--by", "ann", "--why", "over",
            ],
        )
        .await;
    }

    mesh.converged().await;

    // After a failure and a return: events are listed in the order in which they happened, and what
    // ended is not active.
    kill_and_await_alert(&mesh, &regions[2]).await;

    mesh.revive(2).await;
    mesh.converged().await;
    for asked in 0..2 {
        until_alert_has_ended(&mesh, asked, &regions[2]).await;
    }

    let text = done(&mesh, &["alerts", "--state", "all"]).await;
    assert!(
        text.contains("ended") && text.contains("RegionMeshRegionFailed"),
        "{text}"
    );
}

/// In a container or a pipe there is no user to name: the order says who gave it, or is bad usage.
async fn assert_orders_need_an_author(mesh: &TestMesh, region: &str) {
    until(
        "an order without author is bad usage",
        seconds(20),
        async || {
            let output = hold(mesh, region, &[]).await;
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
        .post("/v1/failover/hold", &json!({ "region": region }))
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
            let output = hold(mesh, region, &[("REGIONMESH_BY", "deploy-bot")]).await;
            claim(output.code == Some(0), || format!("{output:?}"))
        },
    )
    .await;

    assert_eq!(
        order_of(mesh, region).await,
        Some(("hold".into(), "deploy-bot".into()))
    );
}

/// A token's name is the author, whatever the client sends.
async fn assert_named_token_is_the_author(mesh: &TestMesh, region: &str) {
    let file = mesh.layout().token_file();
    let tokens = std::fs::read_to_string(&file).unwrap();

    std::fs::write(
        &file,
        format!("{}\n# on call\ncarol carols-secret\n", tokens.trim()),
    )
    .unwrap();

    let body = json!({ "region": region, "by": "root", "why": "look" });
    let carol = mesh.api(0).with_token(Some("carols-secret"));
    carol.done("/v1/failover/hold", &body).await;
    assert_eq!(
        order_of(mesh, region).await,
        Some(("hold".into(), "carol".into()))
    );
}

/// The last region that serves is not drained unless that is confirmed, and then in name only.
async fn drain_all(mesh: &TestMesh, regions: &[String]) {
    for region in &regions[1..] {
        done(
            mesh,
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

    let why = refused(mesh, &last).await;
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

    assert_eq!(order_of(mesh, &regions[0]).await, None);
    let text = done(mesh, &[&last[..], &["--yes"]].concat()).await;
    assert!(text.contains("keeps its traffic"), "{text}");
}

/// Only this drain yields: the others are not admitted with it.
async fn assert_last_drain_yields(mesh: &TestMesh, last: &str) {
    let status = get(mesh, 0, "/v1/failover/status").await;
    assert_eq!(
        status["plan"]["yielded"].as_array().map(Vec::len),
        Some(1),
        "{status}"
    );

    shared(mesh, last, |share| share == 1.0).await;
    assert!(
        !mesh.resolve(1).await.unwrap().is_empty(),
        "users are answered"
    );
}

async fn kill_and_await_alert(mesh: &TestMesh, dead: &str) {
    mesh.kill_region(2).await;
    for api in [mesh.api(0), mesh.api(1)] {
        until("the dead region is out", seconds(30), async || {
            let share = api.region(dead).await?.share;
            claim(share == 0.0, || format!("{share}"))
        })
        .await;
    }

    let firing = get(mesh, 0, "/v1/alerts").await;
    assert!(
        firing.to_string().contains("RegionMeshRegionFailed"),
        "{firing}"
    );
}

async fn until_alert_has_ended(mesh: &TestMesh, asked: usize, region: &str) {
    until("the alert has ended", seconds(30), async || {
        let firing = get(mesh, asked, "/v1/alerts").await;
        let ended = get(mesh, asked, "/v1/alerts?state=ended").await;
        claim(
            !firing.to_string().contains("RegionMeshRegionFailed"),
            || firing.to_string(),
        )?;

        let is_listed = ended["alerts"].as_array().is_some_and(|alerts| {
            alerts
                .iter()
                .any(|alert| alert["labels"]["region"] == region && alert["state"] == "ended")
        });

        claim(is_listed, || ended.to_string())
    })
    .await;

    let (code, _) = mesh.api(asked).get("/v1/alerts?state=over").await.unwrap();
    assert_eq!(code, 400);

    let list = get(mesh, asked, "/v1/events").await;
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
